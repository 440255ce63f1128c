"""Reading the database beside a running gateway, at the price of sqlite3 and json alone.

Nothing is made, changed or waited for longer than ``BUSY_TIMEOUT``. A missing file reads as empty: nothing was
provisioned yet.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from enmctl.errors import StoreError
from enmctl.models import Attempt, Device, Event
from enmctl.store import held, queries, schema
from enmctl.store.faults import translated
from enmctl.store.files import Kind, kind_of, real

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another program that has the database to itself."""


def read_devices(path: Path, *, deleted: bool | None = False) -> list[Device]:
    """The devices that are deleted, that are not, or (None) all, in the order in which they were added.

    Raises:
        StoreError: the file cannot be read, or is no database of this enmctl; so do all functions here.
    """
    with _opened(path) as connection:
        return [] if connection is None else queries.all_devices(connection, deleted)


def find_devices(path: Path, word: str, *, deleted: bool | None = False) -> list[Device]:
    """The devices that a person may mean: by uuid, else local id, else name, else the uuid's first letters (4 on)."""
    with _opened(path) as connection:
        return [] if connection is None else queries.find_devices(connection, word, deleted)


def read_attempts(
    path: Path, uuid: str | None = None, local_id: str | None = None, *, limit: int = 100
) -> list[Attempt]:
    """The latest attempts at a device or board, or at all, newest first."""
    with _opened(path) as connection:
        if connection is None:
            return []
        return queries.select_attempts(connection, uuid=uuid, local_id=local_id, limit=limit)


def read_events(path: Path, uuid: str | None = None, *, limit: int = 100, after: int = 0) -> list[Event]:
    """Lines of one device's log, or of all, as they were written: the last ``limit``, or the first after an id."""
    with _opened(path) as connection:
        return [] if connection is None else queries.select_events(connection, uuid, limit=limit, after=after)


def read_meta(path: Path, key: str) -> str | None:
    """A fact by its name, None where it is not known."""
    with _opened(path) as connection:
        return None if connection is None else queries.meta_value(connection, key)


def read_facts(path: Path, prefix: str) -> dict[str, str]:
    """The facts whose names begin so, by the rest of their names."""
    with _opened(path) as connection:
        return {} if connection is None else queries.meta_values(connection, prefix)


def check(path: Path) -> int | None:
    """Look through the whole file; how many devices it has, None where there is none yet.

    Raises:
        StoreError: it is damaged, or cannot be read.
    """
    with _opened(path) as connection:
        if connection is None:
            return None
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(
                f"the database {path} is damaged ({found.splitlines()[-1]})",
                remedy="restart `enmctl run`: it sets the file aside and goes on with what can still be read",
                reason="damaged",
            )
        return len(queries.all_devices(connection, False))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    path = real(path)
    kind = kind_of(path)
    if kind is Kind.BOLT:
        raise StoreError(
            f"the database {path} still is edge-node-manager's",
            remedy="start `enmctl run`: it imports the devices",
            reason="older-schema",
        )
    if kind is Kind.OTHER:
        raise StoreError(
            f"the database {path} is damaged (it is no database)",
            remedy="start `enmctl run`: it sets the file aside and goes on with a new one",
            reason="damaged",
        )
    if kind is Kind.NOTHING:
        yield None
        return
    with translated(path), held.holding(path), closing(_connected(path)) as connection:
        yield connection if _has_tables(connection, path) else None


def _connected(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError:
        # SQLite wants to write the side files of its write-ahead log. Whoever may not can read all the same while
        # nobody else has the database open, and then there is no log.
        connection.close()
        if os.access(path.parent, os.W_OK) or _has_log(path):
            raise
        connection = _connect(path, "immutable=1")
    return connection


def _has_log(path: Path) -> bool:
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


def _has_tables(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether there is anything to read; a database that is just being made is empty."""
    schema.check(connection, path)
    found = schema.version(connection)
    if found not in {0, schema.latest()}:
        raise StoreError(
            f"the database {path} is of version {found}, and this enmctl reads {schema.latest()}",
            remedy="start `enmctl run`: it brings the database up to date",
            reason="older-schema",
        )
    return found > 0
