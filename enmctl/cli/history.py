"""What happened: the attempts at boards, and the devices' logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enmctl.cli.output import Output
from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

if TYPE_CHECKING:
    from enmctl.models import Attempt, Device, Event

app = typer.Typer()

FOLLOW_INTERVAL = 0.5
"""Seconds between two looks for new log lines."""

FOLLOW_BATCH = 1000
"""Lines read in one such look."""

Limit = Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, max=1_000_000, help="How many at most.")]
Word = Annotated[str | None, typer.Argument(metavar="DEVICE", help="Only of this device.")]


@command(
    app,
    "history",
    panel=Panel.DEVICES,
    examples=["enmctl history", "enmctl history holy-sunset --limit 5", "enmctl history --json"],
)
def history(context: typer.Context, word: Word = None, limit: Limit = 20) -> None:
    """List what was tried at boards, the newest first."""
    from enmctl.cli.views import ATTEMPT_COLUMNS, SPARE_ATTEMPT_COLUMNS, attempt_cells, attempt_fields

    call = call_of(context)
    database = call.settings.database
    devices = _devices(database)
    attempts = _attempts(database, devices, word, limit)
    if call.output.as_json:
        call.output.document([attempt_fields(attempt, devices.get(attempt.uuid or "")) for attempt in attempts])
    elif attempts:
        rows = (attempt_cells(attempt, devices.get(attempt.uuid or "")) for attempt in attempts)
        call.output.table(ATTEMPT_COLUMNS, rows, spare=SPARE_ATTEMPT_COLUMNS)
    else:
        call.output.say("no board was worked on yet")


@command(
    app,
    "logs",
    panel=Panel.DEVICES,
    examples=["enmctl logs", "enmctl logs holy-sunset --follow", "enmctl logs --limit 1000 --json"],
)
def logs(
    context: typer.Context,
    word: Word = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with each new line, until Ctrl-C.")] = False,
    limit: Limit = 50,
) -> None:
    """Show what was logged for devices, the newest last.

    These are the lines that the Supervisor gets for each device; what the gateway logs of itself goes to its stderr.
    """
    from enmctl.store.reading import read_events

    call = call_of(context)
    database = call.settings.database
    devices = _devices(database)
    uuid = None if word is None else _find(devices, word).uuid
    events = read_events(database, uuid, limit=limit)
    _show(call.output, events, devices)
    if not events and not follow:
        call.output.say("nothing was logged yet")
    last = events[-1].id if events else 0
    while follow:
        call.output.flush()
        time.sleep(FOLLOW_INTERVAL)
        events = read_events(database, uuid, limit=FOLLOW_BATCH, after=last)
        if not events and _newest(database) < last:  # the database was set aside, and the next numbers its lines anew
            events = read_events(database, uuid, limit=FOLLOW_BATCH)
            last = 0
        if events:
            last = events[-1].id
            _show(call.output, events, _devices(database))


def _newest(database: Path) -> int:
    """The id of the last line of any device, 0 where there is none."""
    from enmctl.store.reading import read_events

    return max((event.id for event in read_events(database, limit=1)), default=0)


def _show(output: Output, events: list[Event], devices: Mapping[str, Device]) -> None:
    from enmctl.cli.views import event_fields, event_line

    for event in events:
        if output.as_json:
            output.document(event_fields(event))
        else:
            output.line(event_line(event, devices.get(event.uuid)))


def _devices(database: Path) -> dict[str, Device]:
    """All devices that are known, deleted ones too, by uuid."""
    from enmctl.store.reading import read_devices

    return {device.uuid: device for device in read_devices(database, deleted=None)}


def _attempts(database: Path, devices: Mapping[str, Device], word: str | None, limit: int) -> list[Attempt]:
    """The attempts at a device, or at a board that is none, or at all.

    Raises:
        UnknownError: nothing is called so, and nothing was ever tried at a board of that id.
    """
    from enmctl.errors import UnknownError
    from enmctl.store.reading import read_attempts

    if word is None:
        return read_attempts(database, limit=limit)
    try:
        return read_attempts(database, _find(devices, word).uuid, limit=limit)
    except UnknownError:
        attempts = read_attempts(database, local_id=word, limit=limit)
        if not attempts:
            raise
        return attempts


def _find(devices: Mapping[str, Device], word: str) -> Device:
    """The device that a word names, a deleted one only where no other is called so."""
    from enmctl.errors import UnknownError
    from enmctl.gateway.naming import find_device

    try:
        return find_device((device for device in devices.values() if not device.deleted), word)
    except UnknownError:
        return find_device(devices.values(), word)
