"""What can go wrong, and what the caller can do about it.

::

    EnmError                      says what happened, to what, and what to do next
    ├── UsageError                the words of the call are wrong              exit 2
    │   └── SettingError          an environment variable has a wrong value    exit 2
    ├── UnknownError              no such device, board or application         exit 3
    ├── FirmwareError             a file is not what it must be (permanent)    exit 4
    │   └── ArchiveError          an archive is unsafe, broken or truncated    exit 4
    ├── FleetError                a fleet file is not what it must be          exit 4
    ├── StoreError                the database cannot be used                  exit 4
    ├── OutputError               what was asked for cannot be written         exit 4
    ├── BoardError                something went wrong between us and a board  exit 5
    │   ├── RefusedError          the board said no (permanent)                exit 5
    │   ├── TransferError         the transfer broke; try again                exit 5
    │   └── UnsettledError        all was sent, the end is unknown; look again exit 5
    ├── OfflineError              nothing answers, or not in time; try later   exit 6
    ├── RadioError                a radio cannot be used on this machine       exit 7
    ├── SourceError               the source of desired state failed           exit 8
    │   ├── SourceAwayError       it cannot be reached now; keep and repeat    exit 8
    │   ├── SourceRefusedError    it answered no; repeating will not help      exit 8
    │   ├── SourceAnswerError     it answered something that makes no sense    exit 8
    │   ├── SourceGoneError       it does not know this device or asset        exit 8
    │   └── LostAnswerError       asked, and the answer got lost on the way    exit 8
    ├── GatewayError              the running gateway does not answer          exit 8
    └── BusyError                 paused, locked, or another gateway runs      exit 9

``permanent`` tells a retry loop to wait for another target; ``reason`` is a stable word for journals and scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """What the shell is told; scripts branch on it."""

    DONE = 0
    BUG = 1
    USAGE = 2
    UNKNOWN = 3
    FILE = 4
    BOARD = 5
    OFFLINE = 6
    RADIO = 7
    SOURCE = 8
    BUSY = 9
    REMAINS = 10
    INTERRUPTED = 130


class EnmError(Exception):
    """Anything enmctl reports to a person.

    Args:
        message: what happened, and to what; one sentence without a full stop.
        remedy: what to do next; one sentence without a full stop, or "".
        reason: a stable word of lower-case letters and dashes; the class's own where left out.
        permanent: whether trying the same again is useless; the class's own where left out.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    default_reason: ClassVar[str] = "error"
    default_permanent: ClassVar[bool] = False

    def __init__(
        self, message: str, *, remedy: str = "", reason: str | None = None, permanent: bool | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.reason = reason or self.default_reason
        self.permanent = self.default_permanent if permanent is None else permanent

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class UsageError(EnmError):
    """The words of the call are wrong."""

    exit_code = ExitCode.USAGE
    default_reason = "usage"
    default_permanent = True


class SettingError(UsageError):
    """An environment variable has a value that cannot be used."""

    default_reason = "setting"


class UnknownError(EnmError):
    """There is no such device, board or application."""

    exit_code = ExitCode.UNKNOWN
    default_reason = "unknown"
    default_permanent = True


class FirmwareError(EnmError):
    """A file is not what it must be; the same file will never be."""

    exit_code = ExitCode.FILE
    default_reason = "bad-firmware"
    default_permanent = True


class ArchiveError(FirmwareError):
    """An archive is unsafe, broken or truncated."""

    default_reason = "bad-archive"


class FleetError(EnmError):
    """A fleet file, or a firmware file that it names, is not what it must be.

    Attributes:
        faults: each fault as a line for people, with the file, the line and the column.
        untold: so many more there are.
    """

    exit_code = ExitCode.FILE
    default_reason = "fleet-file"
    default_permanent = True

    faults: Sequence[str] = ()
    untold: int = 0

    @classmethod
    def of(cls, faults: Sequence[str], *, remedy: str = "", untold: int = 0) -> Self:
        """The error that tells of these faults, the first of them in its message."""
        others = len(faults) - 1 + untold
        more = f" (and {others} more)" if others else ""
        error = cls(f"{faults[0]}{more}", remedy=remedy)
        error.faults = list(faults)
        error.untold = untold
        return error


class StoreError(EnmError):
    """The database cannot be opened, read or written."""

    exit_code = ExitCode.FILE
    default_reason = "store"


class OutputError(EnmError):
    """What a command has to say, or a file that it makes, cannot be written."""

    exit_code = ExitCode.FILE
    default_reason = "output"


class BoardError(EnmError):
    """Something went wrong between us and a board."""

    exit_code = ExitCode.BOARD
    default_reason = "board"


class RefusedError(BoardError):
    """The board said no; it will say so again to the same request."""

    default_reason = "refused"
    default_permanent = True


class TransferError(BoardError):
    """The transfer broke before its end; the board keeps what it had."""

    default_reason = "transfer"


class UnsettledError(BoardError):
    """All was sent and the end is unknown; only looking at the board again tells."""

    default_reason = "unsettled"


class OfflineError(EnmError):
    """Nothing answers there, or not in time."""

    exit_code = ExitCode.OFFLINE
    default_reason = "offline"


class RadioError(EnmError):
    """A radio cannot be used on this machine."""

    exit_code = ExitCode.RADIO
    default_reason = "radio"


class SourceError(EnmError):
    """The source of desired state failed."""

    exit_code = ExitCode.SOURCE
    default_reason = "source"


class SourceAwayError(SourceError):
    """The source cannot be reached now: keep what was to be said, and say it later."""

    default_reason = "source-away"


class SourceRefusedError(SourceError):
    """The source answered no; the same request will be refused again."""

    default_reason = "source-refused"
    default_permanent = True


class SourceAnswerError(SourceError):
    """The source answered something that makes no sense."""

    default_reason = "source-answer"


class SourceGoneError(SourceError):
    """The source does not know this device or asset (any more)."""

    default_reason = "source-gone"


class LostAnswerError(SourceError):
    """A request that must not be repeated blindly was sent, and its answer got lost."""

    default_reason = "lost-answer"


class GatewayError(EnmError):
    """The running gateway does not answer as it should."""

    exit_code = ExitCode.SOURCE
    default_reason = "gateway"


class BusyError(EnmError):
    """Paused, locked, or held by another gateway."""

    exit_code = ExitCode.BUSY
    default_reason = "busy"
