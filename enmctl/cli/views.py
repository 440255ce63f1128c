"""What commands show of devices, boards, attempts and log lines: as JSON, and as cells of a table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from enmctl.cli.durations import spell
from enmctl.models import Attempt, Device, DiscoveredBoard, Event, Radio, short

STATES = {
    "no-board": "no board is known to be it",
    "no-target": "no target yet",
    "on-target": "on target",
    "held": "held by hand",
    "rolled-back": "rolled back until its target changes",
    "refused": "waits for another target",
    "retrying": "failed, tried again",
    "behind": "behind",
}
"""How a stored device stands, with the words that tables use."""

DEVICE_COLUMNS = ("name", "id", "type", "application", "status", "commit", "target", "state", "uuid")
BOARD_COLUMNS = ("id", "type", "application", "address", "signal", "mode", "version", "name", "device")
ATTEMPT_COLUMNS = (
    *("began", "took", "what", "board", "commit", "outcome", "known by", "bytes", "stages", "reason", "why"),
)

SPARE_DEVICE_COLUMNS = ("uuid", "application", "type", "commit")
SPARE_BOARD_COLUMNS = ("version", "mode", "signal", "address", "type", "application", "name")
SPARE_ATTEMPT_COLUMNS = ("stages", "bytes", "took", "commit", "reason")
"""What a narrow terminal is spared, the first first."""


def state_of(device: Device) -> str:
    """How a stored device stands towards its target; a key of ``STATES``."""
    target, wanted = device.target_commit, device.wanted_commit
    if device.local_id is None:
        state = "no-board"
    elif target is None:
        state = "no-target"
    elif device.commit == wanted:
        state = "on-target" if device.pin is None else "rolled-back"
    elif device.held_target == target:
        state = "held"
    elif device.failures and device.failed_target == wanted:
        state = "refused" if device.failed_permanently else "retrying"
    else:
        state = "behind"
    return state


def device_fields(device: Device, live: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A device as JSON; ``live`` is what the running gateway says of it, None where there is none to ask."""
    live = live or {}
    return {
        "uuid": device.uuid,
        "name": device.name,
        "local_id": device.local_id,
        "application_id": device.application_id,
        "board_type": device.board_type,
        "status": live.get("Status"),
        "progress": live.get("Progress"),
        "commit": device.commit,
        "target_commit": device.target_commit,
        "pinned_commit": device.pin,
        "state": state_of(device),
        "failures": device.failures,
        "retry_at": device.retry_at,
        "restart_wanted": device.restart_wanted,
    }


def device_details(device: Device, live: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A device as JSON with all that is stored of it but the password in its config."""
    from enmctl.boards.access import shown

    return {
        **device_fields(device, live),
        "config": shown(device.config),
        "target_config": shown(device.target_config),
        "environment": device.environment,
        "target_environment": device.target_environment,
        "failed_target": device.failed_target,
        "failed_permanently": device.failed_permanently,
        "failed_at": device.failed_at,
        "held_target": device.held_target,
        "good_commit": device.good_commit,
        "pinned_by": device.pinned_by if device.pin is not None else None,
    }


def device_cells(device: Device, live: Mapping[str, Any] | None = None) -> tuple[object, ...]:
    """A device as a row of ``DEVICE_COLUMNS``."""
    live = live or {}
    status, progress = live.get("Status"), live.get("Progress")
    state = state_of(device)
    words = STATES[state]
    if state == "retrying" and device.retry_at is not None:
        wait = device.retry_at - time.time()
        words = f"failed {device.failures} times, tried again " + (f"in {spell(round(wait))}" if wait >= 1 else "now")
    return (
        device.name,
        device.local_id,
        device.board_type,
        device.application_id,
        f"{status} {progress} %" if status and progress is not None else status,
        short(device.commit),
        short(device.target_commit),
        words,
        short(device.uuid),
    )


def board_fields(board: DiscoveredBoard, device: Device | None) -> dict[str, Any]:
    """A board that was heard, as JSON; ``device`` is the device that it is, where it is one."""
    return {
        "local_id": board.local_id,
        "board_type": board.board_type,
        "application_id": board.application_id,
        "name": board.name,
        "radio": board.radio,
        "addresses": list(board.addresses),
        "port": board.port,
        "version": board.version,
        "mode": board.mode,
        "signal": board.signal,
        "uuid": device.uuid if device else None,
        "device_name": device.name if device else None,
    }


def board_cells(board: DiscoveredBoard, device: Device | None) -> tuple[object, ...]:
    """A board that was heard, as a row of ``BOARD_COLUMNS``."""
    address = next((address for address in board.addresses if address != board.local_id), "")
    place = f"[{address}]" if ":" in address and board.port is not None else address
    return (
        board.local_id,
        board.board_type,
        board.application_id,
        f"{place}:{board.port}" if board.port is not None else place,
        None if board.signal is None else f"{board.signal} dBm",
        None if board.radio is Radio.WIFI else board.mode,
        short(board.version),
        board.name,
        (device.name or short(device.uuid)) if device else "not provisioned",
    )


def attempt_fields(attempt: Attempt, device: Device | None) -> dict[str, Any]:
    """An attempt as JSON."""
    fields = {name: getattr(attempt, name) for name in attempt.__slots__}
    return {**fields, "stages": dict(attempt.stages), "device_name": device.name if device else None}


def attempt_cells(attempt: Attempt, device: Device | None) -> tuple[object, ...]:
    """An attempt as a row of ``ATTEMPT_COLUMNS``."""
    took = spell(max(0.0, attempt.ended_at - attempt.started_at)) if attempt.ended_at is not None else ""
    size = f"{attempt.sent} of {attempt.size}" if attempt.size and attempt.sent != attempt.size else attempt.sent
    return (
        clock(attempt.started_at),
        took,
        attempt.kind,
        (device.name if device and device.name else "") or attempt.local_id,
        short(attempt.commit),
        attempt.outcome,
        attempt.proof,
        size or "",
        " ".join(f"{stage} {seconds:.1f}s" for stage, seconds in _durations(attempt)),
        attempt.reason,
        attempt.message,
    )


def _durations(attempt: Attempt) -> list[tuple[str, float]]:
    """The stages of an attempt, each with the seconds until the next one began; one that still runs has none."""
    begun = list(attempt.stages.items())
    ends = [began for _, began in begun[1:]]
    if attempt.ended_at is not None:
        ends.append(attempt.ended_at - attempt.started_at)
    return [(stage, max(0.0, end - began)) for (stage, began), end in zip(begun, ends, strict=False)]


def event_fields(event: Event) -> dict[str, Any]:
    """A line of a device's log as JSON."""
    return {name: getattr(event, name) for name in event.__slots__}


def event_line(event: Event, device: Device | None) -> str:
    """A line of a device's log as text."""
    who = (device.name if device else "") or short(event.uuid)
    return f"{clock(event.at)}  {who}  {event.message}"


def clock(at: float) -> str:
    """A time as people read it, in the local zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
