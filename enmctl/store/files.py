"""The database as files: what lies at its path, and how another file takes its place without a moment of loss.

Beside ``enm.db`` there may be SQLite's own ``-wal``, ``-shm`` and ``-journal``; ``enm.db.new``, being made to take its
place; ``enm.db.bolt``, what edge-node-manager left; and ``enm.db.damaged-YYYYMMDD-HHMMSS``, set aside.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from enmctl.errors import StoreError
from enmctl.store import held
from enmctl.store.faults import translated

_SQLITE_HEAD: Final = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html, 1.3
_PRIVATE: Final = stat.S_IRUSR | stat.S_IWUSR
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_BESIDE: Final = ("-wal", "-shm", "-journal")
_WORTH_KEEPING: Final = ("-wal", "-journal")  # the third is an index that SQLite makes anew


class Kind(Enum):
    """What lies at a database's path."""

    NOTHING = "nothing"
    SQLITE = "SQLite"
    BOLT = "BoltDB"
    OTHER = "something else"


def real(path: Path) -> Path:
    """The path without links: what is kept beside a database is to lie beside the file itself."""
    return Path(os.path.realpath(path))


def kind_of(path: Path) -> Kind:
    """Look at a file's head; an empty file is nothing yet. One that this process has open is SQLite's, unseen.

    Raises:
        StoreError: it is no file (reason ``not-a-file``), or cannot be read.
    """
    with translated(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return Kind.NOTHING
        if not stat.S_ISREG(mode):
            raise StoreError(
                f"{path} is no file, so no database",
                remedy="name another place by ENM_DB_DIRECTORY and ENM_DB_FILE",
                reason="not-a-file",
                permanent=True,
            )
        with held.looking(path) as may_look:
            return _looked_at(path) if may_look else Kind.SQLITE


def _looked_at(path: Path) -> Kind:
    with path.open("rb") as file:
        head = file.read(len(_SQLITE_HEAD))
        if not head:
            return Kind.NOTHING
        if head == _SQLITE_HEAD:
            return Kind.SQLITE
        from enmctl.store import bolt  # rarely needed, and not free

        return Kind.BOLT if bolt.recognised(head + file.read(bolt.HEAD_SIZE)) else Kind.OTHER


def name_of_new(path: Path) -> Path:
    """Where the file is made that will take the place of ``path``."""
    return path.with_name(f"{path.name}.new")


def name_for_bolt(path: Path) -> Path:
    """Where edge-node-manager's file is kept."""
    return _free(path.with_name(f"{path.name}.bolt"))


def name_for_damaged(path: Path) -> Path:
    """Where a damaged file is kept."""
    return _free(path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"))


def _free(wanted: Path) -> Path:
    name = wanted
    number = 2
    while any(os.path.lexists(f"{name}{suffix}") for suffix in ("", *_BESIDE)):
        name = wanted.with_name(f"{wanted.name}.{number}")
        number += 1
    return name


def create_private(path: Path) -> None:
    """Make an empty file where nothing is that only its owner reads; SQLite gives its rights to what it keeps beside."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE))


def make_private(path: Path) -> None:
    """Have nobody but us read a database of ours, for it holds the boards' passwords; where that fails it stays."""
    if os.name != "posix":
        return
    for suffix in ("", *_BESIDE):
        file = Path(f"{path}{suffix}")
        with suppress(OSError):
            found = file.stat()
            if found.st_uid == os.geteuid() and found.st_mode & _OF_OTHERS:
                file.chmod(stat.S_IMODE(found.st_mode) & ~_OF_OTHERS)


def remove(path: Path) -> None:
    """Remove a database with what SQLite keeps beside it."""
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def swap(path: Path, kept: Path) -> None:
    """Keep what is at ``path`` as ``kept``, and put the finished new file there.

    The side files go first: SQLite would play a left-over ``-wal`` into whatever file stands at the path. Killed
    between the two steps nothing is at the path but the finished new file beside it, which the next start takes.
    """
    for suffix in _BESIDE:
        side = Path(f"{path}{suffix}")
        if suffix in _WORTH_KEEPING and side.exists() and side.stat().st_size:
            side.replace(f"{kept}{suffix}")
        else:
            side.unlink(missing_ok=True)
    path.replace(kept)
    make_private(kept)
    sync_folder(path.parent)
    take_new(path)


def take_new(path: Path) -> None:
    """Put the finished new file to ``path``, where nothing is."""
    name_of_new(path).replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk before this returns; Windows does that without being asked."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
