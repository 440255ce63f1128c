"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from enmctl.errors import EnmError, ExitCode


class State(StrEnum):
    """How it stands: as it should, worth a look, or in the way of the gateway's work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was looked at, how it stands, what helps, and the exit code of a fault."""

    check: str
    state: State
    message: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.DONE

    @property
    def line(self) -> str:
        """What it is, and what to do about it."""
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, message)


def warning(check: str, message: str, remedy: str = "") -> Finding:
    """The gateway works, and something should be known."""
    return Finding(check, State.WARNING, message, remedy)


def fault(check: str, error: EnmError) -> Finding:
    """What keeps the gateway from its work."""
    return Finding(check, State.FAULT, error.message, error.remedy, error.exit_code)


def trouble(check: str, error: EnmError, *, needed: bool) -> Finding:
    """A fault where it is needed, else something to know."""
    return fault(check, error) if needed else warning(check, error.message, error.remedy)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """What a shell is told: 7 where a needed radio cannot be used, else what the first fault is."""
    codes = [finding.exit_code for finding in findings if finding.state is State.FAULT]
    if ExitCode.RADIO in codes:
        return ExitCode.RADIO
    return codes[0] if codes else ExitCode.DONE
