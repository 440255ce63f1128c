"""A simulated board on the air: what the pure state machine says is done with a real GATT server and real pairing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bumble import att, hci
from bumble.core import AdvertisingData
from bumble.device import AdvertisingType, Connection, Device, LegacyAdvertiser
from bumble.pairing import PairingConfig

from enmctl.simulator.bluetooth.air import Advertised, Air
from enmctl.simulator.bluetooth.attributes import BoardServer
from enmctl.simulator.bluetooth.bonds import BondKeys, Bonds, board_pairing
from enmctl.simulator.bluetooth.controller import AirController
from enmctl.simulator.bluetooth.uuids import short
from enmctl.simulator.nordic.contract import (
    Advertisement,
    AttError,
    BluetoothBoard,
    Bonding,
    Characteristic,
    Disconnect,
    Effect,
    Notify,
    Service,
)

RSSI = -60
"""dBm at which a board is heard where nothing else is said: across a room."""

PACKET_MOST = 31
"""Bytes of an advertisement, and again of the answer to a scan (Bluetooth Core, Vol 6, Part B, 2.3.1)."""

FLAGS = b"\x06"
"""General discoverable, no classic Bluetooth (Supplement to the Core Specification, Part A, 1.3)."""

LEAST_MTU = 23
SHORT_UUID = 2
STATIC = 0b11
"""The two highest bits of a static random address (Bluetooth Core, Vol 6, Part B, 1.3.2.1)."""


class BoardHost:
    """One simulated board on the air, for as long as the context lasts.

    Args:
        air: where it is heard.
        board: the board.
        name: for the log.
        rssi: dBm at which it is heard; may be set at any time.
        bonds: those that it keeps from before.

    Attributes:
        passkey: the six digits that it shows to whoever pairs, "" while it shows none.
        on_write: called with the characteristic and the size of all that is written to it.
    """

    def __init__(
        self, air: Air, board: BluetoothBoard, *, name: str = "board", rssi: int = RSSI, bonds: Bonds | None = None
    ) -> None:
        self.board = board
        self.passkey = ""
        self.on_write: Callable[[str, int], None] | None = None
        self._air = air
        self._name = name
        self._rssi = rssi
        self._bonds = BondKeys(bonds)
        self._controller = AirController(air, name)
        self._device = Device.with_hci(name, hci.Address.ANY_RANDOM, self._controller, self._controller)
        self._connection: Connection | None = None
        self._server: BoardServer | None = None
        self._table: tuple[str, tuple[Service, ...]] | None = None
        self._advertised: Advertised | None = None
        self._said: Advertisement | None = None
        self._is_pairing = False
        self._pairings = 0
        self._now = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False

    async def __aenter__(self) -> Self:
        device = self._device
        device.keystore = self._bonds
        device.pairing_config_factory = self._pairing
        await device.power_on()
        device.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._on_att)
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        self._is_running = True
        self._refresh()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connection = None
        self._controller.leave()

    @property
    def rssi(self) -> int:
        """DBm at which it is heard."""
        return self._rssi

    @rssi.setter
    def rssi(self, value: int) -> None:
        self._rssi = value
        self._said = None
        self._refresh()

    @property
    def is_connected(self) -> bool:
        """Whether somebody is connected."""
        return self._connection is not None

    @property
    def bonds(self) -> Bonds:
        """The bonds that it keeps, as plain JSON values."""
        return self._bonds.to_dict()

    def forget_bonds(self) -> None:
        """Lose all bonds; the other sides do not hear of it."""
        self._bonds.clear()

    def power(self, *, on: bool) -> None:
        """Switch it on or off; a connection just vanishes."""
        effects = self.board.power(on, self._time())
        if not on:
            self._connection = None
            self._controller.vanish()
            self._said = None
        self.carry_out(effects)
        self._refresh()

    def lose_link(self, after: int = 0) -> None:
        """Lose the connection, where there is one, as by distance: at once, or after so many more packets to it."""
        for end in self._controller.ends():
            end.link_on_air.lose_after(after)

    # What the board wants.

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the board wants done, in order, and see when it wants to be asked next."""
        for effect in effects:
            match effect:
                case Notify(characteristic, data):
                    if self._connection is not None and self._server is not None:
                        self._server.tell(self._connection, characteristic, data)
                case Disconnect(reason):
                    for end in self._controller.ends():
                        end.hang_up(reason)
                case _:
                    self._refresh()
        self._see_when_due()

    def _see_when_due(self) -> None:
        due = self.board.due
        timer = self._timer
        if timer is not None and (due is None or due < timer.when()):
            timer.cancel()
            self._timer = timer = None
        if due is not None and timer is None and self._is_running:
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        """Let the board do what is due; where that was put off meanwhile, wait for it."""
        self._timer = None
        due, now = self.board.due, self._time()
        if due is None or due > now:
            self._see_when_due()
            return
        self.carry_out(self.board.tick(now))
        self._refresh()

    def _time(self) -> float:
        self._now = max(self._now, asyncio.get_running_loop().time())
        return self._now

    # What it shows.

    def _refresh(self) -> None:
        """Advertise what the board advertises now, and have its table of services as it is now."""
        if not self._is_running:
            return
        said = self.board.advertisement
        if said is not None:
            self._refresh_table(said.name)
        if said == self._said:
            return
        self._said = said
        if said is None:
            self._air.advertise(self._controller, None)
            return
        address = _address(said.address)
        self._device.random_address = self._device.static_address = address
        self._controller.random_address = address
        if address.is_public:
            self._controller.public_address = self._device.public_address = address
        self._device.legacy_advertiser = self._advertiser(address)
        data, scan_response = advertising_data(said)
        advertised = Advertised(
            address,
            data,
            scan_response,
            self._rssi,
            target=_address(said.directed_to) if said.directed_to else None,
            hears=self._is_bonded if said.bonded_only else lambda _: True,
        )
        self._air.advertise(self._controller, advertised)

    def _advertiser(self, address: hci.Address) -> LegacyAdvertiser:
        """What bumble looks at to know the own address of a connection."""
        kind = hci.OwnAddressType.PUBLIC if address.is_public else hci.OwnAddressType.RANDOM
        return LegacyAdvertiser(
            device=self._device,
            advertising_type=AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE,
            own_address_type=kind,
            peer_address=hci.Address.ANY,
            auto_restart=False,
        )

    def _refresh_table(self, name: str) -> None:
        table = (name, tuple(self.board.services))
        if table != self._table:
            self._table = table
            self._device.gatt_server = BoardServer(self._device, self, *table)

    # What the other side does.

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._is_pairing = False
        server = connection.gatt_server
        self._server = server if isinstance(server, BoardServer) else None
        server.max_mtu = max(LEAST_MTU, self.board.most_mtu)
        connection.on(Connection.EVENT_DISCONNECTION, lambda _: self._on_disconnection(connection))
        connection.on(Connection.EVENT_PAIRING_START, self._on_pairing_start)
        connection.on(Connection.EVENT_PAIRING, lambda _: self._on_pairing(connection))
        connection.on(Connection.EVENT_PAIRING_FAILURE, lambda _: self._on_pairing_failure(connection))
        connection.on(Connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, lambda: self._on_encryption(connection))
        peer = connection.peer_address.to_string(with_type_qualifier=False)
        self._said = None
        self.carry_out(self.board.connected(peer, self._time()))
        self._refresh()

    def _on_disconnection(self, connection: Connection) -> None:
        if self._connection is not connection:
            return
        self._connection = self._server = None
        self.passkey = ""
        self.carry_out(self.board.disconnected(self._time()))
        self._refresh()

    def _on_pairing_start(self) -> None:
        self._is_pairing = True

    def _on_pairing_failure(self, connection: Connection) -> None:
        """Forget the try, for bumble would take the next one for a part of it."""
        self._is_pairing = False
        self._pairings += 1
        self.passkey = ""
        self._device.smp_manager.sessions.pop(connection.handle, None)

    def _on_pairing(self, connection: Connection) -> None:
        self._is_pairing = False
        self.passkey = ""
        if self._connection is connection:
            self.carry_out(self.board.bonded(self._time()))
            self._refresh()

    def _on_encryption(self, connection: Connection) -> None:
        if self._connection is connection and connection.is_encrypted and not self._is_pairing:
            self.carry_out(self.board.encrypted(self._time()))
            self._refresh()

    def _pairing(self, connection: Connection) -> PairingConfig:
        del connection
        this = self._pairings

        def show(digits: str) -> None:
            if this == self._pairings:
                self.passkey = digits

        return board_pairing(self.board.bonding, show)

    def _is_bonded(self, address: hci.Address) -> bool:
        return str(address) in self._bonds

    # What the server asks.

    def _on_att(self, handle: int, pdu: bytes) -> None:
        connection = self._device.lookup_connection(handle)
        if connection is None:
            return
        server = connection.gatt_server
        if not (isinstance(server, BoardServer) and server.take(connection, pdu)):
            self._device.on_gatt_pdu(handle, pdu)

    def check(self, characteristic: Characteristic, connection: Connection) -> None:
        """See Accessed: a protected characteristic wants a bond, and a link that is encrypted with it."""
        if not characteristic.encrypted:
            return
        peer = str(connection.peer_address)
        if self.board.bonding is Bonding.PASSKEY and not self._bonds.is_authenticated(peer):
            raise AttError(att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR)
        if not connection.is_encrypted:
            bonded = peer in self._bonds
            raise AttError(
                att.ATT_INSUFFICIENT_ENCRYPTION_ERROR if bonded else att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR
            )

    def read(self, characteristic: Characteristic) -> bytes:
        """See Accessed."""
        return self.board.read(characteristic.uuid, self._time())

    def write(self, characteristic: Characteristic, data: bytes, *, response: bool) -> list[Effect]:
        """See Accessed."""
        if self.on_write is not None:
            self.on_write(characteristic.uuid, len(data))
        return self.board.write(characteristic.uuid, data, response=response, now=self._time())

    def subscribe(self, characteristic: Characteristic, *, on: bool) -> list[Effect]:
        """See Accessed."""
        return self.board.subscribe(characteristic.uuid, on, self._time())


def _address(text: str) -> hci.Address:
    """An address as bumble has it: static random where its highest bits say so, else public."""
    kind = hci.AddressType.RANDOM_DEVICE if int(text[:2], 16) >> 6 == STATIC else hci.AddressType.PUBLIC_DEVICE
    return hci.Address(text, kind)


def advertising_data(said: Advertisement) -> tuple[bytes, bytes]:
    """The packet that says this, and the answer to a scan with what does not fit into it."""
    if said.directed_to:
        return b"", b""
    kinds = AdvertisingData.Type
    fields = [(kinds.FLAGS, FLAGS)]
    if said.name:
        fields.append((kinds.COMPLETE_LOCAL_NAME, said.name.encode()))
    uuids = [short(text).to_bytes() for text in said.services]
    for size, kind in (
        (SHORT_UUID, kinds.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS),
        (16, kinds.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS),
    ):
        if listed := b"".join(uuid for uuid in uuids if len(uuid) == size):
            fields.append((kind, listed))
    packets = [b"", b""]
    for kind, value in fields:
        packed = bytes([len(value) + 1, kind]) + value
        packets[len(packets[0]) + len(packed) > PACKET_MOST] += packed
    return packets[0], packets[1]
