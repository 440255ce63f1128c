"""Nordic's legacy DFU protocol (SDK 4.3 to 11), as micro:bit V1 and nRF51822-DK speak it.

Opcodes, states and answers: ``ble_dfu.c``, ``dfu_transport_ble.c`` and ``dfu_single_bank.c`` of SDK 11, and the
bootloader of the micro:bit V1, which is of SDK 8 and checks neither init packet nor CRC.

A packet that finds the board's eight buffers full is dropped and told of by an error that can get lost, and a receipt
counts what was accepted without saying what was dropped. So two rules keep holes out of images: after such an error
nothing that the board has is built on, it is reset and all is sent again, slower; and a transfer to a board that checks
nothing is resumed only where it is known to have no hole (``Legacy.may_resume``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET, LEGACY_VERSION
from enmctl.dfu.legacy_codes import DOING, VERSION_INIT_NEEDED, Op, Status, words_of
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    Keep,
    LinkError,
    LinkLostError,
    Lost,
    Memory,
    Notification,
    Opened,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.dfu.pace import Pace
from enmctl.dfu.setbacks import StartOverError
from enmctl.errors import RefusedError
from enmctl.firmware.payload import Payload
from enmctl.models import Stage, Step

PACKET: Final = 20
"""Bytes of a data packet, whatever the MTU: a bootloader drops longer ones without a word (ble_dfu.c,
BLE_L2CAP_MTU_DEF - 3)."""

RECEIPT_EVERY: Final = 12
"""Packets between two receipts (PRN). Bootloaders have eight buffers of which six fill in one connection event."""

RECEIPT_EVERY_OLD: Final = 10
"""The same for bootloaders before SDK 6.1, whose flash writer is slow."""

SIZES: Final = struct.Struct("<3I")
KEPT_NOTHING: Final = "starts over: the board has kept nothing of it, as after a power cut or two minutes of silence"

PROVEN_LEAST: Final = 1024 * PACKET
"""Bytes taken without a hole after which a board counts as faster than the link.

