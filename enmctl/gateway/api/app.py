"""The routes of the HTTP API. ``openapi.json`` beside this file describes them, and a test holds the two together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from enmctl.boards.manner import WORDS
from enmctl.errors import UsageError
from enmctl.gateway.api.answers import JSON_TYPE, RequestError, answered, device_fields, refused
from enmctl.gateway.api.auth import Doorkeeper
from enmctl.gateway.api.intake import Intake
from enmctl.gateway.api.parsing import (
    read_board,
    read_file_name,
    read_flag,
    read_hook,
    read_object,
    read_status,
    read_word,
)
from enmctl.gateway.api.streaming import device_list, job_news
from enmctl.gateway.control import Control, Job, JobKind
from enmctl.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]

_JSON_OR_UNSAID: Final = frozenset(
    {"", JSON_TYPE, "text/json", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded"}
)
"""Content types under which JSON is taken: clients that say nothing of it send one of the others by themselves."""


def make_app(control: Control, settings: Settings) -> Starlette:
    """The API over a gateway."""
    api = _Api(control)
    routes = [
        Route(path, _by_method(handlers), methods=sorted(handlers), name=path)
        for path, handlers in api.handlers().items()
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Intake, doorkeeper=Doorkeeper(settings))],
        exception_handlers={HTTPException: _not_routed},
    )
    app.router.redirect_slashes = False
    return app


class _Api:
    """What each path and method does."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._document = files("enmctl.gateway.api").joinpath("openapi.json").read_bytes()

    def handlers(self) -> Mapping[str, Mapping[str, Handler]]:
        """Every path with its methods."""
        return {
            "/healthz": {"GET": self._health},
            "/openapi.json": {"GET": self._describe},
            "/v1/enm/status": {"GET": self._show_status, "PUT": self._set_status},
            "/v1/enm/gateway": {"GET": self._show_gateway},
            "/v1/enm/plan": {"GET": self._show_plan},
            "/v1/enm/provision": {"POST": self._provision},
            "/v1/enm/applications/{application}/rollback": {
                "PUT": self._roll_application_back,
                "DELETE": self._roll_application_back,
            },
            "/v1/devices": {"GET": self._list_devices},
            "/v1/devices/{uuid}": {"GET": self._show_device, "PUT": self._take_hook, "DELETE": self._delete_device},
            "/v1/devices/{uuid}/restart": {"PUT": self._restart},
            "/v1/devices/{uuid}/rollback": {"PUT": self._roll_back, "DELETE": self._roll_back},
            "/v1/devices/{uuid}/identify": {"POST": self._identify},
            "/v1/devices/{uuid}/firmware": {"PUT": self._flash},
        }

    async def _health(self, _: Request) -> Response:
        if self._control.turning():
            return answered({"status": "ok"})
        return answered({"status": "stuck"}, status=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _describe(self, _: Request) -> Response:
        return Response(self._document, media_type=JSON_TYPE)

    async def _show_status(self, _: Request) -> Response:
        said = {"currentStatus": self._control.current_status, "targetStatus": self._control.target_status}
        by = self._control.paused_by
        return answered({**said, "pausedBy": by} if by else said)

    async def _set_status(self, request: Request) -> Response:
        wanted = read_status(await _object(request))
        await self._control.set_target_status(wanted.status, seconds=wanted.seconds, by=wanted.by)
        return Response()

    async def _show_gateway(self, _: Request) -> Response:
        return answered(self._control.summary())

    async def _list_devices(self, _: Request) -> Response:
        return device_list(await self._control.devices())

    async def _show_device(self, request: Request) -> Response:
        return answered(device_fields(await self._control.device(_word(request))))

    async def _take_hook(self, request: Request) -> Response:
        word = _word(request)
        await self._control.take_hook(word, read_hook(await _object(request)))
        return Response(status_code=HTTPStatus.ACCEPTED)

    async def _delete_device(self, request: Request) -> Response:
        try:
            word = _word(request)
        except UsageError:
            return Response()  # nothing is called so, and the Supervisor repeats until it hears 200
        await self._control.delete(word)
        return Response()

    async def _restart(self, request: Request) -> Response:
        word = _word(request)
        if read_flag(request.query_params, "wait"):
            return await job_news(self._control.work(Job(JobKind.RESTART, word)))
        await self._control.want_restart(word)
        return Response()

    async def _show_plan(self, _: Request) -> Response:
        plan = await self._control.plan()
        return answered({"actions": [one.fields() for one in plan], "todo": sum(one.is_work for one in plan)})

    async def _roll_back(self, request: Request) -> Response:
        clear = request.method == "DELETE"
        return answered({"done": await self._control.roll_back(_word(request), application=False, clear=clear)})

    async def _roll_application_back(self, request: Request) -> Response:
        word, clear = read_word(request.path_params["application"]), request.method == "DELETE"
        return answered({"done": await self._control.roll_back(word, application=True, clear=clear)})

    async def _identify(self, request: Request) -> Response:
        return await job_news(self._control.work(Job(JobKind.IDENTIFY, _word(request))))

    async def _provision(self, request: Request) -> Response:
        board = read_board(await _object(request))
        return await job_news(self._control.work(Job(JobKind.PROVISION, board)))

    async def _flash(self, request: Request) -> Response:
        word, query = _word(request), request.query_params
        manner = {name: "1" for name, flag in WORDS.items() if read_flag(query, flag)}
        name, hold, firmware = read_file_name(query), read_flag(query, "hold"), await request.body()
        if not firmware:
            raise UsageError("the body is empty", remedy="send the firmware as the body", reason="bad-request")
        return await job_news(self._control.work(Job(JobKind.FLASH, word, firmware, name, hold, manner)))


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def endpoint(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return endpoint


def _word(request: Request) -> str:
    return read_word(request.path_params["uuid"])


async def _object(request: Request) -> dict[str, Any]:
    said, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    said, charset = said.strip(), parameters.replace('"', "").replace(" ", "").partition("charset=")[2]
    if not (said in _JSON_OR_UNSAID or said.endswith("+json")) or charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body says that it is no JSON",
            reason="content-type",
            remedy=f"send JSON in UTF-8, as {JSON_TYPE} or without a content type",
        )
    return read_object(await request.body())


async def _not_routed(request: Request, error: Exception) -> Response:
    """The answer where no route, or none with this method, is for a request."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    headers = getattr(error, "headers", None) or {}
    asked = f"{request.method} {request.scope['path']}"[:200]
    known = {HTTPStatus.NOT_FOUND: "no-such-path", HTTPStatus.METHOD_NOT_ALLOWED: "no-such-method"}
    refusal = RequestError(
        status,
        f"there is no {asked}",
        reason=known.get(status, "bad-request"),
        remedy="GET /openapi.json tells what there is",
        headers=list(headers.items()),
    )
    return refused(refusal)
