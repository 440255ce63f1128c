"""The journal of provisionings: written before a new device is asked for, and ended with the device's row at once."""

from __future__ import annotations

import sqlite3
from typing import Final

from enmctl.errors import StoreError
from enmctl.models import BoardKey, Device, Pending
from enmctl.store import rows
from enmctl.store.rows import DEVICE_COLUMNS
from enmctl.store.tables import Tables

_OF_BOARD: Final = "application_id = ? AND local_id = ?"

# A device that the source lists and no board was known to be becomes this board's; another board's does not.
_TAKE_OR_ADD: Final = f"""
    INSERT INTO devices ({rows.listed(DEVICE_COLUMNS)}) VALUES ({rows.places(DEVICE_COLUMNS)})
    ON CONFLICT (uuid) DO UPDATE SET
        application_id = excluded.application_id, local_id = excluded.local_id, board_type = excluded.board_type,
        deleted = 0, unlisted = 0
    WHERE devices.local_id IS NULL
       OR (devices.local_id = excluded.local_id AND devices.application_id = excluded.application_id)
"""  # noqa: S608 - columns of our own


class ProvisioningJournal(Tables):
    """Provisionings of which the end is not known."""

    def pending(self) -> list[Pending]:
        """All of them, the oldest first."""
        sql = "SELECT application_id, local_id, board_type, list_serial, asked_at, asked FROM pending ORDER BY asked_at"
        with self.reading() as connection:
            found = connection.execute(sql).fetchall()
        return [
            Pending(BoardKey(application_id, local_id), board_type, list_serial, asked_at, asked == 1)
            for application_id, local_id, board_type, list_serial, asked_at, asked in found
        ]

    def begin_provisioning(self, pending: Pending) -> bool:
        """Note that a device is about to be asked for; False where one was already asked for and its end is not known.

        One that was noted and never asked for is noted anew.
        """
        sql = """
            INSERT INTO pending (application_id, local_id, board_type, list_serial, asked_at, asked)
            VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (application_id, local_id) DO UPDATE SET
                board_type = excluded.board_type, list_serial = excluded.list_serial,
                asked_at = excluded.asked_at, asked = excluded.asked
            WHERE pending.asked = 0
        """
        values = (*pending.key, pending.board_type, pending.list_serial, pending.asked_at, pending.asked)
        with self.writing() as database:
            return database.execute(sql, [rows.cell(value) for value in values]).rowcount == 1

    def mark_asked(self, key: BoardKey, at: float) -> bool:
        """Note that the request leaves now, before it does; False where nothing was noted of this board."""
        with self.writing() as database:
            sql = f"UPDATE pending SET asked = 1, asked_at = ? WHERE {_OF_BOARD}"  # noqa: S608 - words of our own
            return database.execute(sql, [at, *_cells(key)]).rowcount == 1

    def finish_provisioning(self, key: BoardKey, device: Device) -> None:
        """Make the board ``key`` the device, and end its provisioning, in one transaction.

        A row of that uuid without a board is given this one, and comes back if it was deleted; its other columns stay.
        Deleted devices that once were this board remember it no longer.

        Raises:
            StoreError: the uuid belongs to another board, or the board already is another device (reason ``claimed``);
                nothing was changed.
        """
        with self.writing() as database:
            try:
                taken = database.execute(_TAKE_OR_ADD, rows.device_cells(device)).rowcount == 1
            except sqlite3.IntegrityError as error:
                raise _claimed(
                    f"board {key.local_id} of application {key.application_id} already is a device"
                ) from error
            if not taken:
                raise _claimed(f"device {device.uuid} already is another board than {key.local_id}")
            sql = f"UPDATE devices SET local_id = NULL WHERE {_OF_BOARD} AND deleted = 1"  # noqa: S608 - words of our own
            database.execute(sql, _cells(key))
            database.execute(f"DELETE FROM pending WHERE {_OF_BOARD}", _cells(key))  # noqa: S608 - words of our own

    def drop_pending(self, key: BoardKey) -> bool:
        """Forget a provisioning: surely nothing was made; False where nothing was noted of this board."""
        with self.writing() as database:
            return database.execute(f"DELETE FROM pending WHERE {_OF_BOARD}", _cells(key)).rowcount == 1  # noqa: S608 - words of our own


def _cells(key: BoardKey) -> list[rows.Cell]:
    return [rows.cell(value) for value in key]


def _claimed(message: str) -> StoreError:
    return StoreError(
        message, remedy="see `enmctl devices` and delete the one that is wrong", reason="claimed", permanent=True
    )
