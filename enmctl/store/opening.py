"""From a path to a database that can be trusted: made, imported, set aside, brought up to date, checked.

What lies at the path decides. Nothing: it is made. A sound database: it is brought up to date. A damaged one: it is set
aside with its date, and what can still be read goes into a new one. edge-node-manager's BoltDB: its devices go into a
new one, and the file is kept. A new database is made beside, in one transaction, and takes the place only when whole;
killed anywhere, the next start finds either the old file or the finished new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from enmctl.errors import StoreError
from enmctl.store import edge_node_manager, faults, files, held, rescue, schema, turn
from enmctl.store.files import Kind
from enmctl.store.rows import DEVICE_COLUMNS, device_cells, listed, places

_LARGEST_BOLT: Final = 256 << 20
"""Bytes; edge-node-manager needs about 2 KiB a device, indexes included."""


@dataclass(slots=True)
class Opened:
    """A database that was opened, what closes it again, and what a person should hear of it."""

    connection: sqlite3.Connection
    closing: ExitStack
    notes: list[str] = field(default_factory=list)
    fresh: bool = False


def open_database(path: Path, *, busy_timeout: float, set_aside: bool) -> Opened:
    """Open the database at ``path`` for writing, whatever lies there.

    Args:
        path: an absolute path; folders are made.
        busy_timeout: the longest wait for another program's lock, in seconds.
        set_aside: whether a damaged file makes room for a new one; else it is an error.

    Raises:
        StoreError: it cannot be used now, or not by this enmctl.
    """
    with faults.translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if files.kind_of(path) is Kind.SQLITE:
            opened = _connected(path, busy_timeout)
            if opened is not None:
                return opened
        with turn.turn(path.parent, timeout=busy_timeout):
            return _settled(path, busy_timeout=busy_timeout, set_aside=set_aside)


def _connected(path: Path, busy_timeout: float) -> Opened | None:
    """The database at ``path``, made where nothing is; None where it is damaged."""
    with ExitStack() as stack:
        files.create_private(path)
        stack.enter_context(held.holding(path))
        connection = stack.enter_context(closing(sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)))
        if rescue.damage(connection):
            return None
        schema.check(connection, path)
        files.make_private(path)
        notes = []
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            notes.append(f"{path.name} lies where SQLite has no write-ahead log; it works, but slower")
        connection.execute("PRAGMA synchronous = FULL")  # gateways lose power, and a journal must not lose its end
        connection.execute("BEGIN IMMEDIATE")
        fresh = schema.version(connection) == 0
        schema.migrate(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA foreign_keys = ON")
        return Opened(connection, stack.pop_all(), notes, fresh)


def _settled(path: Path, *, busy_timeout: float, set_aside: bool) -> Opened:
    """Open it while no other process makes, imports or sets aside here."""
    notes = []
    kind = files.kind_of(path)
    if kind is Kind.NOTHING and _finished(files.name_of_new(path)):
        files.take_new(path)
        notes.append(f"{path.name} was made anew when enmctl was last killed; it is used now")
    elif kind is Kind.BOLT:
        notes.append(_import(path))
    elif kind is Kind.OTHER:
        notes.append(_set_aside(path, "it is no database", set_aside=set_aside))
    opened = _connected(path, busy_timeout)
    if opened is None:
        notes.append(_set_aside(path, _damage(path, busy_timeout), set_aside=set_aside))
        opened = _connected(path, busy_timeout)
        if opened is None:
            raise StoreError(f"the disk that holds {path} gives back other bytes than were written", reason="disk")
    opened.fresh = opened.fresh or bool(notes)
    opened.notes[:0] = notes
    return opened


def _damage(path: Path, busy_timeout: float) -> str:
    with held.holding(path), closing(sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)) as connection:
        return rescue.damage(connection)


def _set_aside(path: Path, why: str, *, set_aside: bool) -> str:
    if not set_aside:
        raise StoreError(
            f"the database {path} is damaged ({why})",
            remedy="start `enmctl run`: it sets the file aside and goes on with what can still be read",
            reason="damaged",
        )
    saved = _make_new(path, lambda new: rescue.salvage(path, new))
    kept = files.name_for_damaged(path)
    files.swap(path, kept)
    return f"{path.name} was damaged ({why}); it is kept as {kept.name}, {_devices(saved)} could be saved from it"


def _import(path: Path) -> str:
    if turn.in_use(path):
        raise StoreError(
            f"edge-node-manager still uses its database {path}",
            remedy="stop edge-node-manager, then try again",
            reason="locked",
        )
    try:
        imported = edge_node_manager.read(_read_bolt(path))
    except StoreError as error:
        if error.reason != "bolt-damaged":
            raise
        _make_new(path, lambda _: 0)
        kept = files.name_for_bolt(path)
        files.swap(path, kept)
        return f"nothing was imported of edge-node-manager: {error.message}; it is kept as {kept.name}"
    _make_new(path, lambda new: _insert(new, imported))
    kept = files.name_for_bolt(path)
    files.swap(path, kept)
    left = f" ({imported.senseless} records are no devices and were left out)" if imported.senseless else ""
    return f"imported {_devices(len(imported.devices))} of edge-node-manager{left}; its file is kept as {kept.name}"


def _read_bolt(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST_BOLT:
        raise StoreError(
            f"the BoltDB file is larger than {_LARGEST_BOLT >> 20} MiB", reason="bolt-damaged", permanent=True
        )
    return path.read_bytes()


def _insert(new: sqlite3.Connection, imported: edge_node_manager.Imported) -> int:
    sql = f"INSERT INTO devices ({listed(DEVICE_COLUMNS)}) VALUES ({places(DEVICE_COLUMNS)})"  # noqa: S608 - names of our own
    new.executemany(sql, (device_cells(device) for device in imported.devices))
    return len(imported.devices)


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _make_new(path: Path, fill: Callable[[sqlite3.Connection], int]) -> int:
    """Make the file that will take the place of ``path``: tables and content in one transaction, and on the disk."""
    new = files.name_of_new(path)
    files.remove(new)
    files.create_private(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        schema.migrate(connection)
        count = fill(connection)
        connection.execute("COMMIT")
    files.sync_folder(path.parent)
    return count


def _finished(new: Path) -> bool:
    """Whether an interrupted start had made its new file whole; a half-made one is removed."""
    if not new.exists():
        return False
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            if not rescue.damage(connection) and schema.is_ours(connection) and schema.version(connection):
                return True
    except sqlite3.DatabaseError:
        pass
    files.remove(new)
    return False
