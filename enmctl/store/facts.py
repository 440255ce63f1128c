"""Single facts by name, and the ids of update locks that this gateway took."""

from __future__ import annotations

from enmctl.store import queries, rows
from enmctl.store.tables import Tables


class Facts(Tables):
    """Facts and lock ids."""

    def meta(self, key: str) -> str | None:
        """A fact by its name, None where it is not known."""
        with self.reading() as connection:
            return queries.meta_value(connection, key)

    def metas(self, prefix: str) -> dict[str, str]:
        """The facts whose names begin so, by the rest of their names."""
        with self.reading() as connection:
            return queries.meta_values(connection, prefix)

    def set_meta(self, key: str, value: str | None) -> None:
        """Keep a fact, or forget it (None)."""
        with self.writing() as database:
            if value is None:
                database.table("meta").delete_where("key = ?", [rows.cell(key)])
            else:
                database.table("meta").insert({"key": rows.cell(key), "value": rows.cell(value)}, replace=True)

    def remember_lock(self, lock_id: str) -> None:
        """Note the id of an update lock before it is taken: left over, it is known to be one's own."""
        with self.writing() as database:
            database.table("locks").insert({"id": rows.cell(lock_id)}, ignore=True)

    def knows_lock(self, lock_id: str) -> bool:
        """Whether an update lock of this id is this gateway's own."""
        with self.reading() as connection:
            return connection.execute("SELECT 1 FROM locks WHERE id = ?", [rows.cell(lock_id)]).fetchone() is not None

    def forget_lock(self, lock_id: str) -> None:
        """Forget an update lock's id once it was removed."""
        with self.writing() as database:
            database.table("locks").delete_where("id = ?", [rows.cell(lock_id)])
