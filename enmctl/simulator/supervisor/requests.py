"""Reading requests as Express, its body parsers and the Supervisor's own checks do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from enmctl.simulator.supervisor.eras import Era

BODY_LIMIT = 10 << 20
"""Bytes of a body that are accepted (v9.8.6 and later)."""

_DIGITS_MOST = 15
"""Digits that a JavaScript number holds exactly."""


class BodyError(Exception):
    """A body that the parsers refuse; the text is their message."""


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        BodyError: it is larger than ``BODY_LIMIT``.
        starlette.requests.ClientDisconnect: the client left before its end.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise BodyError("request entity too large")
    return bytes(body)


def parse_body(content_type: str, body: bytes) -> Any:
    """What ``req.body`` is: JSON (objects and lists), a form, or ``{}`` for anything else.

    Raises:
        BodyError: it says that it is JSON, and is not.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if kind != "application/json" or not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BodyError(f"Unexpected token in JSON: {error}") from None
    if not isinstance(value, dict | list):
        raise BodyError("Unexpected token in JSON at position 0")
    return value


def shown_body(body: bytes) -> Any:
    """The body as the request log keeps it: JSON where it is some, else text, None where there is none."""
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def shows_key(request: Request, key: str | None, era: Era) -> bool:
    """Whether the request may come in; with no key wanted (local mode) anyone may."""
    if key is None or request.query_params.get("apikey") == key:
        return True
    header = request.headers.get("authorization", "")
    schemes, flags = ("ApiKey|Bearer", re.IGNORECASE) if era.takes_bearer else ("ApiKey", 0)
    match = re.fullmatch(rf"(?:{schemes}) (\w+)", header, flags)
    return match is not None and match.group(1) == key


def parse_int(value: Any) -> int | None:
    """JavaScript's ``parseInt``, where it is positive: ``"12abc"`` is 12."""
    if isinstance(value, bool):
        return None
    match = re.match(r"\s*\+?(\d+)", str(value), re.ASCII)
    return int(match.group(1)) or None if match and len(match.group(1)) <= _DIGITS_MOST else None


def report_problem(body: Mapping[str, Any]) -> str | None:
    """The first thing that is wrong with a ``PUT /v1/devices/:uuid``, in the Supervisor's words and order.

    Null counts as given, and is wrong everywhere; lists pass for objects.
    """
    if "is_online" in body and not isinstance(body["is_online"], bool):
        return "is_online must be a boolean"
    for name, called in (("status", "status"), ("commit", "commit"), ("releaseId", "commit")):
        if name in body and not (isinstance(body[name], str) and body[name]):
            return f"{called} must be a non-empty string"
    for name in ("environment", "config"):
        if name in body and not isinstance(body[name], dict | list):
            return f"{name} must be an object"
    if not {"is_online", "status", "commit", "releaseId", "environment", "config"} & set(body):
        return "At least one device attribute must be updated"
    return None
