"""What can go wrong between a transfer and a board, as data: which fault, at which step, at what there.

``interference.Interfering`` makes it happen in the model of a link.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from random import Random
from typing import Final

from enmctl.simulator.nordic.steps import POINTS, Point, Way


class FaultKind(StrEnum):
    """One thing that goes wrong once."""

    LINK_LOST = "link-lost"
    """Nothing passes any more; both sides see it by their supervision timeouts."""
    POWER_CUT = "power-cut"
    """The board's power goes, and comes back."""
    HOST_KILLED = "host-killed"
    """The program on this side is killed."""
    STOLEN = "stolen"
    """The connection goes, and somebody else has one to the board for a while."""
    FLASH_FAILURE = "flash-failure"
    """A write to the board's flash fails."""
    FLASH_BUSY = "flash-busy"
    """The board's flash is held up: its buffers overflow, and a legacy bootloader says so for every packet."""

    NOTIFICATION_LOST = "notification-lost"
    NOTIFICATION_LATE = "notification-late"
    NOTIFICATION_TWICE = "notification-twice"
    NOTIFICATION_CUT = "notification-cut"
    """It has less than three bytes."""
    ANOTHER_ANSWER = "another-answer"
    """Before it comes an answer to an operation that nobody asked for."""
    RECEIPT_LOST = "receipt-lost"
    RECEIPT_LATE = "receipt-late"
    RECEIPT_TWICE = "receipt-twice"
    RECEIPT_SMALLER = "receipt-smaller"
    """It tells less than the board has taken."""
    LAST_WITH_RECEIPT = "last-with-receipt"
    """With the answer to the last packet comes a receipt for it, which no board sends."""

    REPLY_LOST = "reply-lost"
    """The board does what is written to it, but the response never comes."""
    REPLY_ERROR = "reply-error"
    """The board does what is written to it, and the response is an error."""

    NEXT_ADDRESS = "next-address"
    RENAMED = "renamed"
    LATE_RETURN = "late-return"
    NO_RETURN = "no-return"
    """How the board comes back from its next reset; from the last only by its power."""

    STALE_SERVICES = "stale-services"
    """Connecting shows the services that the board had before, once."""


WHEREVER: Final = frozenset({FaultKind.LINK_LOST, FaultKind.POWER_CUT, FaultKind.HOST_KILLED, FaultKind.STOLEN})
"""What comes at a moment, not upon something that is said."""

OF_NOTIFICATIONS: Final = frozenset(
    {
        FaultKind.NOTIFICATION_LOST,
        FaultKind.NOTIFICATION_LATE,
        FaultKind.NOTIFICATION_TWICE,
        FaultKind.NOTIFICATION_CUT,
        FaultKind.ANOTHER_ANSWER,
    }
)
OF_RECEIPTS: Final = frozenset(
    {FaultKind.RECEIPT_LOST, FaultKind.RECEIPT_LATE, FaultKind.RECEIPT_TWICE, FaultKind.RECEIPT_SMALLER}
)
OF_REPLIES: Final = frozenset({FaultKind.REPLY_LOST, FaultKind.REPLY_ERROR})
OF_RETURNS: Final = frozenset({FaultKind.NEXT_ADDRESS, FaultKind.RENAMED, FaultKind.LATE_RETURN, FaultKind.NO_RETURN})
OF_THE_FLASH: Final = frozenset({FaultKind.FLASH_FAILURE, FaultKind.FLASH_BUSY})

ANSWERED: Final = frozenset(
    {
        Point.ERASE,
        Point.INIT,
        Point.RECEIVED,
        Point.REPORT,
        Point.VALIDATE,
        Point.RECEIPTS,
        Point.SELECT_COMMAND,
        Point.CREATE_COMMAND,
        Point.CRC_COMMAND,
        Point.EXECUTE_COMMAND,
        Point.SELECT_DATA,
        Point.CREATE_DATA,
        Point.CRC_DATA,
        Point.EXECUTE_DATA,
        Point.EXECUTE_LAST,
        Point.MODE,
        Point.REGION,
        Point.BLOCK,
    }
)
"""Steps at which a board sends an answer; a legacy one does not answer to receipts, a secure one not to init bytes."""

