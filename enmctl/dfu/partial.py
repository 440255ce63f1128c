"""Partial flashing of the micro:bit: only the user's part of a program is sent, some 5 KiB instead of 125.

``MicroBitPartialFlashingService`` of microbit-dal and codal-microbit-v2: the board tells three regions with their
hashes and takes blocks of 64 bytes, each of which it answers. From the first block on it boots into its pairing mode
until the order that ends the flashing, so what was begun must be ended; it is never given up for a full flash on the
quiet. A page with the right hash proves nothing of those behind it, so a board in pairing mode is always sent all.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from enmctl.dfu.gatt import PARTIAL
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    Keep,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Memory,
    Notification,
    Opened,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.dfu.setbacks import StartOverError
from enmctl.errors import TransferError
from enmctl.firmware.microbit_regions import BLOCK, HASH, UserPart
from enmctl.models import Stage, Step

PACKETS: Final = 4
PACKET: Final = BLOCK // PACKETS
BLOCK_TRIES: Final = 8
ASK_TRIES: Final = 3
REGION: Final = struct.Struct(f">BBII{HASH}s")
UNUSED: Final = b"\xff" * BLOCK


class Op(IntEnum):
    """The first byte that is written."""

    REGION = 0
    BLOCK = 1
    END = 2
    STATUS = 0xEE
    RESET = 0xFF


class Region(IntEnum):
    """Which part of the flash a region is."""

    RUNTIME = 1
    USER = 2


class Mode(IntEnum):
    """What the board runs, and what a reset can bring it to."""

    PAIRING = 0
    APPLICATION = 1


WRITTEN: Final = 0xFF
VERSION: Final = 1
"""Of the service, as it tells its status."""


class RegionInfo(NamedTuple):
    """Where a region lies, its end not included, and its hash."""

    start: int
    end: int
    hash: bytes


class Verdict(IntEnum):
    """What came of it."""

    UNFIT = 0
    """The board runs on something else: all of it must be sent."""
    CURRENT = 1
    """The board has this program already."""
    DONE = 2
    """The board took all, and restarts."""


class Partial:
    """One try over one connection.

    Args:
        part: what to send.
        sha256: the hash of the whole image, in hex, under which ``memory`` knows it.
        memory: kept up to date; from the first block on it says that a partial flash was begun.
        limits: how long to wait.
    """

    def __init__(self, part: UserPart, sha256: str, memory: Memory, limits: Limits) -> None:
        self._part = part
        self._sha256 = sha256
        self._memory = memory
        self._limits = limits
        self.unfit = ""
        self.regions_lost = False
        self._user: RegionInfo | None = None
        self._mode = Mode.PAIRING

    @property
    def size(self) -> int:
        """Bytes that the board is sent; known once it was looked at."""
        return 0 if self._user is None else BLOCK * len(self._starts(self._user))

    def why_all(self, name: str) -> str:
        """Why a board of this name is sent the whole program, once ``unfit`` says that the part does not do.

        One that has a piece of this very program, and still the regions for it, is not: that would hide a fault.

        Raises:
            TransferError: it is such a board.
        """
        memory = self._memory
        if memory.begun != "partial":
            return self.unfit
        if memory.sha256 == self._sha256 and not self.regions_lost:
            raise TransferError(
                f"{name} has a piece of this program, and does not take the rest: {self.unfit}",
                remedy="flash it again with --full, or copy the file over USB",
                reason="partial-stuck",
            )
        return f"{self.unfit}, after a partial flash that broke"

    def run(self, opened: Opened) -> Transfer[Verdict | None]:
        """Bring the user's part onto the board, if it fits.

        None says that the board restarts into its pairing mode, where the user's program does not run, and is to be
        connected to again.

        Raises:
            StartOverError: it has to be begun again.
            LinkError: as the link's operations do.
        """
        verdict = yield from self.look(opened)
        if verdict is not None or self._user is None:
            return verdict
        if self._mode is Mode.APPLICATION:
            yield Write(PARTIAL, bytes([Op.RESET, Mode.PAIRING]))
            yield Lost(self._limits.gone)
            return None
        yield from self._send(self._user)
        yield Tell(Step(Stage.ACTIVATING))
        yield Write(PARTIAL, bytes([Op.END]))
        gone: bool = yield Lost(self._limits.gone)
        if not gone:
            raise StartOverError("it did not restart")
        return Verdict.DONE

    def look(self, opened: Opened) -> Transfer[Verdict | None]:
        """Ask the board whether the user's part does, which changes nothing on it; None where the part is to be sent.

        Raises:
            LinkError: as the link's operations do.
        """
        if PARTIAL not in opened.characteristics:
            self.unfit = "the program on the board does not offer partial flashing"
            return Verdict.UNFIT
        yield Subscribe(PARTIAL)
        runtime, user = (yield from self._region(Region.RUNTIME)), (yield from self._region(Region.USER))
        self.unfit = self._why_unfit(runtime, user)
        if self.unfit or runtime is None or user is None:
            return Verdict.UNFIT
        status = yield from self._ask(bytes([Op.STATUS]), 3)
        if status[1] != VERSION:
            self.unfit = f"the board speaks version {status[1]} of partial flashing"
            return Verdict.UNFIT
        self._user = user
        self._mode = Mode.APPLICATION if status[2] == Mode.APPLICATION else Mode.PAIRING
        is_current = self._mode is Mode.APPLICATION and self._part.own_hash == user.hash
        return Verdict.CURRENT if is_current and self._memory.begun != "partial" else None

    def verify(self, opened: Opened) -> Transfer[bool]:
        """Whether the board that is connected runs what it was sent; one that waits to be sent the rest does not.

        Raises:
            LinkError: as the link's operations do.
        """
        if PARTIAL not in opened.characteristics:
            return False
        yield Subscribe(PARTIAL)
        status = yield from self._ask(bytes([Op.STATUS]), 3)
        user = yield from self._region(Region.USER)
        own = self._part.own_hash
        return status[2] == Mode.APPLICATION and user is not None and own in (None, user.hash)

    def _why_unfit(self, runtime: RegionInfo | None, user: RegionInfo | None) -> str:
        part = self._part
        if runtime is None or user is None:
            self.regions_lost = True
            return "the board does not tell what it runs on"
        if runtime.hash != part.runtime_hash:
            return "the board's program is built on another version of the runtime"
        if user.start != part.address:
            return "the program begins at another place than the one on the board"
        if part.address + len(part.data.rstrip(UNUSED[:1])) > user.end:
            return "the program is larger than the place that the board has for it"
        if part.own_hash is not None and not any(user.hash):
            return "the board does not tell which program it has"
        return ""

    def _send(self, user: RegionInfo) -> Transfer[None]:
        starts = self._starts(user)
        self._memory.sha256, self._memory.begun, self._memory.unended = self._sha256, "partial", True
        yield Keep()
        number = yield from self._synchronised()
        total = BLOCK * len(starts)
        for done, at in enumerate(starts):
            note = "" if done else "sends the user's part alone"
            yield Tell(Step(Stage.TRANSFERRING, done * BLOCK, total, note=note))
            number = yield from self._send_block(at, number)
        yield Tell(Step(Stage.TRANSFERRING, total, total))

    def _starts(self, user: RegionInfo) -> list[int]:
        """Where in the part the blocks begin that are sent."""
        part = self._part
        end = min(len(part.data), -(-(user.end - part.address) // BLOCK) * BLOCK)
        return [at for at in range(0, end, BLOCK) if self._counts(at)]

    def _counts(self, at: int) -> bool:
        """Whether a block must be sent: one at the start of a page erases it, others only where they hold something."""
        return (self._part.address + at) % self._part.page == 0 or self._part.data[at : at + BLOCK] != UNUSED

    def _send_block(self, at: int, number: int) -> Transfer[int]:
        """Send a block until the board has written it; brings the number of the next packet.

        A board that missed packets counts on to the next block of numbers; one that says nothing has its count reset.
        """
        address = self._part.address + at
        for _ in range(BLOCK_TRIES):
            while (yield Wait(0)) is not None:
                pass
            for packet in range(PACKETS):
                start = at + packet * PACKET
                place = address & 0xFFFF if packet == 0 else address >> 16
                head = struct.pack(">BHB", Op.BLOCK, place, (number + packet) & 0xFF)
                yield Write(PARTIAL, head + self._part.data[start : start + PACKET])
            note = yield from self._answer(Op.BLOCK, 2, self._limits.stall)
            number = number + PACKETS if note is not None else (yield from self._synchronised())
            if note is not None and note[1] == WRITTEN:
                return number
        raise StartOverError(f"it did not take the bytes at 0x{address:X}")

    def _synchronised(self) -> Transfer[int]:
        """Have the board count packets from 0 again, which the question for a region does."""
        yield from self._region(Region.USER)
        return 0

    def _region(self, region: Region) -> Transfer[RegionInfo | None]:
        """What the board says of a region, None where it has no such region."""
        data = yield from self._ask(bytes([Op.REGION, region]), REGION.size)
        _, _, start, end, digest = REGION.unpack_from(data)
        return RegionInfo(start, end, digest) if 0 < start < end else None

    def _ask(self, question: bytes, size: int) -> Transfer[bytes]:
        """Ask, and again where the answer gets lost."""
        for _ in range(ASK_TRIES):
            yield Write(PARTIAL, question)
            answer = yield from self._answer(question[0], size, self._limits.stall)
            while answer is not None and question[0] == Op.REGION and answer[1] != question[1]:
                answer = yield from self._answer(question[0], size, self._limits.stall)
            if answer is not None:
                return answer
        raise LinkTimeoutError("the board does not answer")

    def _answer(self, op: int, size: int, seconds: float) -> Transfer[bytes | None]:
        """The next notification of this kind, with so many bytes at least."""
        while True:
            note: Notification | None = yield Wait(seconds)
            if note is None:
                return None
            if len(note.data) >= size and note.data[0] == op:
                return note.data


def start_program(limits: Limits) -> Transfer[bool]:
    """Have the board leave its pairing mode, and run its program; brings whether it left."""
    try:
        yield Write(PARTIAL, bytes([Op.RESET, Mode.APPLICATION]))
        left: bool = yield Lost(limits.gone)
    except LinkLostError:
        return True
    return left
