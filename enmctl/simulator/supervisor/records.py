"""The things that a simulated Supervisor remembers: the cloud's, its own rows, and what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enmctl.simulator.supervisor.eras import Era


@dataclass(slots=True)
class Push:
    """What a ``git push`` left in an application: the files of its image's ``/assets``.

    ``tar`` is built on the first request and dropped when the target changes. ``tar_failed`` remembers a build that
    found no files: the real one leaves an empty archive behind, and serves that from the second request on.
    """

    members: Mapping[str, bytes]
    pushed_at: float
    tar: bytes | None = None
    tar_failed: bool = False


@dataclass(slots=True)
class CloudApplication:
    """An application as the dashboard has it. ``config`` is whatever was set, right or wrong."""

    id: int
    name: str
    config: Any
    environment: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    pushes: dict[str, Push] = field(default_factory=dict)


@dataclass(slots=True)
class CloudDevice:
    """A device as the dashboard has it: it holds what people set, and what the gateway reported."""

    id: int
    uuid: str
    app_id: int
    device_type: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    pinned: str | None = None
    reported: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ApplicationRow:
    """A row of the Supervisor's table ``dependentApp``, as the last target state left it."""

    id: int
    name: str
    commit: str | None
    config: Any

    def shown(self) -> dict[str, Any]:
        """The row as ``GET /v1/dependent-apps`` lists it."""
        return {"id": self.id, "commit": self.commit, "name": self.name, "config": self.config}


@dataclass(frozen=True, slots=True)
class TargetState:
    """The three things that a hook tells, and a gateway reports back; None is SQL NULL."""

    commit: str | None
    config: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None


@dataclass(slots=True)
class DeviceRow:
    """A row of the Supervisor's table ``dependentDevice``; None is SQL NULL, which is not ``{}``.

    ``is_online`` is what SQLite makes of a boolean: 1, 0 or NULL.
    """

    id: int
    uuid: str
    app_id: int
    device_type: str
    name: str | None = None
    status: str | None = None
    is_online: int | None = None
    commit: str | None = None
    target_commit: str | None = None
    config: Mapping[str, Any] | None = None
    target_config: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    target_environment: Mapping[str, Any] | None = None
    local_id: str | None = None
    download_progress: int | None = None
    is_managed_by: int | None = None
    lock_expiry_date: str | None = None
    logs_channel: str | None = None
    marked_for_deletion: bool = False

    @property
    def current(self) -> TargetState:
        """What the gateway last reported."""
        return TargetState(self.commit, self.config, self.environment)

    @property
    def target(self) -> TargetState:
        """What the last target state wants."""
        return TargetState(self.target_commit, self.target_config, self.target_environment)

    @property
    def settled(self) -> bool:
        """Whether no hook is due, now or later: nothing to delete, and no target, or one that was reported back."""
        return not self.marked_for_deletion and (self.target_commit is None or self.current == self.target)

    def shown(self, era: Era) -> dict[str, Any]:
        """The row as ``GET /v1/devices`` lists it: NULL maps look like empty ones."""
        return {
            "id": self.id,
            "uuid": self.uuid,
            "appId": self.app_id,
            "localId": self.local_id,
            "device_type": self.device_type,
            "deviceId": str(self.id) if era.device_id_is_text else self.id,
            "is_online": self.is_online,
            "name": self.name,
            "status": self.status,
            "download_progress": self.download_progress,
            "is_managed_by": self.is_managed_by,
            "lock_expiry_date": self.lock_expiry_date,
            "commit": self.commit,
            "targetCommit": self.target_commit,
            "environment": _shown(self.environment),
            "targetEnvironment": _shown(self.target_environment),
            "config": _shown(self.config),
            "targetConfig": _shown(self.target_config),
        }


def _shown(values: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if values is None else values


@dataclass(slots=True)
class RequestRecord:
    """One request that came, in the order of arrival.

    ``time`` is the loop's clock in seconds. ``path`` is without its query, where a key might be. ``status`` is None
    where no answer was given (yet). ``body`` is parsed JSON, or text where it is none.
    """

    time: float
    method: str
    path: str
    body: Any
    status: int | None = None


@dataclass(slots=True)
class HookRecord:
    """One hook that went out; ``status`` is None where no answer came, ``body`` is None for DELETE."""

    time: float
    method: str
    uuid: str
    body: Any
    status: int | None = None
