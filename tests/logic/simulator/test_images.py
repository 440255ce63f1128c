from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError, UsageError
from enmctl.firmware.esp8266 import embedded_version, read_image
from enmctl.simulator.images import SMALLEST_IMAGE, esp8266_image, starts, unpacked

SIZES = [8192, 8208, 65_536, 262_144, 1_040_384]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_length_crc", [True, False])
def test_an_image_has_the_size_asked_for_and_passes_the_checks_before_sending(size: int, with_length_crc: bool) -> None:
    image = esp8266_image(fw="16b5cd4", size=size, with_length_crc=with_length_crc)
    read = read_image(image)
    assert len(image) == size
    assert starts(image)
    assert (read.application_size, read.stamped, read.embedded_version) == (size, with_length_crc, "16b5cd4")
    assert [segment.address for segment in read.segments] == [0x40201010, 0x40100000, 0x3FFE8000]


def test_the_boot_loader_is_padded_to_the_application() -> None:
    image = esp8266_image(fw=None)
    assert set(image[0xC20:0x1000]) == {0xAA}
    assert image[0x1000] == 0xE9


@pytest.mark.parametrize("flash_size", [512 << 10, 1 << 20, 4 << 20, 16 << 20])
def test_an_image_names_the_flash_that_it_is_for(flash_size: int) -> None:
    assert read_image(esp8266_image(fw=None, flash_size=flash_size)).flash_size == flash_size


def test_the_same_arguments_give_the_same_image_and_others_another() -> None:
    image = esp8266_image(fw="a", seed=1)
    assert image == esp8266_image(fw="a", seed=1)
    others = {esp8266_image(fw="a", seed=2), esp8266_image(fw="b", seed=1), esp8266_image(fw=None, seed=1)}
    assert len(others | {image}) == 4


def test_an_image_without_a_version_carries_no_mark() -> None:
    assert embedded_version(esp8266_image(fw=None)) is None


def test_an_image_is_made_in_no_time() -> None:
    best = min(_seconds_for_one() for _ in range(5))
    assert best < 0.02


def _seconds_for_one() -> float:
    began = time.perf_counter()
    esp8266_image(fw="speed")
    return time.perf_counter() - began


@pytest.mark.parametrize("size", [0, 4096, 8191, 8200, 100_001])
def test_a_size_that_no_image_can_have_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=str(size)):
        esp8266_image(fw=None, size=size)


@pytest.mark.parametrize("fw", ["", "two words", "\N{SNOWMAN}", "x" * 65])
def test_a_version_that_is_none_is_refused(fw: str) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        esp8266_image(fw=fw)


def test_a_flash_that_no_chip_has_is_refused() -> None:
    with pytest.raises(UsageError, match="3000000"):
        esp8266_image(fw=None, flash_size=3_000_000)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, SMALLEST_IMAGE - 1))
def test_no_truncated_image_starts(length: int) -> None:
    assert not starts(esp8266_image(fw="x", size=SMALLEST_IMAGE)[:length])


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.integers(0, SMALLEST_IMAGE - 200))
def test_a_chip_starts_nothing_that_the_checks_would_refuse_as_truncated_or_damaged(noise: bytes, place: int) -> None:
    image = bytearray(esp8266_image(fw="x", size=SMALLEST_IMAGE))
    image[place : place + len(noise)] = noise
    try:
        read_image(bytes(image))
    except FirmwareError:
        return
    assert starts(bytes(image))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_whatever_is_in_flash_can_be_looked_at(flash: bytes) -> None:
    starts(flash)
    starts(b"\xe9" + flash)
    unpacked(flash)
    unpacked(b"\x1f\x8b" + flash)


def test_a_gzipped_image_is_unpacked() -> None:
    image = esp8266_image(fw="packed")
    assert unpacked(gzip.compress(image)) == image
    assert unpacked(image) is image
