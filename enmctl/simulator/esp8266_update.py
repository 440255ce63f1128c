"""What an ESP8266 does with an image that is sent to it, and the ways in which that can go wrong.

The checks and their words are those of the updater in the ESP8266 core for Arduino: it looks at the first byte, at the
flash size in the header and at the room there is, and at nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from enmctl.simulator.images import FLASH_SIZES, GZIP_MAGIC, MAGIC

SECTOR = 4096
"""Bytes that are erased and written at once."""
CATCH_UP = 0.02
"""Seconds by which writing may run ahead to make up for waits that the system made too long."""
FILE_SYSTEM_FIELD = "filesystem"


class Fault(StrEnum):
    """One thing that goes wrong with one update; for each upload to come the board has at most one."""

    FLASH_WRITE = "flash-write"
    FLASH_ERASE = "flash-erase"
    FLASH_READ = "flash-read"
    NO_SPACE = "no-space"
    BAD_SIZE = "bad-size"
    MD5 = "md5"
    FLASH_CONFIG = "flash-config"
    NEW_FLASH_CONFIG = "new-flash-config"
    MAGIC = "magic"
    BOOT_MODE = "boot-mode"
    SIGNATURE = "signature"
    OUT_OF_MEMORY = "out-of-memory"
    ALREADY_RUNNING = "already-running"

    SILENT_MID_UPLOAD = "silent-mid-upload"
    """Stops reading half-way and hangs, for ever or until its watchdog bites."""
    RESET_MID_UPLOAD = "reset-mid-upload"
    """Breaks the connection half-way; the old firmware runs on."""
    SILENT_AFTER_UPLOAD = "silent-after-upload"
    """Takes it all and restarts into it, but neither answers nor closes."""
    NO_ANSWER_NO_REBOOT = "no-answer-no-reboot"
    """Takes it all and neither answers nor closes; the old firmware runs on."""
    ANSWER_LOST = "answer-lost"
    """Takes it all, closes without an answer and restarts into it."""
    COMES_BACK_OLD = "comes-back-old"
    """Says that all is well and restarts into the old firmware."""
    NEVER_RETURNS = "never-returns"
    """Says that all is well and stays down until its power is switched."""
    RETURNS_ELSEWHERE = "returns-elsewhere"
    """Says that all is well and comes back under another address (on Linux) and port."""
    SLOW = "slow"
    """Writes at a tenth of its speed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the updater."""

    number: int
    text: str

    def __str__(self) -> str:
        return f"ERROR[{self.number}]: {self.text}\n"


REFUSALS = {
    Fault.FLASH_WRITE: Refusal(1, "Flash Write Failed"),
    Fault.FLASH_ERASE: Refusal(2, "Flash Erase Failed"),
    Fault.FLASH_READ: Refusal(3, "Flash Read Failed"),
    Fault.NO_SPACE: Refusal(4, "Not Enough Space"),
    Fault.BAD_SIZE: Refusal(5, "Bad Size Given"),
    Fault.MD5: Refusal(7, "MD5 Failed: expected:0, calculated:1"),
    Fault.FLASH_CONFIG: Refusal(8, "Flash config wrong real: 1048576 SDK: 4194304"),
    Fault.NEW_FLASH_CONFIG: Refusal(9, "new Flash config wrong, real size: 1048576"),
    Fault.MAGIC: Refusal(10, "Magic byte is not 0xE9"),
    Fault.BOOT_MODE: Refusal(11, "Invalid bootstrapping state, reset ESP8266 before updating"),
    Fault.SIGNATURE: Refusal(12, "Signature verification failed"),
    Fault.OUT_OF_MEMORY: Refusal(14, "Out of memory"),
    Fault.ALREADY_RUNNING: Refusal(15, "Update already in progress"),
}
"""The faults that are refusals. The numbers are what counts: wordings differ from core to core."""

NO_DATA = Refusal(13, "No data supplied")

KNOWN_AT_ONCE = {Fault.FLASH_CONFIG, Fault.BOOT_MODE, Fault.OUT_OF_MEMORY, Fault.ALREADY_RUNNING, Fault.BAD_SIZE}
"""Refusals that come before the first byte is written; like all others they are told after the last one was read."""


class Outcome(StrEnum):
    """How an upload ended, as the board sees it."""

    RECEIVING = "receiving"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABORTED = "aborted"
    UNAUTHORIZED = "unauthorized"


@dataclass(slots=True)
class Upload:
    """One upload, for the board's log. ``started_at`` and ``ended_at`` are seconds since the epoch, ``size`` bytes.

    ``error`` is the updater's error number; ``fault`` what was made to go wrong.
    """

    field: str
    file_name: str
    started_at: float
    ended_at: float | None = None
    size: int = 0
    sha256: str = ""
    outcome: Outcome = Outcome.RECEIVING
    error: int | None = None
    fault: Fault | None = None

    def describe(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


class Flash:
    """Takes bytes in at the speed at which sectors are erased and written.

    Args:
        speed: bytes a second.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._unwritten = 0
        self._free_at = 0.0

    async def write(self, count: int) -> None:
        """Write so many bytes; it is done when all full sectors are."""
        self._unwritten += count
        while self._unwritten >= SECTOR:
            await self._spend(SECTOR)

    async def finish(self) -> None:
        """Write the sector that is not full."""
        if self._unwritten:
            await self._spend(self._unwritten)

    async def _spend(self, count: int) -> None:
        self._unwritten -= count
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - CATCH_UP) + count / self._speed
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Updater:
    """Receives one image.

    Args:
        field: the form field's name, which selects what is updated.
        flash: where it is written.
        free_space: the largest image that fits, in bytes.
        flash_size: the chip's flash, in bytes.
        fault: what goes wrong.
    """

    def __init__(self, field: str, flash: Flash, *, free_space: int, flash_size: int, fault: Fault | None) -> None:
        self.data = bytearray()
        self.received = 0
        self._digest = hashlib.sha256()
        self._flash = flash
        self._free_space = free_space
        self._flash_size = flash_size
        self._fault = fault
        self._refusal: Refusal | None = None
        if field == FILE_SYSTEM_FIELD:
            self._refusal = REFUSALS[Fault.BAD_SIZE]  # the simulated layout has no file system
        elif fault in KNOWN_AT_ONCE:
            self._refusal = REFUSALS[fault]

    @property
    def sha256(self) -> str:
        """The hash of all that was received, in hex."""
        return self._digest.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Take in some bytes; once something is wrong the rest is only read."""
        self.received += len(chunk)
        self._digest.update(chunk)
        if self._refusal is None and self.received > self._free_space:
            self._refusal = REFUSALS[Fault.NO_SPACE]
            self.data.clear()
        if self._refusal is None:
            self.data += chunk
            await self._flash.write(len(chunk))

    async def end(self) -> Refusal | None:
        """Check what is there, as little as the chip does; None where it is taken."""
        if self._refusal is None:
            await self._flash.finish()
            self._refusal = self._judge()
        return self._refusal

    def _judge(self) -> Refusal | None:
        if not self.data:
            return NO_DATA
        if self._fault in REFUSALS:
            return REFUSALS[self._fault]
        if self.data.startswith(GZIP_MAGIC):
            return None
        if self.data[0] != MAGIC:
            return REFUSALS[Fault.MAGIC]
        wanted = FLASH_SIZES.get(self.data[3] >> 4, 0) if len(self.data) > 3 else 0  # noqa: PLR2004 - the header's 4th byte
        if wanted > self._flash_size:
            return Refusal(9, f"new Flash config wrong, real size: {self._flash_size}")
        return None
