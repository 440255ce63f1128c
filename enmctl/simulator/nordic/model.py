"""Runs transfers against a simulated board over a modelled link: the same protocols as over Bluetooth, without waiting.

Each operation of ``enmctl.dfu.link`` is done as its class says, with its errors. Several models may share one clock, so
that transfers to several boards run at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from enmctl.dfu.link import (
    AbsentError,
    Close,
    Heard,
    Keep,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Memory,
    Notification,
    Open,
    Opened,
    Operation,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.models import BoardMode, Step
from enmctl.simulator.nordic.clock import Clock, Timer
from enmctl.simulator.nordic.contract import Advertisement, BluetoothBoard, Notify
from enmctl.simulator.nordic.hearing import mode_of, reaches
from enmctl.simulator.nordic.link_model import ENDED_BY_HOST, End, Interference, Link, OnAir, Reply, Timing, Upstream

T = TypeVar("T")

PEER: Final = "C0:DE:00:00:00:01"
LIMIT_SECONDS: Final = 4 * 3600.0
"""A transfer that takes longer in the model does not end at all."""

STANDARD_SERVICES: Final = 2
"""Generic access and generic attribute, which every board has."""

WORD: Final = 4
ATT_OVERHEAD: Final = 3


class HostKilledError(Exception):
    """The program on this side was killed; only what it had written down is left."""


class _Nothing:
    """An operation that brings nothing yet."""


_PARKED: Final = _Nothing()


class Model:
    """One central and one board on a clock.

    Args:
        board: the board, on or off; or one that other models are told of too, one after the other.
        timing: how the link runs.
        clock: a clock that others run on too.
        memory: what a transfer keeps; ``kept`` is what of it was written down last.
        peer: the central's address.
        bonded: whether the central has a key that it believes to share with the board.
        interference: what comes in between; see ``faults``.
    """

    def __init__(
        self,
        board: BluetoothBoard | OnAir,
        timing: Timing | None = None,
        *,
        clock: Clock | None = None,
        memory: Memory | None = None,
        peer: str = PEER,
        bonded: bool = False,
        interference: Interference | None = None,
    ) -> None:
        self.air = board if isinstance(board, OnAir) else OnAir(clock or Clock(), board)
        self.clock = self.air.clock
        self.timing = timing or Timing()
        self.air.on_change.append(self._look)
        self.memory = memory or Memory()
        self.kept = _copy(self.memory)
        self.peer = peer
        self.bonded = bonded
        self.steps: list[Step] = []
        self.interference = interference
        self.change_opened: Callable[[Opened], Opened] | None = None
        self._transfer: Transfer[Any] | None = None
        self._link: Link | None = None
        self._lost = True
        self._inbox: deque[Notification] = deque()
        self._waits_for: type[Operation] | None = None
        self._operation: Operation | None = None
        self._timer: Timer | None = None
        self._ended = True
        self._result: Any = None
        self._error: BaseException | None = None

    def now(self) -> float:
        """The time, for a transfer that asks for it."""
        return self.clock.now

    @property
    def ended(self) -> bool:
        """Whether the transfer is over."""
        return self._ended

    def run(self, transfer: Transfer[T], *, limit: float = LIMIT_SECONDS) -> T:
        """Run a transfer to its end, and give what it gives or raise what it raises.

        Raises:
            HostKilledError: a fault killed the program.
            EndlessError: it does not end.
        """
        self.start(transfer)
        self.clock.run(lambda: self._ended, limit=limit)
        result: T = self.result()
        return result

    def start(self, transfer: Transfer[Any]) -> None:
        """Begin a transfer; it runs with the clock."""
        self._transfer = transfer
        self._ended = False
        self._result = self._error = None
        self.clock.at(self.clock.now, self._step)

    def result(self) -> Any:
        """What the transfer gave; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def kill(self) -> None:
        """Kill the program: it does nothing any more, and its connection ends."""
        if self._ended:
            return
        transfer, self._transfer = self._transfer, None
        self._unpark()
        self._inbox.clear()
        self._give_up()
        self._finish(HostKilledError())
        if transfer is not None:
            transfer.close()

    def _step(self, value: Any = None, error: Exception | None = None) -> None:
        """Let the transfer go on until it waits for something."""
        transfer, link = self._transfer, self._link
        if transfer is None:
            return
        send = transfer.send
        try:
            while True:
                operation = send(value) if error is None else transfer.throw(error)
                value = error = None
                if type(operation) is Write and link is not None and not self._lost and self.timing.queue is None:
                    link.out.append(operation)
                    if not link.scheduled:
                        link.want()
                    continue
                try:
                    value = self._do(operation)
                except LinkLostError as lost:
                    error = lost
                if value is _PARKED:
                    return
                link = self._link
        except StopIteration as end:
            self._result = end.value
            self._finish(None)
        except Exception as failure:  # noqa: BLE001 - whatever a transfer raises is raised by run
            self._finish(failure)

    def _finish(self, error: BaseException | None) -> None:
        self._error = error
        self._ended = True
        self._transfer = None

    def _do(self, operation: Operation) -> Any:
        """Do an operation, or begin to; what it brought, if it is done already."""
        if isinstance(operation, Wait):
            return self._wait(operation)
        if isinstance(operation, (Write, Request, Read, Subscribe)):
            return self._send(operation)
        if isinstance(operation, Tell):
            self.steps.append(operation.step)
        elif isinstance(operation, Keep):
            self.kept = _copy(self.memory)
        else:
            return self._around(operation)
        return None

    def _around(self, operation: Open | Close | Lost | Heard) -> Any:
        """What is not done on a connection but to it."""
        if isinstance(operation, Heard):
            if operation.seconds <= 0:
                return self._mode_said(operation.mode)
            self._park(operation, operation.seconds)
            self._look()
            return _PARKED
        if isinstance(operation, Lost):
            self._inbox.clear()
            return True if self._lost else self._park(operation, operation.seconds)
        if isinstance(operation, Open):
            self._park(operation, operation.seconds)
        if self._link is not None and not self._lost:
            self._link.close()
            return _PARKED if isinstance(operation, Open) else self._park(operation, None)
        self._drop()
        if isinstance(operation, Open):
            self._look()
            return _PARKED
        return None

    def _wait(self, operation: Wait) -> Any:
        if self._inbox:
            return self._inbox.popleft()
        if self._lost:
            raise LinkLostError
        return self._park(operation, operation.seconds) if operation.seconds > 0 else None

    def _send(self, operation: Write | Request | Read | Subscribe) -> Any:
        link = self._link
        if link is None or self._lost:
            raise LinkLostError
        queue = self.timing.queue
        if isinstance(operation, Write) and queue is not None and len(link.out) >= queue:
            return self._park(operation, None)
        link.out.append(operation)
        link.want()
        return None if isinstance(operation, Write) else self._park(operation, self.timing.att_timeout)

    def _park(self, operation: Operation, seconds: float | None) -> _Nothing:
        self._operation = operation
        if seconds is not None:
            self._timer = self.clock.at(self.clock.now + seconds, self._time_out)
        return _PARKED

    def _unpark(self) -> Operation | None:
        operation, self._operation = self._operation, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return operation

    def _time_out(self) -> None:
        self._timer = None
        operation = self._unpark()
        if isinstance(operation, Open):
            self._step(error=AbsentError(f"no board is heard in its {operation.mode.value}"))
        elif isinstance(operation, Wait):
            self._step(None)
        elif isinstance(operation, Lost):
            self._inbox.clear()
            self._step(value=False)
        elif isinstance(operation, Heard):
            self._step()
        elif operation is not None:
            self._give_up()
            self._step(error=LinkTimeoutError("the board does not answer"))

    def _give_up(self) -> None:
        """A link on which a request was not answered is of no more use."""
        if self._link is not None:
            self._link.close()
        self._drop()

    def arrived(self, link: Link, items: Sequence[Upstream]) -> None:
        """Something has come up a link; of one that was given up nothing is wanted."""
        if link is not self._link:
            return
        for item in items:
            if isinstance(item, Notify):
                self._inbox.append(Notification(item.characteristic, item.data))
        for item in items:
            if isinstance(item, Reply):
                self._answered(item)
            elif isinstance(item, End):
                self._over(item)
        if self._inbox and isinstance(self._operation, Wait):
            self._unpark()
            self._step(self._inbox.popleft())

    def drained(self) -> None:
        """There is room again for a write that waited."""
        link, operation = self._link, self._operation
        if isinstance(operation, Write) and link is not None and len(link.out) < (self.timing.queue or 0):
            self.clock.at(self.clock.now, self._write_now)

    def _write_now(self) -> None:
        operation = self._operation
        if isinstance(operation, Write) and self._link is not None and not self._lost:
            self._unpark()
            self._link.out.append(operation)
            self._link.want()
            self._step()

    def _answered(self, reply: Reply) -> None:
        if isinstance(self._operation, Request | Read | Subscribe):
            self._unpark()
            self._step(reply.value, reply.error)

    def _over(self, end: End) -> None:
        """The connection is over, and this side knows."""
        self._lost = True
        operation = self._operation
        if isinstance(operation, Open):
            self._drop()
            self._look()
        elif isinstance(operation, Close):
            self._unpark()
            self._drop()
            self._step()
        elif isinstance(operation, Lost):
            self._unpark()
            self._inbox.clear()
            self._step(value=end.reason != ENDED_BY_HOST)
        elif isinstance(operation, (Write, Request, Read, Subscribe)) or (
            isinstance(operation, Wait) and not self._inbox
        ):
            self._unpark()
            self._step(error=LinkLostError(f"the connection ended, reason 0x{end.reason:02X}"))

    def _drop(self) -> None:
        self._link = None
        self._lost = True
        self._inbox.clear()

    def _look(self) -> None:
        """See whether what is waited for can be heard now, and have a scan find it."""
        operation = self._operation
        if isinstance(operation, Heard) and self._mode_said(operation.mode) is not None:
            delay = min(self.timing.finding, operation.seconds / 2)
            self.clock.at(self.clock.now + delay, lambda: self._heard(operation))
        elif isinstance(operation, Open) and self._link is None and self._said(operation.mode) is not None:
            delay = self.timing.finding + self.timing.connecting
            self.clock.at(self.clock.now + delay, lambda: self._connect(operation))

    def _heard(self, operation: Heard) -> None:
        if self._operation is operation and (mode := self._mode_said(operation.mode)) is not None:
            self._unpark()
            self._step(mode)

    def _mode_said(self, wanted: BoardMode | None) -> BoardMode | None:
        """The mode in which the board shows itself to this central, if it is the wanted one or any is."""
        modes = [wanted] if wanted is not None else list(BoardMode)
        return next((mode for mode in modes if self._said(mode) is not None), None)

    def _said(self, mode: BoardMode) -> Advertisement | None:
        """What the board says to this central, if it is in that mode."""
        said = self.air.board.advertisement
        if said is None or not reaches(said, self.peer, bonded=self.bonded):
            return None
        return said if mode_of(said) is mode else None

    def _connect(self, operation: Open) -> None:
        """Connect, if the board is still there."""
        if self._operation is not operation or self._link is not None:
            return
        if self._said(operation.mode) is None:
            return
        air = self.air
        self._unpark()
        self._lost = False
        link = Link(air, self, self.timing, interference=self.interference)
        self._link = air.link = link
        air.take(air.board.connected(self.peer, air.time()))
        if self.bonded and air.link is link:
            air.take(air.board.encrypted(air.time()))
        if air.link is not link:
            self._step(error=LinkLostError("the board ended the connection at once"))
            return
        self._step(self._opened())

    def _opened(self) -> Opened:
        board = self.air.board
        services = board.services
        uuids = frozenset(known.uuid for service in services for known in service.characteristics)
        most = (min(self.timing.mtu, board.most_mtu) - ATT_OVERHEAD) // WORD * WORD
        opened = Opened(uuids, most, len(services) + STANDARD_SERVICES)
        return opened if self.change_opened is None else self.change_opened(opened)


def _copy(memory: Memory) -> Memory:
    return replace(memory)
