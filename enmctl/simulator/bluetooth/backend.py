"""A backend for bleak that reaches simulated boards, and says what BlueZ would where something goes wrong."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble import att, core, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Advertisement, Connection

from enmctl.simulator.bluetooth.bonds import Passkey
from enmctl.simulator.bluetooth.central import Central
from enmctl.simulator.bluetooth.uuids import short, whole

T = TypeVar("T")

MTU = 517
"""What BlueZ asks for."""

OVERHEAD = 3
"""Bytes of the MTU that are not the value of a write."""

QUEUE_MOST = 256
"""Writes without response that wait in the host before a writer has to wait too; BlueZ lets any number wait."""

FAILED = "org.bluez.Error.Failed"
NOT_PERMITTED = "org.bluez.Error.NotPermitted"
IN_PROGRESS = "org.bluez.Error.InProgress"
AUTHENTICATION_FAILED = "org.bluez.Error.AuthenticationFailed"

NOT_PAIRED = frozenset(
    {
        att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR,
        att.ATT_INSUFFICIENT_ENCRYPTION_ERROR,
        att.ATT_INSUFFICIENT_ENCRYPTION_KEY_SIZE_ERROR,
    }
)
"""ATT errors whose codes BlueZ hides."""

HIDDEN_SERVICES = frozenset({short(f"0000{part}-0000-1000-8000-00805f9b34fb") for part in ("1800", "1801")})
"""Services that bluetoothd keeps to itself."""

SUBSCRIPTION = whole(short("00002902-0000-1000-8000-00805f9b34fb"))

PROPERTY_NAMES: tuple[tuple[int, CharacteristicPropertyName], ...] = (
    (0x01, "broadcast"),
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)

_WRITE_COMMAND = struct.Struct("<BH")


class DescriptorFound(NamedTuple):
    """A descriptor, as discovery finds it."""

    handle: int
    uuid: str


class CharacteristicFound(NamedTuple):
    """A characteristic, as discovery finds it."""

    handle: int
    uuid: str
    properties: list[CharacteristicPropertyName]
    descriptors: list[DescriptorFound]


class ServiceFound(NamedTuple):
    """A service, as discovery finds it."""

    handle: int
    uuid: str
    characteristics: list[CharacteristicFound]


class Stack:
    """What scanners and clients of one virtual radio share.

    Args:
        central: the adapter's host.
        keeps_services: whether a board's table of services is believed to be as it was, and its name where it tells
            none, as BlueZ does until the device is removed.
        pairs_by_itself: whether a board that demands a bond gets one unasked, as BlueZ does where no digits are needed.
        scans_privately: whether scans are made under another address, so that what is for this machine alone is not
            heard, as BlueZ's are.
    """

    def __init__(
        self, central: Central, *, keeps_services: bool, pairs_by_itself: bool, scans_privately: bool = False
    ) -> None:
        self.central = central
        self.keeps_services = keeps_services
        self.pairs_by_itself = pairs_by_itself
        self.scans_privately = scans_privately
        self.tables: dict[str, list[ServiceFound]] = {}
        self.names: dict[str, str] = {}
        self.clients: dict[str, VirtualClient] = {}


class VirtualScanner(BaseBleakScanner):
    """Hears simulated boards."""

    stack: ClassVar[Stack]

    def __init__(
        self,
        detection_callback: Any = None,
        service_uuids: list[str] | None = None,
        scanning_mode: str = "active",
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode == "active"

    async def start(self) -> None:
        """See BaseBleakScanner."""
        self.seen_devices = {}
        await self.stack.central.listen(self, self._heard, active=self._active)

    async def stop(self) -> None:
        """See BaseBleakScanner."""
        await self.stack.central.stop_listening(self)

    def _heard(self, advertisement: Advertisement) -> None:
        data = advertisement_data(advertisement)
        address = self.stack.central.identify(advertisement.address)
        if self.stack.scans_privately and not advertisement.data.ad_structures:
            return
        if self.stack.keeps_services:
            name = data.local_name or self.stack.names.get(address)
            data = data._replace(local_name=name)
            self.stack.names[address] = name or ""
        if self.is_allowed_uuid(data.service_uuids):
            device = self.create_or_update_device(address, address, data.local_name, advertisement.address, data)
            self.call_detection_callbacks(device, data)


def advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    """What an advertisement says, as bleak has it."""
    kinds = AdvertisingData.Type
    name: str | None = None
    uuids: list[str] = []
    for kind, value in advertisement.data.ad_structures:
        if kind in (kinds.COMPLETE_LOCAL_NAME, kinds.SHORTENED_LOCAL_NAME):
            name = bytes(value).decode(errors="replace")
        for size, listing in ((2, (0x02, 0x03)), (4, (0x04, 0x05)), (16, (0x06, 0x07))):
            if kind in listing:
                uuids += [whole(UUID.from_bytes(value[at : at + size])) for at in range(0, len(value), size)]
    return AdvertisementData(name, {}, {}, uuids, None, advertisement.rssi, (advertisement,))


class VirtualClient(BaseBleakClient):
    """A connection to a simulated board."""

    stack: ClassVar[Stack]

    def __init__(self, address_or_ble_device: BLEDevice | str, services: Any = None, **named: Any) -> None:
        del services
        super().__init__(
            address_or_ble_device,
            disconnected_callback=named["disconnected_callback"],
            timeout=named["timeout"],
        )
        self._connection: Connection | None = None
        self._gone = asyncio.Event()

    @property
    def name(self) -> str:
        """See BaseBleakClient."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """See BaseBleakClient."""
        return att.ATT_DEFAULT_MTU if self._connection is None else self._connection.att_mtu

    @property
    def is_connected(self) -> bool:
        """See BaseBleakClient."""
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        """See BaseBleakClient."""
        central = self.stack.central
        if central.is_connecting:
            raise BleakDBusError(IN_PROGRESS, ["Operation already in progress"])
        address = central.known.get(self.address)
        if address is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        async with asyncio.timeout(self._timeout):
            connection = await central.connect(address, self._timeout)
            self._take(connection)
            try:
                await self._prepare(connection, pair=pair)
            except BaseException as error:
                if connection.handle in connection.device.connections:
                    await connection.disconnect()
                if isinstance(error, _LinkGoneError):
                    raise BleakError("failed to discover services, device disconnected") from error
                raise

    def _take(self, connection: Connection) -> None:
        self._connection = connection
        self._gone.clear()
        self.stack.clients[self.address] = self
        connection.on(Connection.EVENT_DISCONNECTION, self._disconnected)

    async def _prepare(self, connection: Connection, *, pair: bool) -> None:
        if str(connection.peer_address) in self.stack.central.keys:
            await self._encrypt(connection)
        elif pair:
            await self.pair()
        await self._alive(connection.gatt_client.request_mtu(MTU))
        table = self.stack.tables.get(self.address) if self.stack.keeps_services else None
        if table is None:
            table = self.stack.tables[self.address] = await self._alive(_discover(connection))
        self.services = self._collection(table)

    async def _encrypt(self, connection: Connection) -> None:
        try:
            await self._alive(connection.encrypt())
        except hci.HCI_Error as error:
            # The kernel ends a link whose bond the board does not know any more.
            raise _LinkGoneError from error

    def _collection(self, table: list[ServiceFound]) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for service in table:
            ours = BleakGATTService(service, service.handle, service.uuid)
            collection.add_service(ours)
            for found in service.characteristics:
                characteristic = BleakGATTCharacteristic(
                    found, found.handle, found.uuid, found.properties, lambda: self.mtu_size - OVERHEAD, ours
                )
                collection.add_characteristic(characteristic)
                for descriptor in found.descriptors:
                    collection.add_descriptor(BleakGATTDescriptor(descriptor, *descriptor, characteristic))
        return collection

    def _disconnected(self, _reason: int) -> None:
        self._connection = None
        self.services = None
        self._gone.set()
        if self.stack.clients.get(self.address) is self:
            del self.stack.clients[self.address]
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """See BaseBleakClient."""
        if (connection := self._connection) is not None:
            await connection.disconnect()

    async def pair(self, *_args: Any, passkey: Passkey | None = None, **_: Any) -> None:
        """See BaseBleakClient; ``passkey`` is asked for the digits that the board shows."""
        connection = self._live()
        try:
            await self._alive(self.stack.central.pair(connection, passkey))
        except (core.ProtocolError, hci.HCI_Error) as error:
            raise BleakDBusError(AUTHENTICATION_FAILED, ["Authentication Failed"]) from error

    async def unpair(self) -> None:
        """See BaseBleakClient."""
        if self.address not in self.stack.central.known:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        await self.disconnect()
        self.stack.central.keys.forget(str(self.stack.central.known.pop(self.address)))

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """See BaseBleakClient."""
        del use_cached
        return bytearray(await self._access(lambda client: client.read_value(characteristic.handle)))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        """See BaseBleakClient."""
        del use_cached
        return bytearray(await self._access(lambda client: client.read_value(descriptor.handle)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        """See BaseBleakClient."""
        value = bytes(data)
        if response:
            await self._access(lambda client: client.write_value(characteristic.handle, value, with_response=True))
            return
        connection = self._live()
        if len(value) > connection.att_mtu - OVERHEAD:
            raise BleakDBusError(FAILED, ["Failed to initiate write"])
        connection.send_l2cap_pdu(
            att.ATT_CID, _WRITE_COMMAND.pack(att.Opcode.ATT_WRITE_COMMAND, characteristic.handle) + value
        )
        await asyncio.sleep(0)
        queue = connection.data_packet_queue
        while queue is not None and queue.pending > QUEUE_MOST and self._connection is connection:
            await connection.drain()

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        """See BaseBleakClient."""
        await self._access(lambda client: client.write_value(descriptor.handle, bytes(data), with_response=True))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        """See BaseBleakClient."""
        indicated = "notify" not in characteristic.properties
        client = self._live().gatt_client
        subscribers = client.indication_subscribers if indicated else client.notification_subscribers
        subscribers[characteristic.handle] = {lambda value: callback(bytearray(value))}
        bits = 2 if indicated else 1
        await self._subscribe(characteristic, bits)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """See BaseBleakClient."""
        await self._subscribe(characteristic, 0)
        client = self._live().gatt_client
        for subscribers in (client.indication_subscribers, client.notification_subscribers):
            subscribers.pop(characteristic.handle, None)

    async def _subscribe(self, characteristic: BleakGATTCharacteristic, bits: int) -> None:
        descriptor = characteristic.get_descriptor(SUBSCRIPTION)
        if descriptor is None:
            raise BleakDBusError("org.bluez.Error.NotSupported", ["Operation is not supported"])
        handle = descriptor.handle
        await self._access(lambda client: client.write_value(handle, struct.pack("<H", bits), with_response=True))

    def _live(self) -> Connection:
        if self._connection is None:
            raise BleakError("Not connected")
        return self._connection

    async def _access(self, operation: Callable[[Any], Awaitable[T]]) -> T:
        """One access to an attribute, whose failures are those of BlueZ."""
        connection = self._live()
        for _ in range(2):
            try:
                return await self._alive(operation(connection.gatt_client))
            except _LinkGoneError as error:
                raise BleakDBusError(FAILED, ["Operation failed"]) from error
            except att.ATT_Error as error:
                if error.error_code not in NOT_PAIRED:
                    raise BleakGATTProtocolError(error.error_code) from error
                if not self.stack.pairs_by_itself or connection.is_encrypted:
                    raise BleakDBusError(NOT_PERMITTED, ["Not paired"]) from error
                await self.pair()
        raise BleakDBusError(NOT_PERMITTED, ["Not paired"])

    async def _alive(self, operation: Awaitable[T]) -> T:
        """Wait for something that bumble cancels when the link is lost."""
        task = asyncio.current_task()
        try:
            return await operation
        except asyncio.CancelledError:
            if self._connection is None and task is not None and not task.cancelling():
                raise _LinkGoneError from None
            raise


class _LinkGoneError(Exception):
    """The link was lost meanwhile."""


async def _discover(connection: Connection) -> list[ServiceFound]:
    client = connection.gatt_client
    table = []
    for service in await client.discover_services():
        if service.uuid in HIDDEN_SERVICES:
            continue
        characteristics = []
        for found in await client.discover_characteristics((), service):
            descriptors = await client.discover_descriptors(found)
            names = [name for bit, name in PROPERTY_NAMES if int(found.properties) & bit]
            listed = [DescriptorFound(each.handle, whole(each.type)) for each in descriptors]
            characteristics.append(CharacteristicFound(found.handle, whole(found.uuid), names, listed))
        table.append(ServiceFound(service.handle, whole(service.uuid), characteristics))
    return table
