"""ESP8266 firmware images: taken apart and verified before a byte goes over the air.

A board accepts a truncated or damaged image and never starts again, for its updater looks at the first byte and the
flash size alone. So all that an image says of itself is checked here.

The format, from tools/elf2bin.py and bootloaders/eboot/eboot.c of esp8266/Arduino: two images in one file, the boot
loader (eboot) at 0, padded to 0x1000, and the application there. Each is ``<BBBBI`` magic 0xE9, segment count, flash
mode, flash size and frequency, entry; then each segment as ``<II`` load address and length, and its data; zeros up to
the byte before a multiple of 16; and the XOR of all segment bytes, starting from 0xEF. Cores from 2.7 on write, after
all that, the file's length and CRC into the first two words of the application, which were zero until then.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from enmctl.errors import FirmwareError

APPLICATION_AT: Final = 0x1000
MAGIC: Final = 0xE9
CHECKSUM_SEED: Final = 0xEF
HEADER: Final = struct.Struct("<BBBBI")
SEGMENT: Final = struct.Struct("<II")
STAMP: Final = struct.Struct("<II")
STAMP_AT: Final = APPLICATION_AT + HEADER.size + SEGMENT.size
"""Where the length and CRC words stand: the first words of the application's first segment."""

SMALLEST: Final = STAMP_AT
MOST_BYTES: Final = 2 * 1024 * 1024
"""More than any application can have: the flash from which it runs is mapped to 1 MiB."""

PADDING_MOST: Final = 16
"""Bytes behind the application that old tools leave and that mean nothing."""

SIGNATURE_MOST: Final = 1024
"""Bytes of a signature; RSA-2048 makes 256 (doc/ota_updates/readme.rst)."""

KIB: Final = 1024
FLASH_SIZES: Final = {
    0: 512 * KIB,
    1: 256 * KIB,
    2: 1024 * KIB,
    3: 2048 * KIB,
    4: 4096 * KIB,
    5: 2048 * KIB,
    6: 4096 * KIB,
    8: 8192 * KIB,
    9: 16384 * KIB,
}
"""The upper nibble of the header's fourth byte; 5 and 6 are the maps of two 1 MiB halves that esptool knows."""

FLASH_MAP: Final = (0x40200000, 0x40300000)
"""Where the flash's first MiB is mapped: what is loaded there stays where it is in the file."""

INSTRUCTION_RAM: Final = (0x40100000, 0x40110000)
DATA_RAM: Final = (0x3FFE8000, 0x40000000)
RANGES: Final = (FLASH_MAP, INSTRUCTION_RAM, DATA_RAM)

MARK: Final = re.compile(rb"enmctl-fw=([A-Za-z0-9._+-]{1,64})\0")
"""The version that firmware carries (docs/firmware-contract.md)."""

USUAL_MIX_UPS: Final = (
    (b"\x7fELF", "elf", "an ELF file", "send the .bin that the build makes from it"),
    (b"UF2\n", "uf2", "a UF2 file", "that is for boards with a USB drive; send the build's .bin"),
    (b"PK", "zip", "a zip archive", "unpack it and send the .bin in it"),
    (b"\x1f\x8b", "gzip", "a gzip file", "unpack it; a board with an old boot loader would not start from it"),
    (b"<", "html", "a web page", "the download went wrong, fetch the file again"),
    (b"\xef\xbb\xbf<", "html", "a web page", "the download went wrong, fetch the file again"),
    (b"\xea", "espressif-v2", "an Espressif SDK image (0xEA)", "only Arduino images can be sent over the air"),
)
INTEL_HEX: Final = re.compile(rb"\s*:[0-9A-Fa-f]{10}")
REVERSED_BITS: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))

