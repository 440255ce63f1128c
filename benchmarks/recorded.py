"""Transfers written down operation by operation, to be looked at, and to be done again with nothing behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from enmctl.dfu.driver import carry_out
from enmctl.dfu.link import LinkError, Notification, Opened, Operation, Request, Tell, Transfer, Write
from enmctl.models import BoardMode

T = TypeVar("T")
Clock = Callable[[], float]


class Done(NamedTuple):
    """An operation, when it began and ended, and what it brought or raised."""

    began: float
    ended: float
    operation: Operation
    brought: Any

    def heard(self, start: str) -> bool:
        """Whether it brought a notification that starts so, in hex."""
        return isinstance(self.brought, Notification) and self.brought.data.startswith(bytes.fromhex(start))

    def asked(self, start: str) -> bool:
        """Whether it was a write with response that starts so, in hex."""
        return isinstance(self.operation, Request) and self.operation.data.startswith(bytes.fromhex(start))

    def wrote(self, start: str) -> bytes:
        """What it wrote without response, if that starts so, in hex; else nothing."""
        operation = self.operation
        if isinstance(operation, Write) and operation.data.startswith(bytes.fromhex(start)):
            return operation.data
        return b""


class Record:
    """What transfers did, in ``done``, and what the clock said to them.

    Args:
        clock: the clock on which they run.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: list[float] = []
        self.done: list[Done] = []

    def now(self) -> float:
        """The clock, for the transfer."""
        self._told.append(self._clock())
        return self._told[-1]

    def of(self, transfer: Transfer[T]) -> Transfer[T]:
        """The same transfer, written down."""
        result: Any = None
        error: LinkError | None = None
        while True:
            try:
                operation = transfer.send(result) if error is None else transfer.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            began, result, error = self._clock(), None, None
            try:
                result = yield operation
            except LinkError as raised:
                error = raised
            self.done.append(Done(began, self._clock(), operation, result if error is None else error))

    @property
    def bytes_written(self) -> int:
        """Bytes of all writes."""
        return sum(len(done.operation.data) for done in self.done if isinstance(done.operation, Write | Request))

    def cpu_seconds(self, make: Callable[[Clock], Transfer[Any]]) -> float:
        """The CPU time of a transfer that is driven as over Bluetooth, and brought at once what it was brought before.

        Args:
            make: makes the transfer anew, to run on the clock that it is given.
        """
        told = iter(self._told)
        transfer = make(lambda: next(told))

        async def drive() -> None:
            link = _Replay(done for done in self.done if not isinstance(done.operation, Tell))
            async for _ in carry_out(transfer, link):
                pass

        began = time.process_time()
        asyncio.run(drive())
        return time.process_time() - began


class _Replay:
    """Keeps ``enmctl.dfu.driver.Link``, and brings what was brought before."""

    def __init__(self, done: Iterator[Done]) -> None:
        self._done = done

    def _brought(self) -> Any:
        done = next(self._done, None)
        if done is None:
            return None
        if isinstance(done.brought, LinkError):
            raise done.brought
        return done.brought

    async def open(self, mode: BoardMode, seconds: float) -> Opened:  # noqa: ARG002 - as the others
        opened: Opened = self._brought()
        return opened

    async def close(self) -> None:
        self._brought()

    async def lost(self, seconds: float) -> bool:  # noqa: ARG002
        return bool(self._brought())

    async def subscribe(self, characteristic: str) -> None:  # noqa: ARG002
        self._brought()

    async def read(self, characteristic: str) -> bytes:  # noqa: ARG002
        value: bytes = self._brought()
        return value

    async def write(self, characteristic: str, data: bytes) -> None:  # noqa: ARG002
        self._brought()

    async def request(self, characteristic: str, data: bytes) -> None:  # noqa: ARG002
        self._brought()

    async def wait(self, seconds: float) -> Notification | None:  # noqa: ARG002
        note: Notification | None = self._brought()
        return note

    async def heard(self, mode: BoardMode | None, seconds: float) -> BoardMode | None:  # noqa: ARG002
        found: BoardMode | None = self._brought()
        return found

    async def keep(self) -> None:
        self._brought()
