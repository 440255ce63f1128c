"""How the parts of a gateway call its loop: each call only wakes it early, and it acts on what it finds."""

from __future__ import annotations

import asyncio

GONE_MOST = 100_000
"""So many uuids may wait to be forgotten; more come again with the next report."""


class Signals:
    """Events that the loop, and the listening to the source, wait for."""

    def __init__(self) -> None:
        self.turn = asyncio.Event()
        self.ask = asyncio.Event()
        self.gone: set[str] = set()

    def wake(self) -> None:
        """Have the loop turn now."""
        self.turn.set()

    def refetch(self) -> None:
        """Have the source asked now."""
        self.ask.set()

    def note_gone(self, uuid: str) -> None:
        """Have a device forgotten that the source does not know any more."""
        if len(self.gone) < GONE_MOST:
            self.gone.add(uuid)
        self.turn.set()
