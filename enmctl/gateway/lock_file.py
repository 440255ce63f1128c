"""One file of the update lock: made exclusively, as the Supervisor makes it, and held with flock by those who live.

The Supervisor knows of no flock, and for it the file is the lock. Among ourselves the flock tells a lock whose holder
lives from one that a killed program left: the system takes it back, whatever way its holder ends. Several programs of
one gateway may share a lock; the last of them removes it. On Windows, where no Supervisor is, there is the file alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enmctl import file_lock

ID_MOST: Final = 256
"""Bytes of a lock file that are read: ours is shorter."""

_FLOCKS: Final = sys.platform != "win32"  # there an open file cannot be removed

_LOOK: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
"""Whatever lies there under the lock's name, opening it neither waits nor leads elsewhere."""


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A lock file that this program holds; ``descriptor`` is None where there is no flock."""

    path: Path
    lock_id: str
    descriptor: int | None

    def let_go(self) -> None:
        """Hold it no more; the last one removes it."""
        if self.descriptor is None:
            _remove(self.path, self.lock_id)
            return
        try:
            file_lock.let_go(self.descriptor)
            if file_lock.take(self.descriptor):
                _remove_open(self.path, self.lock_id, self.descriptor)
        finally:
            os.close(self.descriptor)


def is_there(path: Path) -> bool:
    """Whether anything has the lock's name."""
    return os.path.lexists(path)


def create(path: Path, lock_id: str) -> HeldFile | None:
    """Make the lock with its id in it, held and at once and exclusively; None where it is there already.

    The id is written to a file beside it, which is then linked to the lock's name: nobody ever sees a lock without id,
    or one that is not held.

    Raises:
        OSError: it cannot be made here.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        held = _create_directly(draft, lock_id)
        try:
            os.link(draft, path)
        except FileExistsError:
            _close(held)
            return None
        except OSError:  # a file system without hard links
            _close(held)
            return _created(path, lock_id)
        return HeldFile(path, lock_id, held)
    finally:
        draft.unlink(missing_ok=True)


def join(path: Path, lock_id: str) -> HeldFile | None:
    """Share the lock with its holder, which lives; None where it is not there any more, or cannot be shared."""
    descriptor = _open(path) if _FLOCKS else None
    if descriptor is None:
        return None
    with contextlib.suppress(OSError):
        if file_lock.take(descriptor, shared=True) and _is_at(path, descriptor) and _content(descriptor) == lock_id:
            return HeldFile(path, lock_id, descriptor)
    os.close(descriptor)
    return None


def read(path: Path) -> str:
    """The id in a lock; "" for one that is no file, or cannot be read."""
    descriptor = _open(path)
    if descriptor is None:
        return ""
    try:
        return _content(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path, lock_id: str, *, in_doubt: bool) -> bool:
    """Remove the lock of this id if nobody who lives holds it; whether nobody does.

    Args:
        path: the lock.
        lock_id: its id.
        in_doubt: what is taken for true where there is no flock.
    """
    descriptor = _open(path)
    if descriptor is None:
        return False
    try:
        try:
            is_abandoned = file_lock.take(descriptor) if _FLOCKS else in_doubt
        except OSError:
            is_abandoned = in_doubt
        if is_abandoned and _FLOCKS:
            _remove_open(path, lock_id, descriptor)
    finally:
        os.close(descriptor)
    if is_abandoned and not _FLOCKS:
        _remove(path, lock_id)
    return is_abandoned


def _created(path: Path, lock_id: str) -> HeldFile | None:
    try:
        return HeldFile(path, lock_id, _create_directly(path, lock_id))
    except FileExistsError:
        return None


def _create_directly(path: Path, lock_id: str) -> int | None:
    """Make a file and hold it, before its content is there; its descriptor, None where there is no flock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        is_held = _held(descriptor)
        os.write(descriptor, lock_id.encode())
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    if is_held:
        return descriptor
    os.close(descriptor)
    return None


def _held(descriptor: int) -> bool:
    """Hold a new file, shared from the first for whoever joins; False where there is no flock."""
    if not _FLOCKS:
        return False
    try:
        return file_lock.take(descriptor, shared=True)
    except OSError:
        return False


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    """Open a lock to be looked at; None for what is no file: a pipe, a folder, a link, nothing."""
    try:
        descriptor = os.open(path, _LOOK)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _content(descriptor: int) -> str:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, ID_MOST).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file still has its name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def _remove_open(path: Path, lock_id: str, descriptor: int) -> None:
    """Remove the lock, held alone, if it is still this file with this id."""
    if _is_at(path, descriptor) and _content(descriptor) == lock_id:
        with contextlib.suppress(OSError):
            path.unlink()


def _remove(path: Path, lock_id: str) -> None:
    """Remove the lock if it is still the one with this id."""
    if read(path) == lock_id:
        with contextlib.suppress(OSError):
            path.unlink()
