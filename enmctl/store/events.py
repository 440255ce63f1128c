"""The lines of the devices' logs, the last so many of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enmctl.models import Event
from enmctl.store import queries, rows
from enmctl.store.tables import Tables

if TYPE_CHECKING:
    from sqlite_utils import Database

_COLUMNS: Final = ("at", "uuid", "level", "message")
_SLACK: Final = 20
"""Old lines are removed once the new ones are this part (a twentieth) of what is kept."""


class EventLog(Tables):
    """Lines of device logs, the last ``history_limit`` of them (and up to a twentieth more)."""

    def __init__(self, database: Database, path: Path, history_limit: int) -> None:
        super().__init__(database, path, history_limit)
        self._added = history_limit  # the first write looks for old lines

    def add_events(self, lines: Iterable[tuple[float, str, str, str]]) -> None:
        """Add lines in one transaction: each when (seconds since the epoch), uuid, level and message."""
        new = [dict(zip(_COLUMNS, map(rows.cell, line), strict=True)) for line in lines]
        with self.writing() as database:
            events = database.table("events").insert_all(new)
            added = self._added + len(new)
            if added * _SLACK >= self._history_limit:
                last = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?"
                events.delete_where(f"id <= ({last})", [self._history_limit])
                added = 0
        self._added = added

    def events(self, uuid: str | None = None, *, limit: int = 100, after: int = 0) -> list[Event]:
        """Lines of one device, or of all, as they were written.

        Without ``after`` the last ``limit``; with it the first ``limit`` after the line with that id, so that a reader
        who asks again and again misses none.
        """
        with self.reading() as connection:
            return queries.select_events(connection, uuid, limit=limit, after=after)
