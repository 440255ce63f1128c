"""Firmware for simulated boards with Nordic chips: small, whole in every word that a checker looks at, noise inside.

What a board is after it was flashed is told by the image's traits; see ``traits``.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from typing import Final

from enmctl.errors import UsageError
from enmctl.firmware.vectors import HEAD
from enmctl.simulator.nordic.chips import Layout
from enmctl.simulator.nordic.traits import (
    HASH_SIZE,
    MAGIC,
    PROGRAM_MARK,
    RUNTIME_MARK,
    ProgramTraits,
    RuntimeTraits,
    mark,
)

WORD: Final = 4
RAM: Final = 0x20000000
FIRST_CODE: Final = 0x41
"""Where the first instruction stands, odd as in every vector table."""

POINTER_EVERY: Final = 4
"""Every so many words of code hold an address within it, as compiled code does."""

SIZE_LEAST: Final = 1024


def make_image(
    layout: Layout,
    program: ProgramTraits | None = None,
    *,
    runtime: RuntimeTraits | None = None,
    size: int = 8192,
    code_size: int | None = None,
    seed: int = 0,
    runtime_seed: int = 0,
) -> bytes:
    """Make an application's bytes; the same arguments give the same bytes.

    With a runtime that takes partial flashing, the user's part begins at a page with MakeCode's magic and the hashes of
    both, and the runtime's part depends on nothing but the runtime's traits and seed and on its size.

    Args:
        layout: the board that it is for.
        program: what the user's program is like.
        runtime: what its runtime is like.
        size: bytes of the whole, a multiple of 4.
        code_size: about how many of them are the user's part, half of them where left out.
        seed: what the noise of the user's part is made from.
        runtime_seed: the same for the runtime's part.

    Raises:
        UsageError: no such image can be made.
    """
    program, runtime = program or ProgramTraits(), runtime or RuntimeTraits()
    if not SIZE_LEAST <= size <= layout.room or size % WORD:
        raise UsageError(
            f"an image of {size} bytes cannot be made", remedy=f"use a multiple of 4 from {SIZE_LEAST} to {layout.room}"
        )
    if not runtime.partial:
        head = _runtime_part(layout, runtime, size, runtime_seed, seed)
        return _whole(_marked(head, program, HEAD.size + len(mark(RUNTIME_MARK, runtime))))
    page = layout.chip.page
    start = (size - (size // 2 if code_size is None else code_size)) // page * page
    if start < page or size - start < page // 2:
        raise UsageError(
            f"an image of {size} bytes has no room for a page of its own for the program",
            remedy=f"use {4 * page} bytes or more",
        )
    first = _runtime_part(layout, runtime, start, runtime_seed, None)
    rest = _noise(layout.application + start, size - start, f"{seed}/{program}")
    blank = MAGIC + bytes(2 * HASH_SIZE)
    code = _marked(rest, program, len(blank))
    digests = hashlib.sha256(first).digest()[:HASH_SIZE] + hashlib.sha256(code[len(blank) :]).digest()[:HASH_SIZE]
    return _whole(first + MAGIC + digests + code[len(blank) :])


def spoilt(image: bytes, place: int) -> bytes:
    """The same image with one bit wrong."""
    return image[:place] + bytes([image[place] ^ 1]) + image[place + 1 :]


def _runtime_part(layout: Layout, runtime: RuntimeTraits, size: int, seed: int, program_seed: int | None) -> bytes:
    """Vectors, the runtime's mark and noise."""
    base = layout.application
    faults = [0, 0, 0] if layout.chip.old else [base + FIRST_CODE + 2 * number for number in (3, 4, 5)]
    handlers = [base + FIRST_CODE + 2 * number for number in range(3)]
    head = HEAD.pack(RAM + layout.chip.ram, *handlers, *faults) + mark(RUNTIME_MARK, runtime)
    noise = _noise(base, size, f"{seed}/{program_seed}/{runtime}")
    return head + noise[len(head) :]


def _noise(base: int, size: int, seed: str) -> bytes:
    chance = random.Random(seed)  # noqa: S311 - filling, not a secret
    words = list(struct.unpack(f"<{size // WORD}I", chance.randbytes(size)))
    for place in range(0, len(words), POINTER_EVERY):
        words[place] = base + words[place] % size
    return struct.pack(f"<{len(words)}I", *words)


def _marked(data: bytes, program: ProgramTraits, place: int) -> bytes:
    """Put the program's mark into noise."""
    text = mark(PROGRAM_MARK, program)
    if place + len(text) > len(data):
        raise UsageError("the image has no room for its own description", remedy="make it larger or its name shorter")
    return data[:place] + text + data[place + len(text) :]


def _whole(image: bytes) -> bytes:
    """Write down the size, and the checksum of all of it."""
    place = image.index(PROGRAM_MARK) + len(PROGRAM_MARK)
    sized = image[:place] + struct.pack("<II", len(image), 0) + image[place + 8 :]
    return sized[: place + 4] + zlib.crc32(sized).to_bytes(4, "little") + sized[place + 8 :]
