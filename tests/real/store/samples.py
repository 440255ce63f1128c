"""Devices and attempts to put into a store."""

from __future__ import annotations

from typing import Any

from enmctl.models import AttemptKind, BoardKey, Device
from enmctl.store import Store

KEY = BoardKey(7, "1265892")


def device(number: int = 1, **fields: Any) -> Device:
    values = {
        "uuid": f"{number:062x}",
        "application_id": 7,
        "board_type": "esp8266",
        "local_id": str(number),
        "name": f"board-{number}",
    }
    return Device(**{**values, **fields})


def begin(store: Store, number: int = 1, *, started_at: float = 100.0) -> int:
    of = device(number)
    assert of.key is not None
    return store.begin_attempt(AttemptKind.UPDATE, of.key, of.uuid, "c1", 1000, started_at)
