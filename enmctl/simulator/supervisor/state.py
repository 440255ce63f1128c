"""What a simulated Supervisor and its cloud know, and how one learns from the other."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from enmctl.errors import UnknownError
from enmctl.simulator.supervisor.changes import Changes
from enmctl.simulator.supervisor.eras import Era
from enmctl.simulator.supervisor.records import ApplicationRow, CloudApplication, CloudDevice, DeviceRow, Push

HISTORY_LIMIT = 10_000
"""Statuses, progress figures and log lines that are kept of one device."""

PUSHES_KEPT = 16
"""Pushes of one application whose files are kept, so that a device can be pinned to an older one."""

_FIRST_WORDS = ("autumn", "bitter", "bold", "calm", "damp", "dry", "falling", "frosty", "holy", "icy", "late", "lively")
_SECOND_WORDS = ("bird", "brook", "cloud", "dew", "field", "fog", "glade", "leaf", "moon", "pond", "sunset", "wave")

Item = TypeVar("Item")


def remember(history: list[Item], item: Item, limit: int = HISTORY_LIMIT) -> None:
    """Append to a history, and forget its oldest part before it grows beyond ``limit``."""
    history.append(item)
    if len(history) > limit:
        del history[: limit // 10 + 1]


class CloudAwayError(Exception):
    """The Supervisor cannot reach its cloud; the text is what it answers with."""

    def __init__(self) -> None:
        super().__init__("getaddrinfo ENOTFOUND api.balena-cloud.com")


class SupervisorState:
    """The cloud's applications and devices, and the Supervisor's own tables.

    The methods on top are a person's, at the dashboard. What they set reaches the Supervisor's tables with the next
    poll of the target state, which follows at once while the cloud is online.

    Attributes:
        applications: the cloud's applications by id.
        cloud_devices: the cloud's devices by uuid.
        devices: the Supervisor's device rows by uuid, in the order of insertion.
        null_names: whether a provisioned device has neither name nor target until the next poll, as from v7 on.
        inserted: how many devices ``POST /v1/devices`` ever made.
        polls: how many target states were applied.
        status_history: the statuses that each device was reported with, in the order they came.
        commit_history: the commits, likewise.
        progress: the ``download_progress`` figures, which the real Supervisor ignores.
        logs: the lines of each device's log.
    """

    def __init__(self, era: Era, *, null_names: bool) -> None:
        self.era = era
        self.null_names = null_names
        self._names: set[str] = set()
        self.changes = Changes()
        self.applications: dict[int, CloudApplication] = {}
        self.cloud_devices: dict[str, CloudDevice] = {}
        self.application_rows: dict[int, ApplicationRow] = {}
        self.devices: dict[str, DeviceRow] = {}
        self.inserted = 0
        self.polls = 0
        self.status_history: defaultdict[str, list[str]] = defaultdict(list)
        self.commit_history: defaultdict[str, list[str]] = defaultdict(list)
        self.progress: defaultdict[str, list[Any]] = defaultdict(list)
        self.logs: defaultdict[str, list[str]] = defaultdict(list)
        self._cloud_online = True
        self._last_id = 1_000_000

    @property
    def cloud_online(self) -> bool:
        """Whether the Supervisor reaches its cloud; it polls as soon as it does again."""
        return self._cloud_online

    @cloud_online.setter
    def cloud_online(self, online: bool) -> None:
        self._cloud_online = online
        self.poll_target_state()
        self.changes.changed()

    # The dashboard

    def add_application(
        self, app_id: int, name: str, config: Any = None, *, environment: Mapping[str, Any] | None = None
    ) -> None:
        """Make an application without a release. ``config`` is meant to be a mapping, but may be anything."""
        self.applications[app_id] = CloudApplication(
            app_id, name, dict(config) if isinstance(config, Mapping) else config, dict(environment or {})
        )
        self.poll_target_state()

    def remove_application(self, app_id: int) -> None:
        """Remove an application and its devices; no hook tells of it."""
        self._application(app_id)
        del self.applications[app_id]
        self.cloud_devices = {uuid: device for uuid, device in self.cloud_devices.items() if device.app_id != app_id}
        self.poll_target_state()

    def push(self, app_id: int, assets: Mapping[str, bytes], commit: str | None = None) -> str:
        """Release firmware, and return its commit (40 hex digits, made up where none is given).

        ``assets`` maps a member's path in the asset to its bytes. From now on older commits are 404.
        """
        application = self._application(app_id)
        commit = commit or secrets.token_hex(20)
        application.pushes.pop(commit, None)
        application.pushes[commit] = Push(dict(assets), time.time())
        for stale in list(application.pushes)[:-PUSHES_KEPT]:
            del application.pushes[stale]
        application.commit = commit
        self.poll_target_state()
        return commit

    def add_devices(self, app_id: int, count: int) -> list[DeviceRow]:
        """Make devices that were provisioned long ago and have all that they should, so that no hook is due.

        They do not count as ``inserted``.
        """
        self._application(app_id)
        made = [self._make_device(app_id, None) for _ in range(count)]
        self.poll_target_state()
        rows = [self.devices.setdefault(device.uuid, self._row_of(device)) for device in made]
        for row in rows:
            row.commit, row.config, row.environment = row.target_commit, row.target_config, row.target_environment
        self.changes.changed()
        return rows

    def set_environment(self, uuid_or_app: str | int, values: Mapping[str, Any]) -> None:
        """Replace the environment of a device (by uuid) or of all devices of an application (by id)."""
        self._owner(uuid_or_app).environment = dict(values)
        self.poll_target_state()

    def set_config(self, uuid_or_app: str | int, values: Mapping[str, Any]) -> None:
        """Replace the config of a device (by uuid) or of an application (by id)."""
        self._owner(uuid_or_app).config = dict(values)
        self.poll_target_state()

    def rename(self, uuid: str, name: str) -> None:
        """Give a device another name."""
        self._device(uuid).name = name
        self.poll_target_state()

    def pin(self, uuid: str, commit: str | None) -> None:
        """Give a device a target commit of its own, or with None its application's again.

        No real Supervisor could do it; the field is there, and a gateway has to believe it.
        """
        self._device(uuid).pinned = commit
        self.poll_target_state()

    def delete_device(self, uuid: str) -> None:
        """Delete a device; the Supervisor's row goes once the gateway answered its hook with exactly 200."""
        self._device(uuid)
        del self.cloud_devices[uuid]
        self.poll_target_state()

    # From the cloud to the Supervisor and back

    def poll_target_state(self, *, unaware_of: str | None = None) -> bool:
        """Have the Supervisor fetch and apply the target state; false where it cannot.

        ``unaware_of`` is the uuid of a device that was made after this target state was fetched: it is taken for one
        that is gone.
        """
        if not self._cloud_online or not self.era.applies_targets:
            return False
        self._apply_applications()
        known = {uuid: device for uuid, device in self.cloud_devices.items() if uuid != unaware_of}
        for device in known.values():
            self._apply_device(device)
        for uuid, row in self.devices.items():
            if uuid not in known:
                row.marked_for_deletion = True
        self.polls += 1
        self.changes.changed()
        return True

    def provision(self, app_id: int, device_type: str | None) -> dict[str, Any] | None:
        """Make a device in the cloud and its row here; the cloud's answer, or None where it knows no such application.

        Raises:
            CloudAwayError: the cloud cannot be reached.
        """
        self.require_cloud()
        if app_id not in self.applications:
            return None
        device = self._make_device(app_id, device_type)
        row = self._row_of(device)
        row.status = self.era.first_status
        row.name = device.name if self.era.name_field == "name" and not self.null_names else None
        self.devices[device.uuid] = row
        self.inserted += 1
        if not self.null_names and self.era.applies_targets:
            self._apply_device(device)
        self.changes.changed()
        return self._resource(device)

    def patch(self, uuid: str, fields: Mapping[str, Any]) -> None:
        """Take what a gateway reports: to the cloud first, where it concerns the cloud, then into the row.

        Raises:
            CloudAwayError: the cloud cannot be reached, so nothing was taken.
            ValueError: the field has no column here; the cloud has been told all the same.
        """
        for_cloud = {
            name: fields[name]
            for name in ("status", "is_online", "commit", "releaseId")
            if fields.get(name) is not None
        }
        if for_cloud:
            self.require_cloud()
            if uuid in self.cloud_devices:
                self.cloud_devices[uuid].reported.update(for_cloud)
        if "releaseId" in fields:
            raise ValueError("SQLITE_ERROR: no such column: releaseId")
        row = self.devices[uuid]
        for name in ("status", "commit", "config", "environment"):
            if name in fields:
                setattr(row, name, fields[name])
        if "is_online" in fields:
            row.is_online = int(fields["is_online"])
        if "status" in fields:
            remember(self.status_history[uuid], fields["status"])
        if "commit" in fields:
            remember(self.commit_history[uuid], fields["commit"])
        if "download_progress" in fields:
            remember(self.progress[uuid], fields["download_progress"])
        self.changes.changed()

    def forget(self, uuid: str) -> None:
        """Delete a row, as after a DELETE hook that was answered with 200."""
        self.devices.pop(uuid, None)
        self.changes.changed()

    def require_cloud(self) -> None:
        """Raise CloudAwayError while the cloud is not online."""
        if not self._cloud_online:
            raise CloudAwayError

    def push_for(self, app_id: int, commit: str) -> Push | None:
        """What was pushed as ``commit``, where that is somebody's target now; None where it would be 404.

        The real one serves the application's own target alone; here a pinned device's counts too.
        """
        row = self.application_rows.get(app_id)
        application = self.applications.get(app_id)
        if row is None or application is None:
            return None
        pinned = (device.target_commit for device in self.devices.values() if device.app_id == app_id)
        if commit != row.commit and commit not in pinned:
            return None
        return application.pushes.get(commit)

    def hooks_at_rest(self) -> bool:
        """Whether no hook is due: every target reported back in all three parts, no device waiting for deletion."""
        return all(row.settled for row in self.devices.values())

    async def wait_at_rest(self, timeout: float) -> None:  # noqa: ASYNC109 - a limit that the error explains
        """Wait until the hooks are at rest; TimeoutError after ``timeout`` seconds names the devices that are not."""
        await self.changes.wait_for(self.hooks_at_rest, timeout, what=self._unrest)

    async def wait_for(self, predicate: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - likewise
        """Wait until ``predicate`` holds, asked after each change; TimeoutError after ``timeout`` seconds."""
        await self.changes.wait_for(predicate, timeout, what=self._summary)

    def _unrest(self) -> str:
        rows = [row for row in self.devices.values() if not row.settled]
        return "; ".join(f"{row.uuid[:7]}: current {row.current}, target {row.target}" for row in rows[:5])

    def _summary(self) -> str:
        statuses = ", ".join(f"{row.uuid[:7]} {row.status}" for row in list(self.devices.values())[:20])
        return f"{len(self.devices)} devices ({statuses}), {self.inserted} ever inserted, {self.polls} polls"

    def _make_device(self, app_id: int, device_type: str | None) -> CloudDevice:
        """A new device in the cloud, of which the Supervisor has no row yet."""
        self._last_id += 1
        device = CloudDevice(
            id=self._last_id,
            uuid=secrets.token_hex(self.era.uuid_bytes),
            app_id=app_id,
            device_type=device_type or self.era.default_device_type,
            name=self._new_name(self._last_id),
        )
        self.cloud_devices[device.uuid] = device
        return device

    def _new_name(self, number: int) -> str:
        """A name that no device was given before; with the device's number in it once its words are taken."""
        words = f"{secrets.choice(_FIRST_WORDS)}-{secrets.choice(_SECOND_WORDS)}"
        name = words if words not in self._names else f"{words}-{number}"
        self._names.add(name)
        return name

    def _row_of(self, device: CloudDevice) -> DeviceRow:
        """A row of the device as it is before any target state."""
        return DeviceRow(device.id, device.uuid, device.app_id, device.device_type)

    def _apply_applications(self) -> None:
        for app_id in set(self.application_rows) - set(self.applications):
            del self.application_rows[app_id]
            self.devices = {uuid: row for uuid, row in self.devices.items() if row.app_id != app_id}
        for application in self.applications.values():
            row = self.application_rows.get(application.id)
            if row is not None and row.commit != application.commit:
                for push in application.pushes.values():
                    push.tar, push.tar_failed = None, False
            self.application_rows[application.id] = ApplicationRow(
                application.id, application.name, application.commit, application.config
            )

    def _apply_device(self, device: CloudDevice) -> None:
        application = self.applications[device.app_id]
        row = self.devices.setdefault(device.uuid, self._row_of(device))
        shared = application.config if isinstance(application.config, Mapping) else {}
        row.name = device.name
        row.target_commit = device.pinned or application.commit
        row.target_config = {**shared, **device.config}
        row.target_environment = {**application.environment, **device.environment}

    def _resource(self, device: CloudDevice) -> dict[str, Any]:
        """The device as the cloud's API tells it."""
        return {
            "id": device.id,
            "belongs_to__application": {"__id": device.app_id},
            self.era.name_field: device.name,
            "device_type": device.device_type,
            "uuid": device.uuid,
            "note": None,
            "status": self.era.first_status,
            "is_online": False,
        }

    def _application(self, app_id: int) -> CloudApplication:
        try:
            return self.applications[app_id]
        except KeyError:
            raise UnknownError(f"the simulated cloud has no application {app_id}") from None

    def _device(self, uuid: str) -> CloudDevice:
        try:
            return self.cloud_devices[uuid]
        except KeyError:
            raise UnknownError(f"the simulated cloud has no device {uuid}") from None

    def _owner(self, uuid_or_app: str | int) -> CloudApplication | CloudDevice:
        return self._application(uuid_or_app) if isinstance(uuid_or_app, int) else self._device(uuid_or_app)
