"""``enmctl scan``: the boards that are here, drawn as they are heard on a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from enmctl.boards.installed import drivers
from enmctl.cli.durations import spell
from enmctl.cli.shell import Call
from enmctl.cli.views import BOARD_COLUMNS, SPARE_BOARD_COLUMNS, board_cells, board_fields
from enmctl.errors import StoreError
from enmctl.gateway.claiming import claims
from enmctl.gateway.lookout import Bench, look_around, usual_span
from enmctl.gateway.memories import read_names_of_begun
from enmctl.library.choosing import drivers_of
from enmctl.library.radios import radios_of
from enmctl.models import BoardMode, Device, DiscoveredBoard

Boards = Sequence[DiscoveredBoard]


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for: so long (None: as long as it takes, or for ever with ``watch``), so many, of this type."""

    seconds: float | None = None
    count: int | None = None
    board_type: str | None = None
    watch: bool = False


def scan_boards(call: Call, search: Search) -> None:
    """Look around and print what is here."""
    call.log_warnings()
    boards, devices, listened = asyncio.run(_look(call, search))
    if search.watch and not _is_drawn(call):
        return
    if call.output.as_json:
        call.output.document([board_fields(board, _device_of(board, devices)) for board in boards])
    elif boards:
        call.output.table(BOARD_COLUMNS, _rows(boards, devices), spare=SPARE_BOARD_COLUMNS)
    if not boards:
        call.output.say(
            f"no board was heard within {spell(listened)}. Over Wi-Fi boards are heard on the same network alone: see"
            " that this machine is in it, that the access point does not keep its clients apart, and that no firewall"
            " drops UDP port 5353. Over Bluetooth a micro:bit with an ordinary program is heard in its pairing mode"
            " alone: hold A and B, press and release reset. A board on the network can be named by address:"
            " http://10.0.0.7"
        )


async def _look(call: Call, search: Search) -> tuple[Boards, Sequence[Device], float]:
    """The boards, the devices that are known, and for how long it listened at most."""
    async with call.world():
        settings = call.settings
        devices, begun = await asyncio.to_thread(_known, call)
        bench = Bench(
            settings,
            drivers_of(drivers(settings), search.board_type),
            devices,
            reach=call.reach,
            simulated_application=call.simulated_application,
            begun=begun,
            desired=await claims(settings, call.output.say),
        )
        with _shown(call, devices, search) as show:

            def heard(boards: Boards) -> bool:
                show(boards)
                return search.count is not None and len({board.place for board in boards}) >= search.count

            async with radios_of(bench):
                longest = usual_span(settings, bench.drivers) if search.seconds is None else search.seconds
                endless = search.watch and search.seconds is None
                found = await look_around(bench, None if endless else longest, heard=heard)
            for trouble in bench.trouble:
                call.output.say(f"not all radios were listened on: {trouble}")
            return found, devices, longest


def _known(call: Call) -> tuple[Sequence[Device], Mapping[str, str]]:
    """The devices of this gateway, and what boards are called that wait for the rest of a program.

    Nothing where the database cannot be read, for a scan needs none.
    """
    from enmctl.store.reading import read_devices

    database = call.settings.database
    try:
        return read_devices(database), read_names_of_begun(database)
    except StoreError as error:
        call.output.say(f"which boards are devices is not known: {error.message}")
        return (), {}


def _device_of(board: DiscoveredBoard, devices: Sequence[Device]) -> Device | None:
    return next((device for device in devices if device.key == board.key), None)


def _rows(boards: Boards, devices: Sequence[Device]) -> list[tuple[object, ...]]:
    """A row for each board: one that waits in its bootloader may be of several types, and is heard once for each."""
    return [board_cells(board, _device_of(board, devices)) for board in _each_once(boards, devices)]


def _each_once(boards: Boards, devices: Sequence[Device]) -> list[DiscoveredBoard]:
    """The boards, a bootloader's types in one: the device's where it is known to be one, else all that it may be."""
    places: dict[object, list[DiscoveredBoard]] = {}
    for board in boards:
        places.setdefault(board.place if board.mode is BoardMode.BOOTLOADER else board, []).append(board)
    once = []
    for first, *others in places.values():
        known = next((board for board in (first, *others) if _device_of(board, devices) is not None), None)
        types = dict.fromkeys(board.board_type for board in (first, *others))
        once.append(known or replace(first, board_type=" or ".join(types)))
    return once


def _is_drawn(call: Call) -> bool:
    """Whether a table can be drawn while boards are heard."""
    return not call.output.as_json and not call.output.quiet and sys.stdout.isatty() and sys.stderr.isatty()


@contextmanager
def _shown(call: Call, devices: Sequence[Device], search: Search) -> Iterator[Callable[[Boards], None]]:
    """What shows the boards while they are heard.

    On a terminal it is a table that grows and makes room for the last one; with ``watch``, elsewhere, a line for each
    board that is new or has changed.
    """
    if not _is_drawn(call):
        yield _Lines(call, devices).show if search.watch else lambda _: None
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    spins = "dots" if console.encoding.lower().startswith("utf") else "line"
    listening = Spinner(spins, "listening for boards; Ctrl-C ends")
    with Live(listening, console=console, transient=True) as live:

        def draw(boards: Boards) -> None:
            table = call.output.drawn(
                BOARD_COLUMNS, _rows(boards, devices), spare=SPARE_BOARD_COLUMNS, width=console.width
            )
            live.update(Group(table, listening), refresh=True)

        yield draw


class _Lines:
    """A line for each board that is new or has changed otherwise than in its signal."""

    def __init__(self, call: Call, devices: Sequence[Device]) -> None:
        self._call = call
        self._devices = devices
        self._known: set[DiscoveredBoard] = set()

    def show(self, boards: Boards) -> None:
        """Print what is news."""
        for board in boards if self._call.output.as_json else _each_once(boards, self._devices):
            if (same := replace(board, signal=None)) in self._known:
                continue
            self._known.add(same)
            device = _device_of(board, self._devices)
            if self._call.output.as_json:
                self._call.output.event(board_fields(board, device))
            else:
                self._call.output.line(
                    "  ".join(str(cell) for cell in board_cells(board, device) if cell not in (None, ""))
                )
            self._call.output.flush()
