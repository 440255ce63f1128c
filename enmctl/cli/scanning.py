"""``enmctl scan``: the boards that are here, drawn as they are heard on a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from enmctl.boards.installed import drivers
from enmctl.cli.claims import claims
from enmctl.cli.direct import drivers_of
from enmctl.cli.durations import spell
from enmctl.cli.shell import Call
from enmctl.cli.views import BOARD_COLUMNS, SPARE_BOARD_COLUMNS, board_cells, board_fields
from enmctl.errors import StoreError
from enmctl.gateway.by_hand import Bench, look_around
from enmctl.models import Device, DiscoveredBoard

Boards = Sequence[DiscoveredBoard]


def scan_boards(call: Call, *, seconds: float | None, count: int | None, board_type: str | None) -> None:
    """Look around and print what is here."""
    call.log_warnings()
    boards, devices, listened = asyncio.run(_look(call, seconds, count, board_type))
    if call.output.as_json:
        call.output.document([board_fields(board, _device_of(board, devices)) for board in boards])
    elif boards:
        rows = (board_cells(board, _device_of(board, devices)) for board in boards)
        call.output.table(BOARD_COLUMNS, rows, spare=SPARE_BOARD_COLUMNS)
    if not boards:
        call.output.say(
            f"no board was heard within {spell(listened)}. Boards are heard on the same network alone: see that this"
            " machine is in their Wi-Fi, that the access point does not keep its clients apart, and that no firewall"
            " drops UDP port 5353. Some firmware announces itself only while it starts: restart the board, or name it"
            " by address: http://10.0.0.7"
        )


async def _look(
    call: Call, seconds: float | None, count: int | None, board_type: str | None
) -> tuple[Boards, Sequence[Device], float]:
    """The boards, the devices that are known, and for how long it listened at most."""
    async with call.world():
        settings = call.settings
        seconds = settings.avahi_timeout if seconds is None else seconds
        devices = await asyncio.to_thread(_known_devices, call)
        bench = Bench(
            settings,
            drivers_of(drivers(settings), board_type),
            devices,
            simulated_application=call.simulated_application,
            desired=await claims(call),
        )
        with _drawn(call, devices) as draw:

            def heard(boards: Boards) -> bool:
                draw(boards)
                return count is not None and len(boards) >= count

            return await look_around(bench, seconds, heard=heard), devices, seconds


def _known_devices(call: Call) -> Sequence[Device]:
    """The devices of this gateway; none where the database cannot be read, for a scan needs none."""
    from enmctl.store.reading import read_devices

    try:
        return read_devices(call.settings.database)
    except StoreError as error:
        call.output.say(f"which boards are devices is not known: {error.message}")
        return ()


def _device_of(board: DiscoveredBoard, devices: Sequence[Device]) -> Device | None:
    return next((device for device in devices if device.key == board.key), None)


@contextmanager
def _drawn(call: Call, devices: Sequence[Device]) -> Iterator[Callable[[Boards], None]]:
    """What shows the boards while they are heard: a table that grows, on a terminal; it makes room for the last one."""
    if call.output.as_json or call.output.quiet or not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    with Live(Spinner("dots", "listening for boards; Ctrl-C ends"), console=console, transient=True) as live:

        def draw(boards: Boards) -> None:
            rows = [board_cells(board, _device_of(board, devices)) for board in boards]
            table = call.output.drawn(BOARD_COLUMNS, rows, spare=SPARE_BOARD_COLUMNS, width=console.width)
            live.update(table, refresh=True)

        yield draw
