"""The chips of simulated boards, and where on each board's flash things lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip as its flash and core matter; times in seconds, of one page and of one word of four bytes.

    ``old`` tells a Cortex-M0 from a Cortex-M4, whose vector tables differ.
    """

    name: str
    size: int
    page: int
    erase_seconds: float
    word_seconds: float
    ram: int
    old: bool


NRF51: Final = Chip("nRF51822", 256 * KIB, KIB, 0.022, 46e-6, 16 * KIB, old=True)
"""nRF51822 Product Specification: page erase 22.3 ms at most, word write 46.3 µs at most."""

NRF51_AC: Final = Chip("nRF51422", 256 * KIB, KIB, 0.022, 46e-6, 32 * KIB, old=True)
NRF52832: Final = Chip("nRF52832", 512 * KIB, 4 * KIB, 0.0875, 41e-6, 64 * KIB, old=False)
NRF52833: Final = Chip("nRF52833", 512 * KIB, 4 * KIB, 0.0875, 41e-6, 128 * KIB, old=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where on a board's flash things begin; what a board does not have is None.

    The application reaches from ``application`` to the bootloader. ``settings`` is the bootloader's own page,
    ``backup`` a second one of the same. ``storage`` is the page of the application's key-value store, ``code_end`` is
    what partial flashing tells as the end of the user's program, and ``sources_end`` where it stops looking for old
    source code.
    """

    chip: Chip
    application: int
    bootloader: int
    settings: int
    backup: int | None = None
    bonds: int | None = None
    storage: int | None = None
    code_end: int | None = None
    sources_end: int | None = None

    @property
    def room(self) -> int:
        """Bytes of the largest application."""
        return self.bootloader - self.application

    @property
    def data_end(self) -> int:
        """Where the application's own pages for data begin, or its end where there are none."""
        pages = [page for page in (self.bonds, self.storage, self.sources_end) if page is not None]
        return min(pages, default=self.bootloader)


MICROBIT_V1: Final = Layout(
    NRF51,
    0x18000,
    0x3C000,
    settings=0x3FC00,
    bonds=0x3B800,
    storage=0x3BC00,
    code_end=0x3BBFF,
    sources_end=0x3B400,
)
MICROBIT_V2: Final = Layout(
    NRF52833,
    0x1C000,
    0x77000,
    settings=0x7F000,
    backup=0x7E000,
    bonds=0x75000,
    storage=0x74000,
    code_end=0x73000,
    sources_end=0x73000,
)
NRF51822DK: Final = Layout(NRF51_AC, 0x1B000, 0x3C000, settings=0x3FC00)
"""With SoftDevice S130 2.0, as SDK 11 has it."""

NRF52_S132: Final = Layout(NRF52832, 0x26000, 0x78000, settings=0x7F000, backup=0x7E000)
"""With SoftDevice S132 6, as SDK 15 has it."""
