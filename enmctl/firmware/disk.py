"""What firmware leaves on a disk: it is there after a power cut, or an error says why it is not."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enmctl.errors import StoreError

NO_ROOM = frozenset(
    number
    for name in ("ENOSPC", "EDQUOT", "EFBIG")
    if (number := getattr(errno, name, None)) is not None  # Windows has no EDQUOT
)


def disk_error(doing: str, error: OSError) -> StoreError:
    """The error to report when ``doing`` (like "unpacking a.tar") failed on the disk."""
    if error.errno in NO_ROOM:
        return StoreError(
            f"{doing} failed, there is no room on the disk",
            remedy="make room in ENM_ASSETS_DIRECTORY, it is tried again by itself",
            reason="disk-full",
        )
    return StoreError(
        f"{doing} failed, {error.strerror or error}",
        remedy="check that ENM_ASSETS_DIRECTORY can be written",
        reason="disk",
    )


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what the file system raises into a ``StoreError`` that says what was being done.

    Raises:
        StoreError: with the reason "disk-full" or "disk".
    """
    try:
        yield
    except OSError as error:
        raise disk_error(doing, error) from error


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk before this returns."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk before this returns; Windows does that without being asked."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sync_tree(path: Path) -> None:
    """Have a folder, all folders in it and all their files on the disk before this returns."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            sync_file(Path(folder, name))
        sync_folder(Path(folder))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
