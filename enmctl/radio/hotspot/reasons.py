"""What NetworkManager's numbers and errors mean, in words, each with what helps.

The numbers are those of ``NMDeviceStateReason`` in its D-Bus reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from enmctl.errors import RadioError

if TYPE_CHECKING:
    from enmctl.radio.hotspot.network_manager import Device, Overview
    from enmctl.radio.system_bus import BusAnswerError

SEE_LOG: Final = "see its log: journalctl -u NetworkManager"
SEE_SUPPLICANT: Final = (
    "another program or network may hold the radio: see journalctl -u wpa_supplicant; if it stays, try another adapter"
)
NEEDS_SERVERS: Final = (
    "install dnsmasq-base and nftables (or iptables), and see that nothing else has UDP port 53 or 67"
)

NEEDED: Final = tuple(
    f"org.freedesktop.NetworkManager.{action}"
    for action in ("network-control", "settings.modify.system", "wifi.share.protected")
)
"""What a user must be allowed to do, as PolicyKit calls it: to use a device, add a profile, and share by Wi-Fi."""

NO_BUS: Final = "the connection to D-Bus is gone"
STOPPED: Final = "NetworkManager was stopped"


class Reason(NamedTuple):
    """Why a device is in its state, and what helps."""

    words: str
    remedy: str


REASONS: Final = {
    3: Reason("NetworkManager was told to leave the interface alone", "hand it over: nmcli device set {} managed yes"),
    4: Reason("the interface could not be set up", SEE_LOG),
    5: Reason("its addresses cannot be handed out", NEEDS_SERVERS),
    6: Reason("its addresses cannot be handed out", NEEDS_SERVERS),
    7: Reason("NetworkManager does not take its password", "set another ENM_HOTSPOT_PASSWORD"),
    8: Reason("wpa_supplicant let it go", SEE_SUPPLICANT),
    9: Reason("wpa_supplicant does not take its settings", SEE_SUPPLICANT),
    10: Reason("wpa_supplicant failed", "see that it is installed and runs: journalctl -u wpa_supplicant"),
    11: Reason("the driver or its firmware did not become an access point in time", SEE_SUPPLICANT),
    15: Reason("its addresses could not be handed out", NEEDS_SERVERS),
    16: Reason("its addresses could not be handed out", NEEDS_SERVERS),
    17: Reason("its addresses could not be handed out", NEEDS_SERVERS),
    18: Reason("its addresses cannot be handed out", NEEDS_SERVERS),
    19: Reason("what hands out its addresses ended", NEEDS_SERVERS),
    35: Reason("the adapter's firmware is missing", "install it, like firmware-brcm80211 or firmware-realtek"),
    36: Reason("the adapter is gone", "plug it in again"),
    37: Reason("the machine sleeps", "it comes back when the machine wakes"),
    38: Reason("somebody deleted its profile", "see who: journalctl -u NetworkManager"),
    39: Reason("somebody took it down", "see who: journalctl -u NetworkManager"),
    60: Reason(
        "another connection took the interface", "keep that one from it: nmcli connection modify … autoconnect no"
    ),
    72: Reason("NetworkManager was stopped", "start it: systemctl start NetworkManager"),
    73: Reason("the machine sleeps", "it comes back when the machine wakes"),
    74: Reason(
        "NetworkManager's configuration leaves the interface alone", "see unmanaged-devices in its configuration"
    ),
    75: Reason(
        "somebody told NetworkManager to leave the interface alone", "hand it over: nmcli device set {} managed yes"
    ),
    76: Reason("NetworkManager's settings leave the interface alone", "hand it over: nmcli device set {} managed yes"),
    77: Reason("a udev rule has NetworkManager leave the interface alone", "see NM_UNMANAGED in the udev rules"),
}


NOT_READY: Final = Reason(
    "NetworkManager does not have it ready",
    "see that wpa_supplicant is installed and runs: journalctl -u wpa_supplicant",
)


def reason_of(number: int, interface: str) -> Reason:
    """A device's reason in words."""
    known = REASONS.get(number)
    if known is None:
        said = f"NetworkManager's reason is number {number}" if number else "NetworkManager does not say why"
        return Reason(said, SEE_LOG)
    return Reason(known.words, known.remedy.replace("{}", interface))


def failed(number: int, interface: str) -> RadioError:
    """The hotspot did not come up."""
    words, remedy = reason_of(number, interface)
    return RadioError(f"the hotspot did not come up on {interface}: {words}", remedy=remedy, reason="hotspot-failed")


def unavailable(overview: Overview, device: Device) -> RadioError:
    """Why a device cannot be used now."""
    name = device.interface
    if not overview.wifi_hardware_on:
        return RadioError(
            "Wi-Fi is blocked on this machine",
            remedy="let it go: rfkill unblock wifi, or its switch",
            reason="wifi-off",
        )
    if not overview.wifi_on:
        return RadioError("Wi-Fi is switched off on this machine", remedy="nmcli radio wifi on", reason="wifi-off")
    words, remedy = REASONS.get(device.reason, NOT_READY)
    return RadioError(f"{name} cannot be used now: {words}", remedy=remedy, reason="unavailable")


UNMANAGED_WORDS: Final = "strictly unmanaged"


def refused(error: BusAnswerError, interface: str = "") -> RadioError:
    """What NetworkManager's error means."""
    if error.is_nobody:
        return no_network_manager()
    if error.is_denied:
        return not_allowed()
    if UNMANAGED_WORDS in error.text:
        remedy = f"hand it over: nmcli device set {interface} managed yes"
        return RadioError(f"NetworkManager leaves {interface} alone", remedy=remedy, reason="unmanaged")
    if error.kind == "UnknownDevice":
        return RadioError(f"the adapter {interface} is gone", remedy="plug it in again", reason="no-such-interface")
    if error.kind == "MissingPlugin":
        remedy = "install its package for Wi-Fi, like NetworkManager-wifi"
        return RadioError("NetworkManager has no Wi-Fi here", remedy=remedy, reason="no-wifi-plugin")
    return RadioError(
        f"NetworkManager refuses the hotspot: {error.text or error.kind}", remedy=SEE_LOG, reason="hotspot-refused"
    )


def no_network_manager() -> RadioError:
    """Nobody is there to raise a hotspot."""
    return RadioError(
        "NetworkManager does not run here",
        remedy="install and start it, or have the boards join the network that this machine is in (ENM_HOTSPOT=off)",
        reason="no-network-manager",
    )


def check_allowed(permissions: Mapping[str, str]) -> None:
    """See that this user may do all that it takes; what NetworkManager does not tell counts as allowed.

    Raises:
        RadioError: something is not allowed.
    """
    if any(permissions.get(action, "yes") != "yes" for action in NEEDED):
        raise not_allowed()


def not_allowed() -> RadioError:
    """This user may not raise a hotspot."""
    return RadioError(
        "this user may not raise a hotspot",
        remedy=f"run as root, or allow it by PolicyKit: {', '.join(NEEDED)}",
        reason="no-permission",
    )
