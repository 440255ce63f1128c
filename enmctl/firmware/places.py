"""What is at a path that somebody named: a file, a folder, nothing, or a place that may not be looked at."""

from __future__ import annotations

import stat
from enum import Enum
from pathlib import Path

from enmctl.errors import FirmwareError


class There(Enum):
    """What a path leads to."""

    NOTHING = "nothing"
    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"


def what_is_at(path: Path) -> There:
    """See what is at a path.

    Raises:
        FirmwareError: it may not be looked at, or cannot be (``unreadable``).
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no path has a zero byte in it
        return There.NOTHING
    except OSError as error:
        raise FirmwareError(
            f"{path} cannot be read, {error.strerror}",
            remedy="check its permissions, and those of its folders",
            reason="unreadable",
        ) from error
    if stat.S_ISREG(mode):
        return There.FILE
    return There.FOLDER if stat.S_ISDIR(mode) else There.OTHER
