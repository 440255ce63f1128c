"""Files that simulated boards keep from one command to the next."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; where that cannot be done, what it held is forgotten."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        made = file.with_name(f"{file.name}.{os.getpid()}")
        made.write_bytes(content)
        made.replace(file)
