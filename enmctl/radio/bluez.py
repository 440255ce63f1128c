"""bluetoothd, asked over D-Bus for what bleak has no words for: to forget, to pair with a passkey, to start over.

The one module that imports what only Linux has; it is imported when a radio of this machine is made there.
BlueZ's interfaces are described in its ``doc/org.bluez.Adapter.rst``, ``org.bluez.Device.rst`` and
``org.bluez.Agent.rst``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bleak.exc import BleakDBusError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal

from enmctl.errors import EnmError
from enmctl.radio.bluetooth import attaching
from enmctl.radio.bluetooth.backend import Passkey
from enmctl.radio.bluetooth.translation import BLUEZ, GONE, translated

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.scanner import BaseBleakScanner

SERVICE = "org.bluez"
ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
AGENT = "org.bluez.Agent1"
AGENT_MANAGER = "org.bluez.AgentManager1"
MANAGER_PATH = "/org/bluez"
AGENT_PATH = "/enmctl/agent"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"

DBUS = "org.freedesktop.DBus"
DBUS_PATH = "/org/freedesktop/DBus"

BUS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
"""Where bleak finds the bus; it can be told in no other way."""

WATCHED = (
    f"type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{SERVICE}'",
    f"type='signal',sender='{SERVICE}',interface='{OBJECT_MANAGER}'",
    f"type='signal',sender='{SERVICE}',interface='{PROPERTIES}',arg0='{ADAPTER}'",
)
"""The signals that tell of bluetoothd and its adapters."""

KEYBOARD_AND_DISPLAY = "KeyboardDisplay"
"""What the agent says of this machine; a board without digits then still pairs without any."""

CALL_TIMEOUT = 10.0
"""Seconds until an answer of bluetoothd; it waits for the controller, or for a board to hang up."""

PAIR_TIMEOUT = 120.0
"""Seconds for ``Pair``, whose limit is its caller's."""

POWER_TRIES, POWER_PAUSE = 4, 1.0
"""How often an adapter that was switched off is switched on at most, and the seconds between two tries."""

POWER_INTERVAL = 0.1
"""Seconds between two looks whether the adapter is up again."""

_log = logging.getLogger(__name__)


class _Device(NamedTuple):
    """A device that bluetoothd knows."""

    path: str
    adapter: str
    is_connected: bool
    is_bonded: bool


