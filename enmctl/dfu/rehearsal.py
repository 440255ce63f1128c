"""What an update of a board would send, asked of the board itself: it is connected to, and not changed."""

from __future__ import annotations

from dataclasses import dataclass

from enmctl.dfu.gatt import UNBONDED
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Close, GattError, LinkError, Memory, Open, Opened, Transfer
from enmctl.dfu.partial import Partial, Verdict
from enmctl.dfu.setbacks import needs_bond
from enmctl.dfu.update import Choice, Job, wrong_protocol
from enmctl.errors import OfflineError
from enmctl.models import BoardMode


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a board would be sent.

    ``part_size`` is the bytes of the user's part where that alone is sent, 0 where the board has it all already, None
    where all is sent; ``why`` tells why all is. ``is_asked`` is false where the board was not asked which of these it
    is, for that may change it.
    """

    choice: Choice
    part_size: int | None = None
    why: str = ""
    is_asked: bool = True


def rehearse(job: Job, memory: Memory, limits: Limits, *, may_ask: bool) -> Transfer[Rehearsed]:
    """Connect to the board and find out what ``update`` would send it; ``memory`` stays as it is.

    Args:
        job: what would be done.
        memory: what is known of the last transfer.
        limits: how long to wait.
        may_ask: whether its program may be asked what it is: where that has the system pair, it may not.

    Raises:
        FirmwareError: nothing of it is for this board.
        RefusedError: the board says no.
        TransferError: it has a piece of this program and does not take the rest.
        OfflineError: the board is not heard, or does not connect.
    """
    for _ in range(limits.tries):
        try:
            opened: Opened = yield Open(job.mode, limits.answer)
            told = yield from _told(job, opened, memory, limits, may_ask=may_ask)
        except GattError as error:
            if error.code in UNBONDED:
                raise needs_bond(job.name) from None
        except LinkError:
            pass
        else:
            yield Close()
            return told
        yield Close()
    raise OfflineError(f"{job.name} is not heard, or takes no connection", remedy="power it and bring it nearer")


def _told(job: Job, opened: Opened, memory: Memory, limits: Limits, *, may_ask: bool) -> Transfer[Rehearsed]:
    choice = job.choose(opened)
    if job.mode is BoardMode.BOOTLOADER:
        if (error := wrong_protocol(job.name, choice.payloads[0], opened)) is not None:
            raise error
        return Rehearsed(choice)
    if choice.part is None or choice.whole:
        return Rehearsed(choice)
    if not may_ask:
        return Rehearsed(choice, is_asked=False)
    partial = Partial(choice.part, choice.payloads[-1].sha256, memory, limits)
    verdict = yield from partial.look(opened)
    if verdict is Verdict.CURRENT:
        return Rehearsed(choice, part_size=0)
    if verdict is Verdict.UNFIT:
        return Rehearsed(choice, why=partial.why_all(job.name))
    return Rehearsed(choice, part_size=partial.size)
