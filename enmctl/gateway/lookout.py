"""Looking for boards without a running gateway: on all radios at once, and only for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from enmctl.boards.adverts import own_address
from enmctl.boards.contract import BoardDriver
from enmctl.errors import RadioError
from enmctl.gateway.claiming import claimed
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.models import BoardMode, Desired, Device, DiscoveredBoard, Radio
from enmctl.radio.mdns import MdnsBrowser, MdnsService
from enmctl.settings import Settings
from enmctl.store import StoreThread

if TYPE_CHECKING:
    from enmctl.radio.bluetooth import Advert

LOG = logging.getLogger(__name__)

Boards = Sequence[DiscoveredBoard]

QUIET: Final = 1.5
"""Seconds without a further board after which one that was heard counts as the only one."""

NOTHING_YET: Final = 3.0
"""Seconds after which a person is told what may be the matter."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What work by hand needs.

    ``access`` is config that the caller gives (``ENM_OTA_USER`` and its kin); it goes over a device's own. ``store`` is
    None where there is no database: then nothing is known of devices, and nothing is journalled. With a
    ``simulated_application`` nothing but loopback is listened on, and boards of others' applications are not seen on
    the network. ``desired`` tells whose a board is, where its source says so itself. ``nothing_yet`` is called once
    where what is looked for is not heard for a while. ``fitting`` are the board types that what is to be sent is for,
    None where nothing is. ``begun`` tells by their addresses what the boards are called that wait for the rest of a
    program.
    """

    settings: Settings
    drivers: Mapping[str, BoardDriver]
    devices: Sequence[Device] = ()
    store: StoreThread | None = None
    access: Mapping[str, str] = field(default_factory=dict, repr=False)
    reach: Reach = OUTSIDE
    simulated_application: int | None = None
    desired: Desired = field(default_factory=Desired)
    nothing_yet: Callable[[], None] | None = None
    fitting: Collection[str] | None = None
    begun: Mapping[str, str] = field(default_factory=dict)
    trouble: list[RadioError] = field(default_factory=list)
    """The radios that could not be opened; told where what was looked for was not found."""

    def of(self, radio: Radio) -> Mapping[str, BoardDriver]:
        """The drivers for boards that a radio reaches."""
        return {name: driver for name, driver in self.drivers.items() if driver.radio is radio}


def has_bluetooth(drivers: Mapping[str, BoardDriver]) -> bool:
    """Whether a driver has a Bluetooth radio to work with."""
    return any(driver.surroundings.bluetooth is not None for driver in drivers.values())


def usual_span(settings: Settings, drivers: Mapping[str, BoardDriver]) -> float:
    """Seconds to listen at most where nobody says how many: the longest limit of a radio that can be used."""
    has_wifi = any(driver.radio is Radio.WIFI for driver in drivers.values())
    return max(
        settings.avahi_timeout if has_wifi else 0.0,
        settings.bluetooth_long_timeout if has_bluetooth(drivers) else 0.0,
    )


@asynccontextmanager
async def with_bluetooth(bench: Bench) -> AsyncGenerator[None]:
    """Within, the drivers of Bluetooth boards have a radio, where this machine has one."""
    drivers = bench.of(Radio.BLUETOOTH)
    async with AsyncExitStack() as stack:
        if drivers:
            try:
                radio = await stack.enter_async_context(bench.reach.open_bluetooth(bench.settings))
            except RadioError as error:
                LOG.debug("Bluetooth cannot be used: %s", error)
                bench.trouble.append(error)
            else:
                for driver in drivers.values():
                    driver.surroundings.bluetooth = radio
        try:
            yield
        finally:
            for driver in drivers.values():
                driver.surroundings.bluetooth = None


class _Ears:
    """What is heard on all radios; ``news`` is set at each change."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._found: dict[str, list[DiscoveredBoard]] = {}
        self.news = asyncio.Event()

    @property
    def boards(self) -> Boards:
        """All boards that are heard, sorted by type, application and id."""
        found = [board for boards in self._found.values() for board in boards]
        return sorted(found, key=lambda board: (board.board_type, board.key, board.name))

    def on_service(self, name: str, service: MdnsService | None) -> None:
        """A service came, changed or went on the network."""
        wanted = self._bench.simulated_application
        self._note(
            f"mdns {name}",
            [
                self._as_claimed(board)
                for driver in self._bench.of(Radio.WIFI).values()
                if service is not None
                and (board := driver.recognise(service)) is not None
                and wanted in (None, board.application_id)
            ],
        )

    def on_advert(self, advert: Advert) -> None:
        """A board advertised. One that names no application is the device that has its address, if one has.

        A bootloader may have the next address, and is the board that a transfer was begun to as well.
        """
        boards = [
            self._as_claimed(board)
            for driver in self._bench.of(Radio.BLUETOOTH).values()
            if (board := driver.recognise(advert)) is not None
        ]
        if not boards:
            return
        own = self._own_address(boards[0])
        boards = [replace(board, local_id=own, addresses=(own,)) for board in boards if own != board.local_id] or boards
        known = next((device for device in self._bench.devices if device.local_id == own), None)
        if known is not None and boards[0].application_id is None:
            boards = [
                replace(board, application_id=known.application_id)
                for board in boards
                if board.board_type == known.board_type
            ]
        name = self._bench.begun.get(own)
        if name is not None:
            boards = [
                replace(board, name=f"{board.name} [{name}]") for board in boards if board.mode is BoardMode.BOOTLOADER
            ] or boards
        self._note(f"bluetooth {own}", boards)

    def _own_address(self, board: DiscoveredBoard) -> str:
        """The address by which a board is known: the one that it has, or as a bootloader perhaps the one before."""
        if board.mode is not BoardMode.BOOTLOADER:
            return board.local_id
        known = {device.local_id for device in self._bench.devices if device.local_id} | self._bench.begun.keys()
        return own_address(board.local_id, known) or board.local_id

    def _as_claimed(self, board: DiscoveredBoard) -> DiscoveredBoard:
        """The board as its application's; one that is nobody's stays what its firmware says."""
        mine, _ = claimed(board, self._bench.desired)
        return board if mine.application_id is None else mine

    def _note(self, place: str, boards: list[DiscoveredBoard]) -> None:
        if self._found.get(place, []) == boards:
            return
        self._found[place] = boards
        self.news.set()


