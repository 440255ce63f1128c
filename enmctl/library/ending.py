"""SIGTERM and SIGHUP while a program's transfers run: these end at a safe point, and the program after them.

A program that handles such a signal itself, or ignores it, is left to do so.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Ending:
    """The transfers of this process that a signal ends; the last of them that is at rest lets the signal act."""

    def __init__(self) -> None:
        self._tasks: Counter[asyncio.Task[object]] = Counter()
        self._taken: list[int] = []
        self._asked: int | None = None

    @contextmanager
    def at_a_safe_point(self) -> Iterator[None]:
        """Within, a signal that would kill the program cancels the task that is in here, and acts afterwards."""
        task = asyncio.current_task()
        if task is None:
            yield
            return
        if not self._tasks:
            self._take_signals()
        self._tasks[task] += 1
        try:
            yield
        finally:
            self._tasks -= Counter((task,))
            if not self._tasks:
                self._give_signals_back()

    def _take_signals(self) -> None:
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                with contextlib.suppress(ValueError):  # only the main thread may
                    signal.signal(number, self._end)
                    self._taken.append(number)

    def _give_signals_back(self) -> None:
        while self._taken:
            signal.signal(self._taken.pop(), signal.SIG_DFL)
        if self._asked is not None:
            number, self._asked = self._asked, None
            signal.raise_signal(number)

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._asked is None:
            self._asked = number
            for task in self._tasks:
                task.get_loop().call_soon_threadsafe(task.cancel)


ENDING: Final = Ending()
"""That of this process, for signals are the process's."""
