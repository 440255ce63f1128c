"""Waiting for something to become true, without looking at it again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes whoever waits whenever something changed. For one event loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """Say that something changed."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def next(self, within: float | None = None) -> bool:
        """Wait for the next change; false where none came within so many seconds."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait([future], timeout=within)
            return future.done()
        finally:
            self._waiting.discard(future)
            future.cancel()

    async def wait_for(self, predicate: Callable[[], bool], within: float, *, what: Callable[[], str]) -> None:
        """Wait until ``predicate`` holds; it is asked again after each change.

        Raises:
            TimeoutError: it did not within ``within`` seconds; ``what`` tells how things stand then.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while not predicate():
            left = end - loop.time()
            if left <= 0 or not await self.next(left):
                if predicate():
                    return
                raise TimeoutError(f"not within {within:g} s: {what()}")