Eight buffers fill within so many packets unless the board's flash is at least 99.2 % as fast as the link.
"""

PROOF_SHARE: Final = 100
"""A proof costs about two round trips; it is made after this many, so that it costs some two per cent."""


class Legacy:
    """One pass over one connection, from the control point's subscription to the board's restart.

    Args:
        payload: what to send; its sizes say which parts of the board it is for.
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
        self._version: int | None = None
        self._acknowledged = 0
        self._complete = False
        self._trouble: int | None = None

    @property
    def _is_old(self) -> bool:
        """Whether the bootloader is from before SDK 6.1; those have no version."""
        return self._memory.old_protocol and self._version is None

    def run(self, opened: Opened) -> Transfer[None]:
        """Bring the image onto the board and have it activated; the connection is lost afterwards.

        Raises:
            StartOverError: the board was reset, and all is to be sent again.
            RefusedError: the board will never take this image.
            LinkError: as the link's operations do; ``memory`` says what is worth going on with.
        """
        self._version = yield from self._read_version(opened)
        self._check_init()
        yield Subscribe(LEGACY_CONTROL)
        offset = yield from self._resumed()
        if offset is None:
            yield from self._start()
            offset = 0
        if offset < self._size:
            yield from self._send_from(offset)
        yield from self._validate()
        yield from self._activate()

    def abandon(self) -> Transfer[None]:
        """Reset the board, so that it runs its old program where it still has one."""
        yield from self._reset("")

    @property
    def checks(self) -> bool:
        """Whether the bootloader verifies the image before it starts it."""
        return self._version is not None and self._version >= VERSION_INIT_NEEDED and self._payload.init is not None

    def may_resume(self, accepted: int) -> bool:
        """Whether what the board says that it accepted can be built on.

        It must be the same image, and without a hole. A board that checks the image finds a hole by itself. For one
        that does not, either all that was sent is there, or so much was proven to be there, without a single overflow,
        that the board is known to be faster than the link.
        """
        memory = self._memory
        if memory.sha256 != self._payload.sha256 or memory.size != self._size or memory.tainted:
            return False
        if self.checks or accepted == memory.sent:
            return True
        return memory.pace is None and accepted <= memory.sent and memory.proven >= PROVEN_LEAST

    def _read_version(self, opened: Opened) -> Transfer[int | None]:
        if LEGACY_VERSION not in opened.characteristics:
            return None
        value: bytes = yield Read(LEGACY_VERSION)
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None  # noqa: PLR2004 - minor, major

    def _check_init(self) -> None:
        if self._payload.init is None and (self._version or 0) >= VERSION_INIT_NEEDED:
            raise RefusedError(
                "the board's bootloader wants an init packet, and the firmware has none",
                remedy="make a package with nrfutil, or lay the .dat beside the .bin",
                reason="no-init",
            )

    def _resumed(self) -> Transfer[int | None]:
        """Where to go on: None where the board is to be started anew."""
        accepted = yield from self._received()
        memory = self._memory
        if accepted == 0:
            if memory.begun == "dfu" and memory.sent:
                yield Tell(Step(Stage.TRANSFERRING, note=KEPT_NOTHING))
            return None
        if accepted > self._size or not self.may_resume(accepted):
            raise (yield from self._reset(self._why_anew(accepted)))
        self._acknowledged = memory.sent = accepted
        note = f"goes on at {accepted} of {self._size} bytes"
        yield Tell(Step(Stage.TRANSFERRING, accepted, self._size, note=note))
        return accepted

    def _why_anew(self, accepted: int) -> str:
        memory = self._memory
        if memory.sha256 != self._payload.sha256:
            return f"it has {accepted} bytes of another image" if memory.sha256 else "it has bytes of an unknown image"
        if memory.tainted:
            return "what it has may have a hole"
        return f"it has {accepted} bytes, and not surely without a hole"

    def _start(self) -> Transfer[None]:
        memory, sizes = self._memory, self._payload.sizes
        memory.sha256, memory.size, memory.begun = self._payload.sha256, self._size, "dfu"
        memory.sent = memory.proven = 0
        memory.tainted = memory.validated = False
        yield Keep()
        yield Tell(Step(Stage.TRANSFERRING, 0, self._size, note="erases the old program"))
        kind = bool(sizes.softdevice) | bool(sizes.bootloader) << 1 | bool(sizes.application) << 2
        old = self._is_old
        yield Request(LEGACY_CONTROL, bytes([Op.START]) if old else bytes([Op.START, kind]))
        each = SIZES.pack(sizes.softdevice, sizes.bootloader, sizes.application)
        yield Write(LEGACY_PACKET, struct.pack("<I", self._size) if old else each)
        status, _ = yield from self._answer(Op.START, self._limits.erase)
        if status == Status.NOT_SUPPORTED and self._version is None and not old:
            memory.old_protocol = True
            raise (yield from self._reset("it speaks the protocol of SDK 6 and before"))
        if status == Status.FAILED and old:
            memory.old_protocol = False  # what a later one says of a START without its type
        if status == Status.TOO_BIG:
            raise RefusedError(
                f"the board has no room for {self._size} bytes",
                remedy="make the program smaller, or build it for this board",
                reason="too-big",
            )
        if status == Status.NOT_SUPPORTED:
            raise RefusedError("the board does not take an image of this kind", reason="not-supported")
        yield from self._must_succeed(Op.START, status)
        yield from self._send_init()

    def _send_init(self) -> Transfer[None]:
        init = self._payload.init
        if init is None:
            return
        if self._is_old:
            yield Request(LEGACY_CONTROL, bytes([Op.INIT]))
            yield Write(LEGACY_PACKET, struct.pack("<H", self._payload.crc16))
        else:
            yield Request(LEGACY_CONTROL, bytes([Op.INIT, 0]))
            for at in range(0, len(init), PACKET):
                yield Write(LEGACY_PACKET, init[at : at + PACKET])
            yield Request(LEGACY_CONTROL, bytes([Op.INIT, 1]))
        status, _ = yield from self._answer(Op.INIT, self._limits.answer)
        if status == Status.FAILED:
            names = ", ".join(f"0x{softdevice:04X}" for softdevice in self._payload.softdevices) or "none"
            raise RefusedError(
                f"the board does not accept the init packet, which is for the SoftDevice {names}",
                remedy="make the package for this board: its device type, revision and SoftDevice",
                reason="init-refused",
            )
        yield from self._must_succeed(Op.INIT, status)

    def _send_from(self, offset: int) -> Transfer[None]:
        every = RECEIPT_EVERY_OLD if self._version is None else RECEIPT_EVERY
        self._acknowledged, self._complete, self._trouble = offset, False, None
        yield Request(LEGACY_CONTROL, struct.pack("<BH", Op.RECEIPTS, every))
        asked = self._clock()
        yield Request(LEGACY_CONTROL, bytes([Op.RECEIVE]))
        proof_after = PROOF_SHARE * (self._clock() - asked)
        yield from self._stream(offset, 2 * every * PACKET, proof_after)
        while not self._complete:
            note: Notification | None = yield Wait(self._limits.answer)
            if note is not None:
                yield from self._take(note)
            else:
                yield from self._prove()
                return
        self._memory.proven = self._size

    def _stream(self, offset: int, window: int, proof_after: float) -> Transfer[None]:
        """Hand over all from ``offset`` on, never more than ``window`` bytes ahead of the receipts."""
        data, size, memory = self._data, self._size, self._memory
        pace = Pace(memory.pace, self._clock, PACKET)
        proof_due = self._clock() + proof_after
        sent = offset
        while sent < size:
            free = window - (sent - self._acknowledged)
            room = pace.room(free)
            if not room:
                yield from self._listen(self._limits.stall if free < PACKET else pace.pause(), overdue=free < PACKET)
                continue
            pace.took(room)
            for at in range(sent, min(sent + room, size), PACKET):
                yield Write(LEGACY_PACKET, data[at : at + PACKET])
                memory.sent = min(at + PACKET, size)
            sent = memory.sent
            yield from self._listen(0, overdue=False)
            if not self.checks and memory.pace is None and self._clock() >= proof_due and sent < size:
                yield from self._prove()
                proof_due = self._clock() + proof_after

    def _listen(self, seconds: float, *, overdue: bool) -> Transfer[None]:
        """Take what the board sent, and wait for it; where a receipt is overdue, ask after it."""
        note: Notification | None = yield Wait(seconds)
        if note is None and overdue:
            yield from self._prove()
        while note is not None:
            yield from self._take(note)
            note = yield Wait(0)

    def _take(self, note: Notification) -> Transfer[None]:
        """Take a notification that comes while data is sent.

        Raises:
            StartOverError: it tells of a fault.
        """
        self._hear(note.data)
        if self._trouble is not None:
            yield from self._give_up(self._trouble)
        if self._acknowledged > self._memory.sent or (self._complete and self._memory.sent < self._size):
            self._memory.tainted = True
            raise (yield from self._reset("it counts more bytes than it was sent"))
        yield Tell(Step(Stage.TRANSFERRING, self._acknowledged, self._size))

    def _hear(self, data: bytes) -> None:
        """Note what a receipt or an answer to the data says; anything else is of no interest here."""
        if data[:1] == bytes([Op.RECEIPT]) and len(data) >= 5:  # noqa: PLR2004 - the code and a count
            self._acknowledged = max(self._acknowledged, int.from_bytes(data[1:5], "little"))
        elif data[:2] == bytes([Op.ANSWER, Op.RECEIVE]) and len(data) >= 3:  # noqa: PLR2004 - codes and status
            if data[2] == Status.SUCCESS:
                self._complete = True
            elif self._trouble is None:
                self._trouble = data[2]

    def _give_up(self, status: int) -> Transfer[None]:
        """Start over after an error in the data."""
        self._memory.tainted = True
        if status == Status.FAILED:
            yield from self._overflowed()
        raise (yield from self._reset(f"it said of {DOING[Op.RECEIVE]}: {words_of(status)}"))

    def _overflowed(self) -> Transfer[None]:
        """Start over slower after packets were dropped."""
        memory = self._memory
        memory.tainted = True
        memory.pace = Pace.slower(memory.pace)
        raise (yield from self._reset(f"that was too fast for it, now at most {memory.pace / 1000:.1f} kB/s"))

    def _prove(self) -> Transfer[None]:
        """See that the board has all that was sent.

        The question goes behind all packets, so that its answer counts them all.

        Raises:
            StartOverError: packets were dropped.
        """
        accepted = yield from self._received()
        if self._trouble is not None:
            yield from self._give_up(self._trouble)
        if accepted < self._memory.sent:
            yield from self._overflowed()
        if accepted > self._memory.sent:
            self._memory.tainted = True
            raise (yield from self._reset("it counts more bytes than it was sent"))
        self._acknowledged = self._memory.proven = accepted

    def _received(self) -> Transfer[int]:
        """How many bytes the board has accepted."""
        yield Request(LEGACY_CONTROL, bytes([Op.RECEIVED_SIZE]))
        status, rest = yield from self._answer(Op.RECEIVED_SIZE, self._limits.answer)
        if status != Status.SUCCESS or len(rest) < 4:  # noqa: PLR2004 - a count of 32 bits
            raise (yield from self._reset("it does not tell how much it has"))
        return int.from_bytes(rest[:4], "little")

    def _validate(self) -> Transfer[None]:
        yield Tell(Step(Stage.TRANSFERRING, self._size, self._size))
        yield Request(LEGACY_CONTROL, bytes([Op.VALIDATE]))
        status, _ = yield from self._answer(Op.VALIDATE, self._limits.answer)
        if status == Status.INVALID_STATE and self._memory.validated:
            return
        if status == Status.CRC_ERROR:
            self._memory.tainted = True
        yield from self._must_succeed(Op.VALIDATE, status)
        self._memory.validated = True
        yield Keep()

    def _activate(self) -> Transfer[None]:
        """Have the board start what it has; it answers by restarting.

        A board may restart before its response is out, so only a lost connection counts.
        """
        yield Tell(Step(Stage.ACTIVATING))
        memory = self._memory
        memory.activated = memory.let_go = False
        ordered_at = self._clock()
        try:
            yield Request(LEGACY_CONTROL, bytes([Op.ACTIVATE]))
            memory.activated = yield Lost(self._limits.orderly)
            if not memory.activated:
                yield Lost(self._limits.gone)
        except LinkLostError:
            memory.let_go = self._clock() - ordered_at <= self._limits.orderly
        except LinkError:
            pass

    def _answer(self, op: Op, seconds: float) -> Transfer[tuple[int, bytes]]:
        """The answer to ``op``: its status, and what follows. Receipts and errors that come before it are noted.

        Raises:
            StartOverError: none came in time.
        """
        deadline = self._clock() + seconds
        while True:
            note: Notification | None = yield Wait(max(0.0, deadline - self._clock()))
            if note is None:
                raise (yield from self._reset(f"it did not answer {DOING[op]}"))
            data = note.data
            if len(data) >= 3 and data[0] == Op.ANSWER and data[1] == op:  # noqa: PLR2004 - codes and status
                return data[2], data[3:]
            self._hear(data)

    def _must_succeed(self, op: Op, status: int) -> Transfer[None]:
        if status != Status.SUCCESS:
            refused = status in (Status.TOO_BIG, Status.NOT_SUPPORTED)
            raise (yield from self._reset(f"it said of {DOING[op]}: {words_of(status)}", refused=refused))

    def _reset(self, why: str, *, refused: bool = False) -> Transfer[StartOverError]:
        """Reset the board, which forgets all that it was sent, and bring the error to raise."""
        self._memory.sent = self._memory.proven = 0
        yield Keep()
        try:
            yield Request(LEGACY_CONTROL, bytes([Op.RESET]))
            yield Lost(self._limits.gone)
        except LinkError:
            pass
        return StartOverError(why, refused=refused)
