"""A bar on the terminal for every board that is worked on, drawn by rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

from enmctl.cli.output import clean
from enmctl.cli.progress import Progress, remark
from enmctl.errors import EnmError
from enmctl.models import Stage, Step


class _OfBytes(ProgressColumn):
    """A column that says something where bytes are counted alone."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        """See ProgressColumn."""
        return self._column.render(task) if task.total else ""


class Bars(Progress):
    """A bar for every board, drawn by rich; what a board ended with is a line above them."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        self._bars = RichProgress(
            TextColumn("{task.fields[board]}", markup=False),
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(bar_width=20),
            _OfBytes(DownloadColumn()),
            _OfBytes(TransferSpeedColumn()),
            TimeElapsedColumn(),
            _OfBytes(TimeRemainingColumn()),
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
            self._fill(board)
            self._end(board)
        if step.stage is Stage.DONE or step.note:
            word = "done" if step.stage is Stage.DONE else step.stage
            self._bars.console.print(clean(f"{board}: {word}{remark(step)}"), markup=False, highlight=False)

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

    def _fill(self, board: str) -> None:
        """A bar of what is done is whole, also where there was nothing to count."""
        if self._bars is not None and self._bars.tasks[self._tasks[board]].total is None:
            self._bars.update(self._tasks[board], total=0, completed=0)

    def _end(self, board: str) -> None:
        if self._bars is not None:
            self._ended.add(board)
            self._bars.stop_task(self._tasks[board])
