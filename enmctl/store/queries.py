"""What is asked of the database, in words of the models; shared by the store and by those who only read beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

from enmctl.models import Attempt, Device, Event
from enmctl.store import rows

_DEVICES: Final = f"SELECT {rows.listed(rows.DEVICE_COLUMNS)} FROM devices"  # noqa: S608 - names of our own
_ATTEMPTS: Final = f"SELECT {rows.listed(rows.ATTEMPT_COLUMNS)} FROM attempts"  # noqa: S608 - names of our own
_AS_ADDED: Final = " ORDER BY rowid"
_SHORTEST_PREFIX: Final = 4
"""Letters of a uuid from which on it stands for the whole; fewer are too easily a local id mistyped."""

_MOST_NAMED: Final = 500
"""Ids named in one statement; SQLite takes 999 where it was built long ago."""


def select_devices(connection: sqlite3.Connection, where: str = "", values: Sequence[Any] = ()) -> list[Device]:
    """The devices for which ``where`` holds, in the order in which they were added."""
    condition = f" WHERE {where}" if where else ""
    with closing(connection.execute(_DEVICES + condition + _AS_ADDED, values)) as cursor:
        return rows.devices(cursor)


def write_count(connection: sqlite3.Connection) -> tuple[int, int]:
    """Two numbers of which one is another after each write: by another connection, and by this one.

    Take them before what they are to vouch for: what others write in between is then read again, never missed.
    (https://www.sqlite.org/pragma.html#pragma_data_version)
    """
    return int(connection.execute("PRAGMA data_version").fetchone()[0]), connection.total_changes


def all_devices(connection: sqlite3.Connection, deleted: bool | None) -> list[Device]:
    """The devices that are deleted, that are not, or (None) all."""
    return select_devices(connection) if deleted is None else select_devices(connection, "deleted = ?", [int(deleted)])


def one_device(connection: sqlite3.Connection, uuid: str) -> Device | None:
    """The device of this uuid, deleted or not."""
    return next(iter(select_devices(connection, "uuid = ?", [rows.cell(uuid)])), None)


def device_of(connection: sqlite3.Connection, application_id: int, local_id: str) -> Device | None:
    """The device that this board is, if it is one that was not deleted."""
    values = [rows.cell(application_id), rows.cell(local_id)]
    return next(iter(select_devices(connection, "application_id = ? AND local_id = ? AND deleted = 0", values)), None)


def find_devices(connection: sqlite3.Connection, word: str, deleted: bool | None) -> list[Device]:
    """The devices that a person may mean: by uuid, else local id, else name, else the uuid's first letters."""
    text = rows.cell(word)
    rest = "" if deleted is None else f" AND deleted = {int(deleted)}"
    for column in ("uuid", "local_id", "name"):
        if found := select_devices(connection, f"{column} = ?{rest}", [text]):
            return found
    if len(word) < _SHORTEST_PREFIX:
        return []
    return select_devices(connection, f"substr(uuid, 1, ?) = ?{rest}", [len(word), text])


def select_attempts(
    connection: sqlite3.Connection, *, uuid: str | None = None, local_id: str | None = None, limit: int
) -> list[Attempt]:
    """The latest attempts at a device or board, or at all, newest first."""
    wanted = {"uuid": uuid, "local_id": local_id}
    given = {column: rows.cell(value) for column, value in wanted.items() if value is not None}
    where = " WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
    found = connection.execute(f"{_ATTEMPTS}{where} ORDER BY id DESC LIMIT ?", [*given.values(), limit]).fetchall()
    return _with_stages(connection, found)


def running_attempts(connection: sqlite3.Connection) -> list[Attempt]:
    """The attempts of which no end is known, oldest first."""
    found = connection.execute(f"{_ATTEMPTS} WHERE outcome = 'running' ORDER BY id").fetchall()
    return _with_stages(connection, found)


def _with_stages(connection: sqlite3.Connection, found: Sequence[Sequence[Any]]) -> list[Attempt]:
    stages: dict[int, dict[str, float]] = {}
    ids = [row[0] for row in found]
    for start in range(0, len(ids), _MOST_NAMED):
        named = ids[start : start + _MOST_NAMED]
        sql = f"SELECT attempt_id, stage, seconds FROM stages WHERE attempt_id IN ({rows.places(named)})"  # noqa: S608 - question marks
        for attempt_id, stage, seconds in connection.execute(f"{sql} ORDER BY seconds", named):
            stages.setdefault(attempt_id, {})[stage] = seconds
    return [rows.attempt(row, stages.get(row[0], {})) for row in found]


def select_events(connection: sqlite3.Connection, uuid: str | None, *, limit: int, after: int) -> list[Event]:
    """Log lines as they were written: the last ``limit``, or the first ``limit`` after the one of that id."""
    where, values = ("uuid = ? AND ", [rows.cell(uuid)]) if uuid is not None else ("", [])
    order = "ASC" if after else "DESC"
    sql = f"SELECT id, at, uuid, level, message FROM events WHERE {where}id > ? ORDER BY id {order} LIMIT ?"  # noqa: S608 - words of our own
    found = [Event(*row) for row in connection.execute(sql, [*values, after, limit])]
    return found if after else found[::-1]


def meta_values(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """The facts whose names begin so, by the rest of their names."""
    found = connection.execute("SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?", [len(prefix), prefix])
    return {str(key)[len(prefix) :]: str(value) for key, value in found}


def meta_value(connection: sqlite3.Connection, key: str) -> str | None:
    """A fact by its name."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", [rows.cell(key)]).fetchone()
    return None if row is None else str(row[0])
