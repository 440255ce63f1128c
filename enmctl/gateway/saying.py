"""Saying in the log what keeps going wrong: at once, and then once a minute for as long as it does."""

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
