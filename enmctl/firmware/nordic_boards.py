"""For which boards an image of a Nordic package is, as far as the image and its init packet tell.

An init packet often names no SoftDevice, and a micro:bit V1 would not look at it; a program that was linked for a place
behind another SoftDevice does not start. So that place, as the program's own addresses tell it, counts too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import Family
from enmctl.firmware.microbit import KIB, REGIONS, check_program
from enmctl.firmware.nordic import NordicImage
from enmctl.firmware.nordic_init import ANY_SOFTDEVICE, S110_V8, LegacyInit, MicrobitInit, SecureInit
from enmctl.firmware.targets import Target
from enmctl.firmware.vectors import Vectors, likely_base, vectors_of

S130: Final = frozenset({0x67, 0x80, 0x87})
"""Ids of the SoftDevice of the nRF51822-DK, versions 1.0, 2.0.0 and 2.0.1."""

S130_BASES: Final = (0x1B000, 0x1C000)
"""Where its versions 2.0 and 1.0 let an application begin."""

BASES: Final = (0x18000, *S130_BASES, 0x16000, 0x1D000, 0x1F000)
"""Where SoftDevices of these chips let an application begin, the likeliest first."""

DK_RAM: Final = 32 * KIB

CHIPS: Final = {51: Target.NRF51, 52: Target.NRF52}
"""Hardware versions that Nordic's own bootloaders have; others are a vendor's."""

CHIP_OF: Final = {
    Target.MICROBIT_V1: Target.NRF51,
    Target.NRF51822DK: Target.NRF51,
    Target.MICROBIT_V2: Target.NRF52,
}


@dataclass(frozen=True, slots=True)
class Suits:
    """The boards, and the address at which the application begins there, where that is known."""

    targets: tuple[Target, ...]
    address: int | None = None


def suits(image: NordicImage) -> Suits:
    """The boards that an image is for.

    Raises:
        FirmwareError: for none; ``reason`` is one of ``no-vectors``, ``wrong-chip`` and those of ``check_program``.
    """
    vectors = vectors_of(image.data)
    init = image.init
    if image.system:
        return Suits((_chip(vectors, init),))
    if isinstance(init, MicrobitInit):
        region = REGIONS[Family.V2]
        check_program(image.data, region)
        return Suits((region.target,), region.start)
    if vectors is None:
        raise FirmwareError(
            "the application in it does not start like a program",
            remedy="make the package from the build's output, without a header",
            reason="no-vectors",
        )
    if isinstance(init, SecureInit):
        chip = CHIPS.get(init.hardware_version or 0)
        if chip is not None and vectors.old != (chip == Target.NRF51):
            raise FirmwareError(
                f"its init packet is for the hardware {init.hardware_version}, and the application for another chip",
                remedy="make the package for the right chip",
                reason="wrong-chip",
            )
        return Suits((chip or Target.NORDIC,))
    return _legacy(image.data, vectors, init)


def takes_system(board: Target, image: Collection[Target]) -> bool:
    """Whether a SoftDevice or a bootloader may be for a board: it tells the chip at most, and often not even that."""
    return not {board, CHIP_OF.get(board), Target.NORDIC}.isdisjoint(image)


def _legacy(data: bytes, vectors: Vectors, init: LegacyInit | None) -> Suits:
    if not vectors.old:
        return Suits((Target.NRF52,))
    bases = [base for base in BASES if vectors.fit(base, base + len(data))]
    base = likely_base(data, bases) if bases else None
    softdevices = {ANY_SOFTDEVICE} if init is None else set(init.softdevices)
    region = REGIONS[Family.V1]
    if base == region.start and softdevices & {ANY_SOFTDEVICE, S110_V8} and _runs(data):
        return Suits((region.target,), base)
    kit = base in S130_BASES and vectors.fit(0, base + len(data), ram=DK_RAM)
    if kit and init is not None and softdevices & {ANY_SOFTDEVICE, *S130}:
        return Suits((Target.NRF51822DK,), base)
    return Suits((Target.NRF51,))


def _runs(data: bytes) -> bool:
    try:
        check_program(data, REGIONS[Family.V1])
    except FirmwareError:
        return False
    return True


def _chip(vectors: Vectors | None, init: object) -> Target:
    if isinstance(init, SecureInit):
        return CHIPS.get(init.hardware_version or 0, Target.NORDIC)
    if vectors is None:
        return Target.NORDIC
    return Target.NRF51 if vectors.old else Target.NRF52
