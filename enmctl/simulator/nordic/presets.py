"""Simulated boards as they come from the factory, each in one call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from enmctl.firmware.nordic_init import crc16
from enmctl.simulator.nordic import applications, legacy_rules, secure_rules
from enmctl.simulator.nordic.board import Applications, Loader, NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, NRF52_S132, NRF51822DK, Layout
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.legacy_loader import LegacyLoader
from enmctl.simulator.nordic.legacy_rules import LegacyOptions
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.program import Machine
from enmctl.simulator.nordic.secure_loader import SecureLoader
from enmctl.simulator.nordic.secure_rules import SecureOptions
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits

FACTORY_SIZE: Final = 8192


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of board: its name, where things are in its flash, its bootloader and its programs."""

    name: str
    layout: Layout
    loader: Loader
    programs: Applications

    def board(self, serial: int, address: str, image: bytes, content: bytes | None) -> NordicBoard:
        """One of them, with an application in its flash, or with a flash from before."""
        if content is None:
            content = _content(self.layout, self.loader, image)
        machine = Machine(self.layout, address or address_of(serial), serial, content)
        return NordicBoard(self.name, machine, self.loader, self.programs)


MAKECODE: Final = RuntimeTraits(open=True, partial=True)
"""A MakeCode program that anybody may flash."""

SERIAL: Final = 1


def microbit_v1(
    serial: int = SERIAL,
    *,
    image: bytes | None = None,
    runtime: RuntimeTraits = MAKECODE,
    program: ProgramTraits | None = None,
    content: bytes | None = None,
    habits: Habits | None = None,
    options: LegacyOptions = legacy_rules.MICROBIT,
    address: str = "",
) -> NordicBoard:
    """A micro:bit V1.

    Args:
        serial: its chip's number; name and address follow from it.
        image: the application in it; a small one with ``runtime`` and ``program`` where left out, none where b"".
        runtime: see ``image``.
        program: see ``image``.
        content: its whole flash, as ``Flash.image`` gave it before, instead.
        habits: what it does otherwise.
        options: how its bootloader is built.
        address: its Bluetooth address.
    """
    programs = applications.microbit(habits or Habits())
    image = factory_image(MICROBIT_V1, runtime, program) if image is None else image
    kind = Kind("microbit-v1", MICROBIT_V1, LegacyLoader(options), programs)
    return kind.board(serial, address, image, content)


def microbit_v2(
    serial: int = SERIAL,
    *,
    image: bytes | None = None,
    runtime: RuntimeTraits = MAKECODE,
    program: ProgramTraits | None = None,
    content: bytes | None = None,
    habits: Habits | None = None,
    options: SecureOptions = secure_rules.MICROBIT,
    address: str = "",
) -> NordicBoard:
    """A micro:bit V2; see ``microbit_v1``."""
    programs = applications.microbit(habits or Habits())
    image = factory_image(MICROBIT_V2, runtime, program) if image is None else image
    kind = Kind("microbit-v2", MICROBIT_V2, SecureLoader(options), programs)
    return kind.board(serial, address, image, content)


def nrf51822dk(
    serial: int = SERIAL,
    *,
    image: bytes | None = None,
    program: ProgramTraits | None = None,
    content: bytes | None = None,
    options: LegacyOptions | None = None,
    address: str = "",
) -> NordicBoard:
    """An nRF51822-DK with SDK 11, two banks and directed advertising; see ``microbit_v1``."""
    image = factory_image(NRF51822DK, RuntimeTraits(), program) if image is None else image
    kind = Kind("nrf51822dk", NRF51822DK, LegacyLoader(options or LegacyOptions()), applications.nrf51822dk())
    return kind.board(serial, address, image, content)


def stock_legacy(serial: int = SERIAL, *, image: bytes | None = None, address: str = "") -> NordicBoard:
    """A board with SDK 11 as many are built: one bank, and after a jump the next address instead of directed."""
    options = replace(LegacyOptions(), dual_bank=False, directed=False, called_step=1)
    return nrf51822dk(serial, image=image, options=options, address=address)


def stock_secure(
    serial: int = SERIAL,
    *,
    image: bytes | None = None,
    program: ProgramTraits | None = None,
    content: bytes | None = None,
    options: SecureOptions | None = None,
    address: str = "",
) -> NordicBoard:
    """A board with SDK 15 as it comes; see ``microbit_v1``."""
    image = factory_image(NRF52_S132, RuntimeTraits(), program) if image is None else image
    kind = Kind("stock-secure", NRF52_S132, SecureLoader(options or SecureOptions()), applications.stock_secure())
    return kind.board(serial, address, image, content)


@lru_cache(maxsize=64)
def factory_image(layout: Layout, runtime: RuntimeTraits, program: ProgramTraits | None) -> bytes:
    """The application that new boards have; all with the same traits share it."""
    size = FACTORY_SIZE if layout.chip.old else 2 * FACTORY_SIZE
    return make_image(layout, program, runtime=runtime, size=size)


def address_of(serial: int) -> str:
    """A random static address, the same for the same chip."""
    return (b"\xe5\x1d" + (serial & 0xFFFFFFFF).to_bytes(4, "big")).hex(":").upper()


@lru_cache(maxsize=16)
def _installed(layout: Layout, loader: Loader, image: bytes) -> bytes:
    machine = Machine(layout, address_of(0), 0)
    machine.flash.memory[layout.application : layout.application + len(image)] = image
    loader.install(machine, len(image), crc16(image))
    machine.flash.settle(machine.flash.free_at)
    return machine.flash.image()


def _content(layout: Layout, loader: Loader, image: bytes) -> bytes:
    """The flash of a board that left the factory with an application, or without one."""
    return _installed(layout, loader, image) if image else Machine(layout, address_of(0), 0).flash.image()
