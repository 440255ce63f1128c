"""What is asked of NetworkManager, and what it shows, as plain data.

Names and numbers are those of its D-Bus reference (networkmanager.dev, "NetworkManager D-Bus API", and
``nm-dbus-interface.h``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from enmctl.radio.system_bus import DBUS, PROPERTIES, BusAnswerError

if TYPE_CHECKING:
    from enmctl.radio.system_bus import SystemBus

SERVICE: Final = "org.freedesktop.NetworkManager"
PATH: Final = "/org/freedesktop/NetworkManager"
SETTINGS_PATH: Final = f"{PATH}/Settings"
ROOT: Final = "/org/freedesktop"
"""Where its object manager is."""

DEVICE: Final = f"{SERVICE}.Device"
WIRELESS: Final = f"{DEVICE}.Wireless"
ACCESS_POINT: Final = f"{SERVICE}.AccessPoint"
ACTIVE: Final = f"{SERVICE}.Connection.Active"
SETTINGS: Final = f"{SERVICE}.Settings"
PROFILE: Final = f"{SETTINGS}.Connection"
IP4: Final = f"{SERVICE}.IP4Config"
IP6: Final = f"{SERVICE}.IP6Config"

NOTHING: Final = "/"
"""The path of no object."""

WIFI: Final = 2
"""The type of a device that is a Wi-Fi interface."""

CAN_BE_ACCESS_POINT, KNOWS_FREQUENCIES, HAS_2_GHZ = 0x40, 0x100, 0x200
"""Bits of ``WirelessCapabilities``."""

UP, DOWN = 2, 4
"""States of an active connection: activated, deactivated."""

WATCHED: Final = (
    f"sender='{SERVICE}',interface='{DEVICE}',member='StateChanged'",
    f"sender='{SERVICE}',interface='{ACTIVE}',member='StateChanged'",
    f"sender='{SERVICE}',interface='{SERVICE}',path='{PATH}'",
    f"sender='{SERVICE}',interface='{PROPERTIES}',path='{PATH}'",
    f"sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{SERVICE}'",
)
"""The signals that tell of all that can befall a hotspot; those of access points in the air are not among them."""

ConnectionSettings = Mapping[str, Mapping[str, Any]]
"""NetworkManager's settings of a connection, ``a{sa{sv}}`` on the bus."""


class DeviceState(IntEnum):
    """How a device is, as far as it matters here."""

    UNMANAGED = 10
    UNAVAILABLE = 20
    FREE = 30
    ACTIVATED = 100
    DEACTIVATING = 110
    FAILED = 120


class AccessPoint(NamedTuple):
    """A network in the air: its frequency in MHz, and its strength in per cent."""

    frequency: int
    strength: int


@dataclass(frozen=True, slots=True)
class Device:
    """A network interface. ``has_way_out`` is whether a default route goes over it."""

    path: str
    interface: str
    is_wifi: bool
    state: int
    reason: int
    capabilities: int = 0
    has_way_out: bool = False
    driver: str = ""
    access_points: tuple[AccessPoint, ...] = ()

    @property
    def can_be_access_point(self) -> bool:
        """Whether its driver can."""
        return bool(self.capabilities & CAN_BE_ACCESS_POINT)

    @property
    def has_2_ghz(self) -> bool:
        """Whether it reaches ESP8266 boards, as far as its driver tells."""
        return not self.capabilities & KNOWS_FREQUENCIES or bool(self.capabilities & HAS_2_GHZ)

    @property
    def is_free(self) -> bool:
        """Whether nothing uses it."""
        return self.state in (DeviceState.FREE, DeviceState.FAILED)

    @property
    def is_in_use(self) -> bool:
        """Whether it is connected, or on the way to or from it."""
        return DeviceState.FREE < self.state < DeviceState.FAILED


