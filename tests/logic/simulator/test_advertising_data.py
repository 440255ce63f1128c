"""What a simulated board says fits into the packets that there are."""

from __future__ import annotations

from bumble.core import AdvertisingData

from enmctl.simulator.bluetooth.hosting import advertising_data
from enmctl.simulator.bluetooth.uuids import short, whole
from enmctl.simulator.nordic.contract import Advertisement

LEGACY = "00001530-1212-efde-1523-785feabcd123"
SECURE = "0000fe59-0000-1000-8000-00805f9b34fb"
ADDRESS = "E7:00:00:00:00:01"


def fields(packet: bytes) -> dict[int, bytes]:
    return {int(kind): bytes(value) for kind, value in AdvertisingData.from_bytes(packet).ad_structures}


def test_a_name_of_26_bytes_fits_beside_the_flags() -> None:
    packet, answer = advertising_data(Advertisement(ADDRESS, "BBC micro:bit [1234567890]"))
    assert len(packet) == 31
    assert answer == b""
    assert fields(packet) == {0x01: b"\x06", 0x09: b"BBC micro:bit [1234567890]"}


def test_what_does_not_fit_is_answered_to_a_scan() -> None:
    packet, answer = advertising_data(Advertisement(ADDRESS, "BBC micro:bit [zavit]", (LEGACY, SECURE)))
    assert fields(packet) == {0x01: b"\x06", 0x09: b"BBC micro:bit [zavit]", 0x03: b"\x59\xfe"}
    assert fields(answer) == {0x06: bytes.fromhex(LEGACY.replace("-", ""))[::-1]}


def test_a_bootloader_fits_whole() -> None:
    packet, answer = advertising_data(Advertisement(ADDRESS, "DfuTarg", (LEGACY,)))
    assert len(packet) == 30
    assert answer == b""


def test_a_directed_advertisement_says_nothing() -> None:
    assert advertising_data(Advertisement(ADDRESS, "x", (LEGACY,), directed_to="00:00:5E:00:53:01")) == (b"", b"")


def test_uuids_are_short_on_the_air_and_whole_elsewhere() -> None:
    assert short(SECURE).to_bytes() == b"\x59\xfe"
    assert whole(short(SECURE)) == SECURE
    assert len(short(LEGACY).to_bytes()) == 16
    assert whole(short(LEGACY)) == LEGACY