ESP32_ENTRIES: Final = (
    (0x40020000, 0x40080000),
    (0x40080000, 0x400C0000),
    (0x40370000, 0x40400000),
    (0x40800000, 0x40900000),
    (0x4FF00000, 0x50000000),
)
"""Where the entry points of the ESP32 family lie; its images start with 0xE9 too."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of an image: where it stands in the file, and where it is loaded."""

    address: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Esp8266Image:
    """What a verified image says of itself.

    Sizes are bytes. ``size`` counts the whole file, ``application_size`` ends with the application's checksum.
    ``stamped`` tells whether the file carries its length and CRC, ``signed`` whether a signature follows.
    ``embedded_version`` is the text of the mark ``enmctl-fw=``.
    """

    size: int
    application_size: int
    flash_size: int
    entry: int
    boot_segments: tuple[Segment, ...]
    segments: tuple[Segment, ...]
    stamped: bool
    signed: bool
    embedded_version: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two images; ``end`` is the offset behind its checksum byte."""

    name: str
    entry: int
    flash_nibble: int
    segments: tuple[Segment, ...]
    end: int


def read_image(data: bytes, *, flash_size: int | None = None) -> Esp8266Image:
    """Take an image apart and verify all of it.

    Args:
        data: the whole file.
        flash_size: bytes of flash that the board has, where that is known.

    Raises:
        FirmwareError: with a remedy, and as ``reason`` one of ``empty``, ``too-big``, ``elf``, ``intel-hex``, ``uf2``,
            ``zip``, ``gzip``, ``html``, ``espressif-v2``, ``esp32``, ``not-firmware``, ``truncated``,
            ``no-application``, ``bad-header``, ``bad-address``, ``bad-checksum``, ``bad-crc``, ``trailing-bytes`` and
            ``flash-size``.
    """
    _refuse_mix_ups(data)
    boot = _walk(data, 0, "boot loader")
    if boot.end > APPLICATION_AT:
        raise FirmwareError(
            f"its boot loader has {boot.end} bytes and reaches into the application",
            remedy="send the .bin that an Arduino build for the ESP8266 makes",
            reason="no-application",
        )
    if data[APPLICATION_AT] != MAGIC:
        raise FirmwareError(
            "it has no application at 0x1000, so it is no Arduino image",
            remedy="send the .bin that an Arduino build for the ESP8266 makes; SDK images cannot be sent over the air",
            reason="no-application",
        )
    application = _walk(data, APPLICATION_AT, "application")
    signed = _check_tail(data, application.end)
    _check_checksum(data, boot, stamped=False)
    stamped = _check_stamp(data, application.end)
    _check_checksum(data, application, stamped=stamped)
    _check_addresses(boot)
    _check_addresses(application)
    image_flash = FLASH_SIZES.get(boot.flash_nibble)
    if image_flash is None:
        raise _broken("its header names an unknown flash size", "bad-header")
    if flash_size is not None and image_flash > flash_size:
        raise FirmwareError(
            f"it is built for {image_flash // KIB} KiB of flash and the board has {flash_size // KIB} KiB",
            remedy="choose a board with smaller flash in the build",
            reason="flash-size",
        )
    return Esp8266Image(
        size=len(data),
        application_size=application.end,
        flash_size=image_flash,
        entry=application.entry,
        boot_segments=boot.segments,
        segments=application.segments,
        stamped=stamped,
        signed=signed,
        embedded_version=embedded_version(data),
    )


def embedded_version(data: bytes) -> str | None:
    """The version that an image carries as ``enmctl-fw=<text>`` and a zero byte; the first place counts."""
    found = MARK.search(data)
    return found[1].decode() if found else None


def built_for_flash(data: bytes) -> int | None:
    """The bytes of flash that a verified image is built for."""
    return FLASH_SIZES.get(data[3] >> 4)


def crc_msb_first(data: bytes) -> int:
    """CRC-32 with polynomial 0x04C11DB7, most significant bit first, start 0xFFFFFFFF, no final XOR.

    zlib's is the same with the bits of every byte and of the result the other way round, and a final XOR.
    """
    mirrored = zlib.crc32(data.translate(REVERSED_BITS)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(REVERSED_BITS), "big")


def xor_of(data: bytes) -> int:
    """The XOR of all bytes: the whole is folded in the middle until one byte is left."""
    folded = int.from_bytes(data, "little")
    width = 1 << max(len(data) - 1, 0).bit_length()
    while width > 1:
        width //= 2
        folded = (folded >> (8 * width)) ^ (folded & ((1 << (8 * width)) - 1))
    return folded


def _broken(what: str, reason: str) -> FirmwareError:
    return FirmwareError(what, remedy="build or fetch the file again", reason=reason)


def _truncated(what: str) -> FirmwareError:
    return FirmwareError(f"it is truncated, {what}", remedy="fetch or build the file again", reason="truncated")


def _refuse_mix_ups(data: bytes) -> None:
    if not data:
        raise _broken("it is empty", "empty")
    if len(data) > MOST_BYTES:
        raise FirmwareError(
            f"it has {len(data)} bytes, no ESP8266 application has more than {MOST_BYTES}",
            remedy="send the application alone, not a whole flash or file system",
            reason="too-big",
        )
    for magic, reason, words, remedy in USUAL_MIX_UPS:
        if data.startswith(magic):
            raise FirmwareError(f"it is {words}, no ESP8266 image", remedy=remedy, reason=reason)
    if INTEL_HEX.match(data):
        raise FirmwareError(
            "it is an Intel HEX file, no ESP8266 image", remedy="send the build's .bin", reason="intel-hex"
        )
    if data[0] != MAGIC:
        raise FirmwareError(
            f"it is no ESP8266 image, its first byte is 0x{data[0]:02X} and not 0xE9",
            remedy="send the .bin that an Arduino build for the ESP8266 makes",
            reason="not-firmware",
        )
    if len(data) >= HEADER.size:
        entry = HEADER.unpack_from(data)[4]
        if any(start <= entry < end for start, end in ESP32_ENTRIES):
            raise FirmwareError(
                f"it is built for an ESP32, its entry point is 0x{entry:08X}",
                remedy="build it for the ESP8266",
                reason="esp32",
            )
    if len(data) < SMALLEST:
        raise _truncated(f"it has {len(data)} bytes and the application starts at {APPLICATION_AT}")


def _walk(data: bytes, start: int, name: str) -> _Part:
    """Go through one image's headers; nothing but their places is checked."""
    _, count, mode, flash, entry = HEADER.unpack_from(data, start)
    if not 1 <= count <= 16 or mode > 3:  # noqa: PLR2004 - four flash modes, 16 segments for the boot ROM
        raise _broken(f"the header of its {name} makes no sense", "bad-header")
    segments = []
    at = start + HEADER.size
    for number in range(1, count + 1):
        if at + SEGMENT.size > len(data):
            raise _truncated(f"segment {number} of {count} of its {name} is missing")
        address, size = SEGMENT.unpack_from(data, at)
        at += SEGMENT.size
        if at + size > len(data):
            raise _truncated(f"segment {number} of {count} of its {name} lacks {at + size - len(data)} bytes")
        segments.append(Segment(address, at, size))
        at += size
    end = at - (at - start) % 16 + 16
    if end > len(data):
        raise _truncated(f"the checksum of its {name} is missing")
    return _Part(name, entry, flash >> 4, tuple(segments), end)


