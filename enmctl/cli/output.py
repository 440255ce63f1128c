"""The one place that prints: data to stdout, talk to stderr.

Tables are drawn by rich on a terminal and are plain aligned text anywhere else; rich is slow to import, so it is
imported when something is drawn. Text that comes from outside (names from a dashboard, from a radio) loses its control
characters here, so that no board can write to a person's terminal.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from enmctl.errors import EnmError, OutputError

if TYPE_CHECKING:
    from rich.table import Table

RED, DIM, PLAIN = "\x1b[1;31m", "\x1b[2m", "\x1b[0m"

GAP = 2
"""Spaces between two columns of a table."""

NARROWEST = 20
"""Columns of the narrowest terminal that talk is fitted to."""

FOLDED_LEAST = 16
"""Columns of a terminal that a folded column of a table gets at least, its gap included; else all are folded."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_GONE = {errno.EPIPE, errno.EINVAL} if os.name == "nt" else {errno.EPIPE}
"""How writing to a pipe that its reader has closed fails."""


class ReaderGoneError(Exception):
    """Whoever read our output has closed the pipe; no fault, but nothing is left to do."""


def clean(text: str) -> str:
    """The text with every control character made visible, so that it stays on its line."""
    return text.translate(_CONTROLS)


def coloured(stream: TextIO) -> bool:
    """Whether colours may be written there: a terminal that knows them, and nobody asked for none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return os.name != "nt" or "WT_SESSION" in os.environ


class Output:
    """What a command says, and in which form.

    Args:
        as_json: data is JSON, one document or one event a line.
        quiet: no talk but errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:  # whoever started us closed it
                setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for good
            stream = getattr(sys, name)
            if mode == "w" and isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    def line(self, text: str = "") -> None:
        """One line of data."""
        self._write(clean(text) + "\n")

    def text(self, text: str) -> None:
        """Data of several lines that is known to be harmless, as it is."""
        self._write(text)

    def document(self, value: Any) -> None:
        """One JSON document; of a list, one element a line."""
        if isinstance(value, list) and value:
            self._write("[\n" + ",\n".join("  " + self._json(element) for element in value) + "\n]\n")
        else:
            self._write(self._json(value) + "\n")

    def event(self, value: Mapping[str, Any]) -> None:
        """One JSON event on a line of its own, and at once."""
        self._write(self._json(value) + "\n")
        self.flush()

    def say(self, text: str) -> None:
        """One line of talk, unless it was asked to be quiet."""
        if not self.quiet:
            self._talk(_fitted(clean(text)))

    def complain(self, text: str) -> None:
        """Talk of several lines that even ``--quiet`` lets through, like a traceback."""
        self._talk("\n".join(map(clean, text.splitlines())))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = ()) -> None:
        """A table of data; None and "" leave a cell empty; ``spare`` is as in ``drawn``."""
        if not sys.stdout.isatty():
            self._write(_aligned(columns, _cells(rows)))
            return
        from rich.console import Console

        drawn = io.StringIO()
        width = Console().width
        table = self.drawn(columns, rows, spare=spare, width=width)
        Console(file=drawn, force_terminal=True, width=width, highlight=False).print(table)
        self._write(drawn.getvalue())

    def drawn(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        spare: Sequence[str] = (),
        width: int,
    ) -> Table:
        """The same table for a terminal of ``width`` columns, as rich draws it.

        ``spare`` columns without a value are left out. Where it is still too narrow, the widest column is folded; where
        that is not enough, further spare columns are left out, the first of them first: an id that goes on in the next
        line cannot be copied.
        """
        from rich.table import Table
        from rich.text import Text

        cells = _cells(rows)
        widths = _fitting_widths(columns, cells, spare, width)
        widest = max(widths, key=widths.__getitem__)
        is_enough = _least_width(widths) <= width
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in widths:
            table.add_column(column, overflow="fold", no_wrap=is_enough and column != widest)
        places = [columns.index(column) for column in widths]
        for row in cells:
            table.add_row(*(Text(row[place]) for place in places))
        return table

    def pairs(self, pairs: Mapping[str, object]) -> None:
        """Names and their values, one pair a line; a pair whose value is None is left out."""
        shown = {name: clean(str(value)) for name, value in pairs.items() if value is not None}
        width = max(map(len, shown), default=0)
        self._write("".join(f"{name:<{width}}  {value}".rstrip() + "\n" for name, value in shown.items()))

    def error(self, error: EnmError, *, about: str = "") -> None:
        """One error as its line and its remedy, or as one line of JSON; ``about`` is the board that it befell."""
        if self.as_json:
            self._talk(
                json.dumps(
                    {
                        **({"board": about} if about else {}),
                        "error": error.message,
                        "reason": error.reason,
                        "remedy": error.remedy,
                        "exit_code": int(error.exit_code),
                    }
                )
            )
            return
        start, end = (RED, PLAIN) if coloured(sys.stderr) else ("", "")
        said = _fitted(f"enmctl: {clean(f'{about}: ' if about else '')}{clean(error.message)}")
        self._talk(said.replace("enmctl:", f"{start}enmctl:{end}", 1))
        if error.remedy:
            self._talk(_fitted(f"  {_arrow()} {clean(error.remedy)}", indent="    "))

    def flush(self) -> None:
        """Hand on what is buffered.

        Raises:
            ReaderGoneError: nobody reads it any more.
            OutputError: it cannot be written.
        """
        self._write("", flush=True)

    def _json(self, value: Any) -> str:
        whole = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        return json.dumps(value, ensure_ascii=not whole)

    def _talk(self, text: str) -> None:
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody listens; the exit code still tells

    def _write(self, text: str, *, flush: bool = False) -> None:
        try:
            sys.stdout.write(text)
            if flush:
                sys.stdout.flush()
        except OSError as error:
            if error.errno in _GONE:
                raise ReaderGoneError from None
            raise OutputError(f"the output cannot be written: {error.strerror}") from error


def _fitted(text: str, *, indent: str = "") -> str:
    """The text, broken at its spaces where stderr is a terminal and too narrow for it."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    except (OSError, ValueError):
        width = 0
    if width < NARROWEST or len(text) <= width:
        return text
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _arrow() -> str:
    """What points to a remedy, in letters that stderr has."""
    try:
        "→".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return "->"
    return "→"


def _cells(rows: Iterable[Sequence[object]]) -> list[list[str]]:
    return [["" if cell is None else clean(str(cell)) for cell in row] for row in rows]


def _fitting_widths(
    columns: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[str], most: int
) -> dict[str, int]:
    """The columns that are drawn where there is room for so many, each with its width and the gap behind it."""
    from rich.cells import cell_len

    widths = {
        column: max(cell_len(line[place]) for line in (columns, *cells)) + GAP for place, column in enumerate(columns)
    }
    for column in spare:
        place = columns.index(column)
        is_empty = bool(cells) and not any(line[place] for line in cells)
        if is_empty or _least_width(widths) > most:
            del widths[column]
    return widths


def _least_width(widths: Mapping[str, int]) -> int:
    """What the columns need in which none but the widest is folded."""
    widest = max(widths.values())
    return sum(widths.values()) - widest + min(widest, FOLDED_LEAST) - GAP


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text in columns two spaces apart, nothing cut off."""
    lines = [columns, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def discard_output() -> None:
    """Point stdout at nothing, so that the interpreter's last flush meets no closed pipe."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass  # a stream that is no file of the system's needs none of this
