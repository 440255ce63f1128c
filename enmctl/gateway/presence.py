"""Since when each board is there without a gap, and when it was seen to go: what "stays well" is judged by."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from enmctl.gateway.decide import Seen
from enmctl.models import BoardKey


class Presence:
    """Watches the table of boards from pass to pass; what it knows begins with the process.

    Attributes:
        there_since: when each board that is online came, by the loop's clock, which nobody sets.
        lost_at: when each board went that was online before and is not, or was not for a while, by the same clock.
    """

    def __init__(self) -> None:
        self.there_since: dict[BoardKey, float] = {}
        self.lost_at: dict[BoardKey, float] = {}

    def note(self, boards: Mapping[BoardKey, Seen], moment: float) -> None:
        """Take the table as it is at this moment, by the loop's clock, into account."""
        online = {key for key, seen in boards.items() if seen.online}
        gone = self.there_since.keys() - online
        for key in gone:
            del self.there_since[key]
            self.lost_at[key] = moment
        for key in online - self.there_since.keys():
            self.there_since[key] = moment

    def keep(self, keys: Collection[BoardKey]) -> None:
        """Remember of these boards alone when they went; strangers come and go without end."""
        self.lost_at = {key: moment for key, moment in self.lost_at.items() if key in keys}

    def forget(self) -> None:
        """Begin anew: the radios were let go, and that boards are not heard says nothing of them."""
        self.there_since.clear()
