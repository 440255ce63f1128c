"""The journal of attempts: begun before the first byte, ended with what is known, and never left to guess."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

from enmctl.models import Attempt, AttemptKind, BoardKey, Outcome, Proof, Stage
from enmctl.store import queries, rows
from enmctl.store.devices import update_device
from enmctl.store.rows import DeviceColumns
from enmctl.store.tables import Tables

if TYPE_CHECKING:
    from sqlite_utils import Database

_PRUNED_EACH: Final = 64
"""Old attempts are looked for once in so many new ones."""

_KEEP_GOOD: Final = """
    UPDATE devices SET
        good_commit = CASE WHEN "commit" IS NOT NULL AND "commit" IS NOT ? AND good_commit IS NOT ?
                           THEN "commit" ELSE good_commit END,
        commit_at = ?
    WHERE uuid = ?
"""
"""A device that goes back to its last good commit has no other: what it comes from is what it could not stay on."""

_DOUBT: Final = """
    UPDATE devices SET
        good_commit = CASE WHEN ? IN (good_commit, "commit") THEN good_commit ELSE "commit" END,
        "commit" = NULL
    WHERE uuid = ? AND "commit" IS NOT NULL
"""
"""What a device ran is its last good commit, unless it was on its way back to that, or to what it ran once more."""

_SENDING: Final = frozenset({AttemptKind.UPDATE, AttemptKind.FLASH})
_HALF_WAY: Final = frozenset({Stage.TRANSFERRING, Stage.ACTIVATING, Stage.RETURNING})


class AttemptJournal(Tables):
    """Attempts, the last ``history_limit`` of them (and up to 64 more)."""

    def begin_attempt(  # noqa: PLR0917 - a row, in its order
        self,
        kind: AttemptKind,
        key: BoardKey,
        uuid: str | None,
        commit: str | None,
        size: int,
        started_at: float,
    ) -> int:
        """Note an attempt before its first byte; its id. ``size`` is the bytes to send.

        A board has one attempt at a time: an older one whose end could not be written down is interrupted, as
        ``interrupt_running`` does.
        """
        values = {
            "kind": kind,
            "application_id": key.application_id,
            "local_id": key.local_id,
            "uuid": uuid,
            "commit": commit,
            "size": size,
            "started_at": started_at,
        }
        with self.writing() as database:
            older = [each for each in queries.running_attempts(database.conn) if _key(each) == key]
            _interrupt(database, older, started_at)
            attempts = database.table("attempts").insert({name: rows.cell(value) for name, value in values.items()})
            attempt_id = int(attempts.last_rowid or 0)
            if attempt_id % _PRUNED_EACH == 0:
                last = "SELECT id FROM attempts ORDER BY id DESC LIMIT 1 OFFSET ?"
                attempts.delete_where(f"outcome <> 'running' AND id <= ({last})", [self._history_limit])
        return attempt_id

    def set_stage(self, attempt_id: int, stage: Stage, seconds: float) -> None:
        """Note when a stage began, in seconds from the attempt's start; the first time counts."""
        with self.writing() as database:
            begun = {"attempt_id": attempt_id, "stage": rows.cell(stage), "seconds": seconds}
            database.table("stages").insert(begun, ignore=True)

    def set_sent(self, attempt_id: int, sent: int) -> None:
        """Note how many bytes went out."""
        self._set(attempt_id, {"sent": sent})

    def end_attempt(
        self,
        attempt_id: int,
        outcome: Outcome,
        *,
        ended_at: float,
        proof: Proof | None = None,
        reason: str = "",
        message: str = "",
        sent: int | None = None,
        in_doubt: bool = False,
    ) -> None:
        """Note how an attempt ended; ``sent`` left out leaves the bytes as they are.

        With ``in_doubt`` it is not known any more what the device runs, which is noted in the same transaction.
        """
        ended = {"outcome": outcome, "ended_at": ended_at, "proof": proof, "reason": reason, "message": message}
        with self.writing() as database:
            database.execute(*_update(attempt_id, ended if sent is None else {**ended, "sent": sent}))
            if in_doubt:
                named = database.execute('SELECT "commit", uuid FROM attempts WHERE id = ?', [attempt_id]).fetchone()
                _doubt(database, *named)

    def succeed_update(
        self,
        attempt_id: int,
        uuid: str,
        *,
        ended_at: float,
        proof: Proof,
        sent: int | None = None,
        **columns: Unpack[DeviceColumns],
    ) -> bool:
        """End an attempt well, and in the same transaction take note of it in the device's row.

        The device's failures are forgotten, and ``columns`` (``commit`` above all) are set; another commit that it ran
        before is kept as its last good one. False where the device is gone; the attempt has ended all the same.
        """
        ended = {"outcome": Outcome.SUCCEEDED, "ended_at": ended_at, "proof": proof}
        with self.writing() as database:
            sql, values = _update(attempt_id, ended if sent is None else {**ended, "sent": sent})
            database.execute(sql, values)
            if "commit" in columns:
                new = rows.cell(columns["commit"])
                database.execute(_KEEP_GOOD, [new, new, ended_at, rows.cell(uuid)])
            return update_device(database, uuid, {**rows.NO_FAILURES, **columns})

    def attempts(self, uuid: str | None = None, local_id: str | None = None, limit: int = 100) -> list[Attempt]:
        """The latest attempts at a device or board, or at all, newest first."""
        with self.reading() as connection:
            return queries.select_attempts(connection, uuid=uuid, local_id=local_id, limit=limit)

    def interrupt_running(self, at: float, besides: Collection[BoardKey] = ()) -> list[Attempt]:
        """End every attempt of which no end is known as interrupted; these, oldest first, as they now are.

        What a device runs is not known any more where bytes may have gone out to it. Boards in ``besides`` are in hand.
        """
        with self.writing() as database:
            running = [each for each in queries.running_attempts(database.conn) if _key(each) not in besides]
            _interrupt(database, running, at)
        return [replace(attempt, outcome=Outcome.INTERRUPTED, ended_at=at) for attempt in running]

    def _set(self, attempt_id: int, columns: dict[str, Any]) -> None:
        with self.writing() as database:
            database.execute(*_update(attempt_id, columns))


def _interrupt(database: Database, attempts: Sequence[Attempt], at: float) -> None:
    """End attempts that run, and note what is in doubt by that."""
    for attempt in attempts:
        database.execute(*_update(attempt.id, {"outcome": Outcome.INTERRUPTED, "ended_at": at}))
        if attempt.kind in _SENDING and not _HALF_WAY.isdisjoint(attempt.stages):
            _doubt(database, attempt.commit, attempt.uuid)


def _key(attempt: Attempt) -> BoardKey:
    return BoardKey(attempt.application_id, attempt.local_id)


def _doubt(database: Database, tried: str | None, uuid: str | None) -> None:
    """Note that it is not known any more what a device runs; ``tried`` is None for a file that nobody knows."""
    database.execute(_DOUBT, [rows.cell(tried or ""), rows.cell(uuid)])


def _update(attempt_id: int, columns: dict[str, Any]) -> tuple[str, list[rows.Cell]]:
    settings = ", ".join(f"{rows.quoted(name)} = ?" for name in columns)
    values = [rows.cell(value) for value in columns.values()]
    return f"UPDATE attempts SET {settings} WHERE id = ?", [*values, attempt_id]  # noqa: S608 - columns of our own
