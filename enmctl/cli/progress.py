"""How far the boards are: bars on a terminal that has room, lines at every tenth else, events as JSON, or nothing.

Progress is talk and goes to stderr, but for ``--json``: there the events are what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from enmctl.cli.output import Output, ReaderGoneError, discard_output
from enmctl.errors import EnmError
from enmctl.models import Proof, Stage, Step

SHOWN = 12
"""Characters of a version that a line shows; ``--json`` has it whole."""


TENTH = 10
"""Per cent between two lines of progress on a pipe."""

PROOFS = {
    Proof.VERSION_READ_BACK: "the board tells its version",
    Proof.CHECK_AND_RETURN: "the board said that it is whole, and came back",
    Proof.CHECK_ALONE: "the board said that it is whole; its new program is not heard, as most are not",
    Proof.RETURN_ALONE: "the board came back",
}
"""How it is known that a board runs its new firmware, for people."""


class Progress:
    """Tells nothing; the others are more talkative."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, board: str, step: Step) -> None:
        """Tell one piece of news of a board."""

    def failed(self, board: str, error: EnmError) -> None:
        """Tell that nothing more comes of a board, and why."""

    def stopped(self, board: str, left: str) -> None:
        """Tell that the work on a board was stopped, and what it is left with."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Draw nothing while a person is asked something."""
        yield


class Lines(Progress):
    """A line for every stage, and for every tenth of the bytes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: dict[str, tuple[Stage, int]] = {}

    def step(self, board: str, step: Step) -> None:
        """Tell it where it is news of a stage or of a tenth."""
        tenth = (step.percent or 0) // TENTH
        if self._told.get(board) == (step.stage, tenth) and not step.note:
            return
        self._told[board] = (step.stage, tenth)
        share = f" {tenth * TENTH} %" if step.total else ""
        self._output.say(f"{board}: {step.stage}{share}{remark(step)}")

    def stopped(self, board: str, left: str) -> None:
        """Say so."""
        self._output.say(f"{board}: stopped; {left}")


class Events(Progress):
    """One JSON object a line: of every stage, and of every whole per cent.

    A reader that leaves early stops the telling and not the work: half a program is worse than an unread line.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: dict[str, tuple[Stage, int | None]] = {}
        self._is_read = True

    def step(self, board: str, step: Step) -> None:
        """Tell it where it is news of a stage or of a per cent."""
        if self._told.get(board) == (step.stage, step.percent) and not step.note:
            return
        self._told[board] = (step.stage, step.percent)
        fields = {
            "board": board,
            "stage": step.stage,
            "done": step.done if step.total else None,
            "total": step.total or None,
            "percent": step.percent,
            "note": step.note or None,
            "proof": step.proof,
            "version": step.version,
        }
        self._tell({name: value for name, value in fields.items() if value is not None})

    def failed(self, board: str, error: EnmError) -> None:
        """Tell the end as an event too."""
        self._tell({"board": board, "stage": "failed", "error": error.message, "reason": error.reason})

    def stopped(self, board: str, left: str) -> None:
        """Tell the end as an event too."""
        self._tell({"board": board, "stage": "stopped", "note": left})

    def _tell(self, fields: Mapping[str, Any]) -> None:
        if not self._is_read:
            return
        try:
            self._output.event(fields)
        except ReaderGoneError:
            self._is_read = False
            discard_output()


def remark(step: Step) -> str:
    """What a step says beyond its stage, in brackets or not at all."""
    version = f" {step.version[:SHOWN]}" if step.version and step.proof is Proof.VERSION_READ_BACK else ""
    words = [PROOFS[step.proof] + version if step.proof else "", step.note]
    said = "; ".join(word for word in words if word)
    return f" ({said})" if said else ""
