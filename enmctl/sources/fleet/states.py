"""By what a change of a file is known: its state, taken before it is read, so that no change meanwhile is missed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

State = tuple[int, int, int]
"""Time of change in nanoseconds, size in bytes, inode."""

States = dict[Path, State]

NOT_THERE: Final[State] = (0, 0, 0)


def state_of(path: Path) -> State:
    """The state of a file now."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return NOT_THERE
    return found.st_mtime_ns, found.st_size, found.st_ino


def states_of(paths: Iterable[Path]) -> States:
    """The states of some files now."""
    return {path: state_of(path) for path in paths}


def look_at(path: Path, seen: States) -> None:
    """Note the state of a file that is about to be read; the first one counts where it is read again."""
    if path not in seen:
        seen[path] = state_of(path)
