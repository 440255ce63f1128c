"""Files that carry firmware to boards, made from an application's bytes: hex files, and DFU packages of every kind."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, Final

from enmctl.firmware.hex import BLOCK_END, BLOCK_MARK, BLOCK_START, CUSTOM_DATA, DATA, LINEAR, UNUSED
from enmctl.firmware.microbit import UICR_BOOTLOADER
from enmctl.firmware.nordic_init import ANY_SOFTDEVICE, SHA256, SIGNATURE_SIZE, crc16, make_microbit
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, Layout

Pieces = Mapping[int, bytes]

V1_BOARD, V2_BOARD = 0x9900, 0x9903
"""Board ids of a Universal Hex (microbit-foundation/spec-universal-hex)."""

LINE: Final = 16
END_LINE: Final = ":00000001FF\n"
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
BYTES: Final = 2
"""The wire type of what has a length (protobuf.dev, "Encoding")."""


def microbit_pieces(layout: Layout, image: bytes) -> Pieces:
    """What a build for a micro:bit holds, as far as it matters: the program, and where the bootloader is."""
    return {layout.application: image, UICR_BOOTLOADER: layout.bootloader.to_bytes(4, "little")}


def intel_hex(pieces: Pieces) -> bytes:
    """A hex file for one board."""
    return ("".join(_lines(pieces, DATA)) + END_LINE).encode()


def microbit_hex(layout: Layout, image: bytes) -> bytes:
    """A hex file of a program for one kind of micro:bit."""
    return intel_hex(microbit_pieces(layout, image))


def universal_hex(v1: bytes, v2: bytes) -> bytes:
    """A Universal Hex of one program for both, in sections as new tools write it."""
    text = ""
    for board, layout, image in ((V1_BOARD, MICROBIT_V1, v1), (V2_BOARD, MICROBIT_V2, v2)):
        kind = DATA if board == V1_BOARD else CUSTOM_DATA
        first, *rest = _lines(microbit_pieces(layout, image), kind)
        start = _record(BLOCK_START, 0, board.to_bytes(2, "big") + BLOCK_MARK)
        text += first + start + "".join(rest) + _record(BLOCK_END, 0, UNUSED * 4)
    return (text + END_LINE).encode()


def legacy_package(image: bytes, *, softdevices: Iterable[int] = (ANY_SOFTDEVICE,), name: str = "application") -> bytes:
    """A package as nrfutil 0.5 makes it."""
    ids = tuple(softdevices)
    init = struct.pack(f"<HHIH{len(ids)}HH", 0xFFFF, 0xFFFF, 0xFFFFFFFF, len(ids), *ids, crc16(image))
    said = {
        "init_packet_data": {
            "application_version": 0xFFFFFFFF,
            "device_revision": 0xFFFF,
            "device_type": 0xFFFF,
            "firmware_crc16": crc16(image),
            "softdevice_req": list(ids),
        }
    }
    return _package(image, init, name, said, {"dfu_version": 0.5})


def microbit_package(image: bytes, *, name: str = "application") -> bytes:
    """A package with the init packet that the micro:bit V2 has to itself."""
    return _package(image, make_microbit(image), name, {}, {})


def secure_package(
    image: bytes,
    *,
    hardware: int = 52,
    softdevices: Iterable[int] = (0xA8,),
    version: int = 1,
    signed: bool = True,
    name: str = "application",
) -> bytes:
    """A package as nrfutil 6 makes it; nobody's key made its signature."""
    init = secure_init(image, hardware=hardware, softdevices=softdevices, version=version, signed=signed)
    return _package(image, init, name, {}, {})


def secure_init(image: bytes, *, hardware: int, softdevices: Iterable[int], version: int, signed: bool) -> bytes:
    """The init packet of an application (dfu-cc.proto of SDK 15)."""
    digest = _number(1, SHA256) + _content(2, hashlib.sha256(image).digest()[::-1])
    fields = (
        _number(1, version),
        _number(2, hardware),
        _content(3, b"".join(_varint(id_) for id_ in softdevices)),
        _number(4, 0),
        _number(5, 0),
        _number(6, 0),
        _number(7, len(image)),
        _content(8, digest),
        _number(9, 0),
    )
    command = _number(1, 1) + _content(2, b"".join(fields))
    if not signed:
        return _content(1, command)
    signature = hashlib.sha256(command).digest().ljust(SIGNATURE_SIZE, b"\0")[:SIGNATURE_SIZE]
    return _content(2, _content(1, command) + _number(2, 0) + _content(3, signature))


def _package(image: bytes, init: bytes, name: str, said: Mapping[str, Any], around: Mapping[str, Any]) -> bytes:
    application = {"bin_file": f"{name}.bin", "dat_file": f"{name}.dat", **said}
    manifest = json.dumps({"manifest": {"application": application, **around}}, indent=4)
    members = {f"{name}.bin": image, f"{name}.dat": init, "manifest.json": manifest.encode()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member, ZIP_TIME), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _lines(pieces: Pieces, kind: int) -> list[str]:
    """Data records, and before them the upper halves of addresses where these change."""
    lines, upper = [], -1
    for start, data in sorted(pieces.items()):
        for at in range(0, len(data), LINE):
            address = start + at
            if address >> 16 != upper:
                upper = address >> 16
                lines.append(_record(LINEAR, 0, upper.to_bytes(2, "big")))
            lines.append(_record(kind, address & 0xFFFF, data[at : at + LINE]))
    return lines


def _record(kind: int, offset: int, data: bytes) -> str:
    body = bytes([len(data), offset >> 8, offset & 0xFF, kind]) + data
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}\n"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _content(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(value)) + value
