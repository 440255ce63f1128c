"""A balena Supervisor as the source of desired state, through its dependent-device API ("proxyvisor")."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from enmctl.errors import (
    LostAnswerError,
    SourceAnswerError,
    SourceAwayError,
    SourceGoneError,
    SourceRefusedError,
)
from enmctl.models import Application, Desired, Provisioned, Report
from enmctl.settings import Settings
from enmctl.sources.contract import Progressed
from enmctl.sources.proxyvisor_assets import AssetFetch
from enmctl.sources.proxyvisor_client import LIST_MOST, ProxyvisorClient, Reply
from enmctl.sources.proxyvisor_wire import DesiredReader, identifier, line, read_json

LARGE = 1 << 18
"""Bytes of a list from which on it is read in a thread."""

NOT_FOUND, GONE = 404, 410
REFUSED = 400

NO_SUCH_ROUTE = b"<pre>Cannot "
"""In Express's own 404: from version 14.8 on the Supervisor has none of these routes, and has dropped no device."""


class SupervisorSource:
    """Keeps ``enmctl.sources.contract.Source`` over a Supervisor of version 2.6 to 14.7.

    Attributes:
        complaints: what was odd in the last list, a line each.
    """

    name = "supervisor"

    def __init__(self, settings: Settings, board_types: Collection[str]) -> None:
        self._settings = settings
        self._board_types = frozenset(board_types)
        self._client = ProxyvisorClient(settings)
        self._last: tuple[bytes, bytes] | None = None
        self.complaints: list[str] = []

    async def __aenter__(self) -> Self:
        await self._client.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def reachable(self) -> bool:
        """Whether the Supervisor answers anything at all, now."""
        return await self._client.answers()

    async def fetch(self) -> Desired | None:
        """Applications and devices, asked for at the same time; None where both are to the letter as last time."""
        asked_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            asking = [
                group.create_task(_caught(self._client.ask(path, most=LIST_MOST)))
                for path in ("dependent-apps", "devices")
            ]
        applications, devices = (_list_body(task.result()) for task in asking)
        digest = (hashlib.blake2b(applications).digest(), hashlib.blake2b(devices).digest())
        if digest == self._last:
            return None
        reader = DesiredReader(self._board_types)
        if len(devices) < LARGE:
            desired = reader.read(applications, devices, asked_at=asked_at)
        else:
            desired = await asyncio.to_thread(reader.read, applications, devices, asked_at=asked_at)
        self._last = digest
        self.complaints = reader.complaints
        return desired

    async def listed(self, uuid: str) -> bool:
        """Whether the Supervisor still knows this device; 410 is one that is marked for deletion."""
        reply = await self._client.ask("devices", uuid)
        if _is_gone(reply):
            return False
        if reply.status == 200:  # noqa: PLR2004 - HTTP's OK
            return True
        raise _unexpected("a device", reply)

    async def provision(self, application: Application, local_id: str) -> Provisioned:  # noqa: ARG002 - the API asks none
        """Make a new device.

        The device type is not sent: a type that the Supervisor's cloud does not know makes it refuse, and no version
        needs one. A 503 may come after the cloud has made the device, so it counts as a lost answer.
        """
        reply = await self._client.tell("POST", "devices", body={"appId": application.id})
        if reply.status == REFUSED:
            raise SourceRefusedError(
                f"the Supervisor makes no device for application {application.id}: {reply.text}",
                remedy="check that the application is one of this gateway's dependent applications",
            )
        if reply.status in (NOT_FOUND, GONE):
            raise SourceAwayError(
                f"the Supervisor cannot make devices now: {reply.status} {reply.text}",
                remedy="check that its version is from 2.6 to 14.7; it is asked again later",
            )
        if reply.status != 201:  # noqa: PLR2004 - HTTP's Created
            raise LostAnswerError(
                f"the Supervisor answered {reply.status} {reply.text} when asked for a device",
                remedy="its list is watched for the device before another is asked for",
            )
        try:
            made = read_json(reply.body, "with a new device")
        except SourceAnswerError as error:
            raise LostAnswerError(error.message, remedy="its list is watched for the device") from error
        uuid = identifier(made.get("uuid")) if isinstance(made, dict) else None
        if uuid is None:
            raise LostAnswerError(
                "the Supervisor made a device and did not say which", remedy="its list is watched for the device"
            )
        return Provisioned(uuid, line(made.get("device_name")) or line(made.get("name")))

    async def fetch_asset(self, application: Application, commit: str, folder: Path, progressed: Progressed) -> None:
        """Fill ``folder`` with the unpacked firmware asset of ``commit``."""
        await AssetFetch(self._client, self._settings, application.id, commit, folder).run(progressed)

    async def report(self, uuid: str, report: Report) -> None:
        """Tell what became of a device: only what is known, for null and "" are refused.

        A key that is not accepted says nothing of the report, which is kept like one that did not arrive.
        """
        fields: dict[str, Any] = {}
        for name, value in report.fields().items():
            if value != "":
                fields[name] = dict(value) if name in ("config", "environment") else value
        if not fields.keys() - {"download_progress"}:
            return
        try:
            reply = await self._client.tell("PUT", "devices", uuid, body=fields)
        except (LostAnswerError, SourceRefusedError) as error:
            raise SourceAwayError(error.message, remedy="it is told again later") from error
        self._check_told(reply, uuid)

    async def log(self, uuid: str, message: str, at: float) -> None:
        """Add one line of plain text to the device's log."""
        try:
            body = {"message": message, "timestamp": int(at * 1000)}
            reply = await self._client.tell("POST", "devices", uuid, "logs", body=body)
        except LostAnswerError as error:
            raise SourceAwayError(error.message, remedy="the line may be missing from the device's log") from error
        self._check_told(reply, uuid)

    @staticmethod
    def _check_told(reply: Reply, uuid: str) -> None:
        if _is_gone(reply):
            raise SourceGoneError(
                f"the Supervisor does not know device {uuid[:8]} (any more)",
                remedy="it is forgotten once the Supervisor, asked for it, says so again",
                reason="device-gone",
            )
        if reply.status == REFUSED:
            raise SourceRefusedError(
                f"the Supervisor does not take this of device {uuid[:8]}: {reply.text}",
                remedy="check that its version is from 2.6 to 14.7; this is not told again",
            )
        if not 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP's success
            raise SourceAwayError(
                f"the Supervisor took nothing of device {uuid[:8]}: {reply.status} {reply.text}".rstrip(),
                remedy="it is told again later",
            )


def _is_gone(reply: Reply) -> bool:
    """Whether an answer about a device says that there is none."""
    return reply.status == GONE or (reply.status == NOT_FOUND and NO_SUCH_ROUTE not in reply.body)


async def _caught(asking: Any) -> Reply | Exception:
    """An answer or what went wrong, so that the first error does not hide behind a group of them."""
    try:
        reply: Reply = await asking
    except Exception as error:  # noqa: BLE001 - raised again by whoever looks at it
        return error
    return reply


def _list_body(result: Reply | Exception) -> bytes:
    if isinstance(result, Exception):
        raise result
    if result.status != 200:  # noqa: PLR2004 - HTTP's OK
        raise _unexpected("a list", result)
    return result.body


def _unexpected(what: str, reply: Reply) -> SourceAnswerError:
    return SourceAnswerError(
        f"the Supervisor answered a question for {what} with {reply.status} {reply.text}".rstrip(),
        remedy="check BALENA_SUPERVISOR_ADDRESS (or RESIN_…) and ENM_API_VERSION",
    )
