"""Reading requests: JSON that nobody trusts into the gateway's own words, each refusal with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.datastructures import QueryParams

from enmctl.errors import UsageError
from enmctl.gateway.control import Hook
from enmctl.models import GatewayStatus

WORD_MOST: Final = 512
"""Characters of a word that names a device; an address with a path is the longest."""

COMMIT_MOST: Final = 256
"""Characters of a commit; git's have 40 or 64."""

PAUSE_MOST: Final = 366 * 86_400.0
"""Seconds that a pause may last when it is to end by itself."""

NAME_MOST: Final = 100
"""Characters of the name under which a pause is asked for."""

_FLAGS: Final = {"1": True, "true": True, "yes": True, "on": True, "": True} | dict.fromkeys(
    ("0", "false", "no", "off"), False
)


class WantedStatus(NamedTuple):
    """What the gateway is to be: for how many seconds (None: until told otherwise), and who says so ("": nobody)."""

    status: GatewayStatus
    seconds: float | None = None
    by: str = ""


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body must be.

    Raises:
        UsageError: it is none.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise _bad("the body is not UTF-8 text", remedy="send JSON in UTF-8") from None
    except RecursionError:
        raise _bad("the JSON of the body is nested too deeply") from None
    except ValueError as error:
        raise _bad(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad(f"the body is {_kind(value)}, not a JSON object")
    return value


def read_status(body: Mapping[str, Any]) -> WantedStatus:
    """What ``PUT /v1/enm/status`` asks for.

    Raises:
        UsageError: it makes no sense.
    """
    wanted, seconds, by = body.get("targetStatus"), body.get("seconds"), body.get("by")
    try:
        status = GatewayStatus(str(wanted))
    except ValueError:
        shown = "missing" if "targetStatus" not in body else repr(wanted)[:60]
        raise _bad(f"targetStatus is {shown}", remedy='it must be "Paused" or "Running"') from None
    if status is not GatewayStatus.PAUSED and (seconds, by) != (None, None):
        raise _bad("seconds and by come with Paused alone")
    if by is not None and not (isinstance(by, str) and 0 < len(by) <= NAME_MOST and by.isprintable()):
        raise _bad(f"by is {_kind(by)}", remedy=f"it must be a name of at most {NAME_MOST} characters")
    if seconds is None:
        return WantedStatus(status, by=by or "")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= PAUSE_MOST:
        raise _bad(f"seconds is {str(seconds)[:60]}", remedy=f"it must be a number above 0, at most {PAUSE_MOST:.0f}")
    return WantedStatus(status, float(seconds), by or "")


def read_hook(body: Mapping[str, Any]) -> Hook:
    """What a Supervisor's hook says; ``appId`` and anything else that it says is let be.

    Raises:
        UsageError: it makes no sense, or says nothing.
    """
    commit = body.get("commit")
    if commit is not None and not (isinstance(commit, str) and len(commit) <= COMMIT_MOST and commit.isprintable()):
        raise _bad(f"commit is {_kind(commit)}", remedy=f"it must be text of at most {COMMIT_MOST} characters, or null")
    hook = Hook(commit or None, _texts(body, "config"), _texts(body, "environment"))
    if hook == Hook(None, None, None):
        raise _bad("the body says nothing", remedy="it must have at least one of commit, config and environment")
    return hook


def read_board(body: Mapping[str, Any]) -> str:
    """The board that ``POST /v1/enm/provision`` names.

    Raises:
        UsageError: it names none.
    """
    board = body.get("board")
    if not isinstance(board, str):
        raise _bad(f"board is {_kind(board)}", remedy="it must be a board's id, name or address")
    return checked_word(board)


def read_word(raw: str) -> str:
    """The word in a path, which stands there percent-encoded.

    Raises:
        UsageError: it cannot name anything.
    """
    try:
        return checked_word(unquote_to_bytes(raw).decode())
    except UnicodeDecodeError:
        raise _bad("the path is not UTF-8 text") from None


def checked_word(word: str) -> str:
    """``word``, if it could name something.

    Raises:
        UsageError: it is empty, too long, or has characters that nobody types.
    """
    if not word or len(word) > WORD_MOST or not word.isprintable():
        raise _bad(
            f"{word[:60]!r} can be no device's name",
            remedy=f"name it by uuid, board id, name or address, in at most {WORD_MOST} characters",
        )
    return word


def read_flag(query: QueryParams, name: str) -> bool:
    """A flag in a query: ``?hold`` and ``?hold=1`` are on, without it is off.

    Raises:
        UsageError: its value is neither on nor off.
    """
    if name not in query:
        return False
    try:
        return _FLAGS[query[name].lower()]
    except KeyError:
        raise _bad(f"{name} is {query[name][:60]!r}", remedy="it must be 1 or 0") from None


def read_file_name(query: QueryParams) -> str:
    """The name of the firmware's file, by which its kind is known; "" where it is left out.

    Raises:
        UsageError: it is no file name.
    """
    name = query.get("name", "")
    if len(name) > 255 or not name.isprintable() or name in (".", "..") or any(mark in name for mark in "/\\"):  # noqa: PLR2004 - the most bytes of a name in usual file systems
        raise _bad(f"name is {name[:60]!r}", remedy="it must be a file name without a folder, like firmware.bin")
    return name


def _texts(body: Mapping[str, Any], name: str) -> dict[str, str] | None:
    """An object of texts; numbers and booleans become the text that JSON has for them."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _bad(f"{name} is {_kind(value)}", remedy="it must be an object of texts, or null")
    return {key: _text(f"{name}[{key[:60]!r}]", entry) for key, entry in value.items()}


def _text(name: str, value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            raise _bad(f"{name} is {_kind(value)}", remedy="it must be text, a number or a boolean")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null or missing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text that does not fit"
        case list():
            return "a list"
        case _:
            return "an object"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _bad(message: str, *, remedy: str = "see GET /openapi.json for what is taken") -> UsageError:
    return UsageError(message, remedy=remedy, reason="bad-request")
