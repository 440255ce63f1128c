"""How people name devices: by uuid or the beginning of one, by the board's own id, or by name."""

from __future__ import annotations

from collections.abc import Iterable

from enmctl.errors import UnknownError, UsageError
from enmctl.models import Device, DiscoveredBoard

SHORTEST_PREFIX = 4
"""Characters of a uuid that count as its beginning; fewer name a device by accident."""


def find_device(devices: Iterable[Device], word: str) -> Device:
    """The one device that ``word`` names.

    A whole uuid comes before a board's id, that before a name, and that before the beginning of a uuid, so that a word
    which names one thing exactly never becomes ambiguous by what else there is. Names are compared without case.

    Raises:
        UnknownError: no device is named so.
        UsageError: several are.
    """
    known = list(devices)
    ways = (
        [device for device in known if device.uuid == word],
        [device for device in known if device.local_id == word],
        [device for device in known if device.name and device.name.casefold() == word.casefold()],
        [device for device in known if len(word) >= SHORTEST_PREFIX and device.uuid.startswith(word.lower())],
    )
    found = next((way for way in ways if way), [])
    if not found:
        raise UnknownError(f"no device is called {word!r}", remedy="enmctl devices lists those there are")
    if len(found) > 1:
        others = ", ".join(sorted(device.uuid[:12] for device in found))
        raise UsageError(
            f"{len(found)} devices are called {word!r}", remedy=f"name one by the beginning of its uuid: {others}"
        )
    return found[0]


def words_of(devices: Iterable[Device]) -> list[str]:
    """Every word that names a device well, sorted: names and the boards' ids, the uuid where there is neither."""
    words: set[str] = set()
    for device in devices:
        words |= {word for word in (device.name, device.local_id) if word} or {device.uuid}
    return sorted(words)


def call_names(boards: Iterable[DiscoveredBoard]) -> list[str]:
    """A word for each board that names it alone among these: what it is called by people, else its id."""
    known = list(boards)
    places: dict[str, set[object]] = {}
    for board in known:
        places.setdefault(board.call_name, set()).add(board.place)
    return [board.call_name if len(places[board.call_name]) == 1 else board.local_id for board in known]


def is_called(board: DiscoveredBoard, word: str) -> bool:
    """Whether a person may mean this board by a word: its id, its address or one of its names, in any letter case."""
    return word.casefold() in {name.casefold() for name in (board.name, board.short_name, board.local_id)}
