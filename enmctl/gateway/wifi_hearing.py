"""Boards on the network: what mDNS hears and the hotspot's leases tell, and whether it still answers.

A record is no proof of life (mDNS keeps a dead board for up to 75 minutes), so each board is asked from time to time:
after two misses it is offline. A board counts as online only once it has answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from enmctl.boards.contract import BoardDriver
from enmctl.errors import EnmError, RadioError
from enmctl.gateway.sightings import Place, Sightings
from enmctl.models import BoardKey, DiscoveredBoard
from enmctl.radio.mdns import MdnsBrowser, MdnsService
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

MISSES = 2
"""So many looks in a row without an answer, and a board is offline."""

PROBES_AT_ONCE = 32
"""How many boards are asked at the same time."""

LEASED = "\0"
"""Before the name of a place that only a lease tells of; no instance's name begins so."""


class WifiHearing:
    """Hears boards over mDNS for as long as it is started.

    Args:
        settings: intervals and limits.
        drivers: a driver for each board type that is reached over Wi-Fi.
        sightings: where what is heard goes.
        is_busy: whether a worker has the board in hand; then it is not asked, for it serves one connection at a time.
        loopback_only: hear and reach nothing beyond this machine.
    """

    def __init__(
        self,
        settings: Settings,
        drivers: Mapping[str, BoardDriver],
        sightings: Sightings,
        *,
        is_busy: Callable[[BoardKey], bool],
        loopback_only: bool,
    ) -> None:
        self._settings = settings
        self._drivers = drivers
        self._sightings = sightings
        self._is_busy = is_busy
        self._loopback_only = loopback_only
        self._browser: MdnsBrowser | None = None
        self._also_on: tuple[str, ...] = ()
        self._heard_names: set[str] = set()
        self._leased_names: set[str] = set()
        self._due: deque[tuple[str, Place]] = deque()
        self._probes: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises RadioError where no interface can be listened on."""
        browser = MdnsBrowser(
            self._settings, on_change=self._heard, loopback_only=self._loopback_only, also_on=self._also_on
        )
        await browser.__aenter__()
        self._browser = browser

    async def stop(self) -> None:
        """Stop, and forget what was heard."""
        browser, self._browser = self._browser, None
        if browser is not None:
            await browser.__aexit__(None, None, None)
        for name in [*self._heard_names, *self._leased_names]:
            self._drop(name)
        self._due.clear()
        for task in self._probes:
            task.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    async def listen_also_on(self, addresses: Sequence[str]) -> None:
        """Listen on the interfaces of these addresses besides, now or once it is started."""
        self._also_on = tuple(addresses)
        if self._browser is not None:
            await self._browser.listen_also_on(self._also_on)

    def take_leases(self, clients: Sequence[MdnsService]) -> None:
        """Take up the boards among the hotspot's clients that are not heard; a board that is heard is left alone."""
        if self._browser is None:
            return
        named = {f"{LEASED}{client.name}": client for client in clients}
        for name in self._leased_names - named.keys():
            self._drop(name)
        heard = {place.key for name, place in self._sightings.places.items() if name in self._heard_names}
        for name, client in named.items():
            board = self._recognise(client)
            if board is None or self._sightings.claim(board).key in heard:
                self._drop(name)
                continue
            known = self._sightings.said_at(name)
            if known is None or known.addresses != board.addresses:
                self._leased_names.add(name)
                self.take(name, board)

    def _heard(self, name: str, service: MdnsService | None) -> None:
        board = None if service is None else self._recognise(service)
        if board is None:
            self._drop(name)
        else:
            self._heard_names.add(name)
            self.take(name, board)
            self._drop_leased(name)

    def _drop_leased(self, heard: str) -> None:
        """Leave the place that a lease told of, of a board that is heard after all."""
        places = self._sightings.places
        if heard not in places:
            return
        key = places[heard].key
        for name in [name for name in self._leased_names if name in places and places[name].key == key]:
            self._drop(name)

    def take(self, name: str, board: DiscoveredBoard) -> None:
        """Take up what says at a place that it is a board."""
        place = self._sightings.hear(name, board)
        if place is not None:
            self._probe_in(name, place, 0.0)

    def _recognise(self, service: MdnsService) -> DiscoveredBoard | None:
        found = (driver.recognise(service) for driver in self._drivers.values())
        return next((board for board in found if board is not None), None)

    def _drop(self, name: str) -> None:
        self._heard_names.discard(name)
        self._leased_names.discard(name)
        self._sightings.drop(name)

    def _probe_in(self, name: str, place: Place, delay: float) -> None:
        if place.timer is not None:
            place.timer.cancel()
        place.timer = asyncio.get_running_loop().call_later(delay, self._is_due, name, place)

    def _is_due(self, name: str, place: Place) -> None:
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
            if self._sightings.places.get(name) is place:
                try:
                    await self._probe(name, place)
                except Exception:
                    LOG.exception("%s could not be asked; this is a bug in enmctl", name)

    async def _probe(self, name: str, place: Place) -> None:
        try:
            if not self._is_busy(place.key):
                await self._look(place)
        finally:
            if self._sightings.places.get(name) is place:
                self._sightings.refresh(place.key)
                self._probe_in(name, place, self._settings.probe_interval)

    async def _look(self, place: Place) -> None:
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

    async def _meet(self, driver: BoardDriver, place: Place) -> bool:
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
