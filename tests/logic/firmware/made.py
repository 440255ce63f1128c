"""Small firmware files of every kind, made from nothing: what a tool would write, and what it should not."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zipfile
from binascii import crc_hqx
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from enmctl.errors import FirmwareError

V1_BASE, V1_END, V2_BASE, V2_END = 0x18000, 0x3C000, 0x1C000, 0x77000
UICR = 0x10001014
END = ":00000001FF\n"
V1_BOARD, V2_BOARD = 0x9900, 0x9903

Pieces = Mapping[int, bytes]


def program(base: int, size: int = 4096, *, old: bool = True, stack: int = 0x20002000, seed: int = 1) -> bytes:
    """A vector table, and code full of addresses of its own."""
    faults = [0, 0, 0] if old else [base + 0x61, base + 0x63, base + 0x65]
    head = struct.pack("<7I", stack, base + 0x41, base + 0x43, base + 0x45, *faults)
    chance = random.Random(seed)
    words = [base + chance.randrange(size) if place % 4 == 0 else chance.getrandbits(32) for place in range(size // 4)]
    return (head + struct.pack(f"<{len(words)}I", *words))[:size]


def record(kind: int, offset: int, data: bytes) -> str:
    """One line of a hex file."""
    body = bytes([len(data), offset >> 8, offset & 0xFF, kind]) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\n"


def data_lines(pieces: Pieces, *, kind: int = 0, step: int = 16) -> str:
    """Data records with the linear addresses that they need."""
    lines, upper = [], None
    for start, data in pieces.items():
        at = 0
        while at < len(data):
            address = start + at
            if address >> 16 != upper:
                upper = address >> 16
                lines.append(record(4, 0, struct.pack(">H", upper)))
            size = min(step, len(data) - at, 0x10000 - (address & 0xFFFF))
            lines.append(record(kind, address & 0xFFFF, data[at : at + size]))
            at += size
    return "".join(lines)


def thin(pieces: Pieces) -> bytes:
    """An Intel HEX file."""
    return (data_lines(pieces) + END).encode()


def v1_pieces(size: int = 4096) -> Pieces:
    """What a build for the V1 holds: SoftDevice, program, bootloader and settings."""
    program_ = program(V1_BASE, size)
    return {0: bytes(64), V1_BASE: program_, V1_END: b"boot" * 8, UICR: struct.pack("<I", V1_END)}


def v2_pieces(size: int = 4096) -> Pieces:
    """The same for the V2."""
    program_ = program(V2_BASE, size, old=False, stack=0x20020000)
    return {0: b"\x01" * 64, V2_BASE: program_, V2_END: b"boot" * 8, UICR: struct.pack("<I", V2_END)}


def board_line(board: int) -> str:
    """The record that starts a block."""
    return record(0x0A, 0, struct.pack(">H", board) + b"\xc0\xde")


def universal(parts: Iterable[tuple[int, Pieces]]) -> bytes:
    """A Universal Hex in the layout of sections, as new tools write it."""
    text = ""
    for board, pieces in parts:
        first, *rest = data_lines(pieces, kind=0 if board < 0x9903 else 0x0D).splitlines(keepends=True)
        text += first + board_line(board) + "".join(rest) + record(0x0C, 0, b"\xff" * 12) + record(0x0B, 0, b"\xff" * 4)
    return (text + END).encode()


def universal_blocks(parts: Iterable[tuple[int, Pieces]]) -> bytes:
    """The same in the layout of blocks, as old tools wrote it: each says its address and its board again."""
    text = ""
    for board, pieces in parts:
        for start, data in pieces.items():
            for at in range(0, len(data), 256):
                first, *rest = data_lines({start + at: data[at : at + 256]}).splitlines(keepends=True)
                text += first + board_line(board) + "".join(rest) + record(0x0B, 0, b"\xff" * 8)
    return (text + END).encode()


def crc16(data: bytes) -> int:
    return crc_hqx(data, 0xFFFF)


def legacy_init(data: bytes, softdevices: Iterable[int] = (0xFFFE,), *, tail: bytes | None = None) -> bytes:
    """A legacy init packet, with the CRC-16 or another tail."""
    ids = tuple(softdevices)
    head = struct.pack(f"<HHIH{len(ids)}H", 0xFFFF, 0xFFFF, 0xFFFFFFFF, len(ids), *ids)
    return head + (struct.pack("<H", crc16(data)) if tail is None else tail)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def secure_init(
    data: bytes,
    *,
    kind: int = 0,
    hardware: int = 52,
    softdevices: Iterable[int] = (0xA8, 0xCAFE),
    sizes: tuple[int, int, int] | None = None,
    signed: bool = True,
    packed: bool = True,
    sha256: bytes | None = None,
) -> bytes:
    """A secure init packet as nrfutil makes it."""
    digest = hashlib.sha256(data).digest()[::-1] if sha256 is None else sha256
    sd, bl, app = sizes if sizes is not None else (0, 0, len(data))
    needs = (
        content(3, b"".join(map(varint, softdevices))) if packed else b"".join(number(3, id_) for id_ in softdevices)
    )
    init = number(1, 7) + number(2, hardware) + needs + number(4, kind) + number(5, sd) + number(6, bl) + number(7, app)
    command = number(1, 1) + content(2, init + content(8, number(1, 3) + content(2, digest)) + number(9, 0))
    return content(2, content(1, command) + number(2, 0) + content(3, bytes(64))) if signed else content(1, command)


def microbit_init(data: bytes, *, hashed: bool = True) -> bytes:
    """The init packet of the micro:bit V2."""
    digest = hashlib.sha256(data).digest()[::-1] if hashed else bytes(32)
    return b"microbit_app" + struct.pack("<III", 1, len(data), 32 if hashed else 0) + digest


def zipped(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def package(data: bytes, init: bytes, *, role: str = "application", extra: Mapping[str, Any] | None = None) -> bytes:
    """A package of one image with its manifest."""
    said = {"bin_file": "image.bin", "dat_file": "image.dat", **(extra or {})}
    manifest = json.dumps({"manifest": {role: said, "dfu_version": 0.5}}).encode()
    return zipped({"manifest.json": manifest, "image.bin": data, "image.dat": init})


@contextmanager
def refused_at_most() -> Iterator[None]:
    """Lets a refusal pass, if it says what to do; anything else that is raised is a bug."""
    try:
        yield
    except FirmwareError as error:
        if not error.remedy:
            pytest.fail(f"no remedy: {error.message}")
