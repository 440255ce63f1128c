"""Firmware images for simulated ESP8266 boards: whole in every word that a checker looks at, noise inside.

An Arduino ESP8266 binary is two images, the boot loader eboot at 0 and the application at 0x1000. Each has a header,
segments and a checksum (layout: ``tools/elf2bin.py`` of the ESP8266 core for Arduino). This module both makes such
binaries and, on its own, walks through them as a starting chip would: a simulated board whose flash holds anything else
does not come up again.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from enmctl.errors import UsageError
from enmctl.firmware.esp8266 import MARK, crc_msb_first, xor_of

MAGIC = 0xE9
GZIP_MAGIC = b"\x1f\x8b"
APPLICATION_OFFSET = 0x1000
LENGTH_CRC_OFFSET = APPLICATION_OFFSET + 16
"""Where cores since 2.7 keep the binary's length and CRC: the first two words of the application's first segment."""
LENGTH_CRC = struct.Struct("<II")
HEADER = struct.Struct("<BBBBI")
SEGMENT = struct.Struct("<II")
CHECKSUM_START = 0xEF
ALIGNMENT = 16
EBOOT_PADDING = b"\xaa"

EBOOT_ADDRESS = 0x4010_F000
IROM_ADDRESS = 0x4020_1010
IRAM_ADDRESS = 0x4010_0000
DATA_ADDRESS = 0x3FFE_8000
EBOOT_SIZE = 3072
IRAM_SIZE = 1024
DATA_SIZE = 512
SMALLEST_IMAGE = 8192
DUAL_IO = 2

FLASH_SIZES = {0: 512 << 10, 1: 256 << 10, 2: 1 << 20, 3: 2 << 20, 4: 4 << 20, 8: 8 << 20, 9: 16 << 20}
"""The flash size in bytes that each nibble of the header stands for."""

FW_MARK = b"enmctl-fw="
"""Begins the version's mark: docs/firmware-contract.md, "The mark in the image"."""
LARGEST_IMAGE = 16 << 20
"""What a gzipped image may unpack to, in bytes."""


class Segment(NamedTuple):
    """A stretch of memory that the boot loader fills."""

    address: int
    data: bytes


def esp8266_image(
    *, fw: str | None, size: int = 256 * 1024, seed: int = 0, flash_size: int = 4 << 20, with_length_crc: bool = True
) -> bytes:
    """Make a binary of exactly ``size`` bytes that an ESP8266 would start; the same arguments give the same bytes.

    Args:
        fw: the version that the firmware will tell, None for one that carries no mark.
        size: bytes, a multiple of 16 from 8192 on.
        seed: what the noise is made from, together with ``fw``.
        flash_size: the flash that the header asks for, in bytes.
        with_length_crc: False leaves out the words that cores before 2.7 did not write.

    Raises:
        UsageError: no such image can be made.
    """
    nibble = next((nibble for nibble, known in FLASH_SIZES.items() if known == flash_size), None)
    if nibble is None:
        raise UsageError(
            f"there is no ESP8266 with {flash_size} bytes of flash", remedy="use one from 256 KiB to 16 MiB"
        )
    if size < SMALLEST_IMAGE or size % ALIGNMENT:
        raise UsageError(
            f"an image of {size} bytes cannot be made", remedy=f"use a multiple of {ALIGNMENT} from {SMALLEST_IMAGE} on"
        )
    noise = random.Random(f"{seed}/{fw}")  # noqa: S311 - filling, not a secret
    flash_byte = nibble << 4
    eboot = _image([Segment(EBOOT_ADDRESS, noise.randbytes(EBOOT_SIZE))], EBOOT_ADDRESS, flash_byte)
    rest = size - APPLICATION_OFFSET - HEADER.size - 3 * SEGMENT.size - IRAM_SIZE - DATA_SIZE
    irom_size = rest - ALIGNMENT  # one line for the padding and the checksum in its last byte
    irom = bytes(LENGTH_CRC.size) + noise.randbytes(irom_size - LENGTH_CRC.size)
    segments = [
        Segment(IROM_ADDRESS, irom),
        Segment(IRAM_ADDRESS, noise.randbytes(IRAM_SIZE)),
        Segment(DATA_ADDRESS, _data_segment(fw, noise)),
    ]
    binary = eboot.ljust(APPLICATION_OFFSET, EBOOT_PADDING) + _image(segments, IRAM_ADDRESS, flash_byte)
    return _with_length_and_crc(binary) if with_length_crc else binary


