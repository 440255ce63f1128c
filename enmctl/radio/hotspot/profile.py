"""What the hotspot is to be: a name and a password that can be, the quietest channel, and NetworkManager's settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from enmctl.errors import RadioError
from enmctl.radio.hotspot.network_manager import AccessPoint, ConnectionSettings
from enmctl.settings import DEFAULT_HOTSPOT, Settings

KNOWN_PASSWORD: Final = (
    "everybody knows the hotspot's password: set ENM_HOTSPOT_PASSWORD, in the boards' firmware as well"  # noqa: S105
)
"""What people are told who left the default password."""

SSID_MOST: Final = 32
"""Bytes (IEEE 802.11, 9.4.2.2)."""

PASSWORD_LEAST, PASSWORD_MOST = 8, 63
"""Bytes of a WPA2 passphrase (IEEE 802.11, J.4)."""

RAW_KEY: Final = re.compile(r"[0-9A-Fa-f]{64}")
"""A key instead of a passphrase."""

CHANNELS: Final = {1: 2412, 6: 2437, 11: 2462}
"""Channels that do not overlap and are allowed everywhere, with their middle in MHz. NetworkManager's own choice may be
channel 13, which an ESP8266 does not see in many countries."""

OVERLAP: Final = 25
"""MHz between the middles of two channels from which on they leave each other alone."""

NO_PROTECTED_FRAMES: Final = 1
"""The value of ``pmf`` that is "disable": the ESP8266 knows none."""

SUFFIX: Final = " (enmctl)"
"""Behind the profile's name where another profile, which is no hotspot, has the network's name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A network that can be raised."""

    ssid: bytes
    password: str = field(repr=False)
    keep: bool = False

    @property
    def name(self) -> str:
        """The network's name, for people and as the name of its profile."""
        return self.ssid.decode("utf-8", "backslashreplace")

    @property
    def names(self) -> tuple[str, str]:
        """What its profile may be called."""
        return self.name, self.name + SUFFIX


def wanted(settings: Settings) -> Wanted:
    """The network that the settings ask for.

    Raises:
        RadioError: no network can be called so (reason ``bad-ssid``), or have such a password (``bad-password``).
    """
    ssid = _ssid(settings)
    if not 1 <= len(ssid) <= SSID_MOST:
        raise RadioError(
            f"ENM_HOTSPOT_SSID has {len(ssid)} bytes, and the name of a Wi-Fi network has 1 to {SSID_MOST}",
            remedy="name it shorter, in the boards' firmware as well",
            reason="bad-ssid",
        )
    password = settings.hotspot_password
    if not RAW_KEY.fullmatch(password):
        length = len(password.encode("utf-8", "surrogateescape"))
        if not PASSWORD_LEAST <= length <= PASSWORD_MOST:
            raise RadioError(
                f"ENM_HOTSPOT_PASSWORD has {length} bytes, and such a password has {PASSWORD_LEAST} to {PASSWORD_MOST}",
                remedy="set another, in the boards' firmware as well",
                reason="bad-password",
            )
        if not password.isprintable():
            raise RadioError(
                "ENM_HOTSPOT_PASSWORD has characters that nobody can type",
                remedy="set another, in the boards' firmware as well",
                reason="bad-password",
            )
    return Wanted(ssid, password, settings.hotspot_keep)


def names_of(settings: Settings) -> tuple[str, str]:
    """What the profile of the network that the settings name may be called, whether it can be raised or not."""
    return Wanted(_ssid(settings), "").names


def _ssid(settings: Settings) -> bytes:
    return settings.hotspot_ssid.encode("utf-8", "surrogateescape")


def has_default_password(settings: Settings) -> bool:
    """Whether everybody knows the password."""
    return settings.hotspot_password == DEFAULT_HOTSPOT


def quietest_channel(access_points: Iterable[AccessPoint]) -> int:
    """The channel on which the others, all added up, are weakest."""
    noise = dict.fromkeys(CHANNELS, 0)
    for other in access_points:
        for channel, middle in CHANNELS.items():
            if abs(other.frequency - middle) < OVERLAP:
                noise[channel] += other.strength
    return min(noise, key=noise.__getitem__)


def connection_settings(network: Wanted, *, name: str, interface: str, channel: int) -> ConnectionSettings:
    """What NetworkManager is to be given: WPA2 alone, 2.4 GHz, addresses handed out by itself."""
    from dbus_fast import Variant

    def text(value: str) -> Variant:
        return Variant("s", value)

    return {
        "connection": {
            "id": text(name),
            "uuid": text(str(uuid4())),
            "type": text("802-11-wireless"),
            "interface-name": text(interface),
            "autoconnect": Variant("b", network.keep),
        },
        "802-11-wireless": {
            "ssid": Variant("ay", network.ssid),
            "mode": text("ap"),
            "band": text("bg"),
            "channel": Variant("u", channel),
        },
        "802-11-wireless-security": {
            "key-mgmt": text("wpa-psk"),
            "psk": text(network.password),
            "proto": Variant("as", ["rsn"]),
            "pairwise": Variant("as", ["ccmp"]),
            "group": Variant("as", ["ccmp"]),
            "pmf": Variant("i", NO_PROTECTED_FRAMES),
        },
        "ipv4": {"method": text("shared")},
        "ipv6": {"method": text("ignore")},
    }
