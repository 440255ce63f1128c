"""The radios of this machine, open for as long as a program or a command works on boards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from enmctl.boards.contract import BoardDriver
from enmctl.boards.installed import drivers
from enmctl.errors import EnmError, RadioError
from enmctl.gateway import finding
from enmctl.gateway.claiming import claims
from enmctl.gateway.lookout import Bench, hear, look_around, usual_span, with_bluetooth
from enmctl.gateway.memories import read_names_of_begun
from enmctl.gateway.reach import Reach
from enmctl.library.board import Board
from enmctl.library.choosing import drivers_for, drivers_of
from enmctl.library.reaching import reach_of
from enmctl.library.workbench import Workbench
from enmctl.models import DiscoveredBoard, Radio
from enmctl.settings import Settings
from enmctl.store.reading import read_devices

LOG = logging.getLogger(__name__)

AskPasskey = Callable[[Board], Awaitable[int | None]]
"""Asks a person for the six digits that a board shows; None where nobody will say."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Radios:
    """Open radios, on which boards are heard and found. Made by ``open_radios``."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    @property
    def trouble(self) -> Sequence[RadioError]:
        """The radios that could not be opened, each with the reason."""
        return tuple(self._bench.bench.trouble)

    async def scan(self, seconds: float | None = None) -> AsyncGenerator[Board, None]:
        """Each board as soon as it is heard; one that waits in its bootloader once for each type that it may be.

        Args:
            seconds: how long to listen; None for the longest of ENM_AVAHI_TIMEOUT and
                ENM_BLUETOOTH_LONG_TIMEOUT whose radio can be used.

        Raises:
            RadioError: no radio can be used.
        """
        known: set[object] = set()
        async with aclosing(hear(self._bench.bench, self.longest(seconds))) as news:
            async for boards in news:
                for board in boards:
                    if (key := (board.board_type, board.place)) not in known:
                        known.add(key)
                        yield self._board(board)

    async def find(self, name: str = "", *, seconds: float | None = None) -> Board:
        """The board that is called so, or without a name the only one that is heard.

        Args:
            name: a board's id, address or name, a micro:bit's name like "zavit", a device's name, id or the beginning
                of its uuid, or http://[user@]host[:port][/path].
            seconds: as for ``scan``; a board that is heard sooner ends it.

        Raises:
            UnknownError: no board is called so.
            OfflineError: the device's board is not heard, or without a name none is.
            UsageError: several are.
            RadioError: no radio can be used.
        """
        if not name:
            target = await finding.find_only_board(self._bench.bench, self.longest(seconds))
            return Board(self._bench, target)
        (found,) = await self.find_each([name], seconds=seconds)
        if isinstance(found, EnmError):
            raise found
        return found

    async def find_each(self, names: Sequence[str], *, seconds: float | None = None) -> list[Board | EnmError]:
        """The boards that are called so, listened for all at once, each or what ``find`` would raise of it."""
        found = await finding.find_targets(self._bench.bench, names, self.longest(seconds))
        return [target if isinstance(target, EnmError) else Board(self._bench, target) for target in found]

    async def find_all(self, *, seconds: float | None = None) -> list[Board]:
        """All boards that are heard within the whole of that time."""
        return [self._board(board) for board in await look_around(self._bench.bench, self.longest(seconds))]

    def allow_pairing(self, ask_passkey: AskPasskey | None = None) -> None:
        """Have boards be paired with that want a bond; ``ask_passkey`` asks for the digits that some show."""
        for driver in self._bench.bench.of(Radio.BLUETOOTH).values():
            driver.surroundings.may_pair = True
            driver.surroundings.ask_passkey = None if ask_passkey is None else self._asker(ask_passkey)

    def _asker(self, ask_passkey: AskPasskey) -> Callable[[DiscoveredBoard], Awaitable[int | None]]:
        return lambda board: ask_passkey(self._board(board))

    def _board(self, board: DiscoveredBoard) -> Board:
        return Board(self._bench, finding.target_of(self._bench.bench, board))

    def longest(self, seconds: float | None = None) -> float:
        """Seconds to listen at most: those that are asked for, else the longest limit of a radio that can be used."""
        bench = self._bench.bench
        return usual_span(bench.settings, bench.drivers) if seconds is None else seconds


async def bench_for(
    settings: Settings,
    chosen: Mapping[str, BoardDriver],
    say: Callable[[str], None],
    *,
    access: Mapping[str, str] = NOTHING,
    reach: Reach,
) -> Bench:
    """A bench with what is known here of devices, begun transfers and applications; ``say`` is told of a broken file.

    Raises:
        StoreError: there is a database here, and it cannot be read.
    """
    return Bench(
        settings,
        chosen,
        await asyncio.to_thread(read_devices, settings.database),
        access=access,
        reach=reach,
        begun=await asyncio.to_thread(read_names_of_begun, settings.database),
        desired=await claims(settings, say),
    )


@asynccontextmanager
async def radios_of(bench: Bench) -> AsyncGenerator[Radios]:
    """The radios of a bench, open within the context."""
    async with AsyncExitStack() as stack, with_bluetooth(bench):
        yield Radios(Workbench(bench, stack))


@asynccontextmanager
async def open_radios(
    settings: Settings | None = None,
    *,
    board_type: str | None = None,
    firmware: str | PathLike[str] | None = None,
    access: Mapping[str, str] = NOTHING,
    pair: bool = False,
    ask_passkey: AskPasskey | None = None,
) -> AsyncGenerator[Radios]:
    """The radios of this machine, open within the context.

    Args:
        settings: None reads them from the environment (docs/configuration.md).
        board_type: hear boards of this type alone.
        firmware: hear boards alone that this file can be sent to.
        access: what boards ask for, like ENM_OTA_USER and ENM_OTA_PASSWORD; a device's own config otherwise.
        pair: pair with a board that wants a bond before it is flashed.
        ask_passkey: asks a person for the six digits that a board shows; implies ``pair``.

    Raises:
        SettingError: a variable has a value that cannot be used.
        UnknownError: the board type is not installed.
        FirmwareError: the file can be sent to no board; no radio is touched.
        StoreError: there is a database here, and it cannot be read.
    """
    settings = Settings.from_environment() if settings is None else settings
    chosen = drivers_of(drivers(settings), board_type)
    if firmware is not None:
        chosen = await drivers_for(chosen, Path(firmware), access)
    bench = await bench_for(settings, chosen, LOG.warning, access=access, reach=reach_of(settings))
    async with radios_of(bench) as radios:
        if pair or ask_passkey is not None:
            radios.allow_pairing(ask_passkey)
        yield radios
