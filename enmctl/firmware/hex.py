"""Intel HEX and Universal Hex: text that tells which bytes go where, for one board or for several.

Record types 00 to 05 are Intel's ("Hexadecimal Object File Format Specification", revision A, 1988); 0A to 0E are those
of the micro:bit's Universal Hex (specification 0.4.0), which holds a program for each family of boards in one file, in
sections or, as older tools wrote it, in blocks of 512 bytes. Both layouts read alike: a record 0A says for which board
the data is that follows. What follows the end record is no data; MakeCode keeps a program's source there.
"""

from __future__ import annotations

from binascii import Error as NotHexError
from binascii import unhexlify
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from enmctl.errors import FirmwareError

MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a file; a program that fills both boards has less than 2 MiB of text."""

LINE_MOST: Final = 1 + 2 * (5 + 255)
"""Characters of the longest record there can be."""

ADDRESS_END: Final = 1 << 32
UNUSED: Final = b"\xff"
"""What erased flash holds."""

WORD: Final = 4

DATA, END, SEGMENT, SEGMENT_START, LINEAR, LINEAR_START = range(6)
BLOCK_START, BLOCK_END, PADDING, CUSTOM_DATA, OTHER_DATA = range(0x0A, 0x0F)
SILENT: Final = frozenset({SEGMENT_START, LINEAR_START, BLOCK_END, PADDING, OTHER_DATA})
"""Records that put nothing into a board's flash."""

BLOCK_MARK: Final = b"\xc0\xde"


class Family(StrEnum):
    """The micro:bits that take the same program."""

    V1 = "V1"
    V2 = "V2"


FAMILIES: Final = {
    0x9900: Family.V1,
    0x9901: Family.V1,
    0x9902: Family.V1,
    0x9903: Family.V2,
    0x9904: Family.V2,
    0x9905: Family.V2,
    0x9906: Family.V2,
}
"""Board ids: a tool may name any one of a family, and means all."""


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that stand together."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """The address behind the last byte."""
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a board's memory is to hold: blocks by rising address, with gaps between them."""

    blocks: tuple[Block, ...]

    def read(self, address: int, size: int) -> bytes | None:
        """So many bytes from there on, or None where not all of them are given."""
        place = bisect_right(self.blocks, address, key=lambda block: block.address) - 1
        if place < 0 or self.blocks[place].end < address + size:
            return None
        start = address - self.blocks[place].address
        return self.blocks[place].data[start : start + size]

    def word(self, address: int) -> int | None:
        """The little-endian word there, or None where it is not given."""
        data = self.read(address, WORD)
        return None if data is None else int.from_bytes(data, "little")

    def cut(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to the last given one before ``end``: gaps filled, and whole words."""
        cut = bytearray()
        for block in self.blocks:
            if block.end <= start or block.address >= end:
                continue
            first = max(block.address, start)
            cut += UNUSED * (first - start - len(cut))
            cut += block.data[first - block.address : min(block.end, end) - block.address]
        return bytes(cut) + UNUSED * (-len(cut) % WORD)


@dataclass(frozen=True, slots=True)
class HexPart:
    """What a file holds for one family: None for a file that does not tell, or for boards that are no micro:bits."""

    family: Family | None
    board_ids: tuple[int, ...]
    memory: Memory


@dataclass(frozen=True, slots=True)
class HexFile:
    """A whole file; ``ignored`` counts the bytes behind its end record."""

    universal: bool
    parts: tuple[HexPart, ...]
    ignored: int


def read_hex(text: bytes) -> HexFile:
    """Read a file of either kind, in any letter case and with any line ends, and verify every record.

    Raises:
        FirmwareError: ``reason`` is one of ``too-big``, ``not-hex``, ``bad-record``, ``bad-checksum``,
            ``unknown-record``, ``truncated`` (no end record), ``overlap`` and ``empty``.
    """
    if len(text) > MOST_BYTES:
        raise FirmwareError(
            f"it has {len(text)} bytes, a hex file for these boards has at most {MOST_BYTES}",
            remedy="send the program alone",
            reason="too-big",
        )
    reader = _Reader()
    lines = text.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped and reader.take(stripped, number):
            ignored = b"".join(lines[number:]).strip()
            return HexFile(reader.universal, reader.parts(), len(ignored))
    raise FirmwareError("it is truncated, it has no end record", remedy="save or fetch it again", reason="truncated")


def _damaged(number: int, what: str, reason: str) -> FirmwareError:
    return FirmwareError(
        f"it is damaged, line {number} {what}", remedy="save, build or fetch the file again", reason=reason
    )


class _Reader:
    """Takes a file's records one by one, and keeps the data of each board."""

    def __init__(self) -> None:
        self.universal = False
        self._runs: dict[int | None, list[tuple[int, bytearray]]] = {}
        self._base = 0
        self._segmented = False
        self._board: int | None = None

    def take(self, line: bytes, number: int) -> bool:
        """One record; whether it is the last."""
        record = _record(line, number)
        kind = record[3]
        if kind in (DATA, CUSTOM_DATA):
            self._take_data(record, number)
        elif kind == END:
            _must_have(0, record, number)
            return True
        elif kind in (SEGMENT, LINEAR):
            _must_have(2, record, number)
            self._segmented = kind == SEGMENT
            self._base = int.from_bytes(record[4:6], "big") << (4 if self._segmented else 16)
        elif kind == BLOCK_START:
            self._start_block(record, number)
        elif kind not in SILENT:
            raise _damaged(number, f"is of the unknown type {kind:02X}", "unknown-record")
        return False

    def parts(self) -> tuple[HexPart, ...]:
        """What was read, by family: V1, V2, then boards that are neither."""
        if not any(self._runs.values()):
            raise FirmwareError("it holds no data", remedy="save or build it again", reason="empty")
        if not self.universal:
            return (HexPart(None, (), _memory(self._runs[None])),)
        parts = []
        for family in Family:
            ids = tuple(board for board in self._runs if board is not None and FAMILIES.get(board) == family)
            if ids:
                parts.append(HexPart(family, ids, _memory(run for board in ids for run in self._runs[board])))
        others = (board for board in self._runs if board is not None and board not in FAMILIES)
        return (*parts, *(HexPart(None, (board,), _memory(self._runs[board])) for board in others))

    def _take_data(self, record: bytes, number: int) -> None:
        if record[3] == CUSTOM_DATA and self._board is None:
            raise _damaged(number, "holds data of a Universal Hex, but no line says for which board", "bad-record")
        offset = int.from_bytes(record[1:3], "big")
        data = record[4:-1]
        if not data:
            return
        address = self._base + offset
        if address + len(data) > ADDRESS_END or (self._segmented and offset + len(data) > 1 << 16):
            raise _damaged(number, "reaches beyond the end of its addresses", "bad-record")
        runs = self._runs.setdefault(self._board, [])
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].extend(data)
        else:
            runs.append((address, bytearray(data)))

    def _start_block(self, record: bytes, number: int) -> None:
        _must_have(4, record, number)
        if record[6:8] != BLOCK_MARK:
            raise _damaged(number, "starts a block without the mark of one", "bad-record")
        if not self.universal and self._runs:
            raise _damaged(number, "names a board only after data without one", "bad-record")
        self.universal = True
        self._board = int.from_bytes(record[4:6], "big")


