"""What a board says to everybody who listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

ADVERTISED = frozenset({"RSSI", "TxPower", "Name", "UUIDs", "ManufacturerData", "ServiceData"})
"""Those of BlueZ's properties of a device that come from its advertisements."""

UNKNOWN_SIGNAL = -127
"""What bleak says for no signal strength; controllers say 127 (Bluetooth Core, Vol 4, Part E, 7.7.65.2)."""

NOTHING: Mapping[Any, bytes] = MappingProxyType({})

Properties = Mapping[str, Any]
"""BlueZ's properties of a device."""


@dataclass(frozen=True, slots=True)
class Advert:
    """One advertisement.

    ``address`` identifies the board on this machine: its Bluetooth address, or on macOS an identifier that stands for
    it here alone. ``name`` is what it advertises, not the name that the system shows for it; BlueZ keeps the last one
    that it heard, also of a board that advertises none just now. ``services`` are UUIDs, whole and in lower case.
    ``signal`` is dBm. ``device`` is the platform's own object, for connecting. ``at`` is when it was heard, by the
    loop's clock.
    """

    address: str
    name: str = ""
    services: frozenset[str] = frozenset()
    signal: int | None = None
    manufacturer: Mapping[int, bytes] = field(default_factory=dict)
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    at: float = field(default=0.0, compare=False)
    device: Any = field(default=None, repr=False, compare=False)


def advert_of(device: BLEDevice, data: AdvertisementData, at: float) -> Advert:
    """An advertisement as bleak tells it."""
    return Advert(
        address=device.address,
        name=printable(data.local_name or ""),
        services=frozenset(uuid.lower() for uuid in data.service_uuids),
        signal=data.rssi if UNKNOWN_SIGNAL < data.rssi < -UNKNOWN_SIGNAL else None,
        manufacturer=data.manufacturer_data,
        service_data=data.service_data,
        at=at,
        device=device,
    )


def bluez_properties(data: AdvertisementData) -> Properties:
    """BlueZ's properties of the device, empty on other platforms."""
    platform = data.platform_data
    properties = platform[1] if len(platform) > 1 else None
    return properties if isinstance(properties, dict) and "Connected" in properties else NOTHING


def is_advert(before: Properties, now: Properties) -> bool:
    """Whether a change of a device's properties in BlueZ comes of an advertisement.

    bleak reports every change: that a board was disconnected looks like a word of the board, with the old name.
    BlueZ forgets the signal strength when a scan ends, and has none of a board that it has not heard since. Of one that
    says the same at the same strength it reports that strength all the same: a change of nothing at all.
    """
    if not now:
        return True
    if now.get("Connected") or "RSSI" not in now:
        return False
    return now == before or any(before.get(name) != now.get(name) for name in ADVERTISED)


def printable(text: str) -> str:
    """A stranger's text without what would upset a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
