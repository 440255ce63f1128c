"""How fast packets may follow each other to a board whose flash is slower than the link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LINK_MOST: Final = 16_000.0
"""Bytes a second of the fastest link to an nRF51: six packets of 20 bytes each 7.5 ms."""

SLOWER: Final = 0.8
"""Each overflow takes the pace down by this factor; five steps find boards that take a third of the link's speed."""

BURST_PACKETS: Final = 5
"""Packets that may go at once, and that a pause may save up: fewer than the eight buffers of a board."""

LEAST_PAUSE: Final = 1e-4
"""Seconds; a shorter pause would be lost in the rounding of the clock, and be asked for again without an end."""

ROUNDING: Final = 1e-6
"""Bytes."""


class Pace:
    """A bucket of bytes that fills steadily; without a limit it is never empty.

    Args:
        limit: bytes a second, None for as fast as the link goes.
        clock: the seconds of the clock on which the transfer runs.
        packet: bytes of a packet.
    """

    def __init__(self, limit: float | None, clock: Callable[[], float], packet: int) -> None:
        self._limit = limit
        self._clock = clock
        self._packet = packet
        self._most = float(BURST_PACKETS * packet)
        self._level = self._most
        self._filled_at = clock()

    @staticmethod
    def slower(limit: float | None) -> float:
        """The next lower pace after one was too fast."""
        return (limit or LINK_MOST) * SLOWER

    def room(self, most: int) -> int:
        """How many bytes may go now, in whole packets and at most so many."""
        if self._limit is not None:
            now = self._clock()
            self._level = min(self._most, self._level + self._limit * (now - self._filled_at))
            self._filled_at = now
            most = min(most, int(self._level + ROUNDING))
        return most // self._packet * self._packet

    def took(self, count: int) -> None:
        """So many bytes have gone."""
        if self._limit is not None:
            self._level -= count

    def pause(self) -> float:
        """Seconds until the next packet may go."""
        if self._limit is None:
            return 0.0
        return max(LEAST_PAUSE, (self._packet - self._level) / self._limit)
