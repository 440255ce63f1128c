"""A simulated board's table of services, as a GATT server that asks the board at every access.

bumble's server handles a write in a task of its own and checks no length. Here a board hears of a write at once and in
order, and the response to a write with response leaves before anything that the board does about it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bumble import att, gatt, gatt_server
from bumble.profiles.gap import GenericAccessService
from bumble.profiles.gatt_service import GenericAttributeProfileService

from enmctl.simulator.bluetooth.uuids import short
from enmctl.simulator.nordic.contract import AttError, Characteristic, Property, Service

if TYPE_CHECKING:
    from bumble.device import Connection, Device

    from enmctl.simulator.nordic.contract import Effect

WRITE_COMMAND = 0x52
"""The ATT opcode of a write without response (Bluetooth Core, Vol 3, Part F, 3.4.5.3)."""

ATT_HEADER = 3
"""Bytes of opcode and handle before a written value."""

_HANDLE_AT = struct.Struct("<BH")

PROPERTIES = {
    Property.READ: gatt.Characteristic.Properties.READ,
    Property.WRITE: gatt.Characteristic.Properties.WRITE,
    Property.WRITE_WITHOUT_RESPONSE: gatt.Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
    Property.NOTIFY: gatt.Characteristic.Properties.NOTIFY,
    Property.INDICATE: gatt.Characteristic.Properties.INDICATE,
}

OPEN = att.Attribute.Permissions.READABLE | att.Attribute.Permissions.WRITEABLE
"""What is permitted is decided at each access, for bumble does not look at all of it."""


class Accessed(Protocol):
    """Whoever answers for the board."""

    def check(self, characteristic: Characteristic, connection: Connection) -> None:
        """Raise AttError where the link is not safe enough for the characteristic."""
        ...

    def read(self, characteristic: Characteristic) -> bytes:
        """The value. Raises AttError."""
        ...

    def write(self, characteristic: Characteristic, data: bytes, *, response: bool) -> list[Effect]:
        """What the board does about a write. Raises AttError."""
        ...

    def subscribe(self, characteristic: Characteristic, *, on: bool) -> list[Effect]:
        """What the board does about a subscription. Raises AttError."""
        ...

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the board wants done."""
        ...


