"""What of a program for the micro:bit changes from one program to the next, and so need not be sent in whole.

MakeCode lays the user's part behind a mark at the start of a page, with a hash of the runtime (DAL or CODAL) and one of
the part itself behind it. MicroPython for the V2 ends with a table of its regions, the last of which holds the user's
files. A board tells the same regions (microbit.md of the Micro:bit Foundation's partial flashing specification,
``MicroBitPartialFlashingService`` and ``MicroBitMemoryMap`` of microbit-dal and codal-microbit-v2).
"""

from __future__ import annotations

import struct
from binascii import crc32
from dataclasses import dataclass
from typing import Final

from enmctl.firmware.hex import Family

MAKECODE_MARK: Final = bytes.fromhex("708E3B92C615A841C49866C975EE5197")
HASH: Final = 8
"""Bytes of a region's hash."""

BLOCK: Final = 64
"""Bytes that go at once."""

PAGES: Final = {Family.V1: 0x400, Family.V2: 0x1000}
"""Bytes of a page of flash; it is erased when its first byte is written."""

PYTHON_HEAD: Final = bytes.fromhex("FE307F59")
PYTHON_TAIL: Final = bytes.fromhex("9DD7B1C1")
PYTHON_TABLE: Final = struct.Struct("<4sHHHH4s")
PAGE_BITS: Final = 12
PYTHON_ROW: Final = struct.Struct("<BBHI8s")
PYTHON_RUNTIME, PYTHON_FILES = 2, 3
PYTHON_POINTS_TO_TEXT: Final = 2


@dataclass(frozen=True, slots=True)
class UserPart:
    """The user's part of a program: ``data`` goes to ``address`` on, in whole blocks.

    ``runtime_hash`` is that of what it runs on, which the board must have already. ``own_hash`` is its own, None where
    it has none.
    """

    family: Family
    address: int
    data: bytes
    runtime_hash: bytes
    own_hash: bytes | None

    @property
    def page(self) -> int:
        """Bytes of a page of the board's flash."""
        return PAGES[self.family]


def user_part(data: bytes, address: int, family: Family) -> UserPart | None:
    """Find the user's part in an image that begins at ``address``; None where it has no such thing."""
    page = PAGES[family]
    first = -address % page
    for at in range(first, len(data), page):
        if data.startswith(MAKECODE_MARK, at):
            return _makecode(data, at, address, family)
    return _python(data, address) if family == Family.V2 else None


def _makecode(data: bytes, at: int, address: int, family: Family) -> UserPart | None:
    hashes = data[at + len(MAKECODE_MARK) : at + len(MAKECODE_MARK) + 2 * HASH]
    runtime, own = hashes[:HASH], hashes[HASH:]
    if len(hashes) < 2 * HASH or not any(runtime):
        return None
    return UserPart(family, address + at, _blocks(data[at:]), runtime, own)


def _python(data: bytes, address: int) -> UserPart | None:
    """The files of MicroPython, by the table at the end of a page."""
    page = PAGES[Family.V2]
    for end in range(-address % page, len(data) + 1, page):
        head = end - PYTHON_TABLE.size
        if head < 0 or not data.startswith(PYTHON_HEAD, head):
            continue
        _, version, length, count, page_bits, tail = PYTHON_TABLE.unpack_from(data, head)
        if (version, page_bits, tail, length) != (1, PAGE_BITS, PYTHON_TAIL, count * PYTHON_ROW.size) or length > head:
            continue
        rows = {row[0]: row[1:] for row in PYTHON_ROW.iter_unpack(data[head - length : head])}
        if PYTHON_RUNTIME in rows and PYTHON_FILES in rows:
            return _python_files(data, address, rows)
    return None


def _python_files(data: bytes, address: int, rows: dict[int, tuple[int, int, int, bytes]]) -> UserPart | None:
    kind, _, _, pointed = rows[PYTHON_RUNTIME]
    _, page_number, size, _ = rows[PYTHON_FILES]
    runtime = _hash_of_text(data, address, pointed) if kind == PYTHON_POINTS_TO_TEXT else pointed
    start = page_number * PAGES[Family.V2] - address
    if runtime is None or not any(runtime) or start <= 0:
        return None
    files = data[start : start + size]
    return UserPart(Family.V2, address + start, _blocks(files), runtime, None) if files else None


def _hash_of_text(data: bytes, address: int, pointed: bytes) -> bytes | None:
    """The hash of the text that a row points to, as the board computes it: its CRC-32, and zeros."""
    at = int.from_bytes(pointed[:4], "little") - address
    end = data.find(b"\0", at) if 0 <= at < len(data) else -1
    return None if end < 0 else struct.pack("<II", crc32(data[at:end]), 0)


def _blocks(data: bytes) -> bytes:
    return data + b"\xff" * (-len(data) % BLOCK)
