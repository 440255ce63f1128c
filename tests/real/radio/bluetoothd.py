"""A small bluetoothd on a private D-Bus: what BlueZ answers and signals, with devices as simple as tests need them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

DAEMON = shutil.which("dbus-daemon")
needs_daemon = pytest.mark.skipif(DAEMON is None, reason="dbus-daemon is not installed")

ADAPTER_PATH = "/org/bluez/hci0"
ADAPTER, DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
CHARACTERISTIC, GATT_SERVICE = "org.bluez.GattCharacteristic1", "org.bluez.GattService1"
PROPERTIES, OBJECT_MANAGER = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"

CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

ECHO = "e95d0001-251d-470a-a062-fa1922dfa9a8"
SECRET = "e95d0007-251d-470a-a062-fa1922dfa9a8"
CONTROL = "00001531-1212-efde-1523-785feabcd123"


class AnswerError(Exception):
    """A call is answered with this D-Bus error."""

    def __init__(self, name: str, text: str = "") -> None:
        super().__init__(name)
        self.name = name if "." in name else f"org.bluez.Error.{name}"
        self.text = text


@dataclass
class FakeDevice:
    """A device within reach.

    ``passkey`` is what it shows to whoever pairs, None for nothing; ``failures`` are what the next calls of Connect
    are answered with; ``refusal`` what every access to its characteristics is; where it ``hangs``, none is.
    """

    address: str = "E7:12:34:56:78:9A"
    name: str = "BBC micro:bit [echo]"
    rssi: int = -60
    characteristics: tuple[str, ...] = (ECHO, SECRET)
    passkey: int | None = None
    is_bonded: bool = False
    knows_bond: bool = True
    failures: list[AnswerError] = field(default_factory=list)
    refusal: AnswerError | None = None
    hangs: bool = False
    disconnect_time: float = 0.0
    written: list[tuple[str, bytes, str]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{ADAPTER_PATH}/dev_{self.address.replace(':', '_')}"


class FakeBluetoothd:
    """Serves org.bluez on a bus.

    Attributes:
        calls: the names of all methods that were called, in order, with the last part of their paths.
    """

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self.objects: dict[str, dict[str, dict[str, Variant]]] = {}
        self.devices: dict[str, FakeDevice] = {}
        self.calls: list[str] = []
        self.agent: tuple[str, str, str] | None = None
        self.stays_off = self.refuses_power = 0
        self.is_silent = False
        self._tasks: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._handle)

    def add_adapter(self, *, powered: bool = True) -> None:
        properties = {
            "Address": Variant("s", "00:00:5E:00:53:01"),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
        }
        self.objects[ADAPTER_PATH] = {ADAPTER: properties}

    def switch(self, *, on: bool) -> None:
        """The adapter is switched off or on by somebody else."""
        self._change(ADAPTER_PATH, ADAPTER, Powered=Variant("b", on))

    def pull(self) -> None:
        """The adapter is gone."""
        self._remove(ADAPTER_PATH)

    def plug(self) -> None:
        """There is an adapter again."""
        self.add_adapter()
        self._add(ADAPTER_PATH, ADAPTER, self.objects[ADAPTER_PATH][ADAPTER])

    def add_device(self, device: FakeDevice, *, known: bool = False, connected: bool = False) -> FakeDevice:
        """Put a device in reach; ``known`` ones bluetoothd has an object of already."""
        self.devices[device.path] = device
        if known or connected:
            self._show(device, rssi=None)
        if connected:
            self._change(device.path, DEVICE, Connected=Variant("b", True))
        return device

    @property
    def is_discovering(self) -> bool:
        return bool(self.objects[ADAPTER_PATH][ADAPTER]["Discovering"].value)

    def property_of(self, device: FakeDevice, name: str) -> Any:
        return self.objects[device.path][DEVICE][name].value

    def drop(self, device: FakeDevice) -> None:
        """The device hangs up, or is lost."""
        self._change(device.path, DEVICE, Connected=Variant("b", False), ServicesResolved=Variant("b", False))

    def announce(self, device: FakeDevice) -> None:
        """The device advertises, and is heard."""
        if device.path in self.objects:
            device.rssi = device.rssi - 1 if device.rssi % 2 == 0 else device.rssi + 1
            self._change(device.path, DEVICE, RSSI=Variant("n", device.rssi), Name=Variant("s", device.name))
        else:
            self._show(device, rssi=device.rssi)

    def _show(self, device: FakeDevice, *, rssi: int | None) -> None:
        properties = {
            "Address": Variant("s", device.address),
            "AddressType": Variant("s", "random"),
            "Name": Variant("s", device.name),
            "Alias": Variant("s", device.name),
            "Adapter": Variant("o", ADAPTER_PATH),
            "Paired": Variant("b", device.is_bonded),
            "Bonded": Variant("b", device.is_bonded),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
            "UUIDs": Variant("as", []),
            **({} if rssi is None else {"RSSI": Variant("n", rssi)}),
        }
        self._add(device.path, DEVICE, properties)

    def _resolve(self, device: FakeDevice) -> None:
        """Find the services, unless those of the last time are still believed."""
        service = f"{device.path}/service000a"
        if service not in self.objects:
            self._add(
                service,
                GATT_SERVICE,
                {
                    "UUID": Variant("s", "e95d0000-251d-470a-a062-fa1922dfa9a8"),
                    "Device": Variant("o", device.path),
                    "Primary": Variant("b", True),
                    "Includes": Variant("ao", []),
                },
            )
            for number, uuid in enumerate(device.characteristics):
                self._add(
                    f"{service}/char{number + 11:04x}",
                    CHARACTERISTIC,
                    {
                        "UUID": Variant("s", uuid),
                        "Service": Variant("o", service),
                        "Flags": Variant("as", ["read", "write", "write-without-response", "notify"]),
                        "MTU": Variant("q", 247),
                    },
                )
        self._change(device.path, DEVICE, ServicesResolved=Variant("b", True))

    # D-Bus.

    def _add(self, path: str, interface: str, properties: dict[str, Variant]) -> None:
        self.objects.setdefault(path, {})[interface] = properties
        self._signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, {interface: properties}])

    def _remove(self, path: str) -> None:
        for gone in [each for each in self.objects if each == path or each.startswith(path + "/")]:
            interfaces = list(self.objects.pop(gone))
            self._signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [gone, interfaces])

    def _change(self, path: str, interface: str, **changed: Variant) -> None:
        self.objects[path][interface].update(changed)
        self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    def _invalidate(self, path: str, name: str) -> None:
        if self.objects[path][DEVICE].pop(name, None) is not None:
            self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, {}, [name]])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._bus.send(Message.new_signal(path, interface, member, signature, body))

    def _handle(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL or message.destination not in (
            "org.bluez",
            self._bus.unique_name,
        ):
            return False
        name = f"{message.interface}.{message.member}"
        self.calls.append(f"{message.member} {(message.path or '').rpartition('/')[2]}")
        handler = getattr(self, "_on_" + name.rpartition("org.")[2].replace(".", "_").lower(), None)
        if handler is None or (message.path not in self.objects and message.path not in ("/", "/org/bluez")):
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", f"no {message.path}")
        task = asyncio.get_running_loop().create_task(self._answer(message, handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _answer(self, message: Message, handler: Any) -> None:
        try:
            result = await handler(message)
        except AnswerError as error:
            reply = Message.new_error(message, error.name, error.text)
        else:
            signature, body = result or ("", [])
            reply = Message.new_method_return(message, signature, body)
        if self._bus.connected:
            await self._bus.send(reply)

    async def _on_freedesktop_dbus_objectmanager_getmanagedobjects(self, _: Message) -> tuple[str, list[Any]]:
        return "a{oa{sa{sv}}}", [self.objects]

    async def _on_freedesktop_dbus_properties_set(self, message: Message) -> None:
        interface, name, value = message.body
        if name == "Powered" and value.value and self.refuses_power:
            self.refuses_power -= 1
            raise AnswerError("Busy", "Operation already in progress")
        if name == "Powered" and value.value and self.stays_off:
            self.stays_off -= 1
            asyncio.get_running_loop().call_later(
                0.02, lambda: self._change(str(message.path), interface, Powered=Variant("b", True))
            )
            return
        self._change(str(message.path), interface, **{name: value})

    async def _on_bluez_adapter1_setdiscoveryfilter(self, message: Message) -> None:
        pass

    async def _on_bluez_adapter1_startdiscovery(self, message: Message) -> None:
        if not self.objects[str(message.path)][ADAPTER]["Powered"].value:
            raise AnswerError("NotReady", "Resource Not Ready")
        self._change(ADAPTER_PATH, ADAPTER, Discovering=Variant("b", True))
        self._announce_all()

    def _announce_all(self) -> None:
        """Have every device that is not connected advertise, again and again while somebody listens."""
        if not self._bus.connected or not self.objects or not self.is_discovering:
            return
        for device in self.devices.values():
            is_connected = self.objects.get(device.path, {}).get(DEVICE, {}).get("Connected", Variant("b", False))
            if not is_connected.value and not self.is_silent:
                self.announce(device)
        asyncio.get_running_loop().call_later(0.03, self._announce_all)

    async def _on_bluez_adapter1_stopdiscovery(self, _: Message) -> None:
        self._change(ADAPTER_PATH, ADAPTER, Discovering=Variant("b", False))
        for path in [path for path, interfaces in self.objects.items() if DEVICE in interfaces]:
            self._invalidate(path, "RSSI")

    async def _on_bluez_adapter1_removedevice(self, message: Message) -> None:
        path = message.body[0]
        if path not in self.objects:
            raise AnswerError("DoesNotExist", "Does Not Exist")
        self.devices[path].is_bonded = False
        self._remove(path)

    async def _on_bluez_device1_connect(self, message: Message) -> None:
        device = self.devices[str(message.path)]
        if device.failures:
            raise device.failures.pop(0)
        self._change(device.path, DEVICE, Connected=Variant("b", True))
        if device.is_bonded and not device.knows_bond:
            self._change(device.path, DEVICE, Connected=Variant("b", False))
        else:
            asyncio.get_running_loop().call_later(0.01, self._resolve, device)

    async def _on_bluez_device1_disconnect(self, message: Message) -> None:
        device = self.devices[str(message.path)]
        await asyncio.sleep(device.disconnect_time)
        if self.property_of(device, "Connected"):
            self.drop(device)

    async def _on_bluez_device1_pair(self, message: Message) -> None:
        device = self.devices[str(message.path)]
        if device.passkey is not None:
            if self.agent is None or self.agent[2] == "NoInputNoOutput":
                raise AnswerError("AuthenticationFailed", "Authentication Failed")
            reply = await self.ask_agent("RequestPasskey", "o", [device.path])
            if reply.message_type is MessageType.ERROR:
                raise AnswerError("AuthenticationRejected", "Authentication Rejected")
            if reply.body != [device.passkey]:
                raise AnswerError("AuthenticationFailed", "Authentication Failed")
        device.is_bonded = device.knows_bond = True
        self._change(device.path, DEVICE, Paired=Variant("b", True), Bonded=Variant("b", True))

    async def ask_agent(self, member: str, signature: str, body: list[Any]) -> Message:
        """Ask whoever has registered an agent."""
        assert self.agent is not None
        destination, path, _ = self.agent
        return await self._bus.call(
            Message(
                destination=destination,
                path=path,
                interface="org.bluez.Agent1",
                member=member,
                signature=signature,
                body=body,
            )
        )

    async def _on_bluez_device1_cancelpairing(self, message: Message) -> None:
        pass

    async def _on_bluez_agentmanager1_registeragent(self, message: Message) -> None:
        path, capability = message.body
        self.agent = (str(message.sender), path, capability)

    async def _on_bluez_agentmanager1_unregisteragent(self, _: Message) -> None:
        self.agent = None

    def _access(self, message: Message) -> tuple[FakeDevice, str]:
        path = str(message.path)
        device = next(device for device in self.devices.values() if path.startswith(device.path))
        uuid = str(self.objects[path][CHARACTERISTIC]["UUID"].value)
        if device.hangs:
            raise asyncio.CancelledError
        if device.refusal is not None:
            raise device.refusal
        if uuid == SECRET and not device.is_bonded:
            raise AnswerError("NotPermitted", "Not paired")
        return device, uuid

    async def _on_bluez_gattcharacteristic1_readvalue(self, message: Message) -> tuple[str, list[Any]]:
        device, uuid = self._access(message)
        last = next((data for written, data, _ in reversed(device.written) if written == uuid), b"")
        return "ay", [last]

    async def _on_bluez_gattcharacteristic1_writevalue(self, message: Message) -> None:
        device, uuid = self._access(message)
        data, options = message.body
        device.written.append((uuid, bytes(data), options["type"].value))
        self._change(str(message.path), CHARACTERISTIC, Value=Variant("ay", bytes(data)))

    async def _on_bluez_gattcharacteristic1_startnotify(self, message: Message) -> None:
        self._access(message)


@asynccontextmanager
async def bluetoothd(folder: Path) -> AsyncGenerator[FakeBluetoothd]:
    """A private D-Bus with bluetoothd on it; clients find it by DBUS_SYSTEM_BUS_ADDRESS, see ``address``."""
    assert DAEMON is not None
    configuration = folder / "bus.conf"
    configuration.write_text(CONFIGURATION.format(socket=folder / "bus"), encoding="utf-8")
    daemon = await asyncio.create_subprocess_exec(
        DAEMON,
        "--nofork",
        "--print-address=1",
        f"--config-file={configuration}",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert daemon.stdout is not None
        await daemon.stdout.readline()
        bus = await MessageBus(bus_address=address(folder), bus_type=BusType.SESSION).connect()
        served = FakeBluetoothd(bus)
        await bus.request_name("org.bluez")
        try:
            yield served
        finally:
            bus.disconnect()
            with suppress(Exception):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    finally:
        daemon.terminate()
        await daemon.wait()


def address(folder: Path) -> str:
    return f"unix:path={folder / 'bus'}"


async def let_bleak_go() -> None:
    """Close the bus that bleak keeps for as long as the loop lasts."""
    from bleak.backends.bluezdbus.manager import _global_instances

    manager = _global_instances.pop(asyncio.get_running_loop(), None)
    if manager is not None and manager._bus is not None:
        manager._bus.disconnect()
        if (watcher := getattr(manager, "_bus_watcher_task", None)) is not None:  # since bleak 3.1
            await asyncio.wait({watcher})
