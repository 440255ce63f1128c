"""Programs for the micro:bit: what of a file may go over the air to a V1 and to a V2, and with which init packet.

Only the application's part of the flash is ever sent, never the SoftDevice, the bootloader or the chip's settings
(UICR). A V1 has its application at 0x18000 behind the SoftDevice S110 v8 and its bootloader at 0x3C000; a V2 has them
at 0x1C000 behind S113 and at 0x77000 (microbit-dal and codal-microbit-v2, linker scripts; microbit-connection). The
bootloader of a V1 checks nothing of what it gets, so all is checked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import UNUSED, WORD, Family, HexPart, Memory
from enmctl.firmware.nordic_init import S110_V8, make_legacy, make_microbit
from enmctl.firmware.targets import Target
from enmctl.firmware.vectors import vectors_of

KIB: Final = 1024

UICR_BOOTLOADER: Final = 0x10001014
"""The word of the chip's settings that names the bootloader's place; it differs between V1 and V2."""

UICR_PYTHON: Final = 0x100010C0
PYTHON_V1: Final = 0x17EEB07C
PYTHON_V2: Final = 0x47EEB07C
"""Marks that MicroPython leaves in the chip's settings."""

FAULT_VECTORS: Final = (0x10, 0x0C)
"""Where, in a vector table at 0, a Cortex-M0 has zeros only, and how many bytes; DAPLink tests the same."""

DAPLINK_START: Final = 0x8000
DAPLINK_MARK: Final = b"Daplink Mode: "
"""Where the USB interface chip's firmware starts, and a text of its DETAILS.TXT."""


@dataclass(frozen=True, slots=True)
class Region:
    """The application's part of one family's flash; ``settings`` is where bonds and stored values begin in it."""

    family: Family
    target: Target
    start: int
    end: int
    settings: int
    ram: int
    old: bool

    @property
    def size(self) -> int:
        """Bytes of the largest image."""
        return self.end - self.start


REGIONS: Final = {
    Family.V1: Region(Family.V1, Target.MICROBIT_V1, 0x18000, 0x3C000, 0x3B800, 16 * KIB, old=True),
    Family.V2: Region(Family.V2, Target.MICROBIT_V2, 0x1C000, 0x77000, 0x74000, 128 * KIB, old=False),
}


@dataclass(frozen=True, slots=True)
class MicrobitImage:
    """What goes over the air: ``data`` to ``address``, announced by ``init_packet``."""

    family: Family
    address: int
    data: bytes
    init_packet: bytes

    @property
    def over_settings(self) -> bool:
        """Whether it reaches over the pages where the board keeps its bonds."""
        return self.address + len(self.data) > REGIONS[self.family].settings


def from_hex(part: HexPart, family: Family) -> MicrobitImage:
    """Cut out of a hex file what may be sent to boards of one family.

    Raises:
        FirmwareError: nothing may; ``reason`` is one of ``daplink``, ``wrong-board``, ``no-softdevice``,
            ``no-application`` and ``no-vectors``.
    """
    region = REGIONS[family]
    _refuse_daplink(part.memory)
    built = part.family or _built_for(part.memory)
    if built is not None and built != family:
        raise _wrong_board(built, family)
    if family == Family.V1 and part.memory.word(UICR_PYTHON) == PYTHON_V1:
        raise FirmwareError(
            "it is MicroPython for the micro:bit V1, which has no Bluetooth in it and starts at 0x0",
            remedy="copy it over USB",
            reason="no-softdevice",
        )
    data = part.memory.cut(region.start, region.end)
    if not data:
        raise FirmwareError(
            f"it has nothing from 0x{region.start:X} to 0x{region.end:X}, where a micro:bit {family} has its program",
            remedy="copy it over USB, or build a program with Bluetooth",
            reason="no-application",
        )
    return from_binary(data, family)


def from_binary(data: bytes, family: Family) -> MicrobitImage:
    """Check an application's bytes, and make the init packet that boards of one family need for them.

    Raises:
        FirmwareError: the boards cannot run it; ``reason`` is one of ``too-big``, ``no-vectors`` and ``wrong-board``.
    """
    region = REGIONS[family]
    check_program(data, region)
    whole = data + UNUSED * (-len(data) % WORD)
    init = make_legacy(whole, S110_V8) if family == Family.V1 else make_microbit(whole)
    return MicrobitImage(family, region.start, whole, init)


def check_program(data: bytes, region: Region) -> None:
    """See that an application's bytes are a program that boards with such a region can start.

    Raises:
        FirmwareError: they are not; ``reason`` is one of ``too-big``, ``no-vectors`` and ``wrong-board``.
    """
    if len(data) > region.size:
        raise FirmwareError(
            f"it has {len(data)} bytes, a {region.target.words} has room for {region.size}",
            remedy="make the program smaller",
            reason="too-big",
        )
    vectors = vectors_of(data)
    if vectors is None or not vectors.fit(region.start, region.start + len(data), ram=region.ram):
        raise FirmwareError(
            f"no program starts at 0x{region.start:X} in it, where a {region.target.words} looks for one",
            remedy="copy it over USB, or build a program with Bluetooth for this board",
            reason="no-vectors",
        )
    if vectors.old != region.old:
        raise _wrong_board(Family.V1 if vectors.old else Family.V2, region.family)


def _wrong_board(built: Family, family: Family) -> FirmwareError:
    return FirmwareError(
        f"it is built for the micro:bit {built}, not for the {family}",
        remedy=f"build it for the {family}, or save a Universal Hex",
        reason="wrong-board",
    )


def _refuse_daplink(memory: Memory) -> None:
    marked = any(DAPLINK_MARK in block.data for block in memory.blocks)
    unlike = memory.blocks[0].address == DAPLINK_START and memory.word(UICR_BOOTLOADER) is None
    if marked or unlike:
        raise FirmwareError(
            "it is for the micro:bit's USB interface chip (DAPLink), not a program",
            remedy="hold the reset button while plugging in, and copy it to the MAINTENANCE drive",
            reason="daplink",
        )


def _built_for(memory: Memory) -> Family | None:
    """For which family a file is that does not say it: by the chip's settings in it, else by the chip's core."""
    place = memory.word(UICR_BOOTLOADER)
    for region in REGIONS.values():
        if place == region.end:
            return region.family
    marks = {PYTHON_V1: Family.V1, PYTHON_V2: Family.V2}
    if (mark := memory.word(UICR_PYTHON)) in marks:
        return marks[mark]
    faults = memory.read(*FAULT_VECTORS)
    if faults is not None:
        return Family.V2 if any(faults) else Family.V1
    return None
