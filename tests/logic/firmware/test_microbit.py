"""What of a program may go over the air to a micro:bit, and what may not."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import Family, read_hex
from enmctl.firmware.microbit import REGIONS, MicrobitImage, from_binary, from_hex
from enmctl.firmware.nordic_init import LegacyInit, MicrobitInit, read_init
from tests.logic.firmware.made import (
    UICR,
    V1_BASE,
    V1_BOARD,
    V1_END,
    V2_BASE,
    V2_BOARD,
    V2_END,
    crc16,
    microbit_init,
    program,
    thin,
    universal,
    v1_pieces,
    v2_pieces,
)

PYTHON_UICR = 0x100010C0
PYTHON_V1 = bytes.fromhex("7cb0ee17")
PYTHON_V2 = bytes.fromhex("7cb0ee47")


def cut(pieces: Mapping[int, bytes], family: Family) -> MicrobitImage:
    (part,) = read_hex(thin(pieces)).parts
    return from_hex(part, family)


def reason(pieces: Mapping[int, bytes], family: Family) -> str:
    with pytest.raises(FirmwareError) as caught:
        cut(pieces, family)
    assert caught.value.remedy
    return caught.value.reason


def test_a_program_for_the_v1_is_cut_out_and_announced_with_its_crc() -> None:
    image = cut(v1_pieces(4099), Family.V1)
    assert image.address == V1_BASE
    assert image.data == program(V1_BASE, 4099) + b"\xff"
    assert image.init_packet == bytes.fromhex("ffff ffff ffffffff 0100 6400") + struct.pack("<H", crc16(image.data))
    assert not image.over_settings


def test_a_program_for_the_v2_is_cut_out_and_announced_with_its_reversed_hash() -> None:
    image = cut(v2_pieces(4098), Family.V2)
    assert image.address == V2_BASE
    assert image.data == program(V2_BASE, 4098, old=False, stack=0x20020000) + b"\xff\xff"
    assert image.init_packet == microbit_init(image.data)
    assert image.init_packet[24:] == hashlib.sha256(image.data).digest()[::-1]


def test_the_init_packets_are_read_as_what_they_are() -> None:
    v1 = read_init(cut(v1_pieces(), Family.V1).init_packet)
    v2 = read_init(cut(v2_pieces(), Family.V2).init_packet)
    assert isinstance(v1, LegacyInit)
    assert v1.softdevices == (0x64,)
    assert isinstance(v2, MicrobitInit)
    assert v2.application_size == 4096


def test_gaps_are_sent_as_erased_flash_and_nothing_behind_the_last_byte() -> None:
    pieces = {**v1_pieces(64), V1_BASE + 128: b"end"}
    image = cut(pieces, Family.V1)
    assert image.data == program(V1_BASE, 64) + b"\xff" * 64 + b"end\xff"


def test_a_program_that_reaches_over_the_bonds_says_so() -> None:
    pieces = {**v1_pieces(64), 0x3B900: b"bonds"}
    assert cut(pieces, Family.V1).over_settings


@pytest.mark.parametrize(("pieces", "wrong"), [(v1_pieces(), Family.V2), (v2_pieces(), Family.V1)])
def test_a_program_for_the_one_is_refused_for_the_other(pieces: Mapping[int, bytes], wrong: Family) -> None:
    assert reason(pieces, wrong) == "wrong-board"


@pytest.mark.parametrize("family", list(Family))
def test_a_program_alone_is_known_by_its_core(family: Family) -> None:
    region = REGIONS[family]
    other = Family.V1 if family == Family.V2 else Family.V2
    pieces = {region.start: program(region.start, 0x6000, old=region.old)}
    assert cut(pieces, family).family == family
    assert reason(pieces, other) in {"no-vectors", "no-application"}
    swapped = {region.start: program(region.start, 0x6000, old=not region.old)}
    assert reason(swapped, family) == "wrong-board"


def test_a_core_without_settings_is_told_by_the_vectors_at_zero() -> None:
    v1 = {0: program(0, 64, old=True), V1_BASE: program(V1_BASE)}
    assert cut(v1, Family.V1).family == Family.V1
    assert reason(v1, Family.V2) == "wrong-board"
    assert reason({**v1, 0: program(0, 64, old=False)}, Family.V1) == "wrong-board"


def test_a_part_of_a_universal_hex_is_for_the_family_that_it_names() -> None:
    v1, v2 = read_hex(universal([(V1_BOARD, v1_pieces()), (V2_BOARD, v2_pieces())])).parts
    assert from_hex(v1, Family.V1).data == v1_pieces()[V1_BASE]
    assert from_hex(v2, Family.V2).data == v2_pieces()[V2_BASE]
    with pytest.raises(FirmwareError):
        from_hex(v1, Family.V2)
    (mislabelled,) = read_hex(universal([(V1_BOARD, v2_pieces())])).parts
    with pytest.raises(FirmwareError):
        from_hex(mislabelled, Family.V1)


def test_micropython_for_the_v1_is_refused_for_both() -> None:
    pieces = {0: program(0, 0x20000), PYTHON_UICR: PYTHON_V1 + bytes(24)}
    assert reason(pieces, Family.V1) == "no-softdevice"
    assert reason(pieces, Family.V2) == "wrong-board"


def test_micropython_for_the_v2_is_known_by_its_mark() -> None:
    pieces = {V2_BASE: program(V2_BASE, old=False), PYTHON_UICR: PYTHON_V2 + bytes(24)}
    assert cut(pieces, Family.V2).family == Family.V2
    assert reason(pieces, Family.V1) == "wrong-board"


@pytest.mark.parametrize("family", list(Family))
def test_an_image_of_the_usb_interface_is_refused(family: Family) -> None:
    assert reason({0x8000: program(0x8000, 0x18000)}, family) == "daplink"
    assert reason({**v1_pieces(), 0x20000: b"..Daplink Mode: Interface"}, family) == "daplink"


@pytest.mark.parametrize("family", list(Family))
def test_an_image_with_no_program_or_no_vectors_is_refused(family: Family) -> None:
    region = REGIONS[family]
    settings_ = {UICR: struct.pack("<I", region.end)}
    assert reason({0: bytes(64), **settings_}, family) == "no-application"
    assert reason({region.start: b"\xff" * 64, **settings_}, family) == "no-vectors"
    assert reason({region.start + 4: program(region.start, 64), **settings_}, family) == "no-vectors"


@pytest.mark.parametrize(
    ("stack", "reset", "good"),
    [
        (0x20004000, V1_BASE + 0x41, True),
        (0x20004004, V1_BASE + 0x41, False),
        (0x20000000, V1_BASE + 0x41, False),
        (0x20002001, V1_BASE + 0x41, False),
        (0x20002000, V1_BASE + 0x40, False),
        (0x20002000, V1_BASE - 1, False),
        (0x20002000, V1_BASE + 255, True),
        (0x20002000, V1_BASE + 257, False),
        (0, 0, False),
    ],
)
def test_a_program_starts_with_a_stack_in_ram_and_an_odd_address_in_itself(stack: int, reset: int, good: bool) -> None:
    data = struct.pack("<2I", stack, reset) + bytes(248)
    if good:
        assert from_binary(data, Family.V1).data == data
    else:
        with pytest.raises(FirmwareError) as caught:
            from_binary(data, Family.V1)
        assert caught.value.reason == "no-vectors"


@pytest.mark.parametrize(("family", "base", "end"), [(Family.V1, V1_BASE, V1_END), (Family.V2, V2_BASE, V2_END)])
def test_an_image_fills_its_region_and_no_more(family: Family, base: int, end: int) -> None:
    data = program(base, end - base, old=family == Family.V1)
    assert len(from_binary(data, family).data) == end - base
    with pytest.raises(FirmwareError) as caught:
        from_binary(data + bytes(4), family)
    assert caught.value.reason == "too-big"


@given(st.dictionaries(st.integers(0, 0x80000), st.binary(min_size=1, max_size=64), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_random_memory_is_cut_or_refused(pieces: dict[int, bytes]) -> None:
    try:
        parts = read_hex(thin(pieces)).parts
    except FirmwareError:
        return
    for family in Family:
        with pytest.raises(FirmwareError) as caught:
            from_hex(parts[0], family)
        assert caught.value.remedy
