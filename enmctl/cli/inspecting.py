"""Looking into a firmware file, without any board."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enmctl.cli.output import Output
from enmctl.cli.panels import Panel
from enmctl.cli.shell import call_of, command

if TYPE_CHECKING:
    from enmctl.firmware.inspect import Inspection, Refusal
    from enmctl.firmware.payload import Payload
    from enmctl.firmware.targets import Target

app = typer.Typer()

SOFTDEVICES = {0: "none", 0xFFFE: "any"}
"""Ids that stand for no particular SoftDevice."""


@command(
    app,
    "inspect",
    panel=Panel.BOARDS,
    examples=["enmctl inspect program.hex", "enmctl inspect application.zip --json", "enmctl inspect firmware.bin"],
)
def inspect(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .hex, a DFU package (.zip), a .bin, or an ESP8266 image.")
    ],
) -> None:
    """Show what is in a firmware file, and for which boards.

    It tells what would be sent over the air (address, size, SHA-256, CRC-16, init packet) and what is wrong with the
    file. A .bin is taken together with the .dat of the same name. The exit code is 4 where nothing in the file can be
    sent to any board.
    """
    from enmctl.firmware.inspect import inspect as look_into

    output = call_of(context).output
    found = look_into(file)
    if output.as_json:
        output.document(_fields(found))
    else:
        _show(output, found)
    if not found.sendable:
        raise _unsendable(found)


def _unsendable(found: Inspection) -> Exception:
    """Why nothing in a file can be sent: what is wrong with it comes before that another board wants another file."""
    from enmctl.errors import FirmwareError

    why = min(found.refusals, key=lambda refusal: refusal.reason == "wrong-board")
    return FirmwareError(
        f"nothing in {found.name} can be sent to any board, {why.message}", remedy=why.remedy, reason=why.reason
    )


def _show(output: Output, found: Inspection) -> None:
    output.pairs(
        {
            "file": found.name,
            "kind": found.kind,
            "bytes": found.size,
            "sha256": found.sha256,
            "note": "; ".join(found.notes) or None,
        }
    )
    if found.contents:
        output.line()
        rows = [(piece.what, _address(piece.address), piece.size) for piece in found.contents]
        output.table(("holds", "address", "bytes"), rows)
    for payload in found.payloads:
        output.line()
        output.pairs(_payload_pairs(payload))
    if found.refusals and found.sendable:
        output.line()
        output.table(
            ("not for", "why"), [(_boards(refusal.targets) or "any", refusal.message) for refusal in found.refusals]
        )


def _payload_pairs(payload: Payload) -> dict[str, object]:
    return {
        "to send to": _boards(payload.targets),
        "part": payload.role.words,
        "by": payload.protocol,
        "address": _address(payload.address) or None,
        "bytes": payload.size,
        "sha256": payload.sha256,
        "crc16": f"0x{payload.crc16:04X}",
        "init packet": payload.init_packet,
        "SoftDevice": _numbers(payload.softdevices) or None,
        "hardware": payload.hardware_version,
        "note": "; ".join(payload.notes) or None,
    }


def _boards(targets: Iterable[Target]) -> str:
    return ", ".join(target.words for target in targets)


def _numbers(numbers: Iterable[int]) -> str:
    return " or ".join(SOFTDEVICES.get(number, f"0x{number:04X}") for number in numbers)


def _address(address: int | None) -> str:
    return "" if address is None else f"0x{address:X}"


def _fields(found: Inspection) -> dict[str, Any]:
    return {
        "file": found.name,
        "kind": found.kind,
        "size": found.size,
        "sha256": found.sha256,
        "sendable": found.sendable,
        "contents": [{"what": piece.what, "address": piece.address, "size": piece.size} for piece in found.contents],
        "payloads": [_payload_fields(payload) for payload in found.payloads],
        "refusals": [_refusal_fields(refusal) for refusal in found.refusals],
        "notes": list(found.notes),
    }


def _payload_fields(payload: Payload) -> dict[str, Any]:
    return {
        "boards": list(payload.targets),
        "protocol": payload.protocol,
        "role": payload.role,
        "system": payload.system,
        "address": payload.address,
        "size": payload.size,
        "sha256": payload.sha256,
        "crc16": payload.crc16,
        "init_packet": payload.init_packet,
        "softdevices": list(payload.softdevices),
        "hardware_version": payload.hardware_version,
        "notes": list(payload.notes),
    }


def _refusal_fields(refusal: Refusal) -> dict[str, Any]:
    return {
        "boards": list(refusal.targets),
        "reason": refusal.reason,
        "message": refusal.message,
        "remedy": refusal.remedy,
    }
