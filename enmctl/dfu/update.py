"""A whole update of one board: from whatever it runs to running what it was sent, over as many connections as it takes.

It ends in one of three ways: the board is back with the new program, and how that is known is told; an error says what
the board is left with; or the generator is closed, and ``Memory`` tells the next update where to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from enmctl.dfu.entering import enter_bootloader
from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET, SECURE_CONTROL, SECURE_PACKET, UNBONDED
from enmctl.dfu.legacy import Legacy
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import (
    AbsentError,
    Close,
    GattError,
    Heard,
    Keep,
    LinkError,
    LinkLostError,
    Memory,
    Open,
    Opened,
    Tell,
    Transfer,
)
from enmctl.dfu.partial import Partial, Verdict
from enmctl.dfu.secure import Secure
from enmctl.dfu.setbacks import StartOverError, in_words, needs_bond
from enmctl.errors import BoardError, OfflineError, RefusedError, TransferError, UnsettledError
from enmctl.firmware.microbit_regions import UserPart
from enmctl.firmware.nordic import Protocol
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode, Proof, Stage, Step

SINGLE_BANK: Final = frozenset({Target.MICROBIT_V1})
"""Boards that erase the old program first, so that a program that runs is the new one. A V2 does so as well, but not
after a package of nrfutil's, which has the program checked at each start (nrf_dfu_utils.c)."""

NEEDED: Final = {
    Protocol.LEGACY: {LEGACY_CONTROL, LEGACY_PACKET},
    Protocol.SECURE: {SECURE_CONTROL, SECURE_PACKET},
}

FORGET_IT: Final = "if it was paired with, remove it in the system's Bluetooth settings, and pair with it anew"
"""What helps where the board has lost the bond; not every system tells whether it has one."""

