"""The store's asyncio face: a thread that is not the loop's, a bounded queue, one wait for the disk for many calls."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from enmctl.errors import StoreError
from enmctl.store.store import BUSY_TIMEOUT, HISTORY_LIMIT, Store

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_LIMIT: Final = 1000
"""Calls that may wait for the thread; a further one waits until there is room."""

CALL_TIMEOUT: Final = 60.0
"""Seconds after which a call is given up: the disk hangs. What was asked may still come about."""

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that the calls still in the queue have when the store is closed."""

_MOST_JOINED: Final = 64
"""Calls that share one transaction at most, so that the first of them does not wait for ever."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One call in the queue, and what became of it."""

    run: Callable[[Store], Any]
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class StoreThread:
    """A store in a thread of its own, for asyncio.

    Calls run one after another in the order in which they came. Those that wait together share one transaction, and
    none of them returns before it is on the disk; one that fails takes no other with it. From the moment that a call is
    in the queue, cancelling whoever waits for it takes nothing back.

    Args:
        path: where the database is.
        history_limit: how many attempts, and how many events, are kept.
        busy_timeout: the longest wait for another program that writes, in seconds.

    Attributes:
        notes: what a person should hear of the opening, a line each.
        fresh: whether the file was newly made in this opening.
    """

    notes: list[str]
    fresh: bool

    def __init__(self, path: Path, *, history_limit: int = HISTORY_LIMIT, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self._open: Callable[[], Store] = lambda: Store.open(
            path, history_limit=history_limit, busy_timeout=busy_timeout
        )
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(QUEUE_LIMIT)
        self._running = False

    async def __aenter__(self) -> Self:
        """Open the database in its thread. Raises StoreError as ``Store.open`` does."""
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[tuple[list[str], bool]] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()
        try:
            self.notes, self.fresh = await self._opened
        except asyncio.CancelledError:
            self._calls.put(None)
            raise
        except BaseException:
            self._thread.join()
            raise
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do what is in the queue, then close; gives up after ``CLOSE_TIMEOUT``."""
        self._running = False
        self._calls.put(None)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.shield(self._ended)
            self._thread.join()  # it has nothing left to do but to end
        except TimeoutError:
            _log.error("The database %s did not close within %.0f s; the disk hangs", self.path, CLOSE_TIMEOUT)

    async def call(self, fn: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(store, …)`` in the thread, like ``await thread.call(Store.change, uuid, commit="x")``.

        Raises:
            StoreError: as ``fn`` does; when the thread has ended (reason ``closed``); when the disk hangs (``stuck``).
        """

        def run(store: Store) -> T:
            return fn(store, *args, **kwargs)

        limit = asyncio.timeout(CALL_TIMEOUT)
        try:
            async with limit:
                await self._room.acquire()
                if not self._running:
                    self._room.release()
                    raise StoreError(f"the database {self.path} is closed", reason="closed", permanent=True)
                call = _Call(run, self._loop.create_future())
                self._calls.put(call)
                result: T = await call.done
                return result
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreError(
                f"the database {self.path} did not answer for {CALL_TIMEOUT:.0f} s",
                remedy="look for the disk's fault in dmesg, then restart `enmctl run`",
                reason="stuck",
            ) from None

    def _work(self) -> None:
        """The thread: open, work, close."""
        try:
            store = self._open()
        except BaseException as error:  # noqa: BLE001 - it is raised where the opening is awaited
            self._tell(_settle, self._opened, None, error)
            return
        try:
            with store:
                self._tell(_settle, self._opened, (store.notes, store.fresh), None)
                while calls := self._next():
                    with store.one_wait():
                        self._carry_out(store, calls)
        finally:
            self._tell(_settle, self._ended, None, None)

    def _next(self) -> list[_Call]:
        """The calls that wait now, at least one of them; none once the store is to be closed."""
        calls: list[_Call] = []
        while len(calls) < _MOST_JOINED:
            try:
                call = self._calls.get(block=not calls)
            except queue.Empty:
                break
            if call is None:
                if calls:
                    self._calls.put(None)  # nothing comes after it: whoever closes has stopped the callers first
                break
            calls.append(call)
        return calls

    def _carry_out(self, store: Store, calls: list[_Call]) -> None:
        """Run the calls, more than one of them in one transaction, and tell each how it ended as soon as that is sure.

        Where that transaction cannot be ended (the disk is full, say) nothing of it was done, and each call is run
        again by itself: those that only read do not fail with those that write.
        """
        if len(calls) == 1:
            self._run_alone(store, calls[0])
            return
        waiting: list[_Call] = []
        try:
            with store.joined():
                for call in calls:
                    _run(store, call)
                    if store.lost_all():
                        _fail(waiting, call.error)
                        self._tell(self._finish, waiting)
                        waiting = []
                    if call.error is not None or store.is_unwritten:
                        self._tell(self._finish, [call])
                    else:
                        waiting.append(call)
        except StoreError:
            for call in waiting:
                self._run_alone(store, call)
        else:
            self._tell(self._finish, waiting)

    def _run_alone(self, store: Store, call: _Call) -> None:
        _run(store, call)
        self._tell(self._finish, [call])

    def _tell(self, tell: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(tell, *args)

    def _finish(self, calls: list[_Call]) -> None:
        for call in calls:
            self._room.release()
            if call.error is not None and call.done.done():
                _log.error("The database could not keep something that nobody waits for any more: %s", call.error)
            _settle(call.done, call.result, call.error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _run(store: Store, call: _Call) -> None:
    try:
        call.result = call.run(store)
    except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
        call.error = error


def _fail(calls: list[_Call], error: BaseException | None) -> None:
    for call in calls:
        call.error = error