def _record(line: bytes, number: int) -> bytes:
    """The bytes of one line: count, address (two), type, data and checksum."""
    if not line.startswith(b":"):
        raise FirmwareError(
            f"it is no hex file, line {number} does not start with a colon",
            remedy="send the .hex as it was saved",
            reason="not-hex",
        )
    try:
        record = unhexlify(line[1:]) if len(line) <= LINE_MOST else b""
    except NotHexError:
        raise _damaged(number, "holds something that is no hexadecimal number", "bad-record") from None
    if len(record) < 5 or len(record) != record[0] + 5:  # noqa: PLR2004 - count, address, type and checksum have five
        raise _damaged(number, "is not as long as it says", "bad-record")
    if sum(record) & 0xFF:
        raise _damaged(number, "has a wrong checksum", "bad-checksum")
    return record


def _must_have(size: int, record: bytes, number: int) -> None:
    if record[0] != size:
        raise _damaged(number, f"has {record[0]} bytes of data, its type has {size}", "bad-record")


def _memory(runs: Iterable[tuple[int, bytearray]]) -> Memory:
    """Runs of bytes in any order as blocks; the same byte may be given twice, but not as two values."""
    blocks: list[tuple[int, bytearray]] = []
    for address, data in sorted(runs, key=lambda run: run[0]):
        if not blocks or address > blocks[-1][0] + len(blocks[-1][1]):
            blocks.append((address, bytearray(data)))
            continue
        start, last = blocks[-1]
        known = min(start + len(last) - address, len(data))
        if last[address - start : address - start + known] != data[:known]:
            raise FirmwareError(
                f"it is damaged, it gives the bytes from 0x{address:X} twice and differently",
                remedy="save or build it again",
                reason="overlap",
            )
        last += data[known:]
    return Memory(tuple(Block(address, bytes(data)) for address, data in blocks))
