"""The table of devices: columns change alone, and no row is read, changed and written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from enmctl.models import BoardKey, Device
from enmctl.store import queries, rows
from enmctl.store.rows import DEVICE_COLUMNS, DeviceColumns
from enmctl.store.tables import Tables

if TYPE_CHECKING:
    from sqlite_utils import Database

_INSERT = f"devices ({rows.listed(DEVICE_COLUMNS)}) VALUES ({rows.places(DEVICE_COLUMNS)})"


def update_device(
    database: Database, uuid: str, columns: Mapping[str, Any], expected: Mapping[str, Any] | None = None
) -> bool:
    """Set only the named columns of a device, if those expected are as they should be; False where nothing was set."""
    expected = expected or {}
    settings = ", ".join(f"{rows.quoted(name)} = ?" for name in rows.known(columns)) or "uuid = uuid"
    conditions = "".join(f" AND {rows.quoted(name)} IS ?" for name in rows.known(expected))
    values = [rows.cell(value) for value in (*columns.values(), uuid, *expected.values())]
    sql = f"UPDATE devices SET {settings} WHERE uuid = ?{conditions}"  # noqa: S608 - columns of our own
    return database.execute(sql, values).rowcount == 1


class DeviceTable(Tables):
    """Devices, deleted ones among them."""

    _last_read: tuple[tuple[int, int], list[Device]] | None = None

    def devices(self, *, deleted: bool | None = False) -> list[Device]:
        """The devices that are deleted, that are not, or (None) all, in the order in which they were added.

        Equal configs and environments are one object, and while nobody writes to the database so are the devices of two
        calls: nobody may change one in place.
        """
        every = self._all_devices()
        return every if deleted is None else [device for device in every if device.deleted is deleted]

    def _all_devices(self) -> list[Device]:
        """All devices, read anew only where this or another connection wrote anything since they were read last.

        Within a transaction they are always read, and not kept: it may yet be undone.
        """
        with self.reading() as connection:
            if connection.in_transaction:
                return queries.select_devices(connection)
            written = queries.write_count(connection)
            if self._last_read is None or self._last_read[0] != written:
                self._last_read = (written, queries.select_devices(connection))
            return list(self._last_read[1])

    def device(self, uuid: str) -> Device | None:
        """The device of this uuid, deleted or not."""
        with self.reading() as connection:
            return queries.one_device(connection, uuid)

    def device_of(self, key: BoardKey) -> Device | None:
        """The device that this board is, if it is one that was not deleted."""
        with self.reading() as connection:
            return queries.device_of(connection, key.application_id, key.local_id)

    def find(self, word: str, *, deleted: bool | None = False) -> list[Device]:
        """The devices that a person may mean: by uuid, else local id, else name, else the uuid's first letters (4 on).

        More than one where the word does not tell which.
        """
        with self.reading() as connection:
            return queries.find_devices(connection, word, deleted)

    def add_device(self, device: Device) -> bool:
        """Add a device; False, and nothing happens, where its uuid is known or its board is another device."""
        with self.writing() as database:
            sql = f"INSERT OR IGNORE INTO {_INSERT}"
            return database.execute(sql, rows.device_cells(device)).rowcount == 1

    def add_many(self, devices: Iterable[Device]) -> int:
        """Add devices in one transaction, each as ``add_device`` does; how many were added."""
        with self.writing() as database:
            sql = f"INSERT OR IGNORE INTO {_INSERT}"
            return database.conn.executemany(sql, (rows.device_cells(device) for device in devices)).rowcount

    def change(self, uuid: str, **columns: Unpack[DeviceColumns]) -> bool:
        """Set only the named columns; False where there is no such device.

        Raises:
            StoreError: the board already is another device (reason ``conflict``).
        """
        with self.writing() as database:
            return update_device(database, uuid, columns)

    def change_where(self, uuid: str, expected: Mapping[str, Any], **columns: Unpack[DeviceColumns]) -> bool:
        """Set the named columns if those of ``expected`` still are as they were; False where they are not."""
        with self.writing() as database:
            return update_device(database, uuid, columns, expected)

    def change_many(self, changes: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
        """Set columns of several devices in one transaction; how many of the changes met a device."""
        with self.writing() as database:
            return sum(update_device(database, uuid, columns) for uuid, columns in changes)

    def remove_device(self, uuid: str) -> bool:
        """Forget a device for good; its history stays until it is too old. False where there was none."""
        with self.writing() as database:
            return database.execute("DELETE FROM devices WHERE uuid = ?", [rows.cell(uuid)]).rowcount == 1
