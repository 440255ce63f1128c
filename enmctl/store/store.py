"""The store: one SQLite file, opened, checked and ready for one thread."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from enmctl.store import files, opening
from enmctl.store.attempts import AttemptJournal
from enmctl.store.devices import DeviceTable
from enmctl.store.events import EventLog
from enmctl.store.facts import Facts
from enmctl.store.provisioning import ProvisioningJournal

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another program that writes to the same database."""

HISTORY_LIMIT: Final = 10_000
"""How many attempts and events are kept where no setting says otherwise."""


class Store(DeviceTable, ProvisioningJournal, AttemptJournal, EventLog, Facts):
    """Everything that the gateway remembers; used from one thread, the one that opened it.

    Every method raises ``StoreError`` where the database cannot do what is asked; then nothing of it was done.

    Attributes:
        path: where the file lies, links followed.
        notes: what a person should hear of the opening, a line each: an import, a damaged file set aside.
        fresh: whether the file was newly made in this opening.
    """

    notes: list[str]
    fresh: bool
    _closing: ExitStack

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        history_limit: int = HISTORY_LIMIT,
        busy_timeout: float = BUSY_TIMEOUT,
        set_aside: bool = True,
    ) -> Self:
        """Open the database, whatever lies at ``path``; ``enmctl.store.opening`` says what becomes of it.

        Args:
            path: the file; it and its folders are made where they are missing.
            history_limit: how many attempts, and how many events, are kept.
            busy_timeout: the longest wait for another program that writes, in seconds.
            set_aside: False for whoever is not the gateway: a damaged file is then an error, and stays.

        Raises:
            StoreError: it is locked, read-only, of a newer schema or another program's, or the disk is full or failed.
        """
        from sqlite_utils import Database

        path = files.real(path)
        opened = opening.open_database(path, busy_timeout=busy_timeout, set_aside=set_aside)
        store = cls(Database(opened.connection, execute_plugins=False), path, history_limit)
        store._closing = opened.closing
        store.notes = opened.notes
        store.fresh = opened.fresh
        return store

    def close(self) -> None:
        """Let the file go; a second time does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
