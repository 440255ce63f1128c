"""Stores with any number of devices in them, for trying things out at size."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from enmctl.models import Device
from enmctl.simulator.supervisor import DeviceRow
from enmctl.store import Store

FILLED_APPLICATION = 511_898
"""The application of made-up devices where none is named."""

_UUID_BYTES = 31
_COMMIT_BYTES = 20


def fill(path: Path, count: int, *, application_id: int = FILLED_APPLICATION, board_type: str = "esp8266") -> int:
    """Add ``count`` made-up devices that are on target to the store at ``path``; returns how many went in.

    The file is made where it is missing.

    Raises:
        StoreError: the store cannot be opened or written.
    """
    return fill_with(path, _made_up(count, application_id, board_type))


def fill_from(path: Path, rows: Iterable[DeviceRow], *, board_type: str) -> int:
    """Add the devices that a simulated Supervisor lists to the store at ``path``; returns how many went in."""
    return fill_with(path, (_of_row(number, row, board_type) for number, row in enumerate(rows)))


def fill_with(path: Path, devices: Iterable[Device]) -> int:
    """Add the devices to the store at ``path`` in one transaction; returns how many went in."""
    with Store.open(path, set_aside=False) as store:
        return store.add_many(devices)


def _made_up(count: int, application_id: int, board_type: str) -> Iterator[Device]:
    commit = secrets.token_hex(_COMMIT_BYTES)
    start = secrets.randbelow(1 << 40)
    for number in range(start, start + count):
        yield Device(
            uuid=secrets.token_hex(_UUID_BYTES),
            application_id=application_id,
            board_type=board_type,
            local_id=f"{number}",
            name=f"device-{number - start + 1}",
            commit=commit,
            target_commit=commit,
            config={},
            target_config={},
            environment={},
            target_environment={},
        )


def _of_row(number: int, row: DeviceRow, board_type: str) -> Device:
    return Device(
        uuid=row.uuid,
        application_id=row.app_id,
        board_type=board_type,
        local_id=f"{row.id}",
        name=row.name or f"device-{number + 1}",
        commit=row.commit,
        target_commit=row.target_commit,
        config=row.config,
        target_config=row.target_config,
        environment=row.environment,
        target_environment=row.target_environment,
    )