@dataclass(frozen=True, slots=True)
class Active:
    """A profile that is in use. ``addresses`` are those of its interface, with their prefix length."""

    path: str
    profile: str
    state: int
    devices: tuple[str, ...]
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """All that matters here of NetworkManager, at one moment."""

    version: str
    starting: bool
    wifi_on: bool
    wifi_hardware_on: bool
    devices: tuple[Device, ...]
    active: tuple[Active, ...]

    def device(self, path: str) -> Device | None:
        """The device at a path."""
        return next((device for device in self.devices if device.path == path), None)

    def use_of(self, profile: str) -> Active | None:
        """How a profile is in use."""
        return next((active for active in self.active if active.profile == profile), None)


@dataclass(frozen=True, slots=True)
class Profile:
    """A stored connection: what it is called, and what kind of Wi-Fi network it is for."""

    path: str
    name: str
    mode: str
    ssid: bytes
    interface: str = ""
    autoconnect: bool = True
    channel: int = 0


class Activated(NamedTuple):
    """The paths of a new profile and of its use, and whether it ends with our connection to the bus."""

    profile: str
    active: str
    bound: bool


class NetworkManager:
    """NetworkManager over the system bus.

    Each method raises BusAnswerError where it says no, and RadioError where it does not answer.
    """

    def __init__(self, bus: SystemBus) -> None:
        self._bus = bus

    async def is_there(self) -> bool:
        """Whether it runs."""
        return await self._bus.is_there(SERVICE)

    async def subscribe(self) -> None:
        """Have its signals sent to us."""
        for rule in WATCHED:
            await self._bus.subscribe(rule)

    async def overview(self) -> Overview:
        """How everything stands."""
        return _overview(await self._bus.objects(SERVICE, ROOT))

    async def permissions(self) -> Mapping[str, str]:
        """What this user may do: yes, no or auth for each action."""
        (permissions,) = await self._bus.call(SERVICE, PATH, SERVICE, "GetPermissions")
        known: Mapping[str, str] = permissions
        return known

    async def profiles(self) -> list[Profile]:
        """The stored Wi-Fi connections that this user may see."""
        (paths,) = await self._bus.call(SERVICE, SETTINGS_PATH, SETTINGS, "ListConnections")
        found = []
        for path in paths:
            try:
                (groups,) = await self._bus.call(SERVICE, path, PROFILE, "GetSettings")
            except BusAnswerError:
                continue  # it went meanwhile, or is another user's
            if (profile := _profile(path, groups)) is not None:
                found.append(profile)
        return found

    async def password(self, profile: str) -> str:
        """The password that a profile holds."""
        group = "802-11-wireless-security"
        (secrets,) = await self._bus.call(SERVICE, profile, PROFILE, "GetSecrets", "s", group)
        return str(secrets.get(group, {}).get("psk", ""))

    async def delete(self, profile: str) -> None:
        """Forget a profile; one that is in use ends."""
        try:
            await self._bus.call(SERVICE, profile, PROFILE, "Delete")
        except BusAnswerError as error:
            if error.kind not in ("UnknownMethod", "UnknownObject"):  # gone already
                raise

    async def activate(self, settings: ConnectionSettings, device: str, *, keep: bool) -> Activated:
        """Store a new profile and bring it up on a device; returns at once, long before it is up.

        Unless it is to be kept, it is gone from NetworkManager as soon as our connection to the bus is, however that
        ends. Versions before 1.16 cannot do that: there it stays until somebody deletes it.
        """
        from dbus_fast import Variant

        options = {
            "persist": Variant("s", "disk" if keep else "volatile"),
            "bind-activation": Variant("s", "none" if keep else "dbus-client"),
        }
        wanted = (settings, device, NOTHING)
        try:
            profile, active, _ = await self._bus.call(
                SERVICE, PATH, SERVICE, "AddAndActivateConnection2", "a{sa{sv}}ooa{sv}", *wanted, options
            )
        except BusAnswerError as error:
            if error.kind != "UnknownMethod":
                raise
            profile, active = await self._bus.call(
                SERVICE, PATH, SERVICE, "AddAndActivateConnection", "a{sa{sv}}oo", *wanted
            )
            return Activated(profile, active, bound=False)
        return Activated(profile, active, bound=not keep)

    async def deactivate(self, active: str) -> None:
        """Take a connection down."""
        try:
            await self._bus.call(SERVICE, PATH, SERVICE, "DeactivateConnection", "o", active)
        except BusAnswerError as error:
            if error.kind not in ("ConnectionNotActive", "UnknownMethod", "UnknownObject"):  # down already
                raise

    async def active_state(self, active: str) -> int:
        """The state of a connection in use; DOWN where it is none any more."""
        try:
            return int((await self._bus.properties(SERVICE, active, ACTIVE)).get("State", DOWN))
        except BusAnswerError as error:
            if error.is_nobody:
                raise
            return DOWN

    async def device_reason(self, device: str) -> int:
        """Why a device is in its state; 0 where that is not known, or the device is gone."""
        try:
            _, reason = (await self._bus.properties(SERVICE, device, DEVICE)).get("StateReason", (0, 0))
        except BusAnswerError:
            return 0
        return int(reason)


