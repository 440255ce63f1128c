"""A simulated Bluetooth controller: bumble's, on our air, without the faults that a central would trip over.

What bumble 0.0.236 does otherwise: data is attributed to the random address of its sender, so a link from a public one
is dead; a connection that was cancelled stays pending for ever, and its host waits; two centrals can believe to be
connected to one board; directed advertising is not sent at all; every board is heard at -50 dBm.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport

from enmctl.simulator.bluetooth.air import (
    AIR_INTERVAL,
    FASTEST_INTERVAL,
    PACKET_MOST,
    SUPERVISION_UNIT,
    Advertised,
    Air,
    AirLink,
    Way,
)

HOST_PACKETS = 64
"""How many packets of a host a controller holds at once."""

ACTIVE_SCANNING = 1
FIRST_FRAGMENT = 2
"""The packet boundary flag of data for a host (Bluetooth Core, Vol 4, Part E, 5.4.2)."""

WITHOUT_EXTENSIONS = ~(
    hci.LeFeatureMask.LL_PRIVACY
    | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
    | hci.LeFeatureMask.EXTENDED_SCANNER_FILTER_POLICIES
)


class AirConnection(Connection):
    """One end of a connection on our air."""

    way: Way
    link_on_air: AirLink

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fragments = 0

    @property
    def is_open(self) -> bool:
        """Whether this side still has it."""
        return self.controller.le_connections.get(self.peer_address) is self

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        """The host sends a fragment; it counts as completed once it has passed."""
        self._fragments += 1
        self.assembler.feed_packet(packet)

    def on_acl_pdu(self, pdu: bytes) -> None:
        """The host has sent a whole PDU."""
        fragments, self._fragments = self._fragments, 0
        self.way.send(pdu, fragments)

    def send_ll_control_pdu(self, packet: ll.ControlPdu) -> None:
        """Send something of the link's own, behind all data that was sent before."""
        self.way.send(packet)

    def take(self, what: bytes | ll.ControlPdu) -> None:
        """Something has arrived."""
        if not self.is_open:
            return
        if isinstance(what, bytes):
            self.controller.send_hci_packet(
                hci.HCI_AclDataPacket(self.handle, FIRST_FRAGMENT, 0, len(what), what),
            )
        else:
            self.controller.on_ll_control_pdu(self.peer_address, what)

    def tell_completed(self, fragments: int) -> None:
        """So many fragments of the host have passed."""
        if self.is_open:
            self.controller.send_hci_packet(
                hci.HCI_Number_Of_Completed_Packets_Event(
                    connection_handles=[self.handle], num_completed_packets=[fragments]
                )
            )

    def time_out(self) -> None:
        """Nothing was heard of the other side for the supervision timeout."""
        if self.is_open:
            self.controller.on_le_disconnected(self, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def hang_up(self, reason: int) -> None:
        """End it from this side, in an orderly way: what was sent before still arrives."""
        if self.is_open:
            self.send_ll_control_pdu(ll.TerminateInd(reason))
            self.controller.on_le_disconnected(self, hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR)


class AirController(Controller):
    """A controller on our air.

    Args:
        air: where it is.
        name: for the log.
        host: what takes its packets; set later for a host that is made of it.
        public_address: its own address.
    """

    link: Air
    le_features = Controller.le_features & WITHOUT_EXTENSIONS
    le_acl_data_packet_length = PACKET_MOST
    total_num_le_acl_data_packets = HOST_PACKETS

    def __init__(self, air: Air, name: str, *, host: Any = None, public_address: str | None = None) -> None:
        super().__init__(name, host_sink=host, link=air, public_address=public_address)
        self._to_host: deque[bytes] = deque()
        self._is_sending = False

    # Towards the host, in order and many at once; bumble takes a turn of the loop for each, and formats it for a log.

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Hand the host a packet, in order."""
        self._to_host.append(bytes(packet))
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send_to_host)

    def _send_to_host(self) -> None:
        self._is_sending = False
        for _ in range(len(self._to_host)):
            if self.host is not None:
                self.host.on_packet(self._to_host.popleft())

    def on_packet(self, packet: bytes) -> None:
        """Take a packet of the host."""
        if packet[0] == hci.HCI_ACL_DATA_PACKET:
            self.on_hci_acl_data_packet(hci.HCI_AclDataPacket.from_bytes(packet))
        else:
            super().on_packet(packet)

    # Listening.

    def hear(self, advertised: Advertised) -> None:
        """An advertisement reaches this controller."""
        if self.le_scan_enable and advertised.is_for(self._own_address(self.le_scan_own_address_type)):
            self._report(advertised)
        pending = self.pending_le_connection
        if pending is not None and pending.peer_address == advertised.address:
            self.create_le_connection(advertised.address)

    def _report(self, advertised: Advertised) -> None:
        kinds = hci.HCI_LE_Advertising_Report_Event.EventType
        if advertised.target is not None:
            parts = [(kinds.ADV_DIRECT_IND, b"")]
        else:
            parts = [(kinds.ADV_IND, advertised.data)]
            if self.le_scan_type == ACTIVE_SCANNING:
                parts.append((kinds.SCAN_RSP, advertised.scan_response))
        for kind, data in parts:
            report = hci.HCI_LE_Advertising_Report_Event.Report(
                event_type=kind,
                address_type=advertised.address.address_type,
                address=advertised.address,
                data=data,
                rssi=advertised.rssi,
            )
            self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    def _listen(self) -> None:
        self.link.listens(self, self.le_scan_enable or self.pending_le_connection is not None)

    def _own_address(self, kind: int) -> hci.Address:
        return self.public_address if kind == hci.OwnAddressType.PUBLIC else self.random_address

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Begin or end to report advertisements."""
        result = super().on_hci_le_set_scan_enable_command(command)
        self._listen()
        return result

    # Connecting.

    def on_hci_le_create_connection_command(self, command: hci.HCI_LE_Create_Connection_Command) -> None:
        """Connect to an address as soon as it advertises."""
        super().on_hci_le_create_connection_command(command)
        self._listen()

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Give a pending connection up, and say so to whoever waits for it."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        self._listen()
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        asyncio.get_running_loop().call_soon(self._tell_cancelled, pending.peer_address)
        return super().on_hci_le_create_connection_cancel_command(command)

    def _tell_cancelled(self, peer: hci.Address) -> None:
        self._tell_connected(hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, 0, hci.Role.CENTRAL, peer)

    def create_le_connection(self, peer_address: hci.Address) -> None:
        """Connect to a board that was just heard, if it lets us in."""
        pending = self.pending_le_connection
        if pending is None or peer_address in self.le_connections:
            return
        own_address = self._own_address(pending.own_address_type)
        peripheral = self.link.advertised_at(peer_address, own_address)
        if peripheral is None or own_address in peripheral.le_connections:
            return
        self.pending_le_connection = None
        self._listen()
        self.link.advertise(peripheral, None)
        ours = self._end(hci.Role.CENTRAL, own_address, peer_address)
        theirs = peripheral._end(hci.Role.PERIPHERAL, peer_address, own_address)  # noqa: SLF001 - of one class
        ours.link_on_air = theirs.link_on_air = AirLink(self.link.timing, ours, theirs)

    def _end(self, role: hci.Role, own_address: hci.Address, peer_address: hci.Address) -> AirConnection:
        connection = AirConnection(
            controller=self,
            handle=self.allocate_connection_handle(),
            role=role,
            self_address=own_address,
            peer_address=peer_address,
            link=self.link,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )
        self.le_connections[peer_address] = connection
        self._tell_connected(hci.HCI_ErrorCode.SUCCESS, connection.handle, role, peer_address)
        return connection

    def _tell_connected(self, status: int, handle: int, role: hci.Role, peer: hci.Address) -> None:
        timing = self.link.timing
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=status,
                connection_handle=handle,
                role=role,
                peer_address_type=peer.address_type,
                peer_address=peer,
                connection_interval=max(FASTEST_INTERVAL, round(timing.interval / AIR_INTERVAL)),
                peripheral_latency=0,
                supervision_timeout=round(timing.supervision / SUPERVISION_UNIT),
                central_clock_accuracy=0,
            )
        )

    # Leaving.

    def ends(self) -> list[AirConnection]:
        """This controller's ends of its connections."""
        return [end for end in self.le_connections.values() if isinstance(end, AirConnection)]

    def vanish(self) -> None:
        """Be gone at once from all connections, without a word to the other sides."""
        self.link.advertise(self, None)
        for end in self.ends():
            end.link_on_air.vanish(end)
            end.time_out()

    def leave(self) -> None:
        """Be gone from the air for good."""
        self.vanish()
        self.host = None
        if self in self.link.controllers:
            self.link.remove_controller(self)
