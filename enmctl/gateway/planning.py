"""What a pass would do or has to leave for later, and why, as plain data: made from what ``decide`` returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enmctl.gateway.actions import (
    Action,
    Complain,
    Configure,
    Hold,
    Inquire,
    Meet,
    Pin,
    Provision,
    Record,
    Restart,
    Tell,
    Update,
)
from enmctl.gateway.remaining import Around, becoming_devices, waiting
from enmctl.models import Desired, Device, DiscoveredBoard, PinnedBy, short

QUIET_COLUMNS = frozenset({"first_listed", "unlisted"})
"""What is taken up of a device without anybody needing to know."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that a pass would do.

    ``kind`` is the action in one word; ``is_work`` tells whether it is something to do, and not only to note or tell.
    """

    kind: str
    why: str
    uuid: str | None = None
    name: str = ""
    board: str | None = None
    application: str = ""
    commit: str | None = None
    is_work: bool = True

    def fields(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "action": self.kind,
            "why": self.why,
            "uuid": self.uuid,
            "name": self.name,
            "board": self.board,
            "application": self.application,
            "commit": self.commit,
            "todo": self.is_work,
        }


def planned(actions: Iterable[Action], devices: Sequence[Device], desired: Desired, around: Around) -> list[Planned]:
    """What each action comes to, and what each device waits for that is not as it is to be and has no action.

    What is only taken up of a device is left out where it has another row.
    """
    actions = list(actions)
    known = {device.uuid: device for device in devices}
    changed: dict[str, Mapping[str, Any]] = {
        action.uuid: action.changes for action in actions if isinstance(action, Record)
    }
    pins = {action.uuid: action for action in actions if isinstance(action, Pin)}
    worked_on = {action.uuid for action in actions if isinstance(action, (Update, Configure, Restart))}
    worked_on |= {action.work.uuid for action in actions if isinstance(action, Hold)}
    handled = worked_on | pins.keys() | {action.uuid for action in actions if isinstance(action, Inquire)}
    remaining = list(waiting(devices, changed, handled, around))
    worked_on |= {device.uuid for device, _ in remaining}
    explainer = _Explainer(known, changed, pins, desired)
    rows = [
        one
        for action in actions
        if not (isinstance(action, Record) and action.uuid in worked_on)
        and (one := explainer.explain(action)) is not None
    ]
    rows += [explainer.wait(device, why) for device, why in remaining]
    return rows + [
        explainer.wait_for_provisioning(board, key.application_id, why)
        for key, board, why in becoming_devices(devices, around)
        if key.application_id in desired.applications
    ]


class _Explainer:
    def __init__(
        self,
        devices: Mapping[str, Device],
        changed: Mapping[str, Mapping[str, Any]],
        pins: Mapping[str, Pin],
        desired: Desired,
    ) -> None:
        self._devices = devices
        self._changed = changed
        self._pins = pins
        self._desired = desired

    def explain(self, action: Action) -> Planned | None:
        """What an action comes to; None where nobody needs to know of it."""
        match action:
            case Update(uuid, _, commit):
                return self._of("update", uuid, self._why_update(uuid), commit)
            case Hold(work, why):
                return self._of("wait", work.uuid, why, work.commit if isinstance(work, Update) else None)
            case Pin(uuid, commit, _, why):
                return self._of("roll back", uuid, why, commit)
            case Configure(uuid, _):
                return self._of("configure", uuid, "its config or environment is another than it was handed last")
            case Restart(uuid, _):
                return self._of("restart", uuid, "somebody wants it restarted")
            case _:
                return self._noted(action)

    def wait(self, device: Device, why: str) -> Planned:
        """A device that waits."""
        return self._of("wait", device.uuid, why, device.wanted_commit)

    def wait_for_provisioning(self, board: DiscoveredBoard, application_id: int, why: str) -> Planned:
        """A board that is no device yet, and waits."""
        application = self._application(application_id)
        return Planned("wait", why, name=board.name, board=board.local_id, application=application)

    def _noted(self, action: Meet | Record | Inquire | Provision | Tell | Complain) -> Planned | None:
        match action:
            case Inquire(uuid):
                return self._of("ask", uuid, "the source's list leaves it out: it is forgotten if it is gone")
            case Record(uuid, changes):
                columns = sorted(changes.keys() - QUIET_COLUMNS)
                why = f"the source says another {', '.join(column.replace('_', ' ') for column in columns)}"
                return self._of("note", uuid, why, is_work=False) if columns else None
            case Tell(uuid, report):
                what = ", ".join(sorted(report.fields())).replace("_", " ")
                return self._of("report", uuid, f"the source was not told this: {what}", is_work=False)
            case Meet(listed, _):
                application = self._application(listed.application_id)
                why = "the source lists it, and no board is known to be it"
                return Planned("note", why, listed.uuid, listed.name or "", application=application, is_work=False)
            case Provision(application_id, board):
                application = self._application(application_id)
                why = f"it belongs to {application} and is no device yet"
                return Planned("provision", why, name=board.name, board=board.local_id, application=application)
            case Complain(about, problem):
                return Planned("leave alone", problem, name=about, is_work=False)

    def _why_update(self, uuid: str) -> str:
        device = self._devices.get(uuid)
        if device is None:
            return "it is not on its target"
        runs = f"it runs {short(device.commit)}" if device.commit else "it is not known what it runs"
        pinned_by = PinnedBy.POLICY if uuid in self._pins else device.pinned_by if device.pin else None
        if pinned_by is not None:
            who = "by hand" if pinned_by is PinnedBy.PERSON else "by policy"
            return f"{runs}, and it was rolled back {who}"
        target = self._changed.get(uuid, {}).get("target_commit", device.target_commit)
        if device.commit == target:
            return "its board says that it runs something else"
        tries = f", after {device.failures} failed tries" if device.failures and device.failed_target == target else ""
        return f"{runs}, and its target is {short(target)}{tries}"

    def _of(self, kind: str, uuid: str, why: str, commit: str | None = None, *, is_work: bool = True) -> Planned:
        device = self._devices.get(uuid)
        if device is None:
            return Planned(kind, why, uuid, commit=commit, is_work=is_work)
        name, application = device.name, self._application(device.application_id)
        return Planned(kind, why, uuid, name, device.local_id, application, commit, is_work)

    def _application(self, application_id: int) -> str:
        application = self._desired.applications.get(application_id)
        return application.name if application is not None and application.name else str(application_id)
