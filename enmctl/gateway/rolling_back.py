"""Having devices go back to their last good firmware because a person says so, and letting them come forward again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enmctl.errors import UnknownError
from enmctl.gateway.naming import find_device
from enmctl.gateway.rollout import good_commit_of
from enmctl.models import Device, PinnedBy, short
from enmctl.store.rows import NO_FAILURES, DeviceColumns


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written of one device; ``told`` says it to people."""

    device: Device
    columns: DeviceColumns
    told: str


def asked_for(devices: Sequence[Device], word: str, application_id: int | None, *, clear: bool) -> list[Change]:
    """What a person asks for: of all of an application where its id is given, else of the device that ``word`` names.

    Raises:
        UnknownError: there is none such, or nothing to go back to.
    """
    if application_id is None:
        return let_go([find_device(devices, word)]) if clear else rolled_back(devices, word)
    if clear:
        return let_go([device for device in devices if device.application_id == application_id])
    return application_rolled_back(devices, application_id)


def rolled_back(devices: Sequence[Device], word: str) -> list[Change]:
    """Have one device go back.

    Raises:
        UnknownError: there is no such device, or nothing that it could go back to.
    """
    device = find_device(devices, word)
    change = _back(device)
    if change is None:
        raise UnknownError(
            f"{_name(device)} has no earlier firmware that it is known to have run",
            remedy="flash it by hand: enmctl flash FILE --hold",
            reason="no-good-commit",
        )
    return [change]


def application_rolled_back(devices: Sequence[Device], application_id: int) -> list[Change]:
    """Have every device of an application go back that can.

    Raises:
        UnknownError: it has no device, or none that can.
    """
    mine = [device for device in devices if device.application_id == application_id and device.local_id is not None]
    changes = [change for device in mine if (change := _back(device)) is not None]
    if not changes:
        raise UnknownError(
            f"application {application_id} has no device that could go back"
            if mine
            else f"application {application_id} has no device here",
            remedy="enmctl devices shows which there are, and what each runs",
            reason="no-good-commit",
        )
    return changes


def let_go(devices: Sequence[Device]) -> list[Change]:
    """Let those of the devices that were rolled back come to their target again."""
    return [
        Change(device, _FORWARD, f"{_name(device)} comes to its target {short(device.target_commit)} again")
        for device in devices
        if device.pinned_commit is not None
    ]


_FORWARD: DeviceColumns = {**NO_FAILURES, "pinned_commit": None, "pinned_target": None, "pinned_by": None}


def _back(device: Device) -> Change | None:
    back = device.pin or good_commit_of(device, device.target_commit)
    if back is None:
        return None
    columns: DeviceColumns = {
        **NO_FAILURES,
        "pinned_commit": back,
        "pinned_target": device.target_commit,
        "pinned_by": PinnedBy.PERSON,
        "held_target": None,
    }
    return Change(device, columns, f"{_name(device)} goes back to {short(back)} until its target changes")


def _name(device: Device) -> str:
    return device.name or device.local_id or device.uuid[:8]
