"""The sources of desired state that are installed: the built-in ones and every plug-in's, found the same way."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points

from enmctl.errors import SettingError
from enmctl.settings import Settings
from enmctl.sources.contract import Source

GROUP = "enmctl.sources"
"""The entry-point group: a name is what ENM_SOURCE may be, its value the source's class."""


def open_source(settings: Settings, board_types: Collection[str]) -> Source:
    """The source that ENM_SOURCE names, not entered yet.

    Raises:
        SettingError: there is none of that name, or it cannot be loaded.
    """
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = installed.get(settings.source)
    if entry is None:
        raise SettingError(
            f"ENM_SOURCE is {settings.source!r}", remedy=f"it must be one of {', '.join(sorted(installed))}"
        )
    try:
        source: Source = entry.load()(settings, board_types)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"the source {settings.source} ({entry.value}) cannot be loaded: {error}",
            remedy="install its package again, or set ENM_SOURCE to another",
        ) from error
    return source
