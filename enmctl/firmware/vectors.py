"""How a program for a Cortex-M starts: the vector table tells what it is for, and whether it is a program at all.

The first word is the stack pointer, the second the address of the first instruction with its lowest bit set, fourteen
system handlers come before the interrupts (ARMv6-M and ARMv7-M Architecture Reference Manuals, B1.5). A Cortex-M0
(nRF51) has nothing in the places of three fault handlers that a Cortex-M4 (nRF52) has.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

RAM: Final = 0x20000000
RAM_MOST: Final = 256 * 1024
"""Bytes of RAM of the largest of these chips, the nRF52840."""

FLASH_MOST: Final = 1024 * 1024
"""Bytes of flash of the largest of these chips."""

HEAD: Final = struct.Struct("<7I")
"""Stack, reset, NMI, hard fault; and memory, bus and usage fault, which are zero on a Cortex-M0."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The start of a vector table; ``old`` tells a Cortex-M0 from a Cortex-M4."""

    stack: int
    reset: int
    old: bool

    def fit(self, start: int, end: int, *, ram: int = RAM_MOST) -> bool:
        """Whether a chip with so many bytes of RAM can start code that lies between two addresses."""
        in_ram = RAM < self.stack <= RAM + ram and self.stack % 4 == 0
        return in_ram and self.reset % 2 == 1 and start <= self.reset < end


def vectors_of(data: bytes) -> Vectors | None:
    """The vector table that a program starts with, None where the bytes cannot be one."""
    if len(data) < HEAD.size:
        return None
    stack, reset, _, _, *faults = HEAD.unpack_from(data)
    vectors = Vectors(stack, reset, not any(faults))
    return vectors if vectors.fit(0, FLASH_MOST) else None


def likely_base(data: bytes, bases: Iterable[int]) -> int:
    """The address that a program was linked for, the likeliest of some: the most of its words point into it there.

    A program is full of addresses of its own code and constants; only at its true place do they lie within it.
    """
    words = struct.unpack_from(f"<{len(data) // 4}I", data)
    pointers = sorted(word for word in words if 0 < word < FLASH_MOST)
    return max(bases, key=lambda base: bisect_left(pointers, base + len(data)) - bisect_left(pointers, base))
