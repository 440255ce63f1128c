"""Which database files this process has open through SQLite, for nothing else may look into those.

On POSIX a process loses all of its locks on a file as soon as it closes any descriptor of it (fcntl(2); "How To Corrupt
An SQLite Database File", 2.2). Whichever other program closes the database next takes itself for the last one then, and
removes the log that this process goes on writing to: all of that is lost.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: Counter[Path] = Counter()
_alone = threading.RLock()


def take(path: Path) -> None:
    """Note that SQLite is about to open a file, by its path without links; waits while somebody looks into it."""
    with _alone:
        _held[path] += 1


def give_back(path: Path) -> None:
    """Note that SQLite has closed it."""
    with _alone:
        _held[path] -= 1


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Have it noted for as long as the context lasts."""
    take(path)
    try:
        yield
    finally:
        give_back(path)


@contextmanager
def looking(path: Path) -> Iterator[bool]:
    """Whether the file may be opened past SQLite within the context; SQLite opens none meanwhile."""
    with _alone:
        yield not _held[path]
