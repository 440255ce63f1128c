"""What a program is like, as the flash of a simulated board tells it.

Images for simulated boards carry two marks: the runtime's (how it pairs, whether it takes partial flashing), which
stays when only the user's program is flashed, and the program's (its name, what it offers), with a checksum of the
whole image: a splice of two images does not run. Real firmware has neither, and behaves as an ordinary program does.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from enmctl.firmware.vectors import HEAD, vectors_of
from enmctl.simulator.nordic.chips import Layout
from enmctl.simulator.nordic.flash import Flash

RUNTIME_MARK: Final = b"\x9a\xc4simulated-run\0"
PROGRAM_MARK: Final = b"\x9a\xc4simulated-app\0"
LENGTH: Final = struct.Struct("<H")
WHOLE: Final = struct.Struct("<II")
"""Size of the image, and its CRC-32 with this word as zero."""

MAGIC: Final = bytes.fromhex("708E3B92C615A841C49866C975EE5197")
"""Begins the page of a MakeCode program; the hashes of runtime and program follow."""

HASH_SIZE: Final = 8
NO_HASH: Final = bytes(HASH_SIZE)


@dataclass(frozen=True, slots=True)
class RuntimeTraits:
    """What comes with the runtime (DAL, CODAL) that a program is built on.

    ``open`` needs no bond, ``whitelist`` is heard by bonded peers alone unless it is there for pairing, ``passkey``
    pairs by six digits, ``partial`` takes partial flashing.
    """

    open: bool = True
    whitelist: bool = False
    passkey: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class ProgramTraits:
    """What comes with the user's program.

    ``name`` is what it is called, as an application's id, "" for the board's own name. ``prefix`` comes before that on
    a micro:bit. ``bluetooth`` is off in programs that use the radio otherwise, ``led`` shows texts that are sent.
    """

    name: str = ""
    prefix: str = "BBC micro:bit"
    bluetooth: bool = True
    led: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A program in the flash: its bytes, 0 where that is not known, and where the user's part of it begins."""

    runtime: RuntimeTraits
    program: ProgramTraits
    size: int = 0
    code: int | None = None


UNMARKED: Final = Found(RuntimeTraits(), ProgramTraits())
"""What is taken for granted of real firmware: open, and heard by everybody, so that a simulation stays usable."""


def mark(kind: bytes, traits: RuntimeTraits | ProgramTraits) -> bytes:
    """A mark, as it stands in an image; the program's has room for ``WHOLE``."""
    text = json.dumps(asdict(traits), separators=(",", ":")).encode()
    room = bytes(WHOLE.size) if kind == PROGRAM_MARK else b""
    return kind + room + LENGTH.pack(len(text)) + text


def find(
    flash: Flash, layout: Layout, *, known_size: int, unfinished: bool = False, unmarked: Found = UNMARKED
) -> Found | None:
    """The program that starts at the application's place, None where nothing would run.

    Args:
        flash: the flash.
        layout: where things are in it.
        known_size: bytes of the application, as the bootloader knows it, 0 where it does not.
        unfinished: a partial flashing was begun and not ended: the program does not start, only its runtime does.
        unmarked: what is taken for granted of firmware without marks.
    """
    start = layout.application
    vectors = vectors_of(flash.read(start, HEAD.size))
    if vectors is None or not vectors.fit(start, layout.bootloader, ram=layout.chip.ram):
        return None
    if vectors.old != layout.chip.old:
        return None
    end = start + known_size if known_size else layout.data_end
    runtime = _runtime(flash.memory, start, end)
    if unfinished:
        return replace(
            unmarked, runtime=runtime or replace(unmarked.runtime, partial=True), code=code_page(flash, layout)
        )
    place = flash.memory.find(PROGRAM_MARK, start, end)
    if place < 0:
        code = code_page(flash, layout)
        partial = runtime or replace(unmarked.runtime, partial=unmarked.runtime.partial or code is not None)
        return replace(unmarked, runtime=partial, size=0 if code is not None else known_size, code=code)
    found = _program(flash.memory, start, place, layout.room)
    if found is None:
        return None
    program, size = found
    return Found(runtime or unmarked.runtime, program, size, code_page(flash, layout))


def code_page(flash: Flash, layout: Layout) -> int | None:
    """Where a page begins with the magic of a MakeCode program."""
    for page in range(layout.application, layout.data_end, layout.chip.page):
        if flash.memory.startswith(MAGIC, page):
            return page
    return None


def hashes(flash: Flash, code: int) -> tuple[bytes, bytes]:
    """The hashes of runtime and program behind the magic."""
    place = code + len(MAGIC)
    return flash.read(place, HASH_SIZE), flash.read(place + HASH_SIZE, HASH_SIZE)


def _runtime(memory: bytearray, start: int, end: int) -> RuntimeTraits | None:
    place = memory.find(RUNTIME_MARK, start, end)
    values = {} if place < 0 else _json(memory, place + len(RUNTIME_MARK))
    return RuntimeTraits(**values) if _fits(values, RuntimeTraits) else None


def _program(memory: bytearray, start: int, place: int, room: int) -> tuple[ProgramTraits, int] | None:
    """The program's traits and the image's size, if the image is whole."""
    behind = place + len(PROGRAM_MARK)
    size, crc = WHOLE.unpack_from(memory, behind)
    values = _json(memory, behind + WHOLE.size)
    if not behind - start < size <= room or not _fits(values, ProgramTraits):
        return None
    image = memory[start : start + size]
    image[behind + 4 - start : behind + 8 - start] = bytes(4)
    return (ProgramTraits(**values), size) if zlib.crc32(image) == crc else None


def _json(memory: bytearray, place: int) -> dict[str, Any]:
    (length,) = LENGTH.unpack_from(memory, place)
    text = bytes(memory[place + LENGTH.size : place + LENGTH.size + length])
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _fits(values: dict[str, Any], kind: type[RuntimeTraits | ProgramTraits]) -> bool:
    return set(values) == {field.name for field in fields(kind)}
