"""The table of boards that are there now, by where each was heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from enmctl.gateway.decide import Seen
from enmctl.models import BoardKey, DiscoveredBoard, Radio

STRANGERS_MOST = 2048
"""So many boards of nobody are remembered of each radio; those that were heard of longest ago make room."""


@dataclass(slots=True, eq=False)
class Place:
    """Where one board says that it is; all that changes of ``board`` leaves its ``key`` the same.

    ``heard_at`` is when it was heard last, by the loop's clock.
    """

    board: DiscoveredBoard
    key: BoardKey
    online: bool = False
    misses: int = 0
    due: bool = False
    heard_at: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Sightings:
    """The table, and the places that it is made from.

    Args:
        changed: called whenever a row of the table changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._of: defaultdict[BoardKey, list[Place]] = defaultdict(list)
        self._said: dict[str, DiscoveredBoard] = {}
        self._strangers: defaultdict[Radio, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self.places: dict[str, Place] = {}
        self.boards: dict[BoardKey, Seen] = {}
        self.claim: Callable[[DiscoveredBoard], DiscoveredBoard] = lambda board: board
        """Says whose a board is; set by a gateway, for its source may know better than the board's firmware."""

    def hear(self, name: str, board: DiscoveredBoard) -> Place | None:
        """Note what says at a place that it is a board, and have it there if it is anybody's; None if nobody's."""
        self._said[name] = board
        mine = self.claim(board)
        if mine.application_id is None:
            self._forget(name)
            self._note_stranger(name, board.radio)
            return None
        self._strangers[board.radio].pop(name, None)
        known = self.places.get(name)
        if known is not None and known.key == mine.key and mine.version is None:
            mine = replace(mine, version=known.board.version)
        return self.put(name, mine)

    def said_at(self, name: str) -> DiscoveredBoard | None:
        """What said at a place last that it is a board, whoever's it is."""
        return self._said.get(name)

    def changed_hands(self) -> list[tuple[str, DiscoveredBoard]]:
        """The places, with what was said there, of boards that belong to another application now, or to one at last."""
        return [
            (name, board)
            for name, board in self._said.items()
            if self.claim(board).application_id
            != (self.places[name].key.application_id if name in self.places else None)
        ]

    def put(self, name: str, board: DiscoveredBoard) -> Place:
        """Note that a board is at the place of this name, and bring its row up to date."""
        place = self.places.get(name)
        key = board.key
        if place is not None and place.key == key:
            place.board = board
        else:
            self._forget(name)
            place = self.places[name] = Place(board, key)
            self._of[key].append(place)
        self.refresh(key)
        return place

    def drop(self, name: str) -> None:
        """Note that nothing is at a place any more."""
        said = self._said.pop(name, None)
        if said is not None:
            self._strangers[said.radio].pop(name, None)
        self._forget(name)

    def over(self, radio: Radio) -> list[str]:
        """The places of what one radio heard."""
        return [name for name, board in self._said.items() if board.radio is radio]

    def _note_stranger(self, name: str, radio: Radio) -> None:
        strangers = self._strangers[radio]
        strangers[name] = None
        strangers.move_to_end(name)
        if len(strangers) > STRANGERS_MOST:
            self._said.pop(strangers.popitem(last=False)[0], None)

    def _forget(self, name: str) -> None:
        place = self.places.pop(name, None)
        if place is None:
            return
        if place.timer is not None:
            place.timer.cancel()
        kin = self._of[place.key]
        kin.remove(place)
        if not kin:
            del self._of[place.key]
        self.refresh(place.key)

    def of(self, key: BoardKey) -> Sequence[Place]:
        """The places at which one board is heard."""
        return self._of.get(key, ())

    def refresh(self, key: BoardKey) -> None:
        """Bring the table's row of one board up to date from its places."""
        places = self._of.get(key)
        seen = _seen(places) if places else None
        if seen == self.boards.get(key):
            return
        if seen is None:
            del self.boards[key]
        else:
            self.boards[key] = seen
        self._changed()


def _seen(places: Sequence[Place]) -> Seen:
    """What is seen of one board at the places where it is heard."""
    online = [place.board for place in places if place.online]
    if not online:
        return Seen(places[-1].board, online=False)
    others = {_where(board) for board in online[1:]} - {_where(online[0])}
    return Seen(online[0], online=True, rivals=tuple(sorted(others)))


def _where(board: DiscoveredBoard) -> str:
    address = board.addresses[0] if board.addresses else "nowhere"
    return address if board.port is None else f"{address}:{board.port}"
