"""Nordic's secure DFU protocol (SDK 12 and later), as the micro:bit V2 speaks it.

Requests, answers and errors: ``nrf_dfu_req_handler.c`` and ``nrf_dfu_ble.c`` of SDK 15 and 16, and the bootloader of
the micro:bit V2. An image goes in objects of a flash page; the board counts offset and CRC-32 over all of it, so a hole
or a splice shows before an object counts. Bytes that find its buffers full are dropped without a word, so an object
whose CRC is wrong is sent again with fewer bytes under way.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Callable
from typing import Final, NamedTuple

from enmctl.dfu.gatt import SECURE_CONTROL, SECURE_PACKET
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    Keep,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Memory,
    Notification,
    Opened,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.dfu.secure_codes import BAD_INIT, DOING, Kind, Op, Result, words_of
from enmctl.dfu.setbacks import StartOverError
from enmctl.errors import RefusedError
from enmctl.firmware.payload import Payload
from enmctl.models import Stage, Step

PACKET_MOST: Final = 244
"""Bytes of a packet at the MTU of 247 that bootloaders from SDK 15 on have."""

PACKET_LEAST: Final = 20
"""Bytes of a packet at the least MTU. Some computers agree on a larger one and lose what is longer
(microbit-android #82), so packets of which nothing arrives are made as small as this."""

WORD: Final = 4
BUFFERS: Final = 17
"""Packets that a bootloader has buffers for: those of one object (nrf_dfu_ble.c, 4096 / 244 + 1)."""

HELD: Final = 15
"""Packets that may go while a page is erased: the flash's queue of 16 has the erasing in it too (nrf_fstorage_sd.c)."""

ERASING: Final = 0.09
"""Seconds that erasing a page takes at most (nRF52832 and nRF52833 Product Specifications, t ERASEPAGE). The answer to
the creation of an object comes when it begins, and nothing tells when it ends."""

SETTLING: Final = 0.2
"""Seconds that the flash is at work after the init packet, when two pages of settings are written anew
(nrf_dfu_settings.c). Nordic's own libraries wait twice as long before the first object."""

SETTLING_HELD: Final = 4
"""What that takes of the flash's queue."""

WINDOWS: Final = (HELD, 8, 4, 2)
"""Packets under way, where an object has more than there are buffers: at first, and after each that was lost."""

ANSWER: Final = 0x60
ASK_TRIES: Final = 2
SELECTED: Final = struct.Struct("<3I")
COUNTED: Final = struct.Struct("<2I")


class Selected(NamedTuple):
    """The state of the objects of one kind: the largest one's bytes, and what there is of all of them."""

    most: int
    offset: int
    crc: int


class Secure:
    """One pass over one connection, from the control point's subscription to the board's restart.

    Args:
        payload: what to send; it has an init packet.
        memory: what is known of earlier passes; kept up to date.
        limits: how long to wait.
        clock: the seconds of the clock on which the transfer runs.
    """

    def __init__(self, payload: Payload, memory: Memory, limits: Limits, clock: Callable[[], float]) -> None:
        self._payload = payload
        self._data = payload.data
        self._size = len(payload.data)
        self._memory = memory
        self._limits = limits
        self._clock = clock
        self._packet = PACKET_LEAST
        self._receipts = 0
        self._reached_at = self._settled_at = self._erased_at = 0.0
        self._counted = (0, 0)
        self._is_resumed = False

    def run(self, opened: Opened) -> Transfer[None]:
        """Bring the image onto the board and have it activated; the connection is lost afterwards.

        Raises:
            StartOverError: this pass cannot end well; the next begins at whatever the board has.
            RefusedError: the board will never take this image.
            LinkError: as the link's operations do.
        """
        self._packet = max(PACKET_LEAST, min(opened.most, PACKET_MOST) // WORD * WORD)
        yield Subscribe(SECURE_CONTROL)
        yield from self._succeed(Op.RECEIPTS, struct.pack("<H", 0))
        may_resume = yield from self._send_init()
        yield from self._send_data(may_resume=may_resume)

    def abandon(self) -> Transfer[None]:
        """Leave the board alone: after two minutes it runs its old program where it still has one."""
        yield Keep()

    def _send_init(self) -> Transfer[bool]:
        """Have the board take the init packet; brings whether it may have some of the image already."""
        init, memory = self._payload.init or b"", self._memory
        selected = yield from self._select(Kind.COMMAND)
        if len(init) > selected.most:
            raise RefusedError(
                f"the init packet has {len(init)} bytes, the board takes {selected.most}", reason="init-refused"
            )
        same = memory.sha256 == self._payload.sha256 and memory.size == self._size
        resumed = same and 0 < selected.offset <= len(init) and selected.crc == crc32(init[: selected.offset])
        at = selected.offset if resumed else 0
        if not resumed:
            memory.sha256, memory.size, memory.begun = self._payload.sha256, self._size, "dfu"
            memory.sent = memory.proven = 0
            memory.tainted = memory.validated = memory.activated = False
            yield Keep()
            yield from self._succeed(Op.CREATE, struct.pack("<BI", Kind.COMMAND, len(init)))
        yield from self._write_init(init, at)
        result, rest = yield from self._ask(Op.EXECUTE)
        if result == Result.NO_RESOURCES:
            raise self._too_big()
        if result in BAD_INIT:
            raise RefusedError(
                f"the board does not accept the init packet: {words_of(result, rest)}",
                remedy="make the package for this board, with a version that is not lower than its own",
                reason="init-refused",
            )
        self._must(Op.EXECUTE, result, rest)
        self._settled_at = self._reached_at + SETTLING
        return resumed

    def _write_init(self, init: bytes, at: int) -> Transfer[None]:
        """Bring the init packet over, of which the board has the bytes up to ``at``."""
        while True:
            for start in range(at, len(init), self._packet):
                yield Write(SECURE_PACKET, init[start : start + self._packet])
            offset, crc = yield from self._count()
            if (offset, crc) == (len(init), crc32(init)):
                return
            if offset != at or self._packet == PACKET_LEAST:
                self._memory.sha256 = ""
                raise StartOverError("the init packet did not reach it whole")
            self._packet = PACKET_LEAST

    def _send_data(self, *, may_resume: bool) -> Transfer[None]:
        selected = yield from self._select(Kind.DATA)
        most = selected.most // WORD * WORD
        if not most:
            raise StartOverError("it tells no size of its objects")
        offset = yield from self._resumed(selected, may_resume=may_resume)
        while offset < self._size:
            first = offset // most * most
            end = min(first + most, self._size)
            yield from self._send_object(first, offset, end)
            yield from self._execute(end)
            offset = end

    def _resumed(self, selected: Selected, *, may_resume: bool) -> Transfer[int]:
        """Where to go on, told to whoever watches; within an object only where all of it that is there is right."""
        most, offset, crc = selected
        if not offset or not may_resume:
            note = "starts over: the board has kept nothing of it" if may_resume and self._memory.sent else ""
            yield Tell(Step(Stage.TRANSFERRING, 0, self._size, note=note))
            return 0
        is_right = offset <= self._size and crc32(self._data[:offset]) == crc
        if not is_right:
            offset = yield from self._gone_back(min(offset, self._size) - 1, most)
        self._is_resumed = True
        yield Tell(Step(Stage.TRANSFERRING, offset, self._size, note=f"goes on at {offset} of {self._size} bytes"))
        if is_right and (offset % most == 0 or offset == self._size):
            yield from self._execute(offset)
        return offset

    def _gone_back(self, last: int, most: int) -> Transfer[int]:
        """Begin the object anew that has the byte ``last``, for something of it got lost; brings its first byte.

        Raises:
            StartOverError: what the board has before it is not of this image either.
        """
        first = last // most * most
        yield from self._create(min(most, self._size - first), ERASING)
        if (yield from self._count()) != (first, crc32(self._data[:first])):
            self._memory.sha256 = ""
            raise StartOverError("what it has is not the beginning of this image")
        return first

    def _send_object(self, first: int, at: int, end: int) -> Transfer[None]:
        """Bring an object onto the board, of which it has the bytes up to ``at``; its CRC is right then."""
        expected = (end, crc32(self._data[:end]))
        for number in range(self._limits.object_tries):
            packets = -(-(end - at) // self._packet)
            window = packets if packets <= BUFFERS and not number else WINDOWS[min(number, len(WINDOWS) - 1)]
            yield from self._set_receipts(packets if window == packets else window // 2)
            self._erased_at = 0.0
            if at == first:
                yield from self._create(end - first, ERASING * (number + 1))
            counted = yield from self._stream(at, end, window)
            if counted == expected:
                return
            if counted[0] == at:
                self._packet = PACKET_LEAST
            at = first
        raise StartOverError(f"the bytes up to {end} got lost {self._limits.object_tries} times")

    def _create(self, size: int, seconds: float) -> Transfer[None]:
        """Begin an object; for so many seconds then the flash has its hands full."""
        result, rest = yield from self._ask(Op.CREATE, struct.pack("<BI", Kind.DATA, size))
        self._must(Op.CREATE, result, rest)
        self._erased_at = max(self._reached_at, self._settled_at) + seconds

    def _stream(self, at: int, end: int, window: int) -> Transfer[tuple[int, int]]:
        """Hand over bytes, at most ``window`` packets ahead of the receipts; brings what the board counts then."""
        packet, self._counted = self._packet, (at, 0)
        sent, held_from = at, at + (HELD if at else HELD - SETTLING_HELD) * packet
        while sent < end:
            if sent >= held_from and (left := self._erased_at - self._clock()) > 0:
                yield from self._receipt(left)
                continue
            if sent - self._counted[0] > (window - 1) * packet:
                if not (yield from self._receipt(self._limits.stall)):
                    break
                continue
            yield Write(SECURE_PACKET, self._data[sent : min(sent + packet, end)])
            sent += packet
        while self._counted[0] < end and self._receipts_to_come(at, end):
            if not (yield from self._receipt(self._limits.stall)):
                break
        self._memory.sent = end
        return self._counted if self._counted[0] == end else (yield from self._count())

    def _receipts_to_come(self, at: int, end: int) -> bool:
        """Whether the last packet raises a receipt."""
        return -(-(end - at) // self._packet) % self._receipts == 0

    def _receipt(self, seconds: float) -> Transfer[bool]:
        """Wait for a receipt, and note what it counts; brings whether one came."""
        note: Notification | None = yield Wait(seconds)
        if note is None:
            return False
        if (counted := _counted(note.data)) is not None and counted[0] >= self._counted[0]:
            self._counted = counted
            yield Tell(Step(Stage.TRANSFERRING, min(counted[0], self._size), self._size))
        return True

    def _count(self) -> Transfer[tuple[int, int]]:
        """What the board counts: bytes, and their CRC-32. A receipt that was still on its way looks the same."""
        yield from self._drain()
        rest = yield from self._succeed(Op.CRC)
        counted = COUNTED.unpack_from(rest) if len(rest) >= COUNTED.size else (0, 0)
        return max(counted, (yield from self._drain()))

    def _drain(self) -> Transfer[tuple[int, int]]:
        """Take the receipts that are there; brings what the last of them counts."""
        last = (0, 0)
        while (note := (yield Wait(0))) is not None:
            last = _counted(note.data) or last
        return last

    def _execute(self, end: int) -> Transfer[None]:
        """End an object. The end of the last one is the order to check the image and to start it."""
        is_last = end == self._size
        ordered_at = self._clock()
        if is_last:
            yield Tell(Step(Stage.TRANSFERRING, self._size, self._size))
            self._memory.activated = self._memory.let_go = False
        try:
            result, rest = yield from self._ask(Op.EXECUTE, tries=1 if is_last else ASK_TRIES)
        except LinkError as error:
            if not is_last:
                raise
            yield Tell(Step(Stage.ACTIVATING))
            in_time = self._clock() - ordered_at <= self._limits.orderly
            self._memory.let_go = isinstance(error, LinkLostError) and in_time
            return
        if is_last and result in BAD_INIT:
            self._memory.forget()
            if self._is_resumed:
                raise StartOverError(f"it does not accept what it had in part from before: {words_of(result, rest)}")
            raise RefusedError(
                f"the board does not accept the image: {words_of(result, rest)}",
                remedy="try again; if it stays, make the package anew, or suspect the board's flash",
                reason="image-refused",
                permanent=False,
            )
        if is_last or result != Result.NOT_PERMITTED:  # SDK 15 to 17 say so of an object that is executed already
            self._must(Op.EXECUTE, result, rest)
        self._memory.proven = end
        if is_last:
            self._memory.validated = True
            yield Tell(Step(Stage.ACTIVATING))
            self._memory.activated = yield Lost(self._limits.orderly)
            if not self._memory.activated:
                yield Lost(self._limits.gone)

    def _select(self, kind: Kind) -> Transfer[Selected]:
        rest = yield from self._succeed(Op.SELECT, bytes([kind]))
        if len(rest) < SELECTED.size:
            raise StartOverError("it does not tell its state")
        return Selected(*SELECTED.unpack_from(rest))

    def _set_receipts(self, every: int) -> Transfer[None]:
        """Have the board count after so many packets; the number stays for the following objects."""
        if every != self._receipts:
            yield from self._succeed(Op.RECEIPTS, struct.pack("<H", every))
            self._receipts = every

    def _succeed(self, op: Op, parameters: bytes = b"") -> Transfer[bytes]:
        """Make a request that must succeed; brings what follows the result."""
        result, rest = yield from self._ask(op, parameters)
        self._must(op, result, rest)
        return rest

    def _ask(self, op: Op, parameters: bytes = b"", *, tries: int = ASK_TRIES) -> Transfer[tuple[int, bytes]]:
        """Make a request, and again where its answer gets lost; brings the result and what follows it.

        It reached the board half-way between its leaving and its response, or before: the response goes one connection
        event later, and the request waited for one at most.

        Raises:
            LinkTimeoutError: it is not answered.
        """
        for _ in range(tries):
            asked_at = self._clock()
            yield Request(SECURE_CONTROL, bytes([op]) + parameters)
            self._reached_at = (asked_at + self._clock()) / 2
            deadline = self._clock() + self._limits.answer
            while (note := (yield Wait(max(0.0, deadline - self._clock())))) is not None:
                data: bytes = note.data
                if len(data) >= 3 and data[:2] == bytes([ANSWER, op]):  # noqa: PLR2004 - codes and result
                    return data[2], data[3:]
        raise LinkTimeoutError(f"the board did not answer {DOING[op]}")

    def _must(self, op: Op, result: int, rest: bytes) -> None:
        """Raise where a result is not success."""
        if result == Result.SUCCESS:
            return
        if op == Op.CREATE and result == Result.NO_RESOURCES:
            raise self._too_big()
        self._memory.sha256 = ""
        raise StartOverError(f"it said of {DOING[op]}: {words_of(result, rest)}")

    def _too_big(self) -> RefusedError:
        return RefusedError(
            f"the board has no room for {self._size} bytes",
            remedy="make the program smaller, or build it for this board",
            reason="too-big",
        )


def _counted(data: bytes) -> tuple[int, int] | None:
    """What an answer to the question for the CRC, or a receipt, counts: bytes, and their CRC-32."""
    if data[:3] != bytes([ANSWER, Op.CRC, Result.SUCCESS]) or len(data) < 3 + COUNTED.size:
        return None
    offset, crc = COUNTED.unpack_from(data, 3)
    return offset, crc