NOT_REQUESTED: Final = frozenset({Point.RETURN, Point.ERASE, Point.DATA, Point.RECEIVED})
RESETTING: Final = frozenset({Point.ENTER, Point.ACTIVATE, Point.EXECUTE_LAST, Point.RESET, Point.END, Point.MODE})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and when it comes.

    It comes at the ``count``-th thing at the step ``at``, or once so many bytes of the image have reached the board
    (``byte``), or at the ``notification``-th notification of all. Things are writes that reach the board, for faults of
    notifications these, and so on. With ``before`` the write does not reach the board any more. ``seconds`` is how much
    later it comes, or for what is late, how late; ``amount`` is bytes that a receipt tells too few.
    """

    kind: FaultKind
    at: Point | None = None
    count: int = 1
    byte: int | None = None
    notification: int | None = None
    before: bool = False
    seconds: float = 0.0
    amount: int = 240


@cache
def cells(way: Way) -> tuple[tuple[FaultKind, Point], ...]:
    """Every fault at every step where it can come."""
    return tuple((kind, point) for kind in FaultKind for point in POINTS[way] if possible(kind, point, way))


def possible(kind: FaultKind, point: Point, way: Way) -> bool:
    """Whether a fault can come at a step."""
    silent = {(Way.LEGACY, Point.RECEIPTS), (Way.SECURE, Point.INIT)}
    if kind in WHEREVER:
        can = kind is not FaultKind.LINK_LOST or point is not Point.RETURN
    elif kind in OF_RETURNS:
        can = point in RESETTING
    elif kind in OF_REPLIES:
        can = point not in NOT_REQUESTED and way is not Way.PARTIAL and (way, point) != (Way.SECURE, Point.INIT)
    elif kind in OF_NOTIFICATIONS:
        can = point in ANSWERED and (way, point) not in silent
    elif kind is FaultKind.STALE_SERVICES:
        can = way is not Way.PARTIAL and point is Point.CONNECT
    elif kind is FaultKind.LAST_WITH_RECEIPT:
        can = way is Way.LEGACY and point is Point.RECEIVED
    else:
        can = way is not Way.PARTIAL and point is Point.DATA
    return can


def draw(chance: Random, way: Way, image_size: int) -> Fault:
    """Any fault anywhere, each cell as likely as the others."""
    kind, point = chance.choice(cells(way))
    byte = chance.randrange(1, image_size) if point in (Point.DATA, Point.BLOCK) and kind in WHEREVER else None
    return Fault(
        kind,
        at=None if byte is not None else point,
        count=_count(chance, kind, point),
        byte=byte,
        before=kind in WHEREVER and chance.random() < 1 / 3,
        seconds=_seconds(chance, kind, point),
        amount=chance.choice((20, 240, 4096)),
    )


def _count(chance: Random, kind: FaultKind, point: Point) -> int:
    """The first thing of its kind, or where there are many, now and then a later one."""
    many = point in (Point.DATA, Point.BLOCK, Point.CREATE_DATA, Point.CRC_DATA, Point.EXECUTE_DATA)
    return chance.randrange(1, 6) if many and kind not in OF_THE_FLASH else 1


def _seconds(chance: Random, kind: FaultKind, point: Point) -> float:
    if kind in (FaultKind.NOTIFICATION_LATE, FaultKind.RECEIPT_LATE):
        return chance.choice((0.05, 0.5, 3.0, 20.0, 100.0))
    if kind is FaultKind.LATE_RETURN:
        return chance.choice((1.0, 5.0, 20.0))
    if kind is FaultKind.FLASH_BUSY:
        return chance.choice((0.05, 0.2, 1.0))
    if kind in WHEREVER and point in (Point.ERASE, Point.VALIDATE, Point.EXECUTE_LAST, Point.RETURN, Point.ACTIVATE):
        return chance.choice((0.0, 0.01, 0.05, 0.2, 1.0))
    return 0.0
