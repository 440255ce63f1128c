"""A small HTTP port through which people and other programs drive a simulated world.

::

    GET  /                     these lines
    GET  /state                applications, devices, boards and the Supervisor
    POST /push                 {"application": 511898}, and "size", "commit" or "assets": {"firmware.bin": "<base64>"}
    POST /break                {"board": "1265892", "fault": "silent", "times": 1}; a Bluetooth board: "link-lost" or
                               "power-cut"
    POST /boards/{id}/power    {"on": false}
    POST /cloud                {"online": false}
    POST /supervisor           {"listening": false}, {"operation": "provision", "fault": "lost-answer", "times": 1} or
                               {"heal": true}
    POST /environment          {"application": 511898, "values": {"A": "1"}}, or "device" for one alone
    POST /config               likewise
    POST /rename               {"device": "<uuid>", "name": "tomatoes"}
    POST /pin                  {"device": "<uuid>", "commit": "<40 hex>"}, null for the application's again
    POST /delete               {"device": "<uuid>"} or {"application": 511898}

Answers are JSON; a refused command is 400 or 404 with ``error`` and ``remedy``. An application is named by id or name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from enmctl.errors import EnmError, UnknownError, UsageError
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.simulator.supervisor.requests import BodyError, read_body, shown_body

TIMES_MOST = 1000
"""How often a board can be told to fail at once."""

_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "text", dict: "an object"}


class Board(Protocol):
    """A simulated board, as far as it can be driven from outside."""

    async def power(self, on: bool) -> None:
        """Switch the board on or off."""
        ...

    def break_with(self, fault: str, times: int = 1) -> None:
        """Make the next ``times`` updates fail by ``fault``; UsageError where there is none such."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """The board as plain JSON values."""
        ...


class ControlledWorld(Protocol):
    """What can be driven."""

    supervisor: SimulatedSupervisor

    @property
    def all_boards(self) -> Mapping[str, Board]:
        """The boards of all radios by their ids."""
        ...

    def push(
        self,
        app_id: int,
        assets: Mapping[str, bytes] | None = None,
        *,
        size: int | None = None,
        commit: str | None = None,
    ) -> str:
        """Release firmware (a made-up image of ``size`` bytes where no ``assets`` are given); returns its commit."""
        ...


class Command:
    """The JSON object of a request, whose fields say what is wrong with them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    @classmethod
    async def of(cls, request: Request) -> Command:
        """Read the body; an empty one is an empty object."""
        try:
            value = shown_body(await read_body(request))
        except BodyError as error:
            raise UsageError(str(error)) from None
        if not isinstance(value, dict | None):
            raise UsageError("the body is no JSON object", remedy="see GET / for what each command takes")
        return cls(value or {})

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def take(self, name: str, kind: type, *, optional: bool = False) -> Any:
        """A field of this kind; None where it is optional and not there."""
        value = self._fields.get(name)
        if value is None and optional:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UsageError(f"{name!r} is not right", remedy=f"it must be {_KINDS[kind]}")
        return value

    def application(self, supervisor: SimulatedSupervisor) -> int:
        """The id of the application that is named by id or by name."""
        word = self._fields.get("application")
        for application in supervisor.applications.values():
            if word in (application.id, str(application.id), application.name):
                return application.id
        known = ", ".join(f"{application.id} ({application.name})" for application in supervisor.applications.values())
        raise UnknownError(f"there is no application {word!r}", remedy=f"take one of {known}" if known else "")

    def device_or_application(self, supervisor: SimulatedSupervisor) -> str | int:
        """The uuid of ``device``, or else the id of ``application``."""
        uuid: str | None = self.take("device", str, optional=True)
        return uuid if uuid is not None else self.application(supervisor)


Endpoint = Callable[[Request], Awaitable[Response]]


