"""Saying in the log what keeps going wrong: at once, and then once a minute, or no more, for as long as it does."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict

SAY_AGAIN = 60.0
"""Seconds after which the same is said again."""

REMEMBERED_MOST = 1000
"""So many things that were said are remembered; the oldest make room."""


class Saying:
    """Remembers what was said, and when.

    Args:
        log: where to say it.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: OrderedDict[str, float] = OrderedDict()

    def say(self, level: int, what: object, line: str, *args: object) -> bool:
        """Log a line, unless one about the same ``what`` was logged less than a minute ago; whether it did."""
        now = time.monotonic()
        said_at = self._said.pop(str(what), None)
        is_due = said_at is None or now - said_at >= SAY_AGAIN
        self._said[str(what)] = now if said_at is None or is_due else said_at
        while len(self._said) > REMEMBERED_MOST:
            self._said.popitem(last=False)
        if is_due:
            self._log.log(level, line, *args)
        return is_due


SAID_A_ROUND = 50
"""So many complaints of one round are said; of the others, how many there are."""

COMPLAINTS_MOST = 20_000
"""So many complaints of one round are remembered; a further one is new the next time."""


class Complaints:
    """Says what is wrong once for as long as it stays so.

    What one round complained of and the next one does too is not said again, however many there are.

    Args:
        log: where to say it.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._before: set[tuple[str, str]] = set()
        self._now: set[tuple[str, str]] = set()
        self._new = 0

    def say(self, about: str, problem: str) -> None:
        """Log what is wrong with something, unless that is known."""
        complaint = (about, problem)
        if complaint in self._now:
            return
        if len(self._now) < COMPLAINTS_MOST:
            self._now.add(complaint)
        if complaint not in self._before:
            self._new += 1
            if self._new <= SAID_A_ROUND:
                self._log.warning("%s: %s", about, problem)

    def end_round(self) -> None:
        """All was complained of that there is; what was not is well, and said again should it return."""
        if self._new > SAID_A_ROUND:
            self._log.warning("and %d more are not as they should be", self._new - SAID_A_ROUND)
        self._before, self._now, self._new = self._now, set(), 0
