"""What can still be read of a damaged database: devices, tombstones, provisionings under way, facts, lock ids.

History (attempts, events) is not carried over; it stays in the file that is set aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from enmctl.store import faults, schema
from enmctl.store.rows import listed, places

_TABLES: Final = ("devices", "pending", "meta", "locks")
_FORGET_LISTS: Final = (
    "UPDATE devices SET first_listed = NULL",
    "UPDATE pending SET list_serial = 0",
    "DELETE FROM meta WHERE key = 'list_serial'",
)
"""The source's lists are numbered anew: as with a lost database, devices that could not be saved are in the very first
one, and a board without a device takes one of those before another is asked for."""

_TYPES: Final = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int)}
_MOST_ROWS: Final = 1_000_000
"""A damaged tree may run in a circle; no gateway has so many devices."""


def damage(connection: sqlite3.Connection) -> str:
    """What is wrong with a database, in a few words, or "".

    Raises:
        sqlite3.Error: it cannot be looked at for another reason than damage.
    """
    try:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            return found.replace("\n", " ")
        if schema.is_ours(connection) and schema.version(connection) == schema.latest():
            lost = schema.missing(connection)
            return f"it lacks the {lost}" if lost else ""
    except sqlite3.Error as error:
        if not faults.is_damage(error):
            raise
        return str(error)
    return ""


def salvage(damaged: Path, new: sqlite3.Connection) -> int:
    """Copy what can be read of ``damaged`` into the fresh tables of ``new``; the devices among it are counted."""
    with suppress(sqlite3.Error), closing(_opened(damaged)) as old:
        for table in _TABLES:
            with suppress(sqlite3.Error):
                _copy(table, old, new)
    for statement in _FORGET_LISTS:
        new.execute(statement)
    return int(new.execute("SELECT count(*) FROM devices").fetchone()[0])


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)


def _copy(table: str, old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    kinds = schema.column_kinds(new, table)
    columns = [column for column in schema.column_kinds(old, table) if column in kinds]
    if not columns:
        return
    insert = f"INSERT OR IGNORE INTO {table} ({listed(columns)}) VALUES ({places(columns)})"  # noqa: S608 - names of our own
    expected = [kinds[column] for column in columns]
    for row in _readable(table, columns, old):
        if all(_fits(value, kind, nullable) for value, (kind, nullable) in zip(row, expected, strict=True)):
            with suppress(sqlite3.Error, UnicodeError):
                new.execute(insert, row)


def _fits(value: Any, kind: str, nullable: bool) -> bool:
    return nullable if value is None else isinstance(value, _TYPES[kind])


def _readable(table: str, columns: Sequence[str], old: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Every row that can be reached: from the front, from the back, and one by one through the primary key's index."""
    select = f"SELECT rowid, {listed(columns)} FROM {table}"  # noqa: S608 - names of our own
    found: dict[int, tuple[Any, ...]] = {}
    for sql in (f"{select} ORDER BY rowid", f"{select} ORDER BY rowid DESC"):
        for rowid, *row in _until_broken(old, sql):
            found.setdefault(rowid, tuple(row))
    by_key = f"SELECT rowid FROM {table} ORDER BY {listed(columns[:1])}"  # noqa: S608 - names of our own
    for (rowid,) in _until_broken(old, by_key):
        if rowid not in found:
            for _, *row in _until_broken(old, f"{select} WHERE rowid = ?", rowid):
                found[rowid] = tuple(row)
    return [found[rowid] for rowid in sorted(found)]


def _until_broken(connection: sqlite3.Connection, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    with suppress(sqlite3.Error):
        cursor = connection.execute(sql, values)
        for _ in range(_MOST_ROWS):
            row = cursor.fetchone()
            if row is None:
                return
            yield row