def unpacked(image: bytes) -> bytes:
    """The image as it ends up in flash: eboot unpacks a gzipped one. What cannot be unpacked comes back as it is."""
    if not image.startswith(GZIP_MAGIC):
        return image
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(image)) as packed:
            return packed.read(LARGEST_IMAGE)
    except (OSError, EOFError, zlib.error):
        return image


def starts(image: bytes) -> bool:
    """Whether a chip with this in its flash comes up: both images are there whole and their checksums hold."""
    with_zeroes = bytearray(image)
    if _tells_length(image):
        # elf2bin fills these words in after the checksum was made, and does not make it again.
        LENGTH_CRC.pack_into(with_zeroes, LENGTH_CRC_OFFSET, 0, 0)
    return all(_checksum_holds(bytes(with_zeroes), offset) for offset in (0, APPLICATION_OFFSET))


def _data_segment(fw: str | None, noise: random.Random) -> bytes:
    text = b"" if fw is None else FW_MARK + fw.encode() + b"\0"
    if fw is not None and not MARK.fullmatch(text):
        raise UsageError(f"{fw!r} cannot be a version", remedy="use 1 to 64 letters, digits, dots, _, + and -")
    return text + noise.randbytes(DATA_SIZE - len(text))


def _image(segments: list[Segment], entry: int, flash_byte: int) -> bytes:
    parts = [HEADER.pack(MAGIC, len(segments), DUAL_IO, flash_byte, entry)]
    for segment in segments:
        parts += [SEGMENT.pack(segment.address, len(segment.data)), segment.data]
    body = b"".join(parts)
    padding = bytes(-(len(body) + 1) % ALIGNMENT)
    return body + padding + bytes([_checksum(segments)])


def _checksum(segments: list[Segment]) -> int:
    return xor_of(b"".join(segment.data for segment in segments)) ^ CHECKSUM_START


def _with_length_and_crc(binary: bytes) -> bytes:
    filled = bytearray(binary)
    LENGTH_CRC.pack_into(filled, LENGTH_CRC_OFFSET, len(binary), crc_msb_first(binary))
    return bytes(filled)


def _tells_length(image: bytes) -> bool:
    if len(image) < LENGTH_CRC_OFFSET + LENGTH_CRC.size:
        return False
    return bool(LENGTH_CRC.unpack_from(image, LENGTH_CRC_OFFSET)[0] == len(image))


def _checksum_holds(image: bytes, offset: int) -> bool:
    try:
        segments = list(_segments(image, offset))
    except struct.error:
        return False
    end = offset + HEADER.size + sum(SEGMENT.size + len(segment.data) for segment in segments)
    place = end + -(end - offset + 1) % ALIGNMENT
    return bool(segments) and place < len(image) and image[place] == _checksum(segments)


def _segments(image: bytes, offset: int) -> Iterator[Segment]:
    """Walk the segments of one image; struct.error where the file ends before they do."""
    magic, count, *_ = HEADER.unpack_from(image, offset)
    if magic != MAGIC:
        return
    offset += HEADER.size
    for _ in range(count):
        address, length = SEGMENT.unpack_from(image, offset)
        offset += SEGMENT.size
        if offset + length > len(image):
            raise struct.error
        yield Segment(address, image[offset : offset + length])
        offset += length
