"""Faults that are planted into the protocols, each to show that the schedules catch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final
from unittest.mock import patch

from enmctl.dfu.legacy import Legacy
from enmctl.dfu.link import Transfer, Wait
from enmctl.dfu.partial import Partial, Verdict
from enmctl.dfu.update import _Update
from enmctl.models import Proof


@contextmanager
def resumed_blindly() -> Iterator[None]:
    """Whatever the board has is built on, whichever image it is of."""
    with patch.object(Legacy, "may_resume", lambda _self, _accepted: True):
        yield


@contextmanager
def done_before_validate() -> Iterator[None]:
    """The board is called done once it has all bytes, before it was asked to verify them."""

    def validate(_self: Legacy) -> Transfer[None]:
        yield from ()

    def settle(_self: Any, _payload: Any) -> Transfer[Proof]:
        yield from ()
        return Proof.CHECK_AND_RETURN

    with patch.object(Legacy, "_validate", validate), patch.object(_Update, "_settle", settle):
        yield


@contextmanager
def receipts_miscounted() -> Iterator[None]:
    """Each receipt is taken for one packet more than it tells."""
    hear = Legacy._hear

    def miscounted(self: Legacy, data: bytes) -> None:
        before = self._acknowledged
        hear(self, data)
        if self._acknowledged != before:
            self._acknowledged += 20

    with patch.object(Legacy, "_hear", miscounted):
        yield


@contextmanager
def dfu_after_partial() -> Iterator[None]:
    """A partial flash that breaks is given up for a full one."""
    run = Partial.run

    def once(self: Partial, opened: Any) -> Transfer[Verdict | None]:
        if self._memory.begun == "partial":
            self.unfit = "it broke"
            return Verdict.UNFIT
        return (yield from run(self, opened))

    with patch.object(Partial, "run", once), patch.object(Partial, "why_all", lambda self, _name: self.unfit):
        yield


@contextmanager
def last_receipt_awaited() -> Iterator[None]:
    """After the last packet a receipt is waited for where one would be due, which no board sends."""
    stream = Legacy._stream

    def awaited(self: Legacy, offset: int, window: int, proof_after: float) -> Transfer[None]:
        yield from stream(self, offset, window, proof_after)
        while (self._size - offset) % (window // 2) == 0 and self._acknowledged < self._size:
            note = yield Wait(self._limits.answer)
            if note is None:
                raise (yield from self._reset("the last receipt did not come"))
            yield from self._take(note)

    with patch.object(Legacy, "_stream", awaited):
        yield


PLANTS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "": nullcontext,
    "resumed-blindly": resumed_blindly,
    "done-before-validate": done_before_validate,
    "receipts-miscounted": receipts_miscounted,
    "dfu-after-partial": dfu_after_partial,
    "last-receipt-awaited": last_receipt_awaited,
}
"""By name; "" plants nothing."""
