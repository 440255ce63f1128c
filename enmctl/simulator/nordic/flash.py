"""The flash memory of a simulated chip: pages that are erased, words that are written, and the time that both take.

What is asked for stands in line and happens one after the other; ``settle`` lets time pass. A power cut leaves what had
been written by then and nothing more. Writing clears bits, only erasing sets them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from enmctl.simulator.nordic.chips import Chip

ERASED: Final = 0xFF
WORD: Final = 4


class Flash:
    """The flash of one chip.

    Args:
        chip: sizes and times.
        content: what is in it; erased where left out.
        drain: bytes a second at which words are written, to model flash that is slower or busier than the chip's own.

    ``written`` counts the bytes that were burnt, ``buffered`` the writes in line that hold a buffer of whoever asked.
    """

    def __init__(self, chip: Chip, content: bytes | None = None, *, drain: float | None = None) -> None:
        self.chip = chip
        self.memory = bytearray([ERASED]) * chip.size
        if content is not None:
            self.load(content)
        self.erase_seconds = chip.erase_seconds
        self.word_seconds = chip.word_seconds
        self.drain(drain)
        self.written = 0
        self.buffered = 0
        self.failing_at: float | None = None
        self._failures = 0
        self._free_at = 0.0
        self._line: deque[tuple[float, float, int, bytes | None, bool]] = deque()

    def load(self, content: bytes) -> None:
        """Put back what ``image`` gave; the time that flash was busy before is over.

        Raises:
            ValueError: it is of another chip.
        """
        if len(content) != self.chip.size:
            raise ValueError(f"a {self.chip.name} has {self.chip.size} bytes of flash, not {len(content)}")
        self.memory[:] = content

    def image(self) -> bytes:
        """All that is written by now, to be kept."""
        return bytes(self.memory)

    def drain(self, bytes_a_second: float | None) -> None:
        """Write words at such a pace from now on, None for the chip's own."""
        self.word_seconds = self.chip.word_seconds if bytes_a_second is None else WORD / bytes_a_second

    def fail(self, writes: int = 1) -> None:
        """Let the next writes that hold a buffer fail; ``failing_at`` tells when the first of them does."""
        self._failures += writes

    def stall(self, seconds: float, now: float) -> None:
        """Let whatever is asked for from now on begin so much later."""
        self._free_at = max(now, self._free_at) + seconds

    @property
    def waiting(self) -> int:
        """How many operations are in line or under way, as of the last look."""
        return len(self._line)

    @property
    def free_at(self) -> float:
        """When all that was asked for is done."""
        return self._free_at

    def holds(self, address: int, size: int = 1) -> bool:
        """Whether there are such bytes."""
        return address >= 0 and address + size <= self.chip.size

    def read(self, address: int, size: int) -> bytes:
        """What is there by the last look."""
        return bytes(self.memory[address : address + size])

    def word(self, address: int) -> int:
        """The little-endian word there."""
        return int.from_bytes(self.memory[address : address + WORD], "little")

    def erase(self, address: int, size: int, now: float) -> float:
        """Erase the pages that hold these bytes, one by one; returns when the last is erased."""
        page = self.chip.page
        for start in range(address - address % page, address + size, page):
            began = max(now, self._free_at)
            self._free_at = began + self.erase_seconds
            self._line.append((self._free_at, began, start, None, False))
        return self._free_at if size else now

    def write(self, address: int, data: bytes, now: float, *, buffered: bool = False) -> float:
        """Write these bytes; returns when the last word is written."""
        began = max(self._free_at, now)
        done = began + (len(data) + 3) // WORD * self.word_seconds
        self._free_at = done
        if buffered:
            self.buffered += 1
            if self._failures:
                self._failures -= 1
                self.failing_at = self.failing_at or done
                data = b""
        self._line.append((done, began, address, data, buffered))
        return done

    def settle(self, now: float) -> None:
        """Do what is done by now."""
        line = self._line
        while line and line[0][0] <= now:
            _, _, address, data, buffered = line.popleft()
            if data is None:
                self.memory[address : address + self.chip.page] = bytes([ERASED]) * self.chip.page
            else:
                self._burn(address, data)
                if buffered:
                    self.buffered -= 1

    def cut(self, now: float) -> None:
        """Take its power: what is under way is left half done, and what is in line never happens."""
        self.settle(now)
        if self._line:
            done, began, address, data, _ = self._line[0]
            if data is None:
                share = max(0.0, (now - began) / (done - began))
                size = int(share * self.chip.page) // WORD * WORD
                self.memory[address : address + size] = bytes([ERASED]) * size
            else:
                words = max(0, int((now - began) / self.word_seconds))
                self._burn(address, data[: words * WORD])
        self._line.clear()
        self._free_at = now
        self.buffered = 0
        self.failing_at = None

    def _burn(self, address: int, data: bytes) -> None:
        memory = self.memory
        end = address + len(data)
        old = memory[address:end]
        if old.strip(b"\xff"):
            both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
            memory[address:end] = both.to_bytes(len(data), "little")
        else:
            memory[address:end] = data
        self.written += len(data)
