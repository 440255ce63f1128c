"""A model of a Bluetooth link to a simulated board: connection events on a virtual clock.

At every event, one interval apart, so many packets may go each way. What a board sends goes out one event after it
arose, as on real chips, and reaches the program on this side a little later still. Events with nothing to send pass
without cost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from enmctl.dfu.link import GattError, Read, Request, Subscribe, Write
from enmctl.simulator.nordic.clock import Clock, Timer
from enmctl.simulator.nordic.contract import AttError, BluetoothBoard, Disconnect, Effect, Notify
from enmctl.simulator.nordic.program import VANISHED

ENDED_BY_HOST: Final = 0x16
"""HCI reason: this side ended the connection."""

FRAME_BYTES: Final = 17
"""Preamble, address, headers of link layer, L2CAP and ATT, and CRC of a packet with one write."""

CONTROL_SIZE: Final = 2
"""Bytes that a request is taken to have, for the time that it takes on the air."""

BYTE_SECONDS: Final = 8e-6
EXCHANGE_SECONDS: Final = 380e-6
"""Two pauses of 150 µs and an empty packet back, on the 1M PHY."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How a link runs; times in seconds.

    ``packets`` go each way at an event. ``latency`` passes from the air to the program on this side, and ``late`` says
    that what a board sends misses the event in which it arose. ``queue`` is how many writes this side holds before a
    write has to wait, None for as many as come. ``finding`` is what a scan takes, ``connecting`` a connection with the
    discovery of services. ``supervision`` is the silence after which a connection counts as lost.
    """

    interval: float = 0.015
    packets: int = 4
    latency: float = 0.005
    late: bool = True
    mtu: int = 247
    queue: int | None = None
    finding: float = 0.1
    connecting: float = 0.2
    supervision: float = 4.0
    att_timeout: float = 30.0


class _Slots(dict[int, float]):
    """How long a write of so many bytes takes of an event."""

    def __init__(self, timing: Timing) -> None:
        super().__init__()
        self._most = timing.interval / timing.packets

    def __missing__(self, size: int) -> float:
        self[size] = min(self._most, (size + FRAME_BYTES) * BYTE_SECONDS + EXCHANGE_SECONDS)
        return self[size]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request brought."""

    value: bytes | None = None
    error: GattError | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The connection has ended."""

    reason: int


Upstream = Notify | Reply | End
Downstream = Write | Request | Read | Subscribe


class Interference(Protocol):
    """What may come between the two sides; see ``faults``."""

    def passes(self, link: Link, sent: Downstream, now: float) -> bool:
        """Something is about to reach the board; whether it does."""
        ...

    def passed(self, link: Link, sent: Downstream, now: float) -> None:
        """Something has reached the board."""
        ...

    def ended(self, link: Link, now: float) -> None:
        """The board has ended the connection."""
        ...

    def on_the_way(self, link: Link, item: Notify | Reply, now: float) -> Sequence[tuple[float, Upstream]]:
        """Something that the board sent: what of it goes on, each so many seconds later."""
        ...


class Host(Protocol):
    """The program on this side."""

    def arrived(self, link: Link, items: Sequence[Upstream]) -> None:
        """Something has come up the link."""
        ...

    def drained(self) -> None:
        """There is room again for a write."""
        ...


class OnAir:
    """A board on a clock: its timers are kept, and its effects go to whoever is connected to it."""

    def __init__(self, clock: Clock, board: BluetoothBoard) -> None:
        self.clock = clock
        self.board = board
        self.link: Link | None = None
        self.on_change: list[Callable[[], None]] = []
        self.told = 0.0
        self._timer: Timer | None = None
        self.arm()

    def time(self) -> float:
        """The time to tell the board: it never goes back, though an event reaches a little into the future."""
        self.told = max(self.told, self.clock.now)
        return self.told

    def take(self, effects: Sequence[Effect]) -> None:
        """Do what the board wants, in its order."""
        for effect in effects:
            if isinstance(effect, Notify):
                if self.link is not None:
                    self.link.send_up(effect)
            elif isinstance(effect, Disconnect):
                self._end(effect.reason)
            else:
                for call in self.on_change:
                    self.clock.at(self.clock.now, call)
        self.arm()

    def arm(self) -> None:
        """See to it that the board is woken when it is due."""
        due = self.board.due
        if due is None or (self._timer is not None and self._timer.call is not None and self._timer.at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.at(due, self._wake)

    def power(self, *, on: bool) -> None:
        """Switch the board on or off."""
        self.take(self.board.power(on, self.time()))

    def _wake(self) -> None:
        self._timer = None
        now = self.time()
        due = self.board.due
        if due is not None and due <= now:
            self.take(self.board.tick(now))
        self.arm()

    def _end(self, reason: int) -> None:
        link, self.link = self.link, None
        self.take(self.board.disconnected(self.time()))
        if link is not None:
            link.ended_by_board(reason)


class Link:
    """One connection, from ``now`` on."""

    def __init__(self, air: OnAir, host: Host, timing: Timing, *, interference: Interference | None = None) -> None:
        self.air = air
        self.timing = timing
        self.out: deque[Downstream] = deque()
        self.scheduled = False
        self._host = host
        self._interference = interference
        self._start = air.clock.now
        self._interval = timing.interval
        self._number = 0
        self._slots = _Slots(timing)
        self._fresh: list[Upstream] = []
        self._ready: deque[Upstream] = deque()
        self._alive = True
        self._closing = False

    @property
    def alive(self) -> bool:
        """Whether packets still pass."""
        return self._alive

    def want(self) -> None:
        """There is something to send: have the next event."""
        if not self.scheduled and self._alive:
            self.scheduled = True
            clock = self.air.clock
            self._number = int((clock.now - self._start) / self._interval + 1e-9) + 1
            clock.at(self._start + self._number * self._interval, self._event)

    def close(self) -> None:
        """End the connection from this side; what was not sent is dropped."""
        self.out.clear()
        self._closing = True
        self.want()

    def lose(self, seconds: float | None = None) -> None:
        """Let the link break: from now on nothing passes, and both sides see it by their supervision timeouts."""
        if self._alive:
            self._alive = False
            seconds = self.timing.supervision if seconds is None else seconds
            clock = self.air.clock
            clock.at(clock.now + seconds, self._forget)
            self._report(End(VANISHED), seconds)

    def send_up(self, item: Notify | Reply) -> None:
        """The board sends."""
        if self._interference is None:
            self._fresh.append(item)
        else:
            for delay, changed in self._interference.on_the_way(self, item, self.air.clock.now):
                if delay:
                    self.air.clock.at(self.air.clock.now + delay, partial(self._queue, changed))
                else:
                    self._fresh.append(changed)
        self.want()

    def ended_by_board(self, reason: int) -> None:
        """The board has ended the connection, or is gone."""
        if not self._alive:
            return
        if self._interference is not None:
            self._interference.ended(self, self.air.time())
        self.out.clear()
        if reason == VANISHED:
            self._alive = False
            self._report(End(reason), self.timing.supervision)
        else:
            self._fresh.append(End(reason))
            self.want()

    def _queue(self, item: Upstream) -> None:
        if self._alive:
            self._fresh.append(item)
            self.want()

    def _forget(self) -> None:
        """The board has seen that nobody is there any more."""
        air = self.air
        if air.link is self:
            air.link = None
            air.take(air.board.disconnected(air.time()))

    def _report(self, item: Upstream, seconds: float) -> None:
        clock = self.air.clock
        clock.at(clock.now + seconds, lambda: self._host.arrived(self, [item]))

    def _event(self) -> None:
        """One connection event."""
        self.scheduled = False
        if not self._alive:
            return
        air, timing = self.air, self.timing
        now = air.time()
        if self._closing:
            self._alive = False
            self._forget()
            self._report(End(ENDED_BY_HOST), timing.latency)
            return
        self._ready.extend(self._fresh)
        self._fresh.clear()
        at = self._send_down(now) if self.out else now
        if not timing.late:
            self._ready.extend(self._fresh)
            self._fresh.clear()
        if self._ready:
            self._send_up(at)
        if (self.out or self._fresh or self._ready) and not self.scheduled:
            self.scheduled = True
            self._number += 1
            air.clock.at(self._start + self._number * self._interval, self._event)
        air.arm()

    def _send_down(self, at: float) -> float:
        """Let the board have what is waiting for it, as much as fits into the event; returns when the last arrived."""
        air, out, slots = self.air, self.out, self._slots
        write, interference = air.board.write, self._interference
        for _ in range(self.timing.packets):
            if not out or air.link is not self or not self._alive:
                break
            sent = out.popleft()
            air.told = at = at + slots[len(sent[1]) if type(sent) is Write else CONTROL_SIZE]
            if interference is not None and not interference.passes(self, sent, at):
                continue
            if type(sent) is Write:
                effects = write(sent[0], sent[1], response=False, now=at)
                if effects:
                    air.take(effects)
            else:
                self._serve(sent, at)
            if interference is not None:
                interference.passed(self, sent, at)
        if self.timing.queue is not None:
            self._host.drained()
        return at

    def _serve(self, sent: Downstream, now: float) -> None:
        """A request: its answer first, then what it brought about."""
        air, board = self.air, self.air.board
        value: bytes | None = None
        effects: Sequence[Effect] = ()
        error: GattError | None = None
        try:
            if isinstance(sent, Read):
                value = board.read(sent.characteristic, now)
            elif isinstance(sent, Subscribe):
                effects = board.subscribe(sent.characteristic, on=True, now=now)
            else:
                effects = board.write(sent.characteristic, sent.data, response=True, now=now)
        except AttError as refused:
            error = GattError(refused.code)
        self.send_up(Reply(value, error))
        air.take(effects)

    def _send_up(self, at: float) -> None:
        """Hand to the program on this side as much as fits into the event."""
        ready = self._ready
        items = [ready.popleft() for _ in range(min(len(ready), self.timing.packets))]
        if any(isinstance(item, End) for item in items):
            self._alive = False
        clock = self.air.clock
        clock.at(at + self.timing.latency, lambda: self._host.arrived(self, items))