def _overview(objects: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Overview:
    main = objects.get(PATH, {}).get(SERVICE, {})
    return Overview(
        version=str(main.get("Version", "")),
        starting=bool(main.get("Startup", False)),
        wifi_on=bool(main.get("WirelessEnabled", True)),
        wifi_hardware_on=bool(main.get("WirelessHardwareEnabled", True)),
        devices=tuple(
            _device(objects, path)
            for path, shown in objects.items()
            if shown.get(DEVICE, {}).get("Real", DEVICE in shown)
        ),
        active=tuple(_active(objects, path) for path, shown in objects.items() if ACTIVE in shown),
    )


def _device(objects: Mapping[str, Mapping[str, Mapping[str, Any]]], path: str) -> Device:
    shown = objects[path][DEVICE]
    wireless = objects[path].get(WIRELESS, {})
    configs = (objects.get(shown.get(name, NOTHING), {}).get(kind, {}) for name, kind in _CONFIGS)
    in_the_air = (objects.get(each, {}).get(ACCESS_POINT, {}) for each in wireless.get("AccessPoints", ()))
    _, reason = shown.get("StateReason", (0, 0))
    return Device(
        path=path,
        interface=str(shown.get("Interface", "")),
        is_wifi=shown.get("DeviceType") == WIFI,
        state=int(shown.get("State", 0)),
        reason=int(reason),
        capabilities=int(wireless.get("WirelessCapabilities", 0)),
        has_way_out=any(config.get("Gateway") for config in configs),
        driver=str(shown.get("Driver", "")),
        access_points=tuple(
            AccessPoint(int(each.get("Frequency", 0)), int(each.get("Strength", 0))) for each in in_the_air if each
        ),
    )


_CONFIGS = (("Ip4Config", IP4), ("Ip6Config", IP6))


def _active(objects: Mapping[str, Mapping[str, Mapping[str, Any]]], path: str) -> Active:
    shown = objects[path][ACTIVE]
    config = objects.get(shown.get("Ip4Config", NOTHING), {}).get(IP4, {})
    return Active(
        path=path,
        profile=str(shown.get("Connection", NOTHING)),
        state=int(shown.get("State", 0)),
        devices=tuple(shown.get("Devices", ())),
        addresses=tuple(f"{each['address']}/{each['prefix']}" for each in config.get("AddressData", ())),
    )


def _profile(path: str, groups: Mapping[str, Mapping[str, Any]]) -> Profile | None:
    wifi = groups.get("802-11-wireless")
    if wifi is None:
        return None
    connection = groups.get("connection", {})
    return Profile(
        path=path,
        name=str(connection.get("id", "")),
        mode=str(wifi.get("mode", "infrastructure")),
        ssid=bytes(wifi.get("ssid", b"")),
        interface=str(connection.get("interface-name", "")),
        autoconnect=bool(connection.get("autoconnect", True)),
        channel=int(wifi.get("channel", 0)),
    )
