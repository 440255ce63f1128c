"""Which boards are there now: what the radios hear, and whether it still answers.

A record is no proof of life (mDNS keeps a dead board for up to 75 minutes), so each board is asked from time to time:
after two misses it is offline. A board counts as online only once it has answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from enmctl.boards.contract import BoardDriver
from enmctl.errors import EnmError, RadioError
from enmctl.gateway.decide import Seen
from enmctl.models import BoardKey, DiscoveredBoard, Radio
from enmctl.radio.mdns import MdnsBrowser, MdnsService
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

MISSES = 2
"""So many looks in a row without an answer, and a board is offline."""

PROBES_AT_ONCE = 32
"""How many boards are asked at the same time."""


LEASED = "\0"
"""Before the name of a place that only a lease tells of; no instance's name begins so."""


@dataclass(slots=True, eq=False)
class _Place:
    """One advertised instance: where a board says it is; all that changes of ``board`` leaves its ``key`` the same.

    ``leased`` is one that is not advertised, and is known by the board's lease in the hotspot.
    """

    board: DiscoveredBoard
    key: BoardKey
    leased: bool = False
    online: bool = False
    misses: int = 0
    due: bool = False
    timer: asyncio.TimerHandle | None = None


class Discovery:
    """The table of boards, kept up to date for as long as it is started.

    Args:
        settings: intervals and limits.
        drivers: a driver a board type.
        changed: called, in the loop, whenever the table changed.
        is_busy: whether a worker has the board in hand; then it is not asked, for it serves one connection at a time.
        loopback_only: hear and reach nothing beyond this machine.
    """

    def __init__(
        self,
        settings: Settings,
        drivers: Mapping[str, BoardDriver],
        *,
        changed: Callable[[], None],
        is_busy: Callable[[BoardKey], bool],
        loopback_only: bool = False,
    ) -> None:
        self._settings = settings
        self._drivers = drivers
        self._changed = changed
        self._is_busy = is_busy
        self._loopback_only = loopback_only
        self._browser: MdnsBrowser | None = None
        self._places: dict[str, _Place] = {}
        self._places_of: defaultdict[BoardKey, list[_Place]] = defaultdict(list)
        self._due: deque[tuple[str, _Place]] = deque()
        self._probes: set[asyncio.Task[None]] = set()
        self._started_at = 0.0
        self._switching = asyncio.Lock()
        self._hotspot: tuple[str, ...] = ()
        self.boards: dict[BoardKey, Seen] = {}

    @property
    def is_listening(self) -> bool:
        """Whether a radio is open now."""
        return self._browser is not None

    @property
    def is_settled(self) -> bool:
        """Whether it has listened long enough to call a board that nobody heard offline."""
        age = asyncio.get_running_loop().time() - self._started_at
        return self.is_listening and age >= self._settings.avahi_timeout

    async def start(self) -> None:
        """Open the radios; a radio that cannot be used is logged, and the others work.

        Raises:
            RadioError: none can be used.
        """
        wifi = [driver for driver in self._drivers.values() if driver.radio is Radio.WIFI]
        async with self._switching:
            if not wifi or self._browser is not None:
                return
            browser = MdnsBrowser(
                self._settings, on_change=self._heard, loopback_only=self._loopback_only, also_on=self._hotspot
            )
            await browser.__aenter__()
            self._browser = browser
            self._started_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        """Let the radios go and forget what was heard; a radio that is just being opened is let go too."""
        async with self._switching:
            browser, self._browser = self._browser, None
            if browser is not None:
                await browser.__aexit__(None, None, None)
        for name in list(self._places):
            self._drop(name)
        self._due.clear()
        for task in self._probes:
            task.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        self.boards.clear()

    async def follow_hotspot(self, addresses: Sequence[str]) -> None:
        """Listen in the hotspot as well, where this machine has these addresses; in none any more without one."""
        self._hotspot = tuple(addresses)
        async with self._switching:
            if self._browser is not None:
                await self._browser.listen_also_on(self._hotspot)

    def take_leases(self, clients: Sequence[MdnsService]) -> None:
        """Take up the boards among the hotspot's clients that are not heard; a board that is heard is left alone."""
        if not self.is_listening:
            return
        named = {f"{LEASED}{client.name}": client for client in clients}
        for name in [name for name, place in self._places.items() if place.leased and name not in named]:
            self._drop(name)
        for name, client in named.items():
            board = self._recognise(client)
            if board is None or any(not place.leased for place in self._places_of.get(board.key, ())):
                self._drop(name)
            elif name not in self._places or self._places[name].board.addresses != board.addresses:
                self._take_place(name, board, leased=True)

    def locate(self, key: BoardKey) -> DiscoveredBoard | None:
        """Where a board was heard last."""
        here = self.boards.get(key)
        return None if here is None else here.board

    def confirm(self, key: BoardKey, version: str | None) -> None:
        """Take up what a board was just heard to run, ahead of its next announcement."""
        for place in self._places_of.get(key, ()):
            place.board = replace(place.board, version=version)
        self._refresh(key)

    def _heard(self, name: str, service: MdnsService | None) -> None:
        if service is None:
            self._drop(name)
            return
        board = self._recognise(service)
        if board is None:
            self._drop(name)
            return
        self._take_place(name, board)
        for leased in [name for name, place in self._places.items() if place.leased and place.key == board.key]:
            self._drop(leased)

    def _take_place(self, name: str, board: DiscoveredBoard, *, leased: bool = False) -> None:
        """Note where a board is, and have it asked there."""
        place = self._places.get(name)
        key = board.key
        if place is not None and place.key == key:
            if board.version is None:
                board = replace(board, version=place.board.version)
            place.board = board
        else:
            self._drop(name)
            place = self._places[name] = _Place(board, key, leased)
            self._places_of[key].append(place)
        self._refresh(key)
        self._probe_in(name, place, 0.0)

    def _recognise(self, service: MdnsService) -> DiscoveredBoard | None:
        for driver in self._drivers.values():
            board = driver.recognise(service) if driver.radio is Radio.WIFI else None
            if board is not None and board.application_id is not None:
                return board
        return None

    def _drop(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            if place.timer is not None:
                place.timer.cancel()
            kin = self._places_of[place.key]
            kin.remove(place)
            if not kin:
                del self._places_of[place.key]
            self._refresh(place.key)

    def _refresh(self, key: BoardKey) -> None:
        """Bring the table's row of one board up to date from the places where it is advertised."""
        places = self._places_of.get(key)
        seen = _seen(places) if places else None
        if seen == self.boards.get(key):
            return
        if seen is None:
            del self.boards[key]
        else:
            self.boards[key] = seen
        self._changed()

    def _probe_in(self, name: str, place: _Place, delay: float) -> None:
        if place.timer is not None:
            place.timer.cancel()
        place.timer = asyncio.get_running_loop().call_later(delay, self._is_due, name, place)

    def _is_due(self, name: str, place: _Place) -> None:
        """Have a board asked as soon as one of those who ask is free: a waiting board costs no task."""
        if not place.due:
            place.due = True
            self._due.append((name, place))
            self._start_probe()

    def _start_probe(self) -> None:
        if self._due and len(self._probes) < PROBES_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._probe_due())
            self._probes.add(task)
            task.add_done_callback(self._probe_ended)

    def _probe_ended(self, task: asyncio.Task[None]) -> None:
        self._probes.discard(task)
        self._start_probe()

    async def _probe_due(self) -> None:
        while self._due:
            name, place = self._due.popleft()
            place.due = False
            if self._places.get(name) is place:
                try:
                    await self._probe(name, place)
                except Exception:
                    LOG.exception("%s could not be asked; this is a bug in enmctl", name)

    async def _probe(self, name: str, place: _Place) -> None:
        try:
            if not self._is_busy(place.key):
                await self._look(place)
        finally:
            if self._places.get(name) is place:
                self._refresh(place.key)
                self._probe_in(name, place, self._settings.probe_interval)

    async def _look(self, place: _Place) -> None:
        driver = self._drivers[place.board.board_type]
        board = place.board
        alive = await driver.alive(board)
        if alive and not place.online:
            alive = await self._meet(driver, place)
        if board.addresses != place.board.addresses or board.port != place.board.port:
            return
        place.misses = 0 if alive else place.misses + 1
        if alive or place.misses >= MISSES:
            place.online = alive

    async def _meet(self, driver: BoardDriver, place: _Place) -> bool:
        """Ask a board that has just come what it is; False where another board lives at its address."""
        try:
            answer = await driver.ask(place.board, {})
        except EnmError as error:
            LOG.debug("%s answers, but: %s", place.board.name, error)
            return not isinstance(error, RadioError) and error.reason != "wrong-board"
        if answer.local_id is not None and answer.local_id != place.board.local_id:
            LOG.warning("%s is advertised where board %s answers: left alone", place.board.name, answer.local_id)
            return False
        if answer.version is not None:
            place.board = replace(place.board, version=answer.version)
        return True


def _seen(places: Sequence[_Place]) -> Seen:
    """What is seen of one board at the places where it is advertised."""
    online = [place.board for place in places if place.online]
    if not online:
        return Seen(places[-1].board, online=False)
    others = {_where(board) for board in online[1:]} - {_where(online[0])}
    return Seen(online[0], online=True, rivals=tuple(sorted(others)))


def _where(board: DiscoveredBoard) -> str:
    address = board.addresses[0] if board.addresses else "nowhere"
    return f"{address}:{board.port}"
