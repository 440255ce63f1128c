"""Packages that are damaged, or made to do harm: refused, whatever they are."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError
from enmctl.firmware.nordic import read_package
from enmctl.firmware.nordic_boards import suits
from enmctl.firmware.nordic_init import read_init
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.zip_archive import CONTENT_MOST, MEMBERS_MOST
from tests.logic.firmware.made import (
    V1_BASE,
    legacy_init,
    microbit_init,
    package,
    program,
    refused_at_most,
    secure_init,
    zipped,
)

QUICK = settings(max_examples=200, deadline=None)
APP = program(V1_BASE, 2048)
M4 = program(0x26000, 2048, old=False)
LEGACY = package(APP, legacy_init(APP))
SECURE = package(M4, secure_init(M4))


def reason(data: bytes) -> str:
    with pytest.raises(FirmwareError) as caught:
        read_package(data)
    assert caught.value.remedy
    return caught.value.reason


@pytest.mark.parametrize("name", ["../a.bin", "/a.bin", "a\\b.bin", "C:a.bin", "x/../../a.bin", "a\nb.bin"])
def test_an_archive_with_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert reason(zipped({"application.bin": APP, name: b"x"})) == "unsafe-name"


def test_links_and_secrets_and_doubles_in_an_archive_are_refused() -> None:
    link = zipfile.ZipInfo("application.bin")
    link.external_attr = 0o120777 << 16
    assert reason(zipped({link: b"/etc/passwd"})) == "link"  # type: ignore[dict-item] # zipfile takes either
    encrypted = bytearray(zipped({"application.bin": APP}))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert reason(bytes(encrypted)) == "encrypted"
    double = zipped({"application.bin": APP, "applicatioN.bin": APP}).replace(b"applicatioN", b"application")
    assert reason(double) == "duplicate-member"
    assert reason(zipped({"application.bin": APP}, method=zipfile.ZIP_BZIP2)) == "damaged"


def test_bombs_are_refused() -> None:
    beside = {f"{place}.txt": bytes(CONTENT_MOST // 4) for place in range(4)}
    assert reason(zipped({"application.bin": APP, **beside})) == "too-big"
    assert reason(zipped({f"{place}.bin": b"" for place in range(MEMBERS_MOST + 1)})) == "too-many-members"
    assert reason(zipped({"a.bin": bytes(CONTENT_MOST)}, method=zipfile.ZIP_STORED)) == "too-big"


@pytest.mark.parametrize("said", [100, CONTENT_MOST])
def test_a_bomb_that_lies_about_its_size_is_not_unpacked(said: int) -> None:
    liar = bytearray(zipped({"application.bin": bytes(CONTENT_MOST * 16)}))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = liar.index(mark) + place
        liar[at : at + 4] = struct.pack("<I", said)
    tracemalloc.start()
    try:
        assert reason(bytes(liar)) == "damaged"
        assert tracemalloc.get_traced_memory()[1] < 4 * CONTENT_MOST
    finally:
        tracemalloc.stop()


def tried(data: bytes) -> None:
    """Read a package and tell its boards; anything but a refusal is a bug."""
    with refused_at_most():
        for image in read_package(data):
            suits(image)


@given(st.sampled_from([LEGACY, SECURE]), st.data())
@QUICK
def test_a_truncated_package_is_always_refused(whole: bytes, data: st.DataObject) -> None:
    assert reason(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.sampled_from([LEGACY, SECURE]), st.data(), st.integers(0, 7))
@QUICK
def test_a_flipped_bit_is_refused_or_does_not_matter(whole: bytes, data: st.DataObject, bit: int) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    with refused_at_most():
        assert [image.data for image in read_package(damaged)] == [image.data for image in read_package(whole)]


@given(st.binary(max_size=300))
@QUICK
def test_nothing_but_refusals_comes_of_random_bytes(data: bytes) -> None:
    tried(data)
    tried(b"PK\3\4" + data)
    tried(b"PK\3\4" + data + b"PK\5\6" + bytes(18))
    tried(zipped({"manifest.json": data}))
    tried(zipped({"application.bin": APP, "application.dat": data}))


VALUES = st.sampled_from(
    [None, True, -4, 1024, 1 << 70, 0.5, "a.bin", "a.dat", "../a.bin", [], [1], {}, {"sd_size": 1024}]
)
FIELDS = ["bin_file", "dat_file", "sd_size", "bl_size", "init_packet_data", "info_read_only_metadata", "other"]
ENTRIES = VALUES | st.dictionaries(st.sampled_from(FIELDS), VALUES)


@given(VALUES | st.dictionaries(st.sampled_from([*Role, "dfu_version"]), ENTRIES), st.sampled_from([APP, b""]))
@QUICK
def test_no_manifest_does_more_than_be_refused(roles: object, data: bytes) -> None:
    text = json.dumps({"manifest": roles}).encode()
    tried(zipped({"manifest.json": text, "a.bin": data, "a.dat": legacy_init(APP)}))


@given(st.sampled_from([legacy_init(APP), secure_init(M4), microbit_init(M4)]), st.data(), st.integers(0, 7))
@QUICK
def test_no_init_packet_does_more_than_be_refused(whole: bytes, data: st.DataObject, bit: int) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]):
        with refused_at_most():
            read_init(damaged)