class BoardServer(gatt_server.Server):
    """The GATT server of one board with one table of services.

    Args:
        device: the board's host.
        board: who answers.
        name: the device name that the generic access service shows.
        services: the table, without the two services that every board has.
    """

    def __init__(self, device: Device, board: Accessed, name: str, services: tuple[Service, ...]) -> None:
        super().__init__(device)
        self._board = board
        self._characteristics: dict[int, tuple[gatt.Characteristic[bytes], Characteristic]] = {}
        self._subscriptions: dict[int, Characteristic] = {}
        self._indications: deque[bytes] = deque()
        self._is_unconfirmed = False
        self.add_service(GenericAccessService(name))
        self.add_service(GenericAttributeProfileService())
        for service in services:
            self._add(service)

    def _add(self, service: Service) -> None:
        made = [(self._make(characteristic), characteristic) for characteristic in service.characteristics]
        self.add_service(gatt.Service(short(service.uuid), [attribute for attribute, _ in made]))
        for attribute, characteristic in made:
            self._characteristics[attribute.handle] = (attribute, characteristic)
            descriptor = attribute.handle + 1
            if characteristic.properties & (Property.NOTIFY | Property.INDICATE):
                self._subscriptions[descriptor] = characteristic

    def _make(self, characteristic: Characteristic) -> gatt.Characteristic[bytes]:
        properties = gatt.Characteristic.Properties(0)
        for ours, theirs in PROPERTIES.items():
            if ours & characteristic.properties:
                properties |= theirs

        def read(connection: Connection) -> bytes:
            return _answered(lambda: self._read(characteristic, connection))

        return gatt.Characteristic(short(characteristic.uuid), properties, OPEN, att.AttributeValue(read=read))

    def _read(self, characteristic: Characteristic, connection: Connection) -> bytes:
        if not characteristic.properties & Property.READ:
            raise AttError(att.ATT_READ_NOT_PERMITTED_ERROR)
        self._board.check(characteristic, connection)
        return self._board.read(characteristic)

    def take(self, connection: Connection, pdu: bytes) -> bool:
        """Take a write without response off bumble's longer way; False where the PDU is something else."""
        if pdu[:1] != bytes([WRITE_COMMAND]) or len(pdu) < ATT_HEADER:
            return False
        _, handle = _HANDLE_AT.unpack_from(pdu)
        known = self._characteristics.get(handle)
        if known is None or len(pdu) > connection.att_mtu:
            return True
        characteristic = known[1]
        if not characteristic.properties & Property.WRITE_WITHOUT_RESPONSE:
            return True
        try:
            self._board.check(characteristic, connection)
            effects = self._board.write(characteristic, pdu[ATT_HEADER:], response=False)
        except AttError:
            return True
        self._board.carry_out(effects)
        return True

    def on_att_write_request(self, bearer: Connection, request: att.ATT_Write_Request) -> None:
        """A write with response, to a characteristic or to what switches its notifications on."""
        handle, data = request.attribute_handle, request.attribute_value
        try:
            effects = self._written(bearer, handle, data)
        except AttError as error:
            self.send_response(bearer, att.ATT_Error_Response(request.op_code, handle, error.code))
            return
        self.send_response(bearer, att.ATT_Write_Response())
        self._board.carry_out(effects)

    def _written(self, connection: Connection, handle: int, data: bytes) -> list[Effect]:
        if handle in self._characteristics:
            _, characteristic = self._characteristics[handle]
            if not characteristic.properties & Property.WRITE:
                raise AttError(att.ATT_WRITE_NOT_PERMITTED_ERROR)
            self._board.check(characteristic, connection)
            return self._board.write(characteristic, data, response=True)
        if handle in self._subscriptions:
            characteristic = self._subscriptions[handle]
            self._board.check(characteristic, connection)
            effects = self._board.subscribe(characteristic, on=any(data))
            self.subscribers.setdefault(connection, {})[handle - 1] = bytes(data)
            return effects
        raise AttError(
            att.ATT_WRITE_NOT_PERMITTED_ERROR if self.get_attribute(handle) else att.ATT_INVALID_HANDLE_ERROR
        )

    def tell(self, connection: Connection, uuid: str, data: bytes) -> None:
        """Send a notification, or an indication where that was switched on; nothing where neither was."""
        handle = next(handle for handle, (_, known) in self._characteristics.items() if known.uuid == uuid)
        switched_on = int.from_bytes(self.subscribers.get(connection, {}).get(handle, b"")[:1], "little")
        value = data[: connection.att_mtu - ATT_HEADER]
        if switched_on & gatt.ClientCharacteristicConfigurationBits.NOTIFICATION:
            self.send_gatt_pdu(connection, bytes(att.ATT_Handle_Value_Notification(handle, value)))
        elif switched_on & gatt.ClientCharacteristicConfigurationBits.INDICATION:
            self._indications.append(bytes(att.ATT_Handle_Value_Indication(handle, value)))
            self._indicate(connection)

    def _indicate(self, connection: Connection) -> None:
        if self._indications and not self._is_unconfirmed:
            self._is_unconfirmed = True
            self.send_gatt_pdu(connection, self._indications.popleft())

    def on_att_handle_value_confirmation(
        self, bearer: att.Bearer, confirmation: att.ATT_Handle_Value_Confirmation
    ) -> None:
        """The peer has the indication; the next may go."""
        del confirmation
        self._is_unconfirmed = False
        if not att.is_enhanced_bearer(bearer):
            self._indicate(bearer)

    def on_disconnection(self, bearer: att.Bearer) -> None:
        """Forget what one connection switched on."""
        super().on_disconnection(bearer)
        self._indications.clear()
        self._is_unconfirmed = False


def _answered(access: Callable[[], bytes]) -> bytes:
    """What an access brings, its error as bumble's."""
    try:
        return access()
    except AttError as error:
        raise att.ATT_Error(error.code) from error
