"""What SQLite and the file system complain of, as ``StoreError``: the one place that knows their codes.

The reasons: ``locked``, ``read-only``, ``disk-full``, ``disk``, ``damaged``, ``newer-schema``, ``older-schema``,
``not-ours``, ``not-a-file``, ``conflict``, ``value``, ``closed``, and ``store`` for the rest.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enmctl.errors import StoreError

_LEAST_ROOM = 64 * 1024
"""With fewer bytes free than this, a failed write is put down to the full disk; SQLite often only says "I/O error"."""

_NO_ROOM = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)  # Windows has no EDQUOT
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

# Primary result codes, https://www.sqlite.org/rescode.html; Python names them since 3.11.
_REASONS = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_AUTH: "read-only",
    sqlite3.SQLITE_FULL: "disk-full",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_CONSTRAINT: "conflict",
    sqlite3.SQLITE_TOOBIG: "value",
    sqlite3.SQLITE_MISMATCH: "value",
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite or the file system raises over the database at ``path`` into a ``StoreError``.

    Raises:
        StoreError: with what happened, a remedy, and one of this module's reasons.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, path) from error
    except OSError as error:
        raise _of_disk(error, path) from error
    except OverflowError as error:
        raise _told("value", path, "an integer needs more than 64 bits") from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is not a sound database."""
    return _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_lock(error: sqlite3.Error) -> bool:
    """Whether the error says that another program has the database locked."""
    return _REASONS.get(_primary_code(error)) == "locked"


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _of_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    code = _primary_code(error)
    reason = _REASONS.get(code, "store")
    if code == sqlite3.SQLITE_CANTOPEN:
        reason = "disk" if os.access(path.parent, os.W_OK) else "read-only"
    if reason == "disk" and _is_full(path):
        reason = "disk-full"
    if isinstance(error, sqlite3.ProgrammingError):
        reason = "closed"
    return _told(reason, path, str(error))


def _of_disk(error: OSError, path: Path) -> StoreError:
    reason = "disk"
    if error.errno in _NO_ROOM:
        reason = "disk-full"
    elif error.errno in _NOT_ALLOWED:
        reason = "read-only"
    elif error.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
        reason = "not-a-file"
    return _told(reason, path, error.strerror or str(error))


def _is_full(path: Path) -> bool:
    import shutil

    try:
        return shutil.disk_usage(path.parent).free < _LEAST_ROOM
    except OSError:
        return False


def _told(reason: str, path: Path, detail: str) -> StoreError:
    happened, remedy, permanent = {
        "locked": (
            f"the database {path} is locked by another program",
            "end that program (a database browser, a backup), then try again",
            False,
        ),
        "read-only": (
            f"the database {path} may not be read or written ({detail})",
            f"let the user that runs enmctl use {path.parent}, or name another folder by ENM_DB_DIRECTORY",
            False,
        ),
        "disk-full": (
            f"the disk that holds the database {path} is full",
            f"make room in {path.parent}, then try again; what is in the database is safe",
            False,
        ),
        "disk": (
            f"the disk that holds the database {path} failed ({detail})",
            "look for the disk's fault in dmesg, at its free space, quotas and limits, then try again",
            False,
        ),
        "damaged": (
            f"the database {path} is damaged ({detail})",
            "restart `enmctl run`: it sets the file aside and goes on with what can still be read",
            False,
        ),
        "not-a-file": (
            f"the database {path} cannot be made there ({detail})",
            "name another place by ENM_DB_DIRECTORY and ENM_DB_FILE",
            True,
        ),
        "conflict": (
            f"the database {path} refuses a row ({detail})",
            "look at what it holds with `enmctl devices`",
            True,
        ),
        "value": (f"the database {path} cannot hold a value ({detail})", "put it right where it comes from", True),
        "closed": (f"the database {path} is closed ({detail})", "", True),
        "store": (f"the database {path} failed ({detail})", "try again; if it stays so, restart `enmctl run`", False),
    }[reason]
    return StoreError(happened, remedy=remedy, reason=reason, permanent=permanent)
