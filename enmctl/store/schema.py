"""The database's tables, as numbered steps from nothing to now.

A database tells its version by ``PRAGMA user_version``, and that it is ours by ``PRAGMA application_id``. A released
step is never changed: a new one is added to ``MIGRATIONS``, and each version's schema is frozen among the tests.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from enmctl.errors import StoreError

APPLICATION_ID: Final = 0x656E6D31
"""``enm1``; SQLite keeps it in bytes 68-71 of the file."""

_VERSION_1: Final = (
    """
    CREATE TABLE devices (
        uuid TEXT NOT NULL PRIMARY KEY CHECK (uuid <> ''),
        application_id INTEGER NOT NULL,
        board_type TEXT NOT NULL,
        local_id TEXT,
        name TEXT NOT NULL DEFAULT '',
        "commit" TEXT,
        target_commit TEXT,
        config TEXT CHECK (config IS NULL OR json_valid(config)),
        target_config TEXT CHECK (target_config IS NULL OR json_valid(target_config)),
        environment TEXT CHECK (environment IS NULL OR json_valid(environment)),
        target_environment TEXT CHECK (target_environment IS NULL OR json_valid(target_environment)),
        restart_wanted INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0,
        unlisted INTEGER NOT NULL DEFAULT 0,
        held_target TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        failed_target TEXT,
        failed_permanently INTEGER NOT NULL DEFAULT 0,
        failed_at REAL,
        retry_at REAL,
        first_listed INTEGER
    )
    """,
    # A board is at most one device; deleted ones remember theirs beside it.
    """
    CREATE UNIQUE INDEX devices_board ON devices (application_id, local_id)
    WHERE local_id IS NOT NULL AND deleted = 0
    """,
    """
    CREATE TABLE pending (
        application_id INTEGER NOT NULL,
        local_id TEXT NOT NULL,
        board_type TEXT NOT NULL,
        list_serial INTEGER NOT NULL,
        asked_at REAL NOT NULL,
        asked INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (application_id, local_id)
    )
    """,
    """
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        application_id INTEGER NOT NULL,
        local_id TEXT NOT NULL,
        uuid TEXT,
        "commit" TEXT,
        started_at REAL NOT NULL,
        ended_at REAL,
        outcome TEXT NOT NULL DEFAULT 'running',
        proof TEXT,
        reason TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        sent INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX attempts_of_device ON attempts (uuid, id)",
    "CREATE INDEX attempts_of_board ON attempts (local_id, id)",
    "CREATE INDEX attempts_running ON attempts (id) WHERE outcome = 'running'",
    """
    CREATE TABLE stages (
        attempt_id INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (attempt_id, stage)
    )
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        uuid TEXT NOT NULL,
        level TEXT NOT NULL,
        message TEXT NOT NULL
    )
    """,
    "CREATE INDEX events_of_device ON events (uuid, id)",
    "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE locks (id TEXT NOT NULL PRIMARY KEY)",
)

_VERSION_2: Final = (
    "ALTER TABLE devices ADD COLUMN commit_at REAL",
    "ALTER TABLE devices ADD COLUMN good_commit TEXT",
    "ALTER TABLE devices ADD COLUMN pinned_commit TEXT",
    "ALTER TABLE devices ADD COLUMN pinned_target TEXT",
    "ALTER TABLE devices ADD COLUMN pinned_by TEXT",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)
"""What leads from version n to n + 1, at place n; each is carried out whole or not at all."""


def latest() -> int:
    """The version that this enmctl reads and writes."""
    return len(MIGRATIONS)


def version(connection: sqlite3.Connection) -> int:
    """The database's version; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether enmctl made this database, or nobody put anything into it yet."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        return True
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not for this enmctl.

    Raises:
        StoreError: it is another program's (reason ``not-ours``), or of a later enmctl (``newer-schema``).
    """
    if not is_ours(connection):
        raise StoreError(
            f"the database {path} is another program's",
            remedy="name another file by ENM_DB_FILE",
            reason="not-ours",
            permanent=True,
        )
    found = version(connection)
    if found > latest():
        raise StoreError(
            f"the database {path} is of version {found}, and this enmctl knows {latest()}",
            remedy="install the newer enmctl again, or name another file by ENM_DB_FILE",
            reason="newer-schema",
            permanent=True,
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, inside the writing transaction that the caller has begun."""
    found = version(connection)
    if found == latest():
        return
    for number in range(found, latest()):
        for statement in MIGRATIONS[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def missing(connection: sqlite3.Connection) -> str:
    """A table, column or index that should be there and is not, or ""."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        migrate(pattern)
        expected = _outline(pattern)
    found = _outline(connection)
    return next((f"{kind} {name}" for kind, name in sorted(expected - found)), "")


def column_kinds(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool]]:
    """The columns of a table: each with its declared type, and whether it may be NULL; empty where it is missing."""
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: (kind, not required) for _, name, kind, required, _, _ in rows}


def _outline(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    named = connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    columns = {
        ("column", f"{table}.{column}")
        for kind, table in named
        if kind == "table"
        for column in column_kinds(connection, table)
    }
    return {*named, *columns}
