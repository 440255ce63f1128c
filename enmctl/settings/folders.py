"""Where everything lasting lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def data_folder(name: str) -> Callable[[], Path]:
    """A default: a folder of this name in ``data_directory``, looked for when it is needed."""
    return lambda: data_directory() / name


def data_directory() -> Path:
    """The folder that everything lasting lives under: ``/data`` where that is writable, else the user's own.

    In a container ``/data`` is the volume; on a laptop platformdirs knows the place.
    """
    volume = Path("/data")
    if volume.is_dir() and os.access(volume, os.W_OK):
        return volume
    from platformdirs import user_data_path

    return user_data_path("enmctl", appauthor=False)
