"""The firmware file that came with a job, on the disk for as long as a driver reads it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enmctl.errors import StoreError
from enmctl.firmware.disk import disk_errors

LOG = logging.getLogger(__name__)

PREFIX: Final = ".by-hand-"


@contextmanager
def on_disk(assets: Path, name: str, content: bytes) -> Iterator[Path]:
    """The file, in a folder of its own within the assets' folder; both are gone afterwards.

    Raises:
        StoreError: there is no room for it (reason "disk-full"), or it cannot be written ("disk").
    """
    try:
        with disk_errors(f"keeping {name}"):
            assets.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PREFIX, dir=assets) as folder:
                path = Path(folder) / name
                path.write_bytes(content)
                yield path
    except StoreError as error:
        remedy = "make room in ENM_ASSETS_DIRECTORY, or see that it can be written, then flash it again"
        raise StoreError(error.message, remedy=remedy, reason=error.reason) from error


def clear_leftovers(assets: Path) -> None:
    """Remove the files of jobs whose gateway was killed."""
    try:
        left = sorted(assets.glob(f"{PREFIX}*"))
    except OSError as error:
        LOG.debug("the assets' folder cannot be looked through: %s", error)
        return
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