class BluezBackend:
    """The Bluetooth of Linux: bleak's own classes, and bluetoothd for the rest.

    Args:
        adapter: like hci0; "" for all there are, where it is about a device, and else for the first that is on.
        device_type: the machine's, see ``attaching``.
        bus: where bluetoothd's D-Bus is, unless the environment names one; "" for the machine's own.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None

    def __init__(self, adapter: str, device_type: str = "", bus: str = "") -> None:
        if bus and not os.environ.get(BUS_VARIABLE):
            os.environ[BUS_VARIABLE] = bus
        self._adapter = adapter
        self._device_type = device_type
        self._bus: MessageBus | None = None
        self._opening = asyncio.Lock()
        self._changed: Callable[[], None] | None = None
        self._left_off = ""

    async def close(self) -> None:
        """See Backend."""
        await self.restore()
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            await asyncio.gather(bus.wait_for_disconnect(), return_exceptions=True)  # type: ignore[no-untyped-call]

    async def prepare(self) -> None:
        """See Backend."""
        if attaching.is_needed(self._device_type):
            await attaching.attach()
            await self._until_powered()

    async def watch(self, changed: Callable[[], None]) -> None:
        """See Backend: bluetoothd ends or is started, and adapters are plugged, switched or blocked."""
        async with self._opening:
            self._changed = changed
            if self._bus is not None:
                await self._subscribe(self._bus)
        try:
            await self._opened()
        except Exception as error:
            raise translated(error, "bluetoothd") from error

    async def forget(self, address: str) -> bool:
        """See Backend: RemoveDevice, which also drops the services that bluetoothd has in memory, and the bond."""
        devices = await self._devices(address)
        for device in devices:
            await self._call(device.adapter, ADAPTER, "RemoveDevice", "o", [device.path], may_be_gone=True)
        return bool(devices)

    async def release(self, address: str) -> bool:
        """See Backend: bluetoothd keeps a connection when the program that made it is killed."""
        connected = [device for device in await self._devices(address) if device.is_connected]
        for device in connected:
            _log.info("%s is still connected from before: its connection is ended", address)
            await self._call(device.path, DEVICE, "Disconnect", may_be_gone=True)
        return bool(connected)

    async def is_bonded(self, address: str) -> bool | None:
        """See Backend."""
        return any(device.is_bonded for device in await self._devices(address))

    async def pair(self, client: BleakClient, passkey: Passkey | None) -> None:
        """See Backend: by an agent of our own, which bluetoothd asks because it is we who ask it to pair."""
        connected = [device for device in await self._devices(client.address) if device.is_connected]
        if not connected:
            raise translated(BleakDBusError(f"{BLUEZ}NotConnected", []), client.address)
        device = connected[0]
        if device.is_bonded:
            return
        async with self._agent(_Agent(await self._opened(), device.path, passkey)):
            try:
                await self._call(device.path, DEVICE, "Pair", seconds=PAIR_TIMEOUT)
            except asyncio.CancelledError:
                await self._call(device.path, DEVICE, "CancelPairing", may_fail=True)
                raise

    async def power_cycle(self) -> bool:
        """See Backend: an adapter that was switched off is switched on, whatever goes wrong."""
        path = await self._adapter_path()
        if path is None:
            return False
        self._left_off = path
        try:
            await self._set_power(path, on=False)
        finally:
            await self._switch_on(path)
        return True

    async def restore(self) -> None:
        """See Backend."""
        if self._left_off:
            with contextlib.suppress(EnmError):
                await self._switch_on(self._left_off, tries=1)

    async def _switch_on(self, path: str, *, tries: int = POWER_TRIES) -> None:
        """Switch an adapter on, and wait until it is."""
        for left in reversed(range(tries)):
            try:
                await self._set_power(path, on=True)
                async with asyncio.timeout(CALL_TIMEOUT):
                    while not await self._is_powered(path):  # noqa: ASYNC110 - bluetoothd answers before it is up
                        await asyncio.sleep(POWER_INTERVAL)
            except (EnmError, TimeoutError) as error:
                if not left:
                    raise translated(error, "the Bluetooth adapter") from error
                await asyncio.sleep(POWER_PAUSE)
            else:
                self._left_off = ""
                return

    async def _is_powered(self, path: str) -> bool:
        return bool((await self._objects()).get(path, {}).get(ADAPTER, {}).get("Powered"))

    async def _until_powered(self) -> None:
        """Give bluetoothd the time to take up an adapter that has just come; the scan says where it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALL_TIMEOUT):
                while (path := await self._adapter_path()) is None or not await self._is_powered(path):  # noqa: ASYNC110
                    await asyncio.sleep(POWER_INTERVAL)

    async def _set_power(self, path: str, *, on: bool) -> None:
        await self._call(path, PROPERTIES, "Set", "ssv", [ADAPTER, "Powered", Variant("b", on)])

    async def _adapter_path(self) -> str | None:
        if self._adapter:
            return f"{MANAGER_PATH}/{self._adapter}"
        adapters = {path: found[ADAPTER] for path, found in (await self._objects()).items() if ADAPTER in found}
        powered = [path for path, properties in adapters.items() if properties.get("Powered")]
        return next(iter([*powered, *adapters]), None)

    async def _devices(self, address: str) -> list[_Device]:
        """The devices of this address, one an adapter at most."""
        devices = []
        for path, interfaces in (await self._objects()).items():
            properties = interfaces.get(DEVICE, {})
            adapter = str(properties.get("Adapter", ""))
            of_ours = not self._adapter or adapter == f"{MANAGER_PATH}/{self._adapter}"
            if of_ours and str(properties.get("Address", "")).upper() == address.upper():
                bonded = properties.get("Bonded", properties.get("Paired"))  # BlueZ before 5.63 has no Bonded
                devices.append(_Device(path, adapter, bool(properties.get("Connected")), bool(bonded)))
        return devices

    async def _objects(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """All that bluetoothd has, by path and interface."""
        (objects,) = await self._call("/", OBJECT_MANAGER, "GetManagedObjects")
        return {
            path: {
                interface: {name: variant.value for name, variant in properties.items()}
                for interface, properties in interfaces.items()
            }
            for path, interfaces in objects.items()
        }

    @asynccontextmanager
    async def _agent(self, agent: _Agent) -> AsyncGenerator[None]:
        """Have an agent answer bluetoothd's questions."""
        bus = await self._opened()
        bus.add_message_handler(agent.answer)
        try:
            await self._call(MANAGER_PATH, AGENT_MANAGER, "RegisterAgent", "os", [AGENT_PATH, KEYBOARD_AND_DISPLAY])
            yield
        finally:
            await self._call(MANAGER_PATH, AGENT_MANAGER, "UnregisterAgent", "o", [AGENT_PATH], may_fail=True)
            bus.remove_message_handler(agent.answer)
            agent.close()

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        seconds: float = CALL_TIMEOUT,
        may_be_gone: bool = False,
        may_fail: bool = False,
    ) -> list[Any]:
        """Call a method.

        Raises:
            EnmError: in our words.
        """
        try:
            bus = await self._opened()
            message = Message(
                destination=SERVICE, path=path, interface=interface, member=member, signature=signature, body=body or []
            )
            async with asyncio.timeout(seconds):
                reply = await bus.call(message)
            if reply.message_type is MessageType.ERROR and not may_fail:
                name = str(reply.error_name)
                if not (may_be_gone and name in GONE):
                    raise BleakDBusError(name, reply.body)  # noqa: TRY301 - translated with all others below
        except Exception as error:
            raise translated(error, _subject(path)) from error
        return list(reply.body)

    async def _opened(self) -> MessageBus:
        async with self._opening:
            if self._bus is None or not self._bus.connected:
                self._bus = await _connected_bus()
                if self._changed is not None:
                    await self._subscribe(self._bus)
            return self._bus

    async def _subscribe(self, bus: MessageBus) -> None:
        bus.add_message_handler(self._on_signal)
        for rule in WATCHED:
            async with asyncio.timeout(CALL_TIMEOUT):
                await bus.call(
                    Message(
                        destination=DBUS, path=DBUS_PATH, interface=DBUS, member="AddMatch", signature="s", body=[rule]
                    )
                )

    def _on_signal(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and self._changed is not None and _is_of_adapter(message):
            self._changed()


class _Agent:
    """Answers what bluetoothd asks while it pairs with one device.

    Args:
        bus: where it asks.
        device: the device's path.
        passkey: asks a person for six digits.
    """

    def __init__(self, bus: MessageBus, device: str, passkey: Passkey | None) -> None:
        self._bus = bus
        self._device = device
        self._passkey = passkey
        self._asking: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()

    def answer(self, message: Message) -> Message | bool:
        """What the bus hands over; False where it is not for the agent."""
        if message.message_type is not MessageType.METHOD_CALL or message.path != AGENT_PATH:
            return False
        if message.interface != AGENT:
            return False
        match message.member:
            case "RequestPasskey" | "RequestPinCode" if message.body[0] == self._device:
                self.close()
                self._asking = asyncio.get_running_loop().create_task(self._ask(message))
                return True
            case "Cancel":
                self.close()
            case "RequestConfirmation" | "RequestAuthorization" if message.body[0] != self._device:
                return _rejected(message)
            case "RequestPasskey" | "RequestPinCode" | "AuthorizeService":
                return _rejected(message)
            case _:
                pass
        return Message.new_method_return(message)

    async def _ask(self, message: Message) -> None:
        try:
            number = None if self._passkey is None else await self._passkey()
        except Exception:  # noqa: BLE001 - whatever asking brings, bluetoothd gets an answer
            _log.exception("the passkey could not be asked for; this is a bug in enmctl")
            number = None
        if number is None:
            answer = _rejected(message)
        elif message.member == "RequestPasskey":
            answer = Message.new_method_return(message, "u", [number])
        else:
            answer = Message.new_method_return(message, "s", [f"{number:06}"])
        await self._bus.send(answer)


async def _connected_bus() -> MessageBus:
    """A connection to the system bus; like bleak it can be told to come as another user, in a container."""
    user = os.environ.get("BLEAK_DBUS_AUTH_UID", "")
    bus = MessageBus(bus_type=BusType.SYSTEM, auth=AuthExternal(uid=int(user)) if user.isdecimal() else None)
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            await bus.connect()
    except BaseException:
        bus.disconnect()
        raise
    return bus


def _is_of_adapter(message: Message) -> bool:
    """Whether a signal tells that bluetoothd or an adapter came, went, or was switched."""
    match message.member, message.body:
        case "NameOwnerChanged", [name, *_]:
            return bool(name == SERVICE)
        case (("InterfacesAdded" | "InterfacesRemoved"), [_, interfaces]):
            return ADAPTER in interfaces
        case "PropertiesChanged", [interface, changed, *_]:
            return bool(interface == ADAPTER and "Powered" in changed)
    return False


def _subject(path: str) -> str:
    """What a path is about, as people know it."""
    _, is_device, address = path.partition("/dev_")
    return address.replace("_", ":") if is_device else "bluetoothd"


def _rejected(message: Message) -> Message:
    return Message.new_error(message, f"{BLUEZ}Rejected", "nobody is there to answer")
