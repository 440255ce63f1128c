"""A clock that stands still until something is due: hours of radio pass in milliseconds, and always the same."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Call = Callable[[], None]


class EndlessError(RuntimeError):
    """What was waited for did not come about before the limit, or nothing is left that could bring it about."""


class Timer:
    """A call that is due at a time."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Call) -> None:
        self.at = at
        self.call: Call | None = call

    def cancel(self) -> None:
        """Do not call it."""
        self.call = None


class Clock:
    """Seconds in ``now``, which may go on from where another left off."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def at(self, time: float, call: Call) -> Timer:
        """Have something called at a time, or as soon as may be where that is over; in the order of asking."""
        timer = Timer(time, call)
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, timer))
        return timer

    def run(self, until: Callable[[], bool], *, limit: float) -> None:
        """Let time pass until something is so.

        Raises:
            EndlessError: it is not so after ``limit`` seconds.
        """
        end = self.now + limit
        heap = self._heap
        while not until():
            if not heap:
                raise EndlessError("nothing is due any more")
            time, _, timer = heapq.heappop(heap)
            if timer.call is None:
                continue
            if time > end:
                heapq.heappush(heap, (time, 0, timer))
                raise EndlessError(f"it takes longer than {limit:g} s")
            self.now = max(self.now, time)
            timer.call()

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        over: list[bool] = []
        self.at(self.now + seconds, lambda: over.append(True))
        self.run(lambda: bool(over), limit=seconds + 1.0)