def control_app(world: ControlledWorld) -> Starlette:
    """The ASGI application that drives ``world``."""
    control = _Control(world)
    routes = [
        Route("/", control.show_help, methods=["GET"]),
        Route("/state", control.show_state, methods=["GET"]),
        Route("/push", control.push, methods=["POST"]),
        Route("/break", control.break_board, methods=["POST"]),
        Route("/boards/{id}/power", control.power, methods=["POST"]),
        Route("/cloud", control.cloud, methods=["POST"]),
        Route("/supervisor", control.supervisor, methods=["POST"]),
        Route("/environment", control.environment, methods=["POST"]),
        Route("/config", control.config, methods=["POST"]),
        Route("/rename", control.rename, methods=["POST"]),
        Route("/pin", control.pin, methods=["POST"]),
        Route("/delete", control.delete, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={EnmError: _refuse})


async def _refuse(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, UnknownError) else 400
    message, remedy = (error.message, error.remedy) if isinstance(error, EnmError) else (str(error), "")
    return JSONResponse({"error": message, "remedy": remedy}, status)


class _Control:
    """The commands, one method each."""

    def __init__(self, world: ControlledWorld) -> None:
        self._world = world

    async def show_help(self, _: Request) -> Response:
        return PlainTextResponse(__doc__ or "")

    async def show_state(self, _: Request) -> Response:
        return JSONResponse(describe(self._world))

    async def push(self, request: Request) -> Response:
        command = await Command.of(request)
        commit = self._world.push(
            command.application(self._world.supervisor),
            _assets(command.take("assets", dict, optional=True)),
            size=command.take("size", int, optional=True),
            commit=command.take("commit", str, optional=True),
        )
        return JSONResponse({"commit": commit})

    async def break_board(self, request: Request) -> Response:
        command = await Command.of(request)
        board = self._board(command.take("board", str))
        times = command.take("times", int, optional=True)
        if times is not None and not 0 < times <= TIMES_MOST:
            raise UsageError("'times' is not right", remedy=f"it must be from 1 to {TIMES_MOST}")
        board.break_with(command.take("fault", str), times or 1)
        return JSONResponse({"board": dict(board.describe())})

    async def power(self, request: Request) -> Response:
        board = self._board(request.path_params["id"])
        await board.power((await Command.of(request)).take("on", bool))
        return JSONResponse({"board": dict(board.describe())})

    async def cloud(self, request: Request) -> Response:
        self._world.supervisor.cloud_online = (await Command.of(request)).take("online", bool)
        return self._supervisor_state()

    async def supervisor(self, request: Request) -> Response:
        command = await Command.of(request)
        supervisor = self._world.supervisor
        if "fault" in command:
            times = command.take("times", int, optional=True)
            supervisor.fail(command.take("operation", str), command.take("fault", str), times=times)
        elif "heal" in command:
            supervisor.heal()
        elif command.take("listening", bool):
            await supervisor.listen_again()
        else:
            await supervisor.stop_listening()
        return self._supervisor_state()

    async def environment(self, request: Request) -> Response:
        command = await Command.of(request)
        supervisor = self._world.supervisor
        supervisor.set_environment(command.device_or_application(supervisor), command.take("values", dict))
        return self._supervisor_state()

    async def config(self, request: Request) -> Response:
        command = await Command.of(request)
        supervisor = self._world.supervisor
        supervisor.set_config(command.device_or_application(supervisor), command.take("values", dict))
        return self._supervisor_state()

    async def rename(self, request: Request) -> Response:
        command = await Command.of(request)
        self._world.supervisor.rename(command.take("device", str), command.take("name", str))
        return self._supervisor_state()

    async def pin(self, request: Request) -> Response:
        command = await Command.of(request)
        self._world.supervisor.pin(command.take("device", str), command.take("commit", str, optional=True))
        return self._supervisor_state()

    async def delete(self, request: Request) -> Response:
        supervisor = self._world.supervisor
        found = (await Command.of(request)).device_or_application(supervisor)
        if isinstance(found, int):
            supervisor.remove_application(found)
        else:
            supervisor.delete_device(found)
        return self._supervisor_state()

    def _board(self, board_id: str) -> Board:
        try:
            return self._world.all_boards[board_id]
        except KeyError:
            known = ", ".join(list(self._world.all_boards)[:20])
            raise UnknownError(f"there is no board {board_id!r}", remedy=f"take one of {known}") from None

    def _supervisor_state(self) -> Response:
        return JSONResponse({"supervisor": _describe_supervisor(self._world.supervisor)})


def describe(world: ControlledWorld) -> dict[str, Any]:
    """The world as plain JSON values, without the key."""
    supervisor = world.supervisor
    return {
        "supervisor": _describe_supervisor(supervisor),
        "applications": [
            {
                "id": application.id,
                "name": application.name,
                "commit": application.commit,
                "config": application.config,
                "environment": application.environment,
            }
            for application in supervisor.applications.values()
        ],
        "devices": [
            row.shown(supervisor.era) | {"markedForDeletion": row.marked_for_deletion, "settled": row.settled}
            for row in supervisor.devices.values()
        ],
        "boards": [dict(board.describe()) for board in world.all_boards.values()],
    }


def _describe_supervisor(supervisor: SimulatedSupervisor) -> dict[str, Any]:
    return {
        "url": supervisor.url,
        "version": supervisor.era.version,
        "listening": supervisor.listening,
        "cloudOnline": supervisor.cloud_online,
        "inserted": supervisor.inserted,
        "hooksSent": supervisor.hooks_sent,
        "hooksAnswered": supervisor.hooks_answered,
        "hooksAtRest": supervisor.hooks_at_rest(),
        "faults": supervisor.faults.waiting(),
    }


def _assets(encoded: Mapping[str, Any] | None) -> dict[str, bytes] | None:
    if encoded is None:
        return None
    try:
        return {path: base64.b64decode(data, validate=True) for path, data in encoded.items()}
    except (TypeError, ValueError, binascii.Error):
        raise UsageError("'assets' is not right", remedy="it must map paths to base64") from None
