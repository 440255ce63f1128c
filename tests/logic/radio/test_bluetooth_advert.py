"""What counts as a word of a board, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from enmctl.radio.bluetooth.advert import Advert, advert_of, bluez_properties, is_advert, printable

ADDRESS = "E7:12:34:56:78:9A"
HEARD = {"Connected": False, "RSSI": -60, "Name": "DfuTarg", "UUIDs": ["fe59"], "ServicesResolved": False}


def data(*platform: Any, **fields: Any) -> AdvertisementData:
    given: dict[str, Any] = {
        "local_name": None,
        "manufacturer_data": {},
        "service_data": {},
        "service_uuids": [],
        "tx_power": None,
        "rssi": -60,
        **fields,
    }
    return AdvertisementData(**given, platform_data=platform)


def test_an_advert_is_what_was_advertised_and_not_what_the_system_remembers() -> None:
    device = BLEDevice(ADDRESS, "remembered", None)
    uuid = "E95D93B0-251D-470A-A062-FA1922DFA9A8"
    advert = advert_of(device, data(local_name="DfuTarg", service_uuids=[uuid], manufacturer_data={1: b"x"}), 7.5)
    assert advert == Advert(ADDRESS, "DfuTarg", frozenset({uuid.lower()}), -60, {1: b"x"})
    assert advert.at == 7.5
    assert advert.device is device
    assert advert_of(device, data(), 0).name == ""


@pytest.mark.parametrize("rssi", [-127, 127])
def test_no_signal_strength_is_none(rssi: int) -> None:
    assert advert_of(BLEDevice(ADDRESS, None, None), data(rssi=rssi), 0).signal is None


def test_a_name_is_cleaned_of_what_upsets_a_terminal() -> None:
    assert printable("BBC micro:bit [ž]") == "BBC micro:bit [ž]"
    assert printable("a\x1b[31m\r\n\u200b") == "a\ufffd[31m\ufffd\ufffd\ufffd"


def test_only_bluez_has_properties() -> None:
    assert bluez_properties(data("/org/bluez/hci0/dev", HEARD)) == HEARD
    assert bluez_properties(data()) == {}
    assert bluez_properties(data("a", "b")) == {}
    assert bluez_properties(data(object(), {"other": 1})) == {}


@pytest.mark.parametrize(
    ("before", "now", "word"),
    [
        pytest.param({}, {}, True, id="no BlueZ"),
        pytest.param({}, HEARD, True, id="first"),
        pytest.param(HEARD, {**HEARD, "RSSI": -61}, True, id="stronger or weaker"),
        pytest.param(HEARD, {**HEARD, "Name": "other"}, True, id="another name"),
        pytest.param(HEARD, {**HEARD, "ServicesResolved": True}, False, id="a change that is not of the air"),
        pytest.param(HEARD, HEARD, True, id="the same at the same strength"),
        pytest.param({}, {**HEARD, "Connected": True}, False, id="connected"),
        pytest.param({}, {"Connected": False, "Name": "DfuTarg"}, False, id="not heard in this scan"),
    ],
)
def test_bluez_tells_of_more_than_advertisements(before: Any, now: Any, *, word: bool) -> None:
    assert is_advert(before, now) is word
