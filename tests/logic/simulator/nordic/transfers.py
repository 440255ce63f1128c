"""The plainest transfers there can be, to try boards and the model of a link with: any surprise is an error."""

from __future__ import annotations

import struct
from typing import Any

from enmctl.dfu.link import Lost, Notification, Open, Operation, Request, Subscribe, Transfer, Wait, Write
from enmctl.models import BoardMode
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, LEGACY_PACKET

PATIENCE = 90.0


class SurpriseError(Exception):
    """Something else was said than what had to be."""


def hear(want: str, *, seconds: float = PATIENCE) -> Transfer[bytes]:
    """Wait for a notification that starts so, in hex."""
    said = yield Wait(seconds)
    if not isinstance(said, Notification) or not said.data.hex(" ").startswith(want):
        raise SurpriseError(f"{'nothing' if said is None else said.data.hex(' ')} instead of {want}")
    return said.data


def legacy(data: bytes, *, receipts: int = 12, window: int = 24, init: bytes = b"") -> Transfer[None]:
    """Legacy DFU of an application, from a bootloader that is there."""
    yield Open(BoardMode.BOOTLOADER, 30.0)
    yield Subscribe(LEGACY_CONTROL)
    yield Request(LEGACY_CONTROL, b"\x01\x04")
    yield Write(LEGACY_PACKET, struct.pack("<III", 0, 0, len(data)))
    yield from hear("10 01 01")
    if init:
        yield Request(LEGACY_CONTROL, b"\x02\x00")
        yield Write(LEGACY_PACKET, init)
        yield Request(LEGACY_CONTROL, b"\x02\x01")
        yield from hear("10 02 01")
    yield Request(LEGACY_CONTROL, b"\x08" + receipts.to_bytes(2, "little"))
    yield Request(LEGACY_CONTROL, b"\x03")
    yield from legacy_stream(data, receipts=receipts, window=window)
    yield Request(LEGACY_CONTROL, b"\x04")
    yield from hear("10 04 01")
    yield Request(LEGACY_CONTROL, b"\x05")
    if not (yield Lost(10.0)):
        raise SurpriseError("the board stays")


def legacy_stream(data: bytes, *, receipts: int, window: int) -> Transfer[None]:
    """The packets, with never more than a window of them without a receipt."""
    taken = 0
    for number, at in enumerate(range(0, len(data), 20)):
        while number - taken >= window:
            said = yield from hear("11")
            taken = int.from_bytes(said[1:5], "little") // 20
        yield Write(LEGACY_PACKET, data[at : at + 20])
    last = (len(data) - 1) // 20
    while taken + receipts <= last:
        said = yield from hear("11")
        taken = int.from_bytes(said[1:5], "little") // 20
    yield from hear("10 03 01")


def ask(*operations: Operation) -> Transfer[list[Any]]:
    """Do operations one after the other; what each brought, the error where it brought one."""
    brought: list[Any] = []
    for operation in operations:
        try:
            brought.append((yield operation))
        except Exception as error:  # noqa: BLE001 - what it raises is what is asked for
            brought.append(error)
    return brought
