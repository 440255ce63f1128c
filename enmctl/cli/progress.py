"""How far the boards are: bars on a terminal that has room, lines at every tenth else, events as JSON, or nothing.

Progress is talk and goes to stderr, but for ``--json``: there the events are what was asked for.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from enmctl.cli.output import Output, clean
from enmctl.errors import EnmError
from enmctl.models import Proof, Stage, Step

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SHOWN = 12
"""Characters of a version that a line shows; ``--json`` has it whole."""

BARS_LEAST = 72
"""Columns that a bar with its words needs; a narrower terminal gets lines."""

TENTH = 10
"""Per cent between two lines of progress on a pipe."""

PROOFS = {
    Proof.VERSION_READ_BACK: "the board tells its version",
    Proof.CHECK_AND_RETURN: "the board checked it and came back",
    Proof.CHECK_ALONE: "the board checked it; its new program is not heard, as most are not",
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
        self._output.say(f"{board}: {step.stage}{share}{_remark(step)}")

    def stopped(self, board: str, left: str) -> None:
        """Say so."""
        self._output.say(f"{board}: stopped; {left}")


class Events(Progress):
    """One JSON object a line: of every stage, and of every whole per cent."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: dict[str, tuple[Stage, int | None]] = {}

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
        self._output.event({name: value for name, value in fields.items() if value is not None})

    def failed(self, board: str, error: EnmError) -> None:
        """Tell the end as an event too."""
        self._output.event({"board": board, "stage": "failed", "error": error.message, "reason": error.reason})

    def stopped(self, board: str, left: str) -> None:
        """Tell the end as an event too."""
        self._output.event({"board": board, "stage": "stopped", "note": left})


class Bars(Progress):
    """A bar for every board, drawn by rich; what a board ended with is a line above them."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("{task.fields[board]}", markup=False),
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def step(self, board: str, step: Step) -> None:
        """Move the board's bar."""
        if self._bars is None:
            return
        if board not in self._tasks:
            self._tasks[board] = self._bars.add_task("", board=clean(board), total=None)
        elif board in self._ended:
            self._ended.discard(board)
            self._bars.reset(self._tasks[board], total=None)
        moved: dict[str, Any] = {"completed": step.done, "total": step.total} if step.total else {}
        self._bars.update(self._tasks[board], description=step.stage, **moved)
        if step.stage is Stage.DONE:
            self._end(board)
        if step.stage is Stage.DONE or step.note:
            word = "done" if step.stage is Stage.DONE else step.stage
            self._bars.console.print(clean(f"{board}: {word}{_remark(step)}"), markup=False, highlight=False)

    def failed(self, board: str, error: EnmError) -> None:
        """Leave the bar where it stands, with the reason."""
        if self._bars is not None and board in self._tasks:
            self._bars.update(self._tasks[board], description=f"failed: {error.reason}")
            self._end(board)

    def stopped(self, board: str, left: str) -> None:
        """Leave the bar where it stands, and say it above."""
        if self._bars is not None and board in self._tasks:
            self._bars.update(self._tasks[board], description="stopped")
            self._end(board)
            self._bars.console.print(clean(f"{board}: stopped; {left}"), markup=False, highlight=False)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bars away for so long."""
        if self._bars is None:
            yield
            return
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def _end(self, board: str) -> None:
        if self._bars is not None:
            self._ended.add(board)
            self._bars.stop_task(self._tasks[board])


def progress(output: Output) -> Progress:
    """The kind of progress that suits where the output goes."""
    if output.as_json:
        return Events(output)
    if output.quiet:
        return Progress()
    return Bars() if _takes_bars() else Lines(output)


def _takes_bars() -> bool:
    """Whether stderr is a terminal on which bars can be drawn, each on a line of its own."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    return shutil.get_terminal_size().columns >= BARS_LEAST


def _remark(step: Step) -> str:
    """What a step says beyond its stage, in brackets or not at all."""
    version = f" {step.version[:SHOWN]}" if step.version and step.proof is Proof.VERSION_READ_BACK else ""
    words = [PROOFS[step.proof] + version if step.proof else "", step.note]
    said = "; ".join(word for word in words if word)
    return f" ({said})" if said else ""
