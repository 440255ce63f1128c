"""One gateway a database: a lock file beside it, which also tells the command line whom it finds at work, and where.

``enm.db.lock`` stays when its gateway ends, for a file that is removed could be locked twice. What counts is the lock
on it, which the system takes back even after ``kill -9``; its content only says who holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from enmctl import file_lock
from enmctl.errors import BusyError, StoreError

HOLD_PATIENCE: Final = 0.5
"""Seconds in which a starting gateway tries again; a look whether one runs takes the lock for a moment."""

LOOK_PATIENCE: Final = 0.3
"""Seconds that a look gives a gateway which has the lock to say who it is; and on Windows, other looks to end."""

TRY_AGAIN: Final = 0.01
"""Seconds between two tries."""

CONTENT_MOST: Final = 4096
"""Bytes of the lock file that are read; ours holds some hundred."""


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway at work; each field is None as long as it has not said it.

    ``started_at`` is seconds since the epoch, ``api_address`` like ``http://127.0.0.1:1337``.
    """

    pid: int | None = None
    started_at: float | None = None
    api_address: str | None = None

    def __str__(self) -> str:
        words = ["a gateway" if self.pid is None else f"a gateway (process {self.pid})"]
        if self.started_at is not None:
            words.append(f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.started_at))}")
        if self.api_address is not None:
            words.append(f"with its HTTP API at {self.api_address}")
        return " ".join(words)


class Instance:
    """This process as the one gateway of a database. Made by ``hold``."""

    def __init__(self, descriptor: int, database: Path) -> None:
        self._descriptor = descriptor
        self._database = database
        self._started_at = time.time()

    @classmethod
    @contextmanager
    def hold(cls, database: Path) -> Iterator[Self]:
        """Be the one gateway of ``database`` within the context.

        Raises:
            BusyError: another gateway is (reason ``another-gateway``); the message names it.
            StoreError: the lock file cannot be made (reason ``lock-file``).
        """
        path = lock_path(database)
        descriptor = _open_to_hold(path)
        try:
            _take(descriptor, path, database)
            instance = cls(descriptor, database)
            instance.announce(None)
            try:
                yield instance
            finally:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def announce(self, api_address: str | None) -> None:
        """Say who holds the database, and where its HTTP API answers.

        Raises:
            StoreError: it cannot be written; the disk is full.
        """
        facts = {"pid": os.getpid(), "started_at": self._started_at, "api_address": api_address}
        content = json.dumps(facts).encode()
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, content)
        except OSError as error:
            raise _unusable(lock_path(self._database), error) from None


def lock_path(database: Path) -> Path:
    """The lock file of a database, by whatever links it was named."""
    real = Path(os.path.realpath(database))
    return real.with_name(f"{real.name}.lock")


def running(database: Path) -> RunningGateway | None:
    """The gateway that has this database now, None where none has.

    Raises:
        StoreError: this user may not look (reason ``lock-file``).
    """
    path = lock_path(database)
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> RunningGateway | None:
    """Who has the lock on an open lock file; looks again while it has not said who it is."""
    deadline = time.monotonic() + LOOK_PATIENCE
    while True:
        try:
            if file_lock.take(descriptor, shared=True):
                file_lock.let_go(descriptor)
                return None
        except OSError:
            return None
        gateway = _told(descriptor)
        if gateway is not None:
            return gateway
        if time.monotonic() > deadline:
            return RunningGateway()
        time.sleep(TRY_AGAIN)


def _told(descriptor: int) -> RunningGateway | None:
    """What the lock file says, None where it is empty or half written."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        facts: Any = json.loads(os.read(descriptor, CONTENT_MOST))
        pid, started_at, api_address = facts["pid"], facts["started_at"], facts["api_address"]
        known = isinstance(pid, int) and isinstance(started_at, int | float) and isinstance(api_address, str | None)
        return RunningGateway(pid, float(started_at), api_address) if known else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _open_to_hold(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unusable(path, error) from None


def _take(descriptor: int, path: Path, database: Path) -> None:
    deadline = time.monotonic() + HOLD_PATIENCE
    while True:
        try:
            if file_lock.take(descriptor):
                return
        except OSError as error:
            _warn_of_no_lock(path, error)
            return
        if time.monotonic() > deadline:
            break
        time.sleep(TRY_AGAIN)
    other = _told(descriptor) or RunningGateway()
    raise BusyError(
        f"{other} has the database {database}",
        remedy="stop it first, or go through it: enmctl status shows how it stands",
        reason="another-gateway",
    )


def _warn_of_no_lock(path: Path, error: OSError) -> None:
    import logging  # not needed by those who only look

    logging.getLogger(__name__).warning(
        "%s cannot be locked (%s): see that no second gateway starts", path, error.strerror
    )


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the lock file {path} cannot be used ({error.strerror or error})",
        remedy="see that its folder is there and that this user may write to it, or name another by ENM_DB_DIRECTORY",
        reason="lock-file",
    )
