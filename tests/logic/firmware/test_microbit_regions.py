"""Which part of a micro:bit's program is the user's, and on what it runs."""

from __future__ import annotations

import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enmctl.firmware.hex import Family
from enmctl.firmware.microbit_regions import BLOCK, MAKECODE_MARK, PAGES, user_part
from tests.logic.firmware.made import V1_BASE, V2_BASE

RUNTIME = bytes.fromhex("8e76592a9cb06b29")
OWN = bytes.fromhex("8300a70050005500")
VERSION = b"micro:bit v2.1.2+0fd5d2f on 2023-10-30; MicroPython v1.18 on 2023-10-30"


def makecode(before: int, *, runtime: bytes = RUNTIME, code: bytes = b"code") -> bytes:
    return b"\x11" * before + MAKECODE_MARK + runtime + OWN + code


def python(*, files: bytes = b"files", kind: int = 2, tail: bytes = bytes.fromhex("9DD7B1C1")) -> bytes:
    """A runtime of three pages whose last one ends with the table, and one page on the files."""
    page = PAGES[Family.V2]
    pointer = struct.pack("<II", V2_BASE, 0)
    rows = (
        struct.pack("<BBHI8s", 1, 2, 0, 0, pointer),
        struct.pack("<BBHI8s", 2, kind, V2_BASE // page, 3 * page, pointer),
        struct.pack("<BBHI8s", 3, 0, V2_BASE // page + 4, 2 * page, bytes(8)),
    )
    table = b"".join(rows) + bytes.fromhex("FE307F59") + struct.pack("<HHHH", 1, 48, 3, 12) + tail
    return (VERSION + b"\0").ljust(3 * page - len(table), b"\x22") + table + bytes(page) + files


@pytest.mark.parametrize(("family", "base", "page"), [(Family.V1, V1_BASE, 0x400), (Family.V2, V2_BASE, 0x1000)])
def test_makecodes_part_begins_at_its_mark_at_the_start_of_a_page_and_goes_in_whole_blocks(
    family: Family, base: int, page: int
) -> None:
    found = user_part(makecode(3 * page), base, family)
    assert found is not None
    assert (found.address, found.runtime_hash, found.own_hash) == (base + 3 * page, RUNTIME, OWN)
    assert found.data.startswith(MAKECODE_MARK + RUNTIME + OWN + b"code\xff")
    assert len(found.data) == BLOCK
    assert found.page == page


@pytest.mark.parametrize(
    "image",
    [makecode(3 * 0x400 + 16), makecode(0x400, runtime=bytes(8)), makecode(0x400)[: 0x400 + 24], b"", b"\xff" * 9000],
    ids=["inside a page", "without a runtime's hash", "cut off", "empty", "blank"],
)
def test_an_image_without_a_whole_mark_has_no_part_of_its_own(image: bytes) -> None:
    assert user_part(image, V1_BASE, Family.V1) is None


def test_micropythons_part_is_its_files_and_its_runtime_is_known_by_the_crc_of_its_version() -> None:
    found = user_part(python(), V2_BASE, Family.V2)
    assert found is not None
    assert (found.address, found.own_hash) == (V2_BASE + 4 * 0x1000, None)
    assert found.runtime_hash == struct.pack("<II", crc32(VERSION), 0)
    assert found.data == b"files".ljust(BLOCK, b"\xff")


@pytest.mark.parametrize(
    "image", [python(files=b""), python(tail=bytes(4))], ids=["without files", "without the table's end"]
)
def test_micropython_without_files_or_table_has_no_part_of_its_own(image: bytes) -> None:
    assert user_part(image, V2_BASE, Family.V2) is None


def test_micropython_is_looked_for_on_the_v2_alone() -> None:
    assert user_part(python(), V2_BASE, Family.V1) is None


@given(st.data(), st.sampled_from(list(Family)))
def test_no_image_makes_it_stumble_and_what_it_finds_lies_in_the_image(data: st.DataObject, family: Family) -> None:
    base = data.draw(st.sampled_from([makecode(0x1000), python(), b""]))
    at = data.draw(st.integers(0, max(0, len(base) - 1)))
    image = base[:at] + data.draw(st.binary(max_size=64)) + base[at + data.draw(st.integers(0, 64)) :]
    found = user_part(image, V2_BASE, family)
    if found is not None:
        start = found.address - V2_BASE
        assert image[start:].startswith(found.data.rstrip(b"\xff"))
        assert len(found.data) % BLOCK == 0
