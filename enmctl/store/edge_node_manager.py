"""Devices as edge-node-manager stored them: storm's JSON records in the bucket ``Device`` of a BoltDB file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from enmctl.models import Device
from enmctl.store.bolt import Bolt

_BUCKET: Final = b"Device"
_GREATEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of the old database; ``senseless`` counts records that are no device."""

    devices: list[Device]
    senseless: int


def read(data: bytes) -> Imported:
    """The devices in a database of edge-node-manager.

    Raises:
        StoreError: the file is damaged or truncated; then nothing of it is to be trusted.
    """
    records = (Bolt(data).items(_BUCKET) or {}).values()
    found = [_device(record) for record in records]
    devices = [device for device in found if device is not None]
    return Imported(devices=_one_for_each_board(devices), senseless=len(found) - len(devices))


def _device(record: bytes) -> Device | None:
    try:
        fields = json.loads(record)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    uuid = _text(fields, "ResinUUID")
    application_id = fields.get("ApplicationUUID")
    if uuid is None or type(application_id) is not int or not 0 <= application_id <= _GREATEST:
        return None
    return Device(
        uuid=uuid,
        application_id=application_id,
        board_type=_text(fields, "BoardType") or "",
        local_id=_text(fields, "LocalUUID"),
        name=_text(fields, "Name") or "",
        commit=_text(fields, "Commit"),
        target_commit=_text(fields, "TargetCommit"),
        config=_mapping(fields, "Config"),
        target_config=_mapping(fields, "TargetConfig"),
        environment=_mapping(fields, "Environment"),
        target_environment=_mapping(fields, "TargetEnvironment"),
        restart_wanted=fields.get("RestartFlag") is True,
        deleted=fields.get("DeleteFlag") is True,
    )


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _mapping(fields: Mapping[str, Any], name: str) -> dict[str, str] | None:
    values = fields.get(name)
    if not isinstance(values, dict):
        return None
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def _one_for_each_board(devices: list[Device]) -> list[Device]:
    """The same devices, but where two claim one board, only the first keeps it: the other's board is not known."""
    taken = set()
    kept = []
    for device in devices:
        if device.key is not None and not device.deleted:
            if device.key in taken:
                device = replace(device, local_id=None)  # noqa: PLW2901 - the same device
            taken.add(device.key)
        kept.append(device)
    return kept
