"""Firmware files for the ESP8266: found, read whole, and verified before anybody thinks of sending them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from enmctl.boards.contract import Firmware
from enmctl.errors import FirmwareError
from enmctl.firmware.esp8266 import KIB, MOST_BYTES, Esp8266Image, read_image
from enmctl.firmware.places import There, what_is_at

MEMBER: Final = "firmware.bin"
"""What an asset for this board holds; the original's name for it."""

LARGE: Final = 500_000
"""Bytes above which an image finds no room on a board with 1 MiB of flash."""


def read_firmware(path: Path, board_type: str, *, most: int | None) -> Firmware:
    """Read and verify a file, or ``firmware.bin`` in a folder.

    Args:
        path: the file or the folder.
        board_type: what it is for.
        most: the largest size in bytes that is let through, None for no limit but that of the chip.

    Raises:
        FirmwareError: it cannot be sent; the reasons of ``read_image``, and ``no-firmware``, ``no-file``,
            ``unreadable`` and ``too-big``.
    """
    file = path / MEMBER if what_is_at(path) is There.FOLDER else path
    data = _read(file, path)
    try:
        image = read_image(data)
    except FirmwareError as error:
        raise FirmwareError(
            f"{file.name} cannot be sent, {error.message}", remedy=error.remedy, reason=error.reason
        ) from None
    if most is not None and len(data) > most:
        raise FirmwareError(
            f"{file.name} has {len(data)} bytes, and ENM_OTA_MAX_SIZE allows {most}",
            remedy="make the build smaller, or raise ENM_OTA_MAX_SIZE where the board has room",
            reason="too-big",
            permanent=False,
        )
    return Firmware(board_type, data, hashlib.sha256(data).hexdigest(), _described(image))


def _read(file: Path, path: Path) -> bytes:
    there = what_is_at(file)
    if there is There.NOTHING:
        if file == path:
            raise FirmwareError(f"there is no file {file}", remedy="check the path", reason="no-file")
        inside = ", ".join(sorted(member.name for member in path.iterdir() if not member.name.startswith("."))[:5])
        raise FirmwareError(
            f"the asset holds no {MEMBER}, it holds {inside or 'nothing'}",
            remedy=f"name the build's .bin {MEMBER} in the image's /assets folder",
            reason="no-firmware",
        )
    if there is not There.FILE:
        raise FirmwareError(f"{file.name} is no file", remedy="name the build's .bin", reason="no-file")
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise FirmwareError(
            f"{file.name} cannot be read, {error.strerror}", remedy="check its permissions", reason="unreadable"
        ) from error


def _described(image: Esp8266Image) -> str:
    parts = [
        f"ESP8266 image{f' {image.embedded_version}' if image.embedded_version else ''}",
        f"{image.size / KIB:.0f} KiB",
        f"for {image.flash_size // KIB} KiB of flash",
        "length and CRC right" if image.stamped else "checksums right",
    ]
    if image.signed:
        parts.append("signed")
    if image.size > LARGE:
        parts.append("large: no room for it on a board with 1 MiB of flash")
    return ", ".join(parts)
