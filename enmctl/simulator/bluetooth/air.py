"""The air between simulated Bluetooth boards and those who use them: who hears whom, and when packets pass.

It takes the place of bumble's ``LocalLink``, which knows no time, loses nothing, and looks for a packet's receiver by
an address that may not be the connection's. Here a connection is a pair of ends with a queue each way. Packets pass at
connection events, so many an event; the sender's controller reports them as completed once they have passed, and not
before, so that a host's flow control works.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bumble import hci, ll
from bumble.link import LocalLink

from enmctl.simulator.bluetooth.bonds import BondKeys
from enmctl.simulator.bluetooth.quiet import quiet_bumble

if TYPE_CHECKING:
    from bumble.controller import Controller

    from enmctl.simulator.bluetooth.controller import AirConnection, AirController

PACKET_MOST = 251
"""Bytes of one packet on the air with the data length extension (Bluetooth Core, Vol 6, Part B, 2.4)."""

ADDRESS = "00:00:5E:00:53:01"
"""The machine's simulated adapter; from the block for documentation (RFC 7042, 2.1.2)."""

AIR_INTERVAL = 0.00125
"""Seconds of the unit in which connection intervals are told (Bluetooth Core, Vol 4, Part E, 7.7.65.1)."""

FASTEST_INTERVAL = 6
"""The shortest connection interval there is, in that unit."""

SUPERVISION_UNIT = 0.01
"""Seconds of the unit in which supervision timeouts are told, likewise."""

FIRST_HEARD = 0.005
"""Seconds after which whoever begins to listen hears the first advertisements."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast the air is.

    Args:
        interval: seconds between the connection events of a link; 0: packets pass as soon as the program gets to it.
        per_event: packets that pass in one event, each way.
        supervision: seconds until a side that is left alone takes the link for lost.
        advertising: seconds between two advertisements of a board, while somebody listens.
    """

    interval: float = 0.0
    per_event: int = 6
    supervision: float = 0.0
    advertising: float = 0.1


@dataclass(frozen=True, slots=True)
class Advertised:
    """What a controller advertises: the packet, how strongly it is heard (dBm), and who may hear it.

    ``target`` is the one address that a directed advertisement is for; ``hears`` decides of any other.
    """

    address: hci.Address
    data: bytes = b""
    scan_response: bytes = b""
    rssi: int = -60
    target: hci.Address | None = None
    hears: Callable[[hci.Address], bool] = field(default=lambda _: True, compare=False)

    def is_for(self, address: hci.Address) -> bool:
        """Whether whoever has this address hears it, and may connect."""
        if self.target is not None:
            return bytes(self.target) == bytes(address)
        return self.hears(address)


class _Passing(NamedTuple):
    """Something on its way: an L2CAP PDU or a PDU of the link itself, and the fragments that the sender's host sent."""

    what: bytes | ll.ControlPdu
    fragments: int = 0

    @property
    def packets(self) -> int:
        return math.ceil(len(self.what) / PACKET_MOST) if isinstance(self.what, bytes) else 1


class Way:
    """One direction of a connection: what was sent and has not passed yet."""

    def __init__(self, timing: Timing, sender: AirConnection, receiver: AirConnection) -> None:
        self._timing = timing
        self._sender = sender
        self._receiver = receiver
        self._waiting: deque[_Passing] = deque()
        self._anchor = asyncio.get_running_loop().time()
        self._event: asyncio.Handle | None = None
        self._passed_at = -math.inf
        self._is_cut = False
        self._breaks_after: int | None = None
        self._on_break: Callable[[], None] = lambda: None

    def send(self, what: bytes | ll.ControlPdu, fragments: int = 0) -> None:
        """Put something behind all that waits."""
        if self._is_cut:
            return
        self._waiting.append(_Passing(what, fragments))
        if self._event is None:
            self._schedule()

    def cut(self) -> None:
        """Let nothing pass any more, neither what waits nor what is sent from now on."""
        self._is_cut = True
        self._waiting.clear()
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def break_after(self, packets: int, on_break: Callable[[], None]) -> None:
        """Call ``on_break`` once so many more data packets have passed; what is behind them is its affair."""
        self._breaks_after, self._on_break = packets, on_break

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self._timing.interval
        if not interval:
            self._event = loop.call_soon(self._pass)
            return
        events = math.floor((loop.time() - self._anchor) / interval) + 1
        at = self._anchor + events * interval
        self._event = loop.call_at(max(at, self._passed_at + interval), self._pass)

    def _pass(self) -> None:
        """Have a connection event; where this program was held up, the next is an interval later all the same."""
        self._event = None
        self._passed_at = asyncio.get_running_loop().time()
        room = self._timing.per_event if self._timing.interval else math.inf
        completed = 0
        while self._waiting and room > 0 and self._breaks_after != 0:
            passing = self._waiting.popleft()
            room -= passing.packets
            completed += passing.fragments
            self._receiver.take(passing.what)
            if self._breaks_after is not None and isinstance(passing.what, bytes):
                self._breaks_after -= 1
        if completed:
            self._sender.tell_completed(completed)
        if self._breaks_after == 0:
            self._breaks_after = None
            self._on_break()
        if self._waiting and self._event is None:
            self._schedule()