REFUSED_TWICE: Final = 2
"""So many times a board says no to the same bytes before it is believed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to send to a board, in this order.

    ``part`` alone may do for a board that runs on the same, unless it is ``whole`` that all is sent; then it ends a
    partial flash that was begun before.
    """

    payloads: tuple[Payload, ...]
    part: UserPart | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Attributes:
        name: what to call the board in errors.
        choose: picks what to send by what the board shows of itself; FirmwareError where there is nothing for it.
        mode: what the board was heard to run.
        may_be_silent: whether the new program may be one that nobody hears, like most on a micro:bit.
    """

    name: str
    choose: Callable[[Opened], Choice]
    mode: BoardMode = BoardMode.APPLICATION
    may_be_silent: bool = False


def update(job: Job, memory: Memory, limits: Limits, clock: Callable[[], float]) -> Transfer[Proof]:
    """Bring a board to run what it is sent, and tell how that is known.

    Raises:
        FirmwareError: nothing of it is for this board.
        RefusedError: the board says no.
        TransferError: the connection broke too often, or the board did not do as it said.
        OfflineError: the board is not heard, or does not connect.
        UnsettledError: all was sent, and the board was not heard again.
    """
    return (yield from _Update(job, memory, limits, clock).run())


def wrong_protocol(name: str, payload: Payload, opened: Opened) -> RefusedError | None:
    """The error for a bootloader that speaks another protocol than the firmware is for; None where it does not."""
    other = next((kind for kind, needed in NEEDED.items() if opened.characteristics >= needed), None)
    if other is None or opened.characteristics >= NEEDED[payload.protocol]:
        return None
    return RefusedError(
        f"the bootloader of {name} speaks {other}, and the firmware is for {payload.protocol}",
        remedy="make the package for this board",
        reason="wrong-protocol",
    )


class _Update:
    def __init__(self, job: Job, memory: Memory, limits: Limits, clock: Callable[[], float]) -> None:
        self._job = job
        self._memory = memory
        self._limits = limits
        self._clock = clock
        self._mode = job.mode
        self._setbacks = 0
        self._restarts = 0
        self._best = 0
        self._was_open = self._let_go_before = False
        self._opened: Opened | None = None

    def run(self) -> Transfer[Proof]:
        choice = yield from self._choose()
        sha256 = choice.payloads[-1].sha256
        if choice.part is not None and not choice.whole and self._mode is BoardMode.APPLICATION:
            proof = yield from self._partially(choice.part, sha256)
            if proof is not None:
                return proof
        proof = Proof.RETURN_ALONE
        for payload in choice.payloads:
            proof = yield from self._bring(payload, is_last=payload is choice.payloads[-1])
        if self._memory.unended:
            proof = yield from self._out_of_pairing(choice.part, sha256, proof)
        return proof

    def _out_of_pairing(self, part: UserPart | None, sha256: str, shown: Proof) -> Transfer[Proof]:
        """End a partial flash that was begun once, so that the board leaves its pairing mode.

        The mark that keeps it there lies where a full flash does not reach; only the end of a partial one removes it.
        Without that nobody knows whether the program runs. A board that is silent is not in that mode.
        """
        if shown is Proof.CHECK_ALONE:
            yield from self._forget(unended=False)
            return shown
        if part is not None:
            self._mode = BoardMode.APPLICATION
            self._memory.begun, self._memory.sha256 = "partial", sha256
            yield Keep()
            proof = yield from self._partially(part, sha256, ends=True)
            if proof is not None:
                return proof
            yield from self._forget()
        note = "a partial flash was begun before: if the board stays in its pairing mode, copy the file over USB"
        yield Tell(Step(Stage.CHECKING, note=note))
        return Proof.RETURN_ALONE

    def _choose(self) -> Transfer[Choice]:
        """Connect, and pick what to send."""
        while True:
            try:
                return self._job.choose((yield from self._open(self._mode)))
            except LinkError as error:
                yield from self._set_back(error, "the board is as it was")

    def _partially(self, part: UserPart, sha256: str, *, ends: bool = False) -> Transfer[Proof | None]:
        """Send the user's part alone; None where all must be sent, or has been and is only to be ended."""
        partial = Partial(part, sha256, self._memory, self._limits)
        while self._mode is BoardMode.APPLICATION or self._memory.begun == "partial":
            try:
                opened = yield from self._open(BoardMode.APPLICATION)
                verdict = yield from partial.run(opened)
                if verdict is Verdict.UNFIT:
                    if not ends:
                        yield Tell(Step(Stage.CHECKING, note=f"sends all: {partial.why_all(self._job.name)}"))
                    return None
                yield from self._close()
                if verdict is Verdict.CURRENT:
                    yield Tell(Step(Stage.CHECKING, note="nothing to send, the board runs this very program"))
                    yield from self._forget(unended=False)
                    return Proof.VERSION_READ_BACK
                if verdict is Verdict.DONE:
                    return (yield from self._back_from_partial(partial))
            except StartOverError as setback:
                yield from self._start_over(setback)
            except LinkError as error:
                yield from self._set_back(error, self._what_partial_left())
        return None

    def _back_from_partial(self, partial: Partial) -> Transfer[Proof]:
        """See whether the board is back with the new program.

        It has no word for having taken the last order, and one that has not advertises as well: it is asked what it
        runs. A board in its pairing mode is heard in any case, so one that is silent has taken the order.
        """
        proof = Proof.CHECK_ALONE
        if (yield from self._returned()) is None:
            if not self._job.may_be_silent:
                raise self._not_back()
        else:
            opened = yield from self._open(BoardMode.APPLICATION)
            verified = yield from partial.verify(opened)
            yield from self._close()
            if not verified:
                raise StartOverError("it waits for the rest of the program")
            proof = Proof.VERSION_READ_BACK
        yield from self._forget(unended=False)
        return proof

    def _what_partial_left(self) -> str:
        if self._memory.begun == "partial":
            return "a partial flash was begun: flash the same file again to end it"
        return "the board is as it was"

    def _bring(self, payload: Payload, *, is_last: bool) -> Transfer[Proof]:
        """Bring one payload onto the board."""
        while True:
            try:
                opened = yield from self._bootloader(payload)
                yield from self._pass(payload, opened)
                yield from self._close()
                proof = (yield from self._settle(payload)) if is_last else Proof.RETURN_ALONE
                self._mode = BoardMode.BOOTLOADER
                yield from self._forget()
            except StartOverError as setback:
                yield from self._start_over(setback)
            except LinkError as error:
                yield from self._set_back(error, self._what_transfer_left())
            else:
                return proof

    def _bootloader(self, payload: Payload) -> Transfer[Opened]:
        """Connect to the bootloader, by way of the program where that is what runs."""
        if self._mode is BoardMode.APPLICATION:
            opened = yield from self._open(BoardMode.APPLICATION)
            if (yield from self._entered(opened)):
                self._opened = None
            self._mode = BoardMode.BOOTLOADER
        opened = yield from self._open(BoardMode.BOOTLOADER)
        if not opened.characteristics >= NEEDED[payload.protocol]:
            yield from self._close()
            raise wrong_protocol(self._job.name, payload, opened) or AbsentError("what is connected offers no update")
        return opened

    def _entered(self, opened: Opened) -> Transfer[bool]:
        try:
            return (yield from enter_bootloader(opened, self._limits))
        except GattError as error:
            if error.code in UNBONDED:
                yield from self._close()
                raise needs_bond(self._job.name) from None
            raise

    def _open(self, mode: BoardMode) -> Transfer[Opened]:
        """The connection to the board in this mode: the one that is open, or a new one."""
        if self._opened is None or mode is not self._mode:
            self._opened = yield Open(mode, self._limits.answer)
            self._was_open = True
        return self._opened

    def _close(self) -> Transfer[None]:
        self._opened = None
        yield Close()

    def _pass(self, payload: Payload, opened: Opened) -> Transfer[None]:
        protocol = Legacy if payload.protocol is Protocol.LEGACY else Secure
        one = protocol(payload, self._memory, self._limits, self._clock)
        try:
            yield from one.run(opened)
        except RefusedError:
            yield from one.abandon()
            yield from self._close()
            raise

    def _settle(self, payload: Payload) -> Transfer[Proof]:
        """See whether the board is back with what it was sent.

        A board with one bank has no other program. One with two that lets go of the connection has taken the order to
        start the new one: a secure bootloader when that is written down, a legacy one a moment before. Should its power
        fail in that moment, it comes back with the old one, and nothing tells; so all that is known is its return.

        A slow computer may see a board let go before it sees its answer to that order. A legacy bootloader had said
        that the image is right, so this counts as taken. A secure one says so with that answer, and restarts whatever
        it says: it is sent the image once more, for flash that fails twice is dead. Of both only the return is known.

        A board that got a SoftDevice or a bootloader alone may have lost its program, and waits in its bootloader.

        Raises:
            StartOverError: it is back with something else, or that cannot be told.
            UnsettledError: it is not heard.
        """
        mode = yield from self._returned()
        memory = self._memory
        if mode is BoardMode.APPLICATION:
            if set(payload.targets) <= SINGLE_BANK and not payload.system:
                return Proof.CHECK_AND_RETURN
            if memory.activated and payload.protocol is Protocol.SECURE:
                return Proof.CHECK_AND_RETURN
            let_go_before, self._let_go_before = self._let_go_before, memory.let_go
            if memory.activated or (memory.let_go and (payload.protocol is Protocol.LEGACY or let_go_before)):
                return Proof.RETURN_ALONE
            self._mode = BoardMode.APPLICATION
            raise StartOverError("it runs a program, and whether that is the new one cannot be told")
        if mode is BoardMode.BOOTLOADER:
            if payload.system and memory.activated:
                return Proof.RETURN_ALONE
            raise StartOverError("it did not start the new program")
        if self._job.may_be_silent and memory.validated and memory.activated:
            return Proof.CHECK_ALONE
        raise self._not_back()

    def _returned(self) -> Transfer[BoardMode | None]:
        """What the board is heard to run after its restart."""
        yield Tell(Step(Stage.RETURNING))
        mode: BoardMode | None = yield Heard(
            None, self._limits.silent if self._job.may_be_silent else self._limits.back
        )
        return mode

    def _not_back(self) -> UnsettledError:
        return UnsettledError(
            f"{self._job.name} was not heard again for {self._limits.back:g} s after its restart",
            remedy="look at it: it may need power; or the new program has no Bluetooth",
            reason="no-return",
        )

    def _start_over(self, setback: StartOverError) -> Transfer[None]:
        """Take a pass that cannot end well into account, and find the board again."""
        yield from self._close()
        self._restarts += 1
        if setback.refused and self._restarts >= REFUSED_TWICE:
            raise RefusedError(f"{self._job.name} does not take it: {setback.why}", reason="refused")
        if self._restarts > self._limits.restarts:
            raise TransferError(
                f"{self._job.name} was begun {self._restarts} times, the last time {setback.why}",
                remedy=f"bring it nearer and try again; {self._what_transfer_left()}",
                reason="restarts",
            )
        yield Tell(Step(Stage.TRANSFERRING, note=f"starts over: {setback.why}"))
        yield from self._look()

    def _set_back(self, error: LinkError, left: str) -> Transfer[None]:
        """Take a connection that broke or did not come about into account, and find the board again."""
        yield from self._close()
        if isinstance(error, GattError) and error.code in UNBONDED:
            raise needs_bond(self._job.name) from None
        if self._memory.sent > self._best:
            self._best, self._setbacks = self._memory.sent, 0
        self._setbacks += 1
        if self._setbacks >= self._limits.tries:
            raise self._gave_up(error, left)
        yield Tell(Step(Stage.TRANSFERRING, note=in_words(error)))
        yield from self._look()

    def _gave_up(self, error: LinkError, left: str) -> BoardError | OfflineError:
        name = self._job.name
        if not self._was_open:
            hangs_up = isinstance(error, LinkLostError) and self._mode is BoardMode.APPLICATION
            what = "hangs up whenever it is connected to" if hangs_up else "is not heard, or takes no connection"
            remedy = FORGET_IT if hangs_up else "end other programs that are connected to it"
            return OfflineError(f"{name} {what}", remedy=f"power it and bring it nearer; {remedy}")
        return TransferError(
            f"{name} was lost {self._setbacks} times in a row, the last time because {in_words(error)}",
            remedy=f"bring it nearer and try again; {left}",
            reason="link-lost",
        )

    def _what_transfer_left(self) -> str:
        if self._memory.begun == "dfu":
            return "it waits in its bootloader, and goes on when it is flashed again"
        return "the board is as it was"

    def _look(self) -> Transfer[None]:
        """Find out what the board runs now; one that is not heard is taken to run what it ran."""
        mode: BoardMode | None = yield Heard(None, self._limits.answer)
        self._mode = mode or self._mode

    def _forget(self, *, unended: bool | None = None) -> Transfer[None]:
        self._memory.forget()
        self._memory.unended = self._memory.unended if unended is None else unended
        yield Keep()
