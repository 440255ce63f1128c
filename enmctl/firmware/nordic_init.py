"""Init packets: what a Nordic bootloader is told of an image before it comes.

Three kinds, told apart by how they are built and by nothing else: the legacy protocol's (SDK 7 to 11), with a CRC-16 or
a hash at its end; the secure one's (SDK 12 on), a protocol buffer; and the plain one of the micro:bit V2.
"""

from __future__ import annotations

import hashlib
import struct
from binascii import crc_hqx
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from enmctl.errors import FirmwareError
from enmctl.firmware.protobuf import Message, ProtobufError, read_message

LEGACY_MOST: Final = 128
"""Bytes of the buffer that a legacy bootloader has for it (SDK 11, dfu_ble_svc)."""

SECURE_MOST: Final = 512
"""Bytes that a secure bootloader takes from SDK 16 on; older ones take 256."""

ANY_SOFTDEVICE: Final = 0xFFFE
S110_V8: Final = 0x64
"""The SoftDevice of the micro:bit V1."""

LEGACY_HEAD: Final = struct.Struct("<HHIH")
MICROBIT: Final = struct.Struct("<12sIII32s")
MICROBIT_MAGIC: Final = b"microbit_app"
HASH_SIZE: Final = 32
SHA256: Final = 3
SIGNATURE_SIZE: Final = 64


class ImageType(IntEnum):
    """What a secure init packet is for (dfu-cc.proto, FwType)."""

    APPLICATION = 0
    SOFTDEVICE = 1
    BOOTLOADER = 2
    SOFTDEVICE_BOOTLOADER = 3
    EXTERNAL_APPLICATION = 4


@dataclass(frozen=True, slots=True)
class LegacyInit:
    """A legacy init packet; it carries either the image's CRC-16 or its length and SHA-256."""

    device_type: int
    device_revision: int
    application_version: int
    softdevices: tuple[int, ...]
    crc16: int | None
    length: int | None
    sha256: bytes | None
    signed: bool


@dataclass(frozen=True, slots=True)
class SecureInit:
    """A secure init packet; sizes are bytes, ``sha256`` is in the order in which everybody else writes it."""

    firmware_version: int | None
    hardware_version: int | None
    softdevices: tuple[int, ...]
    image_type: ImageType
    softdevice_size: int
    bootloader_size: int
    application_size: int
    sha256: bytes
    debug: bool
    signed: bool


@dataclass(frozen=True, slots=True)
class MicrobitInit:
    """The init packet of the micro:bit V2; without ``sha256`` its bootloader checks nothing."""

    application_size: int
    sha256: bytes | None


InitPacket = LegacyInit | SecureInit | MicrobitInit


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, nothing reflected; of "123456789" it is 0x29B1."""
    return crc_hqx(data, 0xFFFF)


def make_legacy(image: bytes, softdevice: int) -> bytes:
    """The legacy init packet of an application that names nothing but its SoftDevice."""
    return LEGACY_HEAD.pack(0xFFFF, 0xFFFF, 0xFFFFFFFF, 1) + struct.pack("<HH", softdevice, crc16(image))


def make_microbit(image: bytes) -> bytes:
    """The init packet with which a micro:bit V2 checks an application (v2-bootloader, nrf_dfu_validation.c)."""
    return MICROBIT.pack(MICROBIT_MAGIC, 1, len(image), HASH_SIZE, hashlib.sha256(image).digest()[::-1])


def read_init(data: bytes) -> InitPacket:
    """Tell which kind an init packet is, and read it.

    Raises:
        FirmwareError: it is none, or of a kind that no board takes; the reason is ``bad-init``.
    """
    if data.startswith(MICROBIT_MAGIC):
        return _read_microbit(data)
    try:
        secure = _read_secure(read_message(data)) if len(data) <= SECURE_MOST else None
    except ProtobufError:
        secure = None
    found = secure or _read_legacy(data)
    if found is None:
        raise _bad(f"its {len(data)} bytes are of no known kind")
    return found


def _bad(what: str) -> FirmwareError:
    return FirmwareError(
        f"the init packet is not right, {what}", remedy="make the package again, with nrfutil", reason="bad-init"
    )


def _read_microbit(data: bytes) -> MicrobitInit:
    if len(data) != MICROBIT.size:
        raise _bad(f"a micro:bit's has {MICROBIT.size} bytes and this one {len(data)}")
    _, version, size, hash_size, digest = MICROBIT.unpack(data)
    if version != 1 or hash_size not in (0, HASH_SIZE):
        raise _bad(f"it is of version {version} with a hash of {hash_size} bytes")
    return MicrobitInit(size, digest[::-1] if hash_size else None)


def _read_legacy(data: bytes) -> LegacyInit | None:
    """The legacy packet, if the lengths in it fit its own."""
    if not LEGACY_HEAD.size <= len(data) <= LEGACY_MOST:
        return None
    device_type, revision, version, count = LEGACY_HEAD.unpack_from(data)
    tail = data[LEGACY_HEAD.size + 2 * count :]
    if not count or LEGACY_HEAD.size + 2 * count + len(tail) != len(data):
        return None
    softdevices = struct.unpack_from(f"<{count}H", data, LEGACY_HEAD.size)
    extension = int.from_bytes(tail[:4], "little")
    crc, length, digest = None, None, None
    if len(tail) == 2 or (len(tail) == 6 and extension == 0):  # noqa: PLR2004 - a CRC alone, or behind an extension's id
        crc = int.from_bytes(tail[-2:], "little")
    elif (len(tail), extension) in {(8 + HASH_SIZE, 1), (8 + HASH_SIZE + SIGNATURE_SIZE, 2)}:
        length, digest = int.from_bytes(tail[4:8], "little"), tail[8 : 8 + HASH_SIZE]
    else:
        return None
    return LegacyInit(
        device_type, revision, version, softdevices, crc, length, digest, signed=len(tail) > 8 + HASH_SIZE
    )


def _read_secure(packet: Message) -> SecureInit | None:
    """The secure packet (dfu-cc.proto of SDK 15), or None where the message is another."""
    signed = packet.message(2)
    command = signed.message(1) if signed is not None else packet.message(1)
    init = command.message(2) if command is not None else None
    if command is None or init is None or command.number(1) != 1:
        return None
    kind = init.number(4) or 0
    if kind not in set(ImageType):
        raise _bad(f"the image's type is {kind}")
    digest = init.message(8)
    value = digest.content(2) if digest is not None else None
    if digest is None or value is None or digest.number(1) != SHA256 or len(value) != HASH_SIZE:
        raise _bad("it has no SHA-256 of the image")
    signature = signed.content(3) if signed is not None else None
    if signature is not None and len(signature) != SIGNATURE_SIZE:
        raise _bad(f"its signature has {len(signature)} bytes and should have {SIGNATURE_SIZE}")
    return SecureInit(
        firmware_version=init.number(1),
        hardware_version=init.number(2),
        softdevices=init.numbers(3),
        image_type=ImageType(kind),
        softdevice_size=init.number(5) or 0,
        bootloader_size=init.number(6) or 0,
        application_size=init.number(7) or 0,
        sha256=value[::-1],
        debug=bool(init.number(9)),
        signed=signature is not None,
    )
