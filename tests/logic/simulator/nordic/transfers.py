"""The plainest transfers there can be, to try boards and the model of a link with: any surprise is an error."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from enmctl.dfu.link import Lost, Notification, Open, Operation, Request, Subscribe, Transfer, Wait, Write
from enmctl.models import BoardMode
from enmctl.simulator.nordic.uuids import (
    LEGACY_CONTROL,
    LEGACY_PACKET,
    PARTIAL_FLASHING,
    SECURE_CONTROL,
    SECURE_PACKET,
)

PATIENCE = 90.0


class SurpriseError(Exception):
    """Something else was said than what had to be."""


def hear(want: str, *, seconds: float = PATIENCE) -> Transfer[bytes]:
    """Wait for a notification that starts so, in hex."""
    said = yield Wait(seconds)
    if not isinstance(said, Notification) or not said.data.hex(" ").startswith(want):
        raise SurpriseError(f"{'nothing' if said is None else said.data.hex(' ')} instead of {want}")
    return said.data


def legacy(
    data: bytes, *, receipts: int = 12, window: int = 24, init: bytes = b"", report: bool = False
) -> Transfer[None]:
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
    if report:
        yield Request(LEGACY_CONTROL, b"\x07")
        yield from hear("10 07 01")
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


def secure(data: bytes, init: bytes, *, first: int = 11, pause: float = 0.07, receipts: int = 0) -> Transfer[None]:
    """Secure DFU of an application, from a bootloader that is there.

    The settings are waited for. Of each object ``first`` packets go while the page is erased, the others after a pause.
    """
    opened = yield Open(BoardMode.BOOTLOADER, 30.0)
    yield Subscribe(SECURE_CONTROL)
    yield from secure_object(1, init, init, first=len(init), size=20, pause=0)
    yield Wait(0.4)
    yield Request(SECURE_CONTROL, b"\x02" + receipts.to_bytes(2, "little"))
    yield from hear("60 02 01")
    for at in range(0, len(data), 4096):
        until = data[: at + 4096]
        yield from secure_object(2, until[at:], until, first=first, size=opened.most, pause=pause)
    if not (yield Lost(10.0)):
        raise SurpriseError("the board stays")


def secure_object(kind: int, data: bytes, so_far: bytes, *, first: int, size: int, pause: float) -> Transfer[None]:
    """One object: looked at, created, sent, compared and executed."""
    yield Request(SECURE_CONTROL, bytes((6, kind)))
    yield from hear("60 06 01")
    yield Request(SECURE_CONTROL, struct.pack("<BBI", 1, kind, len(data)))
    yield from hear("60 01 01")
    for number, at in enumerate(range(0, len(data), size)):
        if number == first:
            yield Lost(pause)
        yield Write(SECURE_PACKET, data[at : at + size])
    yield Request(SECURE_CONTROL, b"\x03")
    whole = struct.pack("<II", len(so_far), zlib.crc32(so_far))
    while (yield from hear("60 03 01"))[3:] != whole:
        pass
    yield Request(SECURE_CONTROL, b"\x04")
    yield from hear("60 04 01")


def partial(blocks: list[tuple[int, bytes]]) -> Transfer[None]:
    """Partial flashing of a micro:bit whose program runs, or which is there for pairing."""
    yield Open(BoardMode.APPLICATION, 30.0)
    yield Subscribe(PARTIAL_FLASHING)
    yield Write(PARTIAL_FLASHING, b"\xee")
    yield from hear("ee 01")
    yield Write(PARTIAL_FLASHING, b"\x00\x02")
    yield from hear("00 02")
    number = 0
    for address, data in blocks:
        for place, half in enumerate((address & 0xFFFF, address >> 16, 0, 0)):
            packet = struct.pack(">BHB", 1, half, number & 0xFF) + data[16 * place : 16 * place + 16]
            yield Write(PARTIAL_FLASHING, packet)
            number += 1
        yield from hear("01 ff")
    yield Write(PARTIAL_FLASHING, b"\x02")
    if not (yield Lost(10.0)):
        raise SurpriseError("the board stays")


def jump(characteristic: str, word: bytes, *, answer: str = "") -> Transfer[None]:
    """Bring the bootloader up from the program that runs."""
    yield Open(BoardMode.APPLICATION, 30.0)
    if answer or characteristic == LEGACY_CONTROL:
        yield Subscribe(characteristic)
    yield Request(characteristic, word)
    if answer:
        yield from hear(answer)
    if not (yield Lost(10.0)):
        raise SurpriseError("the board stays")


def ask(*operations: Operation) -> Transfer[list[Any]]:
    """Do operations one after the other; what each brought, the error where it brought one."""
    brought: list[Any] = []
    for operation in operations:
        try:
            brought.append((yield operation))
        except Exception as error:  # noqa: BLE001 - what it raises is what is asked for
            brought.append(error)
    return brought
