"""What the API answers: devices in the original's JSON, and errors with a reason and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from enmctl.boards.access import shown
from enmctl.errors import (
    BoardError,
    BusyError,
    EnmError,
    FirmwareError,
    FleetError,
    GatewayError,
    OfflineError,
    RadioError,
    SourceError,
    StoreError,
    UnknownError,
    UsageError,
)
from enmctl.gateway.control import DeviceView
from enmctl.models import Step

STATUS_OF: Final[Mapping[type[EnmError], HTTPStatus]] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    UnknownError: HTTPStatus.NOT_FOUND,
    BusyError: HTTPStatus.CONFLICT,
    FirmwareError: HTTPStatus.UNPROCESSABLE_ENTITY,
    FleetError: HTTPStatus.UNPROCESSABLE_ENTITY,
    BoardError: HTTPStatus.BAD_GATEWAY,
    OfflineError: HTTPStatus.GATEWAY_TIMEOUT,
    SourceError: HTTPStatus.BAD_GATEWAY,
    GatewayError: HTTPStatus.BAD_GATEWAY,
    RadioError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Each branch of the error tree with the status that tells of it; anything else is ours to mend, 500."""

JSON_TYPE: Final = "application/json"

BUG_FIELDS: Final = {
    "error": "the gateway made a mistake",
    "reason": "bug",
    "remedy": "its log has the details; please report them",
    "exit_code": int(EnmError.exit_code),
}
"""What is told where the fault is ours; nothing of the inside."""


class RequestError(Exception):
    """A request that HTTP itself has a word for; ``status`` and ``headers`` go into the answer."""

    def __init__(
        self,
        status: HTTPStatus,
        error: str,
        *,
        reason: str,
        remedy: str = "",
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.reason = reason
        self.remedy = remedy
        self.headers = headers or []


def status_of(error: EnmError) -> HTTPStatus:
    """The status for an error of the tree."""
    kinds = (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR)


def error_fields(error: EnmError) -> dict[str, Any]:
    """An error as JSON; ``exit_code`` is what a command that meets it exits with."""
    return {
        "error": error.message,
        "reason": error.reason,
        "remedy": error.remedy,
        "exit_code": int(error.exit_code),
    }


def refused(error: EnmError | RequestError) -> Response:
    """The answer to a request that was not done."""
    if isinstance(error, EnmError):
        return answered(error_fields(error), status=status_of(error))
    answer = answered({"error": error.error, "reason": error.reason, "remedy": error.remedy}, status=error.status)
    for name, value in error.headers:
        answer.headers.append(name, value)
    return answer


def broken() -> Response:
    """The answer where the fault is ours."""
    return answered(BUG_FIELDS, status=HTTPStatus.INTERNAL_SERVER_ERROR)


def answered(value: Any, *, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """``value`` as JSON."""
    return Response(encoded(value), status_code=status, media_type=JSON_TYPE)


def encoded(value: Any) -> bytes:
    """``value`` as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def device_fields(view: DeviceView) -> dict[str, Any]:
    """A device with the original's names in their order, and ``Progress`` (0 to 100 or null) behind them.

    The password in its config is not told.
    """
    device = view.device
    return {
        "ApplicationUUID": device.application_id,
        "BoardType": device.board_type,
        "Name": device.name,
        "LocalUUID": device.local_id or "",
        "ResinUUID": device.uuid,
        "Commit": device.commit or "",
        "TargetCommit": device.target_commit or "",
        "Status": view.status,
        "Config": shown(device.config),
        "TargetConfig": shown(device.target_config),
        "Environment": _plain(device.environment),
        "TargetEnvironment": _plain(device.target_environment),
        "RestartFlag": device.restart_wanted,
        "DeleteFlag": device.deleted,
        "Progress": view.progress,
        "PinnedCommit": device.pin,
    }


def step_fields(step: Step) -> dict[str, Any]:
    """One step of a job as JSON."""
    return {
        "stage": step.stage,
        "done": step.done,
        "total": step.total,
        "note": step.note,
        "proof": step.proof,
        "version": step.version,
    }


def _plain(mapping: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if mapping is None else dict(mapping)
