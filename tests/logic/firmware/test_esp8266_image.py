from __future__ import annotations

import functools
import operator
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError
from enmctl.firmware.esp8266 import (
    APPLICATION_AT,
    STAMP_AT,
    built_for_flash,
    crc_msb_first,
    embedded_version,
    read_image,
    xor_of,
)
from enmctl.simulator.images import esp8266_image

SMALL = esp8266_image(fw="1.2.3", size=8192, seed=1)
OLD = esp8266_image(fw="1.2.3", size=8192, seed=1, with_length_crc=False)
QUICK = settings(max_examples=150, deadline=None)


def reason(data: bytes, **options: int) -> str:
    with pytest.raises(FirmwareError) as caught:
        read_image(data, **options)
    assert caught.value.remedy
    assert caught.value.permanent
    return caught.value.reason


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def slow_crc(data: bytes) -> int:
    """The bitwise definition, from the facts: the fast one must agree with it."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            top = (crc >> 31) ^ (byte >> bit & 1)
            crc = (crc << 1) & 0xFFFFFFFF ^ (0x04C11DB7 if top else 0)
    return crc


def test_a_good_image_tells_all_that_is_in_it() -> None:
    image = read_image(SMALL)
    assert image.size == image.application_size == len(SMALL)
    assert image.flash_size == built_for_flash(SMALL) == 4 << 20
    assert image.stamped
    assert not image.signed
    assert image.embedded_version == "1.2.3"
    assert image.entry == 0x40100000
    assert [segment.address for segment in image.boot_segments] == [0x4010F000]
    assert [segment.address for segment in image.segments] == [0x40201010, 0x40100000, 0x3FFE8000]
    assert image.segments[0].offset == 0x1010


def test_an_image_of_an_old_core_without_length_and_crc_is_good() -> None:
    assert not read_image(OLD).stamped


def test_the_crc_is_the_one_of_the_bitwise_definition() -> None:
    assert crc_msb_first(b"123456789") == 0x0376E6E7
    assert crc_msb_first(SMALL[:999]) == slow_crc(SMALL[:999])


@given(st.binary(max_size=300))
@QUICK
def test_the_folded_xor_is_the_xor_of_all_bytes(data: bytes) -> None:
    assert xor_of(data) == functools.reduce(operator.xor, data, 0)


def test_a_megabyte_is_verified_within_a_tenth_of_a_second() -> None:
    image = esp8266_image(fw="1", size=1_000_000)
    started = time.process_time()
    read_image(image)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize("image", [SMALL, OLD], ids=["stamped", "old core"])
@given(data=st.data())
@QUICK
def test_every_flipped_bit_in_a_segment_is_noticed(image: bytes, data: st.DataObject) -> None:
    parts = read_image(image)
    segment = data.draw(st.sampled_from([*parts.boot_segments, *parts.segments]))
    at = data.draw(st.integers(segment.offset, segment.offset + segment.size - 1))
    flipped = changed(image, at, bytes([image[at] ^ 1 << data.draw(st.integers(0, 7))]))
    assert reason(flipped) in {"bad-checksum", "bad-crc"}


@pytest.mark.parametrize("seed", range(8))
def test_every_flipped_bit_of_the_length_and_crc_is_noticed(seed: int) -> None:
    image = esp8266_image(fw=None, size=8192, seed=seed)
    for bit in range(64):
        at = STAMP_AT + bit // 8
        assert reason(changed(image, at, bytes([image[at] ^ 1 << bit % 8]))) == "bad-crc"


def test_any_flipped_bit_of_a_stamped_image_is_noticed_headers_and_padding_too() -> None:
    for at in range(0, len(SMALL), 7):
        reason(changed(SMALL, at, bytes([SMALL[at] ^ 1 << at % 8])))


@given(st.integers(0, len(SMALL) - 1))
@QUICK
def test_a_truncated_image_is_refused_at_every_length(length: int) -> None:
    assert reason(SMALL[:length]) == ("truncated" if length else "empty")
    assert reason(OLD[:length]) == ("truncated" if length else "empty")


@given(st.binary(max_size=6000))
@QUICK
def test_random_bytes_raise_nothing_but_a_firmware_error(data: bytes) -> None:
    reason(data)
    reason(b"\xe9" + data)


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6))
@QUICK
def test_random_damage_raises_nothing_but_a_firmware_error(damage: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for at, value in damage:
        data[at] = value
    try:
        read_image(bytes(data))
    except FirmwareError:
        return
    assert bytes(data) == SMALL


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\x7fELF" + bytes(9000), "elf"),
        (b":020000040000FA\n" * 900, "intel-hex"),
        (b"UF2\n" + bytes(9000), "uf2"),
        (b"PK\x03\x04" + bytes(9000), "zip"),
        (b"\x1f\x8b\x08" + bytes(9000), "gzip"),
        (b"<!DOCTYPE html>" + b"x" * 9000, "html"),
        (b"\xea\x04" + bytes(9000), "espressif-v2"),
        (struct.pack("<BBBBI", 0xE9, 7, 2, 0x20, 0x40081234) + bytes(9000), "esp32"),
        (struct.pack("<BBBBI", 0xE9, 3, 2, 0x20, 0x403799A4) + bytes(9000), "esp32"),
        (bytes(9000), "not-firmware"),
        (b"\xff" * 9000, "not-firmware"),
        (SMALL[:9], "truncated"),
        (bytes(3 * 1024 * 1024), "too-big"),
    ],
)
def test_each_usual_mix_up_is_named(data: bytes, why: str) -> None:
    assert reason(data) == why


def test_an_image_without_an_application_is_refused() -> None:
    assert reason(changed(SMALL, APPLICATION_AT, b"\xff")) == "no-application"
    assert reason(SMALL[APPLICATION_AT:] + bytes(6000)) == "no-application"


def test_trailing_bytes_are_refused_unless_few_or_a_signature() -> None:
    assert read_image(SMALL + bytes(16)).size == len(SMALL) + 16
    assert reason(SMALL + bytes(17)) == "trailing-bytes"
    assert reason(SMALL + SMALL) == "trailing-bytes"
    signed = read_image(SMALL + bytes(256) + struct.pack("<I", 256))
    assert signed.signed
    assert signed.stamped
    assert signed.application_size == len(SMALL)
    assert reason(SMALL + bytes(255) + struct.pack("<I", 256)) == "trailing-bytes"


def test_an_image_for_more_flash_than_the_board_has_is_refused() -> None:
    assert reason(SMALL, flash_size=1 << 20) == "flash-size"
    assert read_image(SMALL, flash_size=4 << 20).flash_size == 4 << 20


def test_an_unknown_flash_size_is_refused() -> None:
    assert reason(changed(OLD, 3, b"\xf0")) == "bad-header"


@pytest.mark.parametrize("address", [0x40201020, 0x40400000, 0x3FFE0000, 0x60001000, 0x401FFFF0])
def test_a_segment_that_no_esp8266_can_load_is_refused(address: int) -> None:
    assert reason(changed(OLD, APPLICATION_AT + 8, struct.pack("<I", address))) == "bad-address"


def test_an_entry_point_outside_of_code_is_refused() -> None:
    assert reason(changed(OLD, APPLICATION_AT + 4, struct.pack("<I", 0x3FFE8000))) == "bad-address"


@pytest.mark.parametrize(("header", "why"), [(b"\xe9\x00", "bad-header"), (b"\xe9\x30", "bad-header")])
def test_a_header_with_no_or_too_many_segments_is_refused(header: bytes, why: str) -> None:
    assert reason(changed(OLD, APPLICATION_AT, header)) == why


def test_the_first_whole_mark_is_the_version() -> None:
    assert embedded_version(b"..enmctl-fw=bad text\0..enmctl-fw=v1+2\0..enmctl-fw=v3\0") == "v1+2"
    assert embedded_version(b"enmctl-fw=" + b"x" * 65 + b"\0") is None
    assert embedded_version(b"enmctl-fw=\0") is None
