"""A small NetworkManager on a private bus, which does what it is told.

It keeps to the traces of the real one (version 1.42.4): which states a device and its connection go through, and which
errors come of what.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
DBUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus")

AP_2_GHZ = 0x40 | 0x100 | 0x200
FREE, UP, FAILED = 30, 100, 120


class RefusedError(Exception):
    """What the fake answers instead of doing what it is asked."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(name)
        self.name, self.text = name, text


@dataclass
class FakeConnection:
    """A profile, and how it is in use."""

    settings: dict[str, dict[str, Any]]
    client: str = ""
    """Whose connection to the bus it ends with."""
    device: str = ""
    active: str = ""
    state: int = 0
    secrets: dict[str, Any] = field(default_factory=dict)


class FakeNetworkManager:
    """NetworkManager on a private bus.

    Attributes:
        outcomes: how the next activations go, the first first: ``UP``, or the reason for which the device fails, or
            None for nothing at all; then all come up.
        refusal: what the call itself answers instead, once.
        has_second: whether it knows ``AddAndActivateConnection2``.
        permissions: what is not allowed, by the end of the action's name.
        sticks: whether a device does not get free when its connection ends.
        asked: the methods that were called, in order.
    """

    def __init__(self, address: str, *, starting: bool = False) -> None:
        self._address = address
        self._numbers = itertools.count(1)
        self._bus: MessageBus | None = None
        self._main: dict[str, Variant] = {
            "Version": Variant("s", "1.42.4"),
            "Startup": Variant("b", starting),
            "WirelessEnabled": Variant("b", True),
            "WirelessHardwareEnabled": Variant("b", True),
        }
        self._devices: dict[str, dict[str, dict[str, Variant]]] = {}
        self._others: dict[str, dict[str, dict[str, Variant]]] = {}
        self.profiles: dict[str, FakeConnection] = {}
        self.outcomes: list[int | None] = []
        self.refusal: RefusedError | None = None
        self.has_second = True
        self.permissions: dict[str, str] = {}
        self.sticks = False
        self.asked: list[str] = []
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def __aenter__(self) -> Self:
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._take)
        await self._call_bus("AddMatch", "type='signal',member='NameOwnerChanged'")
        await self._bus.request_name(NAME)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._bus is not None
        self._bus.disconnect()
        await asyncio.gather(self._bus.wait_for_disconnect(), return_exceptions=True)  # type: ignore[no-untyped-call]

    def add_device(
        self,
        interface: str,
        *,
        wifi: bool = True,
        state: int = FREE,
        reason: int = 0,
        capabilities: int = AP_2_GHZ,
        way_out: bool = False,
        access_points: Sequence[tuple[int, int]] = (),
    ) -> str:
        """One more network interface; its path."""
        path = f"{PATH}/Devices/{next(self._numbers)}"
        config = f"{PATH}/IP4Config/{next(self._numbers)}"
        self._others[config] = {f"{NAME}.IP4Config": {"Gateway": Variant("s", "192.0.2.1" if way_out else "")}}
        heard = []
        for frequency, strength in access_points:
            heard.append(f"{PATH}/AccessPoint/{next(self._numbers)}")
            shown = {"Frequency": Variant("u", frequency), "Strength": Variant("y", strength)}
            self._others[heard[-1]] = {f"{NAME}.AccessPoint": shown}
        self._devices[path] = {
            f"{NAME}.Device": {
                "Interface": Variant("s", interface),
                "DeviceType": Variant("u", 2 if wifi else 1),
                "State": Variant("u", state),
                "StateReason": Variant("(uu)", [state, reason]),
                "Real": Variant("b", True),
                "Driver": Variant("s", "fake"),
                "Ip4Config": Variant("o", config),
            }
        }
        if wifi:
            self._devices[path][f"{NAME}.Device.Wireless"] = {
                "WirelessCapabilities": Variant("u", capabilities),
                "AccessPoints": Variant("ao", heard),
            }
        self._emit(PATH, NAME, "DeviceAdded", "o", path)
        return path

    def remove_device(self, path: str) -> None:
        """Unplug an adapter."""
        for profile in list(self.profiles.values()):
            if profile.device == path:
                self._end_use(profile, 36)
        del self._devices[path]
        self._emit(PATH, NAME, "DeviceRemoved", "o", path)

    def add_profile(self, settings: Mapping[str, Mapping[str, Any]], *, psk: str = "", device: str = "") -> str:
        """A stored connection, in use where a device is named; its path."""
        path = f"{PATH}/Settings/{next(self._numbers)}"
        shown = {group: dict(values) for group, values in settings.items()}
        self.profiles[path] = FakeConnection(shown, secrets={"psk": Variant("s", psk)})
        if device:
            self._use(path, device)
            self._up(self.profiles[path])
        return path

    def set_state(self, device: str, state: int, reason: int = 0) -> None:
        """Bring a device into a state, with its signal."""
        shown = self._devices[device][f"{NAME}.Device"]
        old = shown["State"].value
        shown["State"] = Variant("u", state)
        shown["StateReason"] = Variant("(uu)", [state, reason])
        self._emit(device, f"{NAME}.Device", "StateChanged", "uuu", state, old, reason)

    def switch_wifi(self, *, on: bool) -> None:
        """Switch all radios off or on."""
        self._main["WirelessEnabled"] = Variant("b", on)
        for path, shown in self._devices.items():
            if f"{NAME}.Device.Wireless" in shown:
                for profile in list(self.profiles.values()):
                    if profile.device == path:
                        self._end_use(profile, 0)
                self.set_state(path, FREE if on else 20)
        self._changed("WirelessEnabled")

    def has_started(self) -> None:
        """End its start."""
        self._main["Startup"] = Variant("b", False)
        self._changed("Startup")

    def take_down(self, reason: int) -> None:
        """Have the hotspot go, as somebody else or the driver does."""
        for profile in list(self.profiles.values()):
            if profile.active:
                self._end_use(profile, reason)

    @property
    def hotspots(self) -> list[FakeConnection]:
        """The hotspots that are up."""
        return [
            profile
            for profile in self.profiles.values()
            if profile.state == 2 and profile.settings["802-11-wireless"]["mode"].value == "ap"
        ]

    async def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((holds, waiting))
        self._look()
        async with asyncio.timeout(10):
            await waiting

    def _take(self, message: Message) -> Message | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new = message.body
            if not new:
                self._client_left(name)
            return None
        if message.message_type is not MessageType.METHOD_CALL or not (message.path or "").startswith(
            "/org/freedesktop"
        ):
            return None
        assert message.member is not None
        self.asked.append(message.member)
        try:
            signature, body = getattr(self, f"_do_{message.member}")(message)
        except RefusedError as refusal:
            return Message.new_error(message, refusal.name, refusal.text)
        finally:
            self._look()
        return Message.new_method_return(message, signature, body)

    def _look(self) -> None:
        """Wake those who wait for what holds now."""
        for holds, waiting in self._waiting:
            if not waiting.done() and holds():
                waiting.set_result(None)

    def _do_GetManagedObjects(self, _: Message) -> tuple[str, list[Any]]:  # noqa: N802 - the bus's own names
        active = {
            profile.active: {
                f"{NAME}.Connection.Active": {
                    "Connection": Variant("o", path),
                    "State": Variant("u", profile.state),
                    "Devices": Variant("ao", [profile.device]),
                    "Ip4Config": Variant("o", f"{profile.active}/ip4"),
                }
            }
            for path, profile in self.profiles.items()
            if profile.active
        }
        data = [{"address": Variant("s", "10.42.0.1"), "prefix": Variant("u", 24)}]
        configs = {f"{path}/ip4": {f"{NAME}.IP4Config": {"AddressData": Variant("aa{sv}", data)}} for path in active}
        objects = {PATH: {NAME: self._main}, **self._devices, **self._others, **active, **configs}
        return "a{oa{sa{sv}}}", [objects]

    def _do_GetAll(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        _, [objects] = self._do_GetManagedObjects(message)
        shown = objects.get(message.path, {}).get(message.body[0])
        if shown is None:
            raise RefusedError("org.freedesktop.DBus.Error.UnknownMethod", "Object does not exist")
        return "a{sv}", [shown]

    def _do_GetPermissions(self, _: Message) -> tuple[str, list[Any]]:  # noqa: N802
        actions = dict.fromkeys(("network-control", "wifi.share.protected", "settings.modify.system"), "yes")
        return "a{ss}", [{f"{NAME}.{end}": word for end, word in (actions | self.permissions).items()}]

    def _do_ListConnections(self, _: Message) -> tuple[str, list[Any]]:  # noqa: N802
        return "ao", [list(self.profiles)]

    def _do_GetSettings(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        settings = {group: dict(values) for group, values in self._profile(message).settings.items()}
        settings.get("802-11-wireless-security", {}).pop("psk", None)
        return "a{sa{sv}}", [settings]

    def _do_GetSecrets(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        return "a{sa{sv}}", [{message.body[0]: self._profile(message).secrets}]

    def _do_Delete(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        profile = self._profile(message)
        del self.profiles[message.path or ""]
        self._end_use(profile, 38)
        return "", []

    def _do_DeactivateConnection(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        for profile in list(self.profiles.values()):
            if profile.active == message.body[0]:
                self._end_use(profile, 39)
                return "", []
        raise RefusedError(f"{NAME}.ConnectionNotActive")

    def _do_AddAndActivateConnection2(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        if not self.has_second:
            raise RefusedError("org.freedesktop.DBus.Error.UnknownMethod")
        options = message.body[3]
        bound = options["bind-activation"].value == "dbus-client"
        assert options["persist"].value == ("volatile" if bound else "disk")
        profile, active = self._activate(message, message.sender or "" if bound else "")
        return "ooa{sv}", [profile, active, {}]

    def _do_AddAndActivateConnection(self, message: Message) -> tuple[str, list[Any]]:  # noqa: N802
        return "oo", list(self._activate(message, ""))

    def _activate(self, message: Message, client: str) -> tuple[str, str]:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        settings, device = message.body[:2]
        path = f"{PATH}/Settings/{next(self._numbers)}"
        secrets = {"psk": settings["802-11-wireless-security"]["psk"]}
        self.profiles[path] = profile = FakeConnection(settings, client, secrets=secrets)
        self._use(path, device)
        outcome = self.outcomes.pop(0) if self.outcomes else UP
        if outcome is not None:
            asyncio.get_running_loop().call_soon(self._go, path, profile, outcome)
        return path, profile.active

    def _go(self, path: str, profile: FakeConnection, outcome: int) -> None:
        """What the real one goes through."""
        self._emit(profile.active, f"{NAME}.Connection.Active", "StateChanged", "uu", 1, 0)
        for state in (40, 50, 60, 40, 50):
            self.set_state(profile.device, state)
        if outcome == UP:
            for state in (70, 80, 90):
                self.set_state(profile.device, state)
            self._up(profile)
            return
        self.set_state(profile.device, FAILED, outcome)
        device = profile.device
        self._end_use(profile, 3, device_reason=None)
        if profile.client:
            self.profiles.pop(path, None)
        self.set_state(device, FREE)

    def _use(self, path: str, device: str) -> None:
        profile = self.profiles[path]
        profile.device, profile.active, profile.state = device, f"{PATH}/ActiveConnection/{next(self._numbers)}", 1

    def _up(self, profile: FakeConnection) -> None:
        profile.state = 2
        self.set_state(profile.device, UP)
        self._emit(profile.active, f"{NAME}.Connection.Active", "StateChanged", "uu", 2, 1)
        self._look()

    def _end_use(self, profile: FakeConnection, reason: int, device_reason: int | None = 0) -> None:
        if not profile.active:
            return
        active, profile.active, profile.state = profile.active, "", 0
        if device_reason is not None:
            self.set_state(profile.device, 110, reason)
        self._emit(active, f"{NAME}.Connection.Active", "StateChanged", "uu", 4, 3)
        if device_reason is not None and not self.sticks:
            self.set_state(profile.device, FREE, reason)
        if profile.client:
            for path in [path for path, each in self.profiles.items() if each is profile]:
                del self.profiles[path]

    def _client_left(self, name: str) -> None:
        for profile in [each for each in self.profiles.values() if each.client == name]:
            self._end_use(profile, 39)
        self._look()

    def _profile(self, message: Message) -> FakeConnection:
        try:
            return self.profiles[message.path or ""]
        except KeyError:
            raise RefusedError("org.freedesktop.DBus.Error.UnknownMethod", "Object does not exist") from None

    def _changed(self, name: str) -> None:
        interface = "org.freedesktop.DBus.Properties"
        self._emit(PATH, interface, "PropertiesChanged", "sa{sv}as", NAME, {name: self._main[name]}, [])

    def _emit(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        if self._bus is not None and self._bus.connected:
            self._bus.send(Message.new_signal(path, interface, member, signature, list(body)))

    async def _call_bus(self, member: str, word: str) -> None:
        assert self._bus is not None
        message = Message(*DBUS, DBUS[0], member, signature="s", body=[word])
        await self._bus.call(message)