class AirLink:
    """A connection between two controllers, as the air sees it."""

    def __init__(self, timing: Timing, central: AirConnection, peripheral: AirConnection) -> None:
        self._timing = timing
        self.central = central
        self.peripheral = peripheral
        self.to_peripheral = Way(timing, central, peripheral)
        self.to_central = Way(timing, peripheral, central)
        central.way, peripheral.way = self.to_peripheral, self.to_central

    def lose(self) -> None:
        """Let nothing pass any more; both sides notice after the supervision timeout."""
        self._cut()
        for end in (self.central, self.peripheral):
            self._left_alone(end)

    def vanish(self, end: AirConnection) -> None:
        """One side is gone without a word; the other notices after the supervision timeout."""
        self._cut()
        self._left_alone(self.peripheral if end is self.central else self.central)

    def lose_after(self, packets: int) -> None:
        """Lose the link once so many more packets have reached the peripheral."""
        if packets:
            self.to_peripheral.break_after(packets, self.lose)
        else:
            self.lose()

    def _cut(self) -> None:
        self.to_peripheral.cut()
        self.to_central.cut()

    def _left_alone(self, end: AirConnection) -> None:
        if self._timing.supervision:
            asyncio.get_running_loop().call_later(self._timing.supervision, end.time_out)
        else:
            end.time_out()


class Air(LocalLink):
    """A room full of controllers.

    Boards advertise only while somebody listens, so a thousand of them cost nothing by themselves; whoever begins to
    listen hears all of them soon.

    Attributes:
        timing: how fast it is.
        keys: the bonds of the machine's simulated adapter, which all programs on it share.
    """

    controllers: set[Controller]

    def __init__(self, timing: Timing | None = None) -> None:
        quiet_bumble()
        super().__init__()  # type: ignore[no-untyped-call] # bumble's has no annotation
        self.timing = timing or Timing()
        self.keys = BondKeys()
        self._on_air: dict[AirController, Advertised] = {}
        self._listeners: set[AirController] = set()
        self._beat: asyncio.TimerHandle | None = None

    def advertise(self, controller: AirController, advertised: Advertised | None) -> None:
        """Have a controller advertise this from now on, or be silent."""
        if advertised is None:
            self._on_air.pop(controller, None)
            return
        self._on_air[controller] = advertised
        for listener in list(self._listeners):
            self._reach(listener, controller, advertised)

    def listens(self, controller: AirController, on: bool) -> None:
        """A controller begins or ends to listen for advertisements, to report them or to connect."""
        if not on:
            self._listeners.discard(controller)
            return
        self._listeners.add(controller)
        loop = asyncio.get_running_loop()
        loop.call_later(FIRST_HEARD, self._advertise_to, controller)
        if self._beat is None:
            self._beat = loop.call_later(self.timing.advertising, self._advertise_again)

    def advertised_at(self, address: hci.Address, central: hci.Address) -> AirController | None:
        """Who advertises at an address and lets this central in."""
        for controller, advertised in self._on_air.items():
            if advertised.address == address and advertised.is_for(central):
                return controller
        return None

    def remove_controller(self, controller: Controller) -> None:
        """Take a controller off the air without a word, as one that was carried out of range."""
        super().remove_controller(controller)
        self._on_air.pop(controller, None)  # type: ignore[call-overload] # all here are AirControllers
        self._listeners.discard(controller)

    def close(self) -> None:
        """Stop all that the air does by itself."""
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    def _advertise_again(self) -> None:
        self._beat = None
        for listener in list(self._listeners):
            self._advertise_to(listener)
        if self._listeners:
            self._beat = asyncio.get_running_loop().call_later(self.timing.advertising, self._advertise_again)

    def _advertise_to(self, listener: AirController) -> None:
        for advertiser, advertised in list(self._on_air.items()):
            self._reach(listener, advertiser, advertised)

    def _reach(self, listener: AirController, advertiser: AirController, advertised: Advertised) -> None:
        if listener in self._listeners and listener is not advertiser and self._on_air.get(advertiser) is advertised:
            listener.hear(advertised)