async def hear(bench: Bench, seconds: float | None) -> AsyncGenerator[Boards, None]:
    """All boards that are heard, sorted by type, application and id, anew whenever there is news.

    Args:
        bench: with what; its drivers have a Bluetooth radio within ``with_bluetooth`` alone.
        seconds: how long to listen, None for ever.

    Raises:
        RadioError: no radio can be used.
    """
    LOG.debug("listening for boards, at most %s s", seconds)
    async with _listening(bench) as ears:
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while await _within(ears.news, deadline):
            ears.news.clear()
            yield ears.boards


async def look_around(
    bench: Bench, seconds: float | None, *, heard: Callable[[Boards], bool] | None = None
) -> list[DiscoveredBoard]:
    """The boards that are heard in the end; see ``hear``. ``heard`` is told each news, and ends it by True."""
    boards: Boards = ()
    with _saying_that_nothing_came(bench, seconds, lambda: heard is not None or not boards):
        async with aclosing(hear(bench, seconds)) as news:
            async for boards in news:
                if heard is not None and heard(boards):
                    break
    return list(boards)


@contextmanager
def _saying_that_nothing_came(bench: Bench, seconds: float | None, is_missing: Callable[[], bool]) -> Iterator[None]:
    """Within, whoever waits is told after a while that what is looked for was not heard yet, where that is so."""
    tell = bench.nothing_yet
    if tell is None or (seconds is not None and seconds <= NOTHING_YET):
        yield
        return
    timer = asyncio.get_running_loop().call_later(NOTHING_YET, lambda: tell() if is_missing() else None)
    try:
        yield
    finally:
        timer.cancel()


async def find_boards(bench: Bench, seconds: float) -> list[DiscoveredBoard]:
    """The boards that are heard, until no further one has come for a moment; at most so many seconds.

    Raises:
        RadioError: no radio can be used.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with _listening(bench) as ears:
        if not await _within(ears.news, began + min(seconds, NOTHING_YET)):
            if bench.nothing_yet is not None and seconds > NOTHING_YET:
                bench.nothing_yet()
            await _within(ears.news, began + seconds)
        while ears.news.is_set():
            ears.news.clear()
            await _within(ears.news, min(began + seconds, loop.time() + QUIET))
        return list(ears.boards)


async def _within(event: asyncio.Event, deadline: float | None) -> bool:
    """Whether an event is set by a time of the loop's clock."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            await event.wait()
    return event.is_set()


@asynccontextmanager
async def _listening(bench: Bench) -> AsyncGenerator[_Ears]:
    ears = _Ears(bench)
    async with AsyncExitStack() as stack:
        listening = await _listen_on_network(bench, ears, stack)
        listening |= _listen_to_bluetooth(bench, ears, stack)
        if not listening:
            raise bench.trouble[0] if bench.trouble else RadioError("no board type is installed", reason="no-drivers")
        yield ears


async def _listen_on_network(bench: Bench, ears: _Ears, stack: AsyncExitStack) -> bool:
    if not bench.of(Radio.WIFI):
        return False
    browser = MdnsBrowser(bench.settings, ears.on_service, loopback_only=bench.reach.loopback_only)
    try:
        await stack.enter_async_context(browser)
    except RadioError as error:
        bench.trouble.append(error)
        return False
    return True


def _listen_to_bluetooth(bench: Bench, ears: _Ears, stack: AsyncExitStack) -> bool:
    radios = {driver.surroundings.bluetooth for driver in bench.of(Radio.BLUETOOTH).values()} - {None}
    for radio in radios:
        if radio is not None:
            stack.callback(radio.listen(ears.on_advert))
    return bool(radios)
