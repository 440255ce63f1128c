"""The board drivers that are installed: ours and those of plug-in packages, all through one entry-point group."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from enmctl.boards.contract import BoardDriver
    from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

GROUP: Final = "enmctl.boards"


def board_types() -> list[str]:
    """The types for which a driver is installed, sorted; no driver is imported for it."""
    return sorted({entry.name for entry in _entries()})


def drivers(settings: Settings) -> dict[str, BoardDriver]:
    """A driver for each installed board type; a plug-in that cannot be used is left out and logged."""
    found: dict[str, BoardDriver] = {}
    for entry in _entries():
        if entry.name in found:
            LOG.warning("two packages bring a driver for %s boards: %s is left out", entry.name, entry.value)
            continue
        driver = _loaded(entry, settings)
        if driver is not None:
            found[entry.name] = driver
    return found


def _loaded(entry: EntryPoint, settings: Settings) -> BoardDriver | None:
    try:
        driver: BoardDriver = entry.load()(settings)
        board_type = driver.board_type
    except Exception as error:
        LOG.warning("the driver for %s boards (%s) cannot be used: %s", entry.name, entry.value, error)
        LOG.debug("why it cannot be used", exc_info=True)
        return None
    if board_type != entry.name:
        LOG.warning("the driver for %s boards (%s) is for %s boards: left out", entry.name, entry.value, board_type)
        return None
    return driver


def _entries() -> list[EntryPoint]:
    """The entry points, our own before those of others."""
    from importlib.metadata import entry_points

    entries = entry_points(group=GROUP)
    return sorted(entries, key=lambda entry: (not entry.value.startswith("enmctl."), entry.name, entry.value))
