from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from enmctl.errors import ExitCode, RadioError
from enmctl.radio.hotspot.network_manager import AccessPoint
from enmctl.radio.hotspot.profile import connection_settings, has_default_password, quietest_channel, wanted
from enmctl.settings import Settings


def named(ssid: str = "boards", password: str = "correct horse") -> Settings:  # noqa: S107 - made up
    return Settings.from_environment({"ENM_HOTSPOT_SSID": ssid, "ENM_HOTSPOT_PASSWORD": password})


@pytest.mark.parametrize("ssid", ["a", "Küche", "x" * 32, "ü" * 16])
@pytest.mark.parametrize("password", ["12345678", "x" * 63, "0123456789abcdefABCDEF" * 2 + "0" * 20, "mit Umlaut ü"])
def test_what_a_network_can_have_is_taken(ssid: str, password: str) -> None:
    network = wanted(named(ssid, password))
    assert (network.ssid, network.password) == (ssid.encode(), password)
    assert password not in repr(network)


@pytest.mark.parametrize(
    ("ssid", "password", "reason", "says"),
    [
        ("x" * 33, "correct horse", "bad-ssid", "33 bytes"),
        ("ü" * 17, "correct horse", "bad-ssid", "34 bytes"),
        ("boards", "1234567", "bad-password", "7 bytes"),
        ("boards", "x" * 64, "bad-password", "64 bytes"),
        ("boards", "a\nb45678", "bad-password", "nobody can type"),
        ("boards", "eight\udcff\udcff\udcff", "bad-password", "nobody can type"),
    ],
)
def test_what_no_network_can_have_is_said_before_anybody_is_asked(
    ssid: str, password: str, reason: str, says: str
) -> None:
    with pytest.raises(RadioError, match=says) as caught:
        wanted(named(ssid, password))
    assert (caught.value.reason, caught.value.exit_code) == (reason, ExitCode.RADIO)
    assert caught.value.remedy
    assert password not in str(caught.value)


def test_the_default_password_is_known_as_such() -> None:
    assert has_default_password(Settings())
    assert not has_default_password(named())


@pytest.mark.parametrize(
    ("others", "channel"),
    [
        ([], 1),
        ([(2412, 80)], 6),
        ([(2412, 80), (2437, 10), (2437, 10), (2462, 30)], 6),
        ([(2412, 80), (2437, 90), (2462, 30)], 11),
        ([(2422, 50), (2452, 5)], 11),
        ([(2472, 60), (2437, 60)], 1),
        ([(5180, 100), (5745, 100)], 1),
    ],
)
def test_the_quietest_of_the_three_channels_is_taken(others: Sequence[tuple[int, int]], channel: int) -> None:
    assert quietest_channel(AccessPoint(*each) for each in others) == channel


@pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is Linux's")
@pytest.mark.parametrize("keep", [False, True])
def test_networkmanager_is_given_wpa2_alone_on_2_ghz_and_hands_out_addresses(keep: bool) -> None:
    settings = Settings(hotspot_ssid="Küche", hotspot_password="correct horse", hotspot_keep=keep)
    made = connection_settings(wanted(settings), name="Küche", interface="wlan0", channel=11)
    plain = {group: {name: each.value for name, each in values.items()} for group, values in made.items()}
    assert plain["connection"].pop("uuid")
    assert plain == {
        "connection": {"id": "Küche", "type": "802-11-wireless", "interface-name": "wlan0", "autoconnect": keep},
        "802-11-wireless": {"ssid": "Küche".encode(), "mode": "ap", "band": "bg", "channel": 11},
        "802-11-wireless-security": {
            "key-mgmt": "wpa-psk",
            "psk": "correct horse",
            "proto": ["rsn"],
            "pairwise": ["ccmp"],
            "group": ["ccmp"],
            "pmf": 1,
        },
        "ipv4": {"method": "shared"},
        "ipv6": {"method": "ignore"},
    }