def _check_tail(data: bytes, end: int) -> bool:
    """Whether the bytes behind the application are a signature; a few that mean nothing are let through."""
    tail = len(data) - end
    if tail <= PADDING_MOST:
        return False
    length = int.from_bytes(data[-4:], "little")
    if length + 4 != tail or length > SIGNATURE_MOST:
        raise _broken(f"{tail} bytes follow the application that are no signature", "trailing-bytes")
    return True


def _check_checksum(data: bytes, part: _Part, *, stamped: bool) -> None:
    content = b"".join(data[segment.offset : segment.offset + segment.size] for segment in part.segments)
    found = CHECKSUM_SEED ^ xor_of(content)
    if stamped:
        found ^= xor_of(data[STAMP_AT : STAMP_AT + STAMP.size])
    if data[part.end - 1] != found:
        raise _broken(
            f"it is damaged, the checksum of its {part.name} is 0x{found:02X} and should be 0x{data[part.end - 1]:02X}",
            "bad-checksum",
        )


def _check_stamp(data: bytes, end: int) -> bool:
    """Whether the file carries its own length and CRC, and both are right.

    One of the two that is right shows that they were written, and then the other must be right too. Old cores have
    other things in their place.
    """
    if end < STAMP_AT + STAMP.size:
        return False
    length, crc = STAMP.unpack_from(data, STAMP_AT)
    unstamped = data[:STAMP_AT] + bytes(STAMP.size) + data[STAMP_AT + STAMP.size :]
    right_crcs = {covered: crc_msb_first(unstamped[:covered]) for covered in {end, len(data)}}
    if right_crcs.get(length) == crc:
        return True
    if length in right_crcs or crc in right_crcs.values():
        raise _broken("it is damaged, its length and CRC do not fit its content", "bad-crc")
    return False


def _check_addresses(part: _Part) -> None:
    if not any(start <= part.entry < end for start, end in (INSTRUCTION_RAM, FLASH_MAP)):
        raise _broken(
            f"the entry point of its {part.name}, 0x{part.entry:08X}, is no code of an ESP8266", "bad-address"
        )
    for segment in part.segments:
        if not segment.size:
            continue
        fits = any(start <= segment.address and segment.address + segment.size <= end for start, end in RANGES)
        mapped = segment.address >= FLASH_MAP[0]
        if not fits or (mapped and segment.address - FLASH_MAP[0] != segment.offset):
            raise _broken(
                f"its {part.name} loads {segment.size} bytes to 0x{segment.address:08X}, which no ESP8266 can",
                "bad-address",
            )
