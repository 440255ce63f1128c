"""Which way of showing progress suits where the output goes."""

from __future__ import annotations

import os
import shutil
import sys

from enmctl.cli.output import Output
from enmctl.cli.progress import Events, Lines, Progress

BARS_LEAST = 72
"""Columns that a bar with its words needs; a narrower terminal gets lines."""


def progress(output: Output) -> Progress:
    """The kind of progress that suits where the output goes."""
    if output.as_json:
        return Events(output)
    if output.quiet:
        return Progress()
    if not _takes_bars():
        return Lines(output)
    from enmctl.cli.bars import Bars

    return Bars()


def _takes_bars() -> bool:
    """Whether stderr is a terminal on which bars can be drawn, each on a line of its own."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    return shutil.get_terminal_size().columns >= BARS_LEAST
