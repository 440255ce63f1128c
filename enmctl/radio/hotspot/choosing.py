"""Which interface the hotspot goes on: the one that was named, a free one, or one that is not the only way out."""

from __future__ import annotations

from collections.abc import Sequence

from enmctl.errors import RadioError
from enmctl.radio.hotspot.network_manager import Device, DeviceState, Overview
from enmctl.radio.hotspot.reasons import unavailable

ANOTHER = "name another by ENM_HOTSPOT_INTERFACE, or plug in a USB adapter that can"


def choose(overview: Overview, named: str) -> Device:
    """The device for the hotspot.

    Args:
        overview: what NetworkManager has.
        named: the interface that it has to be, or "".

    Raises:
        RadioError: there is none, with the reason why.
    """
    if named:
        device = _named(overview, named)
        _check(overview, device)
        return device
    devices = [device for device in overview.devices if device.is_wifi]
    if not devices:
        raise RadioError(
            "there is no Wi-Fi interface here",
            remedy="plug in an adapter, or have the boards join the network that this machine is in",
            reason="no-wifi-interface",
        )
    devices.sort(key=lambda device: (not device.is_free, device.has_way_out, device.interface))
    faults = []
    for device in devices:
        try:
            _check(overview, device)
        except RadioError as fault:
            faults.append(fault)
        else:
            return device
    raise faults[0]


def _named(overview: Overview, name: str) -> Device:
    found = next((device for device in overview.devices if device.interface == name), None)
    if found is None:
        raise RadioError(
            f"ENM_HOTSPOT_INTERFACE is {name}, and there is no such interface",
            remedy=f"it can be {_listed(overview)}" if _wifi(overview) else "plug the adapter in",
            reason="no-such-interface",
        )
    if not found.is_wifi:
        raise RadioError(
            f"ENM_HOTSPOT_INTERFACE is {name}, which is no Wi-Fi interface",
            remedy=f"it can be {_listed(overview)}" if _wifi(overview) else "plug in a Wi-Fi adapter, or unset it",
            reason="not-wifi",
        )
    return found


def _check(overview: Overview, device: Device) -> None:
    """Raise what keeps a Wi-Fi interface from being the hotspot's."""
    name = device.interface
    if device.state == DeviceState.UNMANAGED:
        raise RadioError(
            f"NetworkManager leaves {name} alone",
            remedy=f"hand it over: nmcli device set {name} managed yes",
            reason="unmanaged",
        )
    if not device.can_be_access_point:
        raise RadioError(
            f"{name} cannot be an access point (driver {device.driver or 'not known'})",
            remedy=ANOTHER,
            reason="no-access-point",
        )
    if not device.has_2_ghz:
        raise RadioError(f"{name} has no 2.4 GHz, which is all that an ESP8266 has", remedy=ANOTHER, reason="no-2-ghz")
    if device.state < DeviceState.FREE:
        raise unavailable(overview, device)
    if not device.is_in_use or _has_another_way_out(overview, device):
        return
    if device.state == DeviceState.DEACTIVATING:
        raise RadioError(f"{name} is being freed", remedy="it can be used in a moment", reason="being-freed")
    if device.has_way_out or device.state < DeviceState.ACTIVATED:  # where a connection leads shows once it is up
        raise RadioError(
            f"{name} is this machine's only way out, and a hotspot on it would cut that off",
            remedy=f"plug in a network cable or another Wi-Fi adapter, or free it: nmcli device disconnect {name}",
            reason="only-uplink",
        )


def _has_another_way_out(overview: Overview, device: Device) -> bool:
    return any(other.has_way_out for other in overview.devices if other.path != device.path)


def _wifi(overview: Overview) -> Sequence[str]:
    return sorted(device.interface for device in overview.devices if device.is_wifi)


def _listed(overview: Overview) -> str:
    return " or ".join(_wifi(overview))
