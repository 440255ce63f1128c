from __future__ import annotations

import itertools
from typing import Any

import pytest

from enmctl.errors import RadioError
from enmctl.radio.hotspot.choosing import choose
from enmctl.radio.hotspot.network_manager import Device, DeviceState, Overview

AP_2_GHZ = 0x40 | 0x100 | 0x200
_numbers = itertools.count()


def device(interface: str = "wlan0", **more: Any) -> Device:
    """A Wi-Fi interface that is free and can be the hotspot's, but for what is said."""
    known: dict[str, Any] = {
        "path": f"/{next(_numbers)}",
        "interface": interface,
        "is_wifi": True,
        "state": DeviceState.FREE,
        "reason": 0,
        "capabilities": AP_2_GHZ,
    }
    return Device(**(known | more))


def cable(**more: Any) -> Device:
    """A network cable."""
    known: dict[str, Any] = {"is_wifi": False, "capabilities": 0, "state": DeviceState.ACTIVATED, "has_way_out": True}
    return device(**({"interface": "eth0"} | known | more))


def overview(*devices: Device, wifi_on: bool = True, wifi_hardware_on: bool = True) -> Overview:
    return Overview("1.42.4", False, wifi_on, wifi_hardware_on, devices, ())


IN_USE: dict[str, Any] = {"state": DeviceState.ACTIVATED, "has_way_out": True}


def test_a_free_interface_is_taken_before_one_in_use() -> None:
    free = device("wlan1")
    assert choose(overview(device("wlan0", **IN_USE), cable(), free), "") is free


def test_an_interface_that_just_failed_counts_as_free() -> None:
    failed = device(state=DeviceState.FAILED)
    assert choose(overview(failed), "") is failed


def test_one_in_use_is_taken_where_another_way_out_is_left() -> None:
    in_use = device(**IN_USE)
    assert choose(overview(in_use, cable()), "") is in_use


def test_of_two_in_use_the_one_that_is_no_way_out_is_taken() -> None:
    idle = device("wlan1", state=DeviceState.ACTIVATED)
    assert choose(overview(device("wlan0", **IN_USE), idle), "") is idle


@pytest.mark.parametrize(
    ("state", "has_way_out"),
    [*((state, way) for state in (40, 50, 60, 70, 80, 90) for way in (True, False)), (100, True)],
)
@pytest.mark.parametrize("named", ["", "wlan0"])
def test_the_only_way_out_is_never_taken_named_or_not(state: int, named: str, *, has_way_out: bool) -> None:
    devices = [device(state=state, has_way_out=has_way_out), cable(has_way_out=False)]
    with pytest.raises(RadioError, match="only way out") as caught:
        choose(overview(*devices), named)
    assert caught.value.reason == "only-uplink"
    assert "nmcli device disconnect wlan0" in caught.value.remedy


@pytest.mark.parametrize("named", ["", "wlan0"])
def test_one_that_is_connected_and_leads_nowhere_is_taken(named: str) -> None:
    nowhere = device(state=DeviceState.ACTIVATED)
    assert choose(overview(nowhere, cable(has_way_out=False)), named) is nowhere


@pytest.mark.parametrize("has_way_out", [True, False])
def test_one_that_is_being_freed_is_waited_for_unless_another_way_out_is_left(*, has_way_out: bool) -> None:
    leaving = device(state=DeviceState.DEACTIVATING, has_way_out=has_way_out)
    with pytest.raises(RadioError, match="wlan0 is being freed") as caught:
        choose(overview(leaving), "")
    assert caught.value.reason == "being-freed"
    assert choose(overview(leaving, cable()), "") is leaving


def test_the_named_interface_is_taken_before_a_better_one() -> None:
    named = device("wlan1", **IN_USE)
    assert choose(overview(device("wlan0"), named, cable()), "wlan1") is named


def test_one_that_cannot_is_passed_over_for_one_that_can() -> None:
    can = device("wlan9")
    others = [
        device("wlan0", capabilities=0x100 | 0x200),
        device("wlan1", capabilities=0x40 | 0x100),
        device("wlan2", state=DeviceState.UNMANAGED),
        device("wlan3", state=DeviceState.UNAVAILABLE),
    ]
    assert choose(overview(*others, can), "") is can


def test_a_driver_that_does_not_tell_its_frequencies_is_trusted() -> None:
    silent = device(capabilities=0x40)
    assert choose(overview(silent), "") is silent


NONE_CAN = [
    ([], "", "no-wifi-interface", "adapter"),
    ([cable()], "", "no-wifi-interface", "adapter"),
    ([device("wlan0")], "wlan1", "no-such-interface", "wlan0"),
    ([], "wlan1", "no-such-interface", "plug"),
    ([cable(), device("wlan0")], "eth0", "not-wifi", "wlan0"),
    ([cable()], "eth0", "not-wifi", "unset it"),
    ([device(capabilities=0)], "", "no-access-point", "ENM_HOTSPOT_INTERFACE"),
    ([device(capabilities=0)], "wlan0", "no-access-point", "ENM_HOTSPOT_INTERFACE"),
    ([device(capabilities=0x140)], "", "no-2-ghz", "ENM_HOTSPOT_INTERFACE"),
    ([device(state=DeviceState.UNMANAGED)], "", "unmanaged", "nmcli device set wlan0 managed yes"),
    ([device(state=DeviceState.UNAVAILABLE, reason=35)], "", "unavailable", "firmware"),
    ([device(state=DeviceState.UNAVAILABLE)], "", "unavailable", "wpa_supplicant"),
]


@pytest.mark.parametrize(("devices", "named", "reason", "helps"), NONE_CAN)
def test_each_reason_why_none_can_has_its_own_words_and_remedy(
    devices: list[Device], named: str, reason: str, helps: str
) -> None:
    with pytest.raises(RadioError) as caught:
        choose(overview(*devices), named)
    assert caught.value.reason == reason
    assert helps in caught.value.remedy


def test_a_switched_off_radio_is_told_from_a_blocked_one() -> None:
    off = device(state=DeviceState.UNAVAILABLE)
    with pytest.raises(RadioError, match="switched off") as caught:
        choose(overview(off, wifi_on=False), "")
    assert "nmcli radio wifi on" in caught.value.remedy
    with pytest.raises(RadioError, match="blocked") as caught:
        choose(overview(off, wifi_on=False, wifi_hardware_on=False), "wlan0")
    assert "rfkill" in caught.value.remedy
