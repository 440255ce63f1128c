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
_alone = threading.Lock()


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Note that SQLite has a file open within the context, by its path without links; waits while it is looked into."""
    with _alone:
        _held[path] += 1
    try:
        yield
    finally:
        with _alone:
            _held[path] -= 1


@contextmanager
def looking(path: Path) -> Iterator[bool]:
    """Whether the file may be opened past SQLite within the context; SQLite opens none meanwhile."""
    with _alone:
        yield not _held[path]
