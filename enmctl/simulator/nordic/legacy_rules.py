"""What a legacy bootloader is told, what it answers, and how one build of it differs from another.

Numbers and names are those of SDK 11 (ble_dfu.h, dfu_types.h, dfu_init_template.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from enmctl.firmware.nordic_init import ANY_SOFTDEVICE, LEGACY_HEAD

NAME: Final = "DfuTarg"
START, INIT, RECEIVE, VALIDATE, ACTIVATE, RESET, REPORT, RECEIPTS = range(1, 9)
SUCCESS, INVALID_STATE, NOT_SUPPORTED, DATA_SIZE, CRC_ERROR, FAILED = range(1, 7)
SOFTDEVICE_BIT, BOOTLOADER_BIT, APPLICATION_BIT = 1, 2, 4

BOOTLOADER_MOST: Final = 15 * 1024
"""Bytes of the largest bootloader, 0x3FC00 - 0x3C000 (dfu_types.h, DFU_BL_IMAGE_MAX_SIZE)."""

INACTIVITY_SECONDS: Final = 120.0
DIRECTED_SECONDS: Final = 64.0
"""50 rounds of directed advertising of 1.28 s, then it gives up (dfu_transport_ble.c)."""

CLOSING_SECONDS: Final = 0.1
"""From a disconnect that it asked for until it resets."""

ANY_DEVICE: Final = 0xFFFF
"""What a chip's settings say where nobody set them: nothing is compared (UICR + 0x80)."""

SIZES: Final = struct.Struct("<III")
WORD: Final = 4


@dataclass(frozen=True, slots=True)
class LegacyOptions:
    """How one build of the bootloader differs from another; the defaults are SDK 11 as it comes.

    ``checks`` says whether the init packet is looked at at all. ``address_step`` is added to the address when nobody
    called for the bootloader, ``called_step`` when somebody did; ``directed`` says whether it then waits for its caller
    alone. ``softdevice`` is the id of the one installed, ``buffers`` how many packets wait for the flash,
    ``crc_seconds`` what checking one byte takes.
    """

    version: int = 8
    needs_init: bool = True
    checks: bool = True
    dual_bank: bool = True
    address_step: int = 1
    called_step: int = 0
    directed: bool = True
    softdevice: int = 0x87
    device_type: int = ANY_DEVICE
    device_revision: int = ANY_DEVICE
    buffers: int = 8
    crc_seconds: float = 1.25e-6


MICROBIT: Final = LegacyOptions(
    version=4, needs_init=False, checks=False, dual_bank=False, address_step=0, directed=False, softdevice=0x64
)


class RefusedError(Exception):
    """What was written is answered with this status instead."""

    def __init__(self, operation: int, status: int) -> None:
        super().__init__(operation, status)
        self.operation = operation
        self.status = status


def crc_asked_for(packet: bytes, options: LegacyOptions) -> int | None:
    """The CRC-16 that an init packet announces, None where the packet is not for this device and SoftDevice."""
    if len(packet) < LEGACY_HEAD.size:
        return None
    device_type, revision, _, count = LEGACY_HEAD.unpack_from(packet)
    end = LEGACY_HEAD.size + 2 * count
    if len(packet) < end + 2:
        return None
    asked = ((options.device_type, device_type), (options.device_revision, revision))
    softdevices = struct.unpack_from(f"<{count}H", packet, LEGACY_HEAD.size)
    mine = all(own in (ANY_DEVICE, other) for own, other in asked)
    if not mine or not {options.softdevice, ANY_SOFTDEVICE} & set(softdevices):
        return None
    return int.from_bytes(packet[end : end + 2], "little")
