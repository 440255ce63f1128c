"""What the boards of hidden worlds keep between commands: their flash, and what is remembered of their transfers."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from enmctl.gateway.memories import PREFIX
from enmctl.simulator.images import starts, unpacked
from enmctl.simulator.keeping import replace
from enmctl.store import Store
from enmctl.store.reading import read_facts

IMAGE_MOST = 4 << 20
"""Bytes of the flash of a simulated ESP8266 board."""


def kept_folder() -> Path:
    """Where it is kept."""
    from platformdirs import user_cache_path

    return user_cache_path("enmctl", appauthor=False) / "simulated-boards"


def kept_firmware(local_id: str) -> bytes | None:
    """What an ESP8266 board ran last; None where that is not known, or would not start."""
    content = b""
    with contextlib.suppress(OSError):
        content = _firmware_file(local_id).read_bytes()
    return content if 0 < len(content) <= IMAGE_MOST and starts(unpacked(content)) else None


def keep_firmware(local_id: str, firmware: bytes) -> None:
    """Keep what an ESP8266 board runs."""
    replace(_firmware_file(local_id), firmware)


def restore_memories(database: Path) -> None:
    """Put into the database of a new world what was remembered of transfers in the last one."""
    said: object = None
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(_memories_file().read_text("utf-8"))
    if not isinstance(said, dict) or not said:
        return
    with Store.open(database) as store:
        for address, text in said.items():
            if isinstance(text, str):
                store.set_meta(PREFIX + address, text)


def keep_memories(database: Path) -> None:
    """Keep what is remembered of transfers, for the next world."""
    memories = read_facts(database, PREFIX)
    if memories or _memories_file().exists():
        replace(_memories_file(), json.dumps(memories).encode())


def _firmware_file(local_id: str) -> Path:
    return kept_folder() / f"esp8266-{local_id}.flash"


def _memories_file() -> Path:
    return kept_folder() / "memories.json"
