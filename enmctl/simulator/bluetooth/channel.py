"""An air that other programs reach: HCI over a TCP connection on loopback, a controller for each that comes.

All of them are on one machine, so their controllers have one address, and the bonds are the machine's: the server tells
a program the bonds there are, and each program tells it of a change. That goes beside the packets of HCI, in packets of
a type of its own. A program that is gone has left the air, and its connections break as by distance.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser, TransportSink

from enmctl.errors import BusyError, SettingError
from enmctl.radio.bluetooth.backend import SIMULATED
from enmctl.simulator.bluetooth.air import ADDRESS, Air
from enmctl.simulator.bluetooth.bonds import BondKeys
from enmctl.simulator.bluetooth.central import Plugged
from enmctl.simulator.bluetooth.controller import AirController
from enmctl.simulator.bluetooth.virtual import VirtualRadio

LOOPBACK = "127.0.0.1"

ASIDE = 0x7E
"""The type of packets that are no HCI; of those it uses 1 to 5 (Bluetooth Core, Vol 4, Part A, 2)."""

LENGTH_OF_LENGTH = 2
HEADER = 1 + LENGTH_OF_LENGTH

WORDS_MOST = (1 << (8 * LENGTH_OF_LENGTH)) - 1

BEHIND_MOST = 1 << 20
"""Bytes that may wait for a program that does not read; then it is taken for dead."""

WELCOME = "enmctl-air"
"""The field that tells a simulated air from whatever else listens on a port; its value is the version of all this."""

VERSION = 1

LOG = logging.getLogger(__name__)


class _Channel(asyncio.Protocol):
    """One end of a connection: packets of HCI both ways, and words beside them."""

    def __init__(self) -> None:
        self._parser = PacketParser(self)
        self._parser.extended_packet_info[ASIDE] = (LENGTH_OF_LENGTH, 0, "H")
        self._transport: asyncio.Transport | None = None
        self._sink: TransportSink | None = None

    def set_packet_sink(self, sink: TransportSink | None) -> None:
        """Say who takes the packets that arrive."""
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's transport always is
        transport.set_write_buffer_limits(high=BEHIND_MOST)
        self._transport = transport

    def pause_writing(self) -> None:
        """The other program does not read any more."""
        self.hang_up()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except InvalidPacketError as error:
            LOG.debug("something else than HCI arrived: %s", error)
            self.hang_up()

    def on_packet(self, packet: bytes) -> None:
        """A whole packet has arrived."""
        if packet[0] == ASIDE:
            self._on_words(packet[HEADER:])
        elif self._sink is not None:
            self._sink.on_packet(packet)

    def send(self, packet: bytes) -> None:
        """Send a packet."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packet)

    def say(self, words: Mapping[str, Any]) -> None:
        """Send something beside the packets."""
        text = json.dumps(words).encode()
        if len(text) <= WORDS_MOST:
            self.send(bytes([ASIDE]) + len(text).to_bytes(LENGTH_OF_LENGTH, "little") + text)

    def hang_up(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _on_words(self, text: bytes) -> None:
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, dict):
            self.on_words(words)
        else:
            self.hang_up()

    def on_words(self, words: dict[str, Any]) -> None:
        """Something arrived beside the packets."""
        raise NotImplementedError


class _Outlet:
    """Where a controller or a host sends its packets."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel

    def on_packet(self, packet: bytes) -> None:
        """Send it."""
        self._channel.send(packet)


class _Guest(_Channel):
    """A program on the air, as the server has it."""

    def __init__(self, server: AirServer) -> None:
        super().__init__()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = server
        self._controller: AirController | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it a controller."""
        super().connection_made(transport)
        controller = AirController(self._server.air, "guest", host=_Outlet(self), public_address=ADDRESS)
        self._controller = controller
        self.set_packet_sink(controller)
        self._server.guests.add(self)
        self.say({WELCOME: VERSION, "bonds": self._server.air.keys.to_dict()})

    def connection_lost(self, exc: Exception | None) -> None:
        """Take its controller off the air."""
        del exc
        self._server.guests.discard(self)
        self.set_packet_sink(None)
        if self._controller is not None:
            self._controller.leave()
        self.gone.set_result(None)

    def on_words(self, words: dict[str, Any]) -> None:
        """It has a bond more, or less."""
        peer, keys = words.get("peer"), words.get("keys")
        if isinstance(peer, str) and isinstance(keys, dict | None):
            self._server.air.keys.put(peer, keys)
            self._server.tell(peer, keys, but=self)


