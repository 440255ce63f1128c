"""The connection that every table of the store writes through, one transaction at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from enmctl.store.faults import is_lock, translated

if TYPE_CHECKING:
    from sqlite_utils import Database


class Tables:
    """What the store's tables share: the database, and how it is read and written.

    Args:
        database: open, in autocommit mode; used by one thread.
        path: where it lies, for what errors say.
        history_limit: how many attempts, and how many events, are kept.
    """

    def __init__(self, database: Database, path: Path, history_limit: int) -> None:
        self.path = path
        self._database = database
        self._connection: sqlite3.Connection = database.conn
        self._history_limit = history_limit
        self._joined = False
        self._rolled_back = False
        self._waits_once = False
        self._lock_met: sqlite3.Error | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read; faults of the database come out as ``StoreError``."""
        with translated(self.path):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """One transaction that is all there at the end, or not at all; it takes the write lock before it looks.

        Raises:
            StoreError: the database refuses it; nothing was written.
        """
        connection = self._connection
        with translated(self.path):
            if not connection.in_transaction:
                self._begin()
            if self._joined:
                connection.execute("SAVEPOINT call")
            try:
                yield self._database
                connection.execute("RELEASE call" if self._joined else "COMMIT")
            except BaseException:
                self._undo()
                raise

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let what is written in this block share one transaction, and so one wait for the disk.

        Each ``writing`` inside still is all there or not at all. Nothing counts as written before the block has ended.

        Raises:
            StoreError: the database refused the whole at its end; nothing was written.
        """
        self._joined = True
        self._rolled_back = False
        try:
            yield
            with translated(self.path):
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")
        finally:
            self._joined = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def one_wait(self) -> Iterator[None]:
        """Have no more than one ``writing`` in this block wait for another program's lock: the next fail as it did."""
        self._waits_once = True
        try:
            yield
        finally:
            self._waits_once, self._lock_met = False, None

    @property
    def is_unwritten(self) -> bool:
        """Whether nothing was written that is not on the disk yet."""
        return not self._connection.in_transaction

    def lost_all(self) -> bool:
        """Whether, since last asked, a fault took everything that was written in the ``joined`` block so far."""
        lost, self._rolled_back = self._rolled_back, False
        return lost

    def _begin(self) -> None:
        if self._lock_met is not None:
            raise self._lock_met.with_traceback(None)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if self._waits_once and is_lock(error):
                self._lock_met = error
            raise

    def _undo(self) -> None:
        connection = self._connection
        if not connection.in_transaction:  # SQLite undid the whole by itself, as it does on a full disk
            self._rolled_back = True
            return
        if self._joined:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK TO call")
                connection.execute("RELEASE call")
                return
            self._rolled_back = True
        connection.execute("ROLLBACK")
