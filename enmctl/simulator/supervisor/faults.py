"""What a simulated Supervisor can be made to get wrong, by name and for so many requests.

::

    supervisor.fail("provision", "lost-answer", times=1)    the device is made, the answer lost
    supervisor.fail("assets", "truncated")                  until supervisor.heal("assets")
    supervisor.fail("devices", "answer", status=200, body=[{"uuid": None}], times=2)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from enmctl.errors import UsageError


class Operation(StrEnum):
    """What a request asks for; ``ANY`` stands for all of them."""

    APPLICATIONS = "applications"
    ASSETS = "assets"
    DEVICES = "devices"
    DEVICE = "device"
    PROVISION = "provision"
    REPORT = "report"
    LOG = "log"
    PING = "ping"
    GATEWAY = "gateway"
    UPDATE = "update"
    ANY = "any"


class FaultName(StrEnum):
    """Each way to fail, in groups."""

    # Nothing is carried out.
    NOT_FOUND = "404"
    UNAUTHORIZED = "401"
    ERROR = "500"
    UNAVAILABLE = "503"
    LOST = "lost"
    RESET = "reset"
    SILENT = "silent"
    GARBAGE = "garbage"
    ENDLESS = "endless"
    REDIRECT = "redirect"
    ANSWER = "answer"
    # It is carried out, and told wrong or not at all.
    LOST_ANSWER = "lost-answer"
    NO_ANSWER = "no-answer"
    CUT_HALFWAY = "cut-halfway"
    RESET_HALFWAY = "reset-halfway"
    STALL_HALFWAY = "stall-halfway"
    WRONG_SHAPE = "wrong-shape"
    NULL = "null"
    NUMBERS_AS_STRINGS = "numbers-as-strings"
    # It is carried out, at another time.
    SLOW = "slow"
    LATE_INSERT = "late-insert"
    STALE_TARGET = "stale-target"
    # The asset is not what it should be.
    TRUNCATED = "truncated"
    GARBAGE_TAR = "garbage-tar"
    ESCAPING = "escaping"
    LINKS = "links"
    HUGE = "huge"
    EMPTY = "empty"
    ZERO = "zero"
    OTHER = "other"


_FOR_ASSETS = frozenset(
    {
        FaultName.TRUNCATED,
        FaultName.GARBAGE_TAR,
        FaultName.ESCAPING,
        FaultName.LINKS,
        FaultName.HUGE,
        FaultName.EMPTY,
        FaultName.ZERO,
        FaultName.OTHER,
    }
)
_FOR_PROVISION = frozenset({FaultName.LATE_INSERT, FaultName.STALE_TARGET})

MEANINGS: dict[FaultName, str] = {
    FaultName.NOT_FOUND: "404, nothing done",
    FaultName.UNAUTHORIZED: "401, nothing done",
    FaultName.ERROR: "500, nothing done",
    FaultName.UNAVAILABLE: "503, nothing done",
    FaultName.LOST: "connection ended, nothing done",
    FaultName.RESET: "connection reset, nothing done",
    FaultName.SILENT: "never answers, nothing done",
    FaultName.GARBAGE: "200 with bytes that are no JSON and no tar",
    FaultName.ENDLESS: "200 with a body that does not end before `size` bytes",
    FaultName.REDIRECT: "307 to `to`",
    FaultName.ANSWER: "the `status` and `body` (JSON, or text, or bytes) given",
    FaultName.LOST_ANSWER: "carried out, then the connection ends without an answer",
    FaultName.NO_ANSWER: "carried out, never answered",
    FaultName.CUT_HALFWAY: "carried out, the connection ends in the middle of the answer",
    FaultName.RESET_HALFWAY: "carried out, the connection is reset in the middle of the answer",
    FaultName.STALL_HALFWAY: "carried out, nothing comes after the middle of the answer",
    FaultName.WRONG_SHAPE: "carried out; an object for a list, a list for an object",
    FaultName.NULL: "carried out; the answer is null",
    FaultName.NUMBERS_AS_STRINGS: "carried out; every number in the answer is text",
    FaultName.SLOW: "waits `delay` seconds, then as always",
    FaultName.LATE_INSERT: "connection ended at once, the device is made `delay` seconds later",
    FaultName.STALE_TARGET: "made and answered; then a target state from before it deletes it again",
    FaultName.TRUNCATED: "a tar that ends in the middle of a member",
    FaultName.GARBAGE_TAR: "bytes of the right length that are no tar",
    FaultName.ESCAPING: "a tar with a member outside, `../escaped`",
    FaultName.LINKS: "a tar with a link that points outside",
    FaultName.HUGE: "a tar with a member of `size` bytes",
    FaultName.EMPTY: "a tar of 10240 bytes with no members",
    FaultName.ZERO: "no bytes at all",
    FaultName.OTHER: "a tar without the firmware",
}
"""One line for each, for people."""


@dataclass(slots=True)
class Fault:
    """One fault that waits for requests. ``left`` is for how many more, None for all.

    ``only`` limits it to paths that contain it; the rest belongs to single faults, see ``MEANINGS``.
    """

    operation: Operation
    name: FaultName
    left: int | None = None
    only: str = ""
    delay: float = 2.0
    size: int = 40 << 20
    status: int = 200
    body: Any = None
    to: str = ""


class Faults:
    """The faults that are switched on; for each request the oldest that fits is taken."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self._waiting: list[Fault] = []

    def fail(self, operation: str, fault: str, *, times: int | None = None, **options: Any) -> None:
        """Make the next ``times`` requests for ``operation`` (all, where None) go wrong by ``fault``.

        Raises:
            UsageError: there is no such operation, fault or option, or they do not go together.
        """
        try:
            planned = Fault(Operation(operation), FaultName(fault), times, **options)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"cannot plan the fault {fault!r} for {operation!r}: {error}",
                remedy=f"operations are {', '.join(Operation)}; faults are {', '.join(FaultName)}",
            ) from None
        if times is not None and times < 1:
            raise UsageError(f"the fault {fault!r} cannot come {times} times", remedy="leave times out for every time")
        bound_to = {
            **dict.fromkeys(_FOR_ASSETS, Operation.ASSETS),
            **dict.fromkeys(_FOR_PROVISION, Operation.PROVISION),
        }.get(planned.name, planned.operation)
        if planned.operation is not bound_to:
            raise UsageError(f"the fault {fault!r} is one of {bound_to.value!r} alone")
        self._waiting.append(planned)

    def heal(self, operation: str | None = None) -> None:
        """Switch the faults of one operation off, or all of them."""
        self._waiting = [fault for fault in self._waiting if operation not in (None, fault.operation)]

    def take(self, operation: Operation, path: str) -> Fault | None:
        """The fault for this request, counted, or None."""
        for fault in self._waiting:
            if fault.operation in (operation, Operation.ANY) and fault.only in path:
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left <= 0:
                        self._waiting.remove(fault)
                self.taken[f"{operation} {fault.name}"] += 1
                return fault
        return None

    def waiting(self) -> list[dict[str, Any]]:
        """What is switched on, as plain values."""
        return [{"operation": fault.operation, "fault": fault.name, "left": fault.left} for fault in self._waiting]