class AirServer:
    """Lets other programs on this machine onto an air, for as long as the context lasts.

    Args:
        air: the air.
        port: 0 takes a free one.

    Raises:
        BusyError: on entering, where the port is another program's.
    """

    def __init__(self, air: Air, *, port: int = 0) -> None:
        self.air = air
        self.guests: set[_Guest] = set()
        self._port = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Guest(self), LOOPBACK, self._port)
        except OSError as error:
            raise BusyError(
                f"port {self._port} of {LOOPBACK} cannot be listened on ({error.strerror})",
                remedy="take another one; 0 takes a free one",
                reason="port",
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        self.air.keys.watchers.append(self.tell)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self.air.keys.watchers.remove(self.tell)
            self._server.close()
            for guest in list(self.guests):
                guest.hang_up()
            await asyncio.gather(*(guest.gone for guest in self.guests))
            await self._server.wait_closed()

    def tell(self, peer: str, keys: dict[str, Any] | None, *, but: _Guest | None = None) -> None:
        """Tell all programs but one of a change of the bonds."""
        for guest in self.guests - {but}:
            guest.say({"peer": peer, "keys": keys})

    @property
    def address(self) -> str:
        """What ENM_BLUETOOTH_ADAPTER is to say in other programs."""
        return f"{SIMULATED}{LOOPBACK}:{self._port}"


class _Visit(_Channel):
    """This program on another's air."""

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.welcome: asyncio.Future[BondKeys] = loop.create_future()
        self.terminated: asyncio.Future[None] = loop.create_future()
        self._keys: BondKeys | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The other program is gone, or has thrown us out."""
        del exc
        if not self.welcome.done():
            self.welcome.set_exception(ConnectionResetError("the simulator hung up"))
        if not self.terminated.done():
            self.terminated.set_result(None)
        lost = getattr(self._sink, "on_transport_lost", None)
        if lost is not None:
            lost()

    def on_words(self, words: dict[str, Any]) -> None:
        """The bonds there are, or a change of them."""
        if self._keys is None:
            if words.get(WELCOME) != VERSION or not isinstance(words.get("bonds"), dict):
                self.hang_up()
                return
            self._keys = BondKeys(words["bonds"])
            self._keys.watchers.append(lambda peer, keys: self.say({"peer": peer, "keys": keys}))
            self.welcome.set_result(self._keys)
        elif isinstance(words.get("peer"), str):
            self._keys.put(words["peer"], words.get("keys"))


class _TcpPlug:
    """A controller on the air of another program."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._visit: _Visit | None = None

    async def plug_in(self) -> Plugged:
        """See Plug."""
        _, visit = await asyncio.get_running_loop().create_connection(_Visit, self._host, self._port)
        self._visit = visit
        return Plugged(visit, _Outlet(visit), await visit.welcome)

    def unplug(self) -> None:
        """See Plug."""
        visit, self._visit = self._visit, None
        if visit is not None:
            visit.set_packet_sink(None)
            visit.hang_up()


def virtual_radio(adapter: str, **habits: bool) -> VirtualRadio:
    """The adapter that ENM_BLUETOOTH_ADAPTER names as simulated:127.0.0.1:PORT; ``habits`` as VirtualRadio has them.

    Raises:
        SettingError: it names no such one.
    """
    host, _, port = adapter.removeprefix(SIMULATED).rpartition(":")
    if not adapter.startswith(SIMULATED) or not host or not port.isdecimal():
        raise SettingError(
            f"{adapter!r} is no simulated adapter", remedy="take the one that the simulator prints, or unset it"
        )
    return VirtualRadio(_TcpPlug(host, int(port)), **habits)
