"""What a board says of itself: ``GET /id`` of docs/firmware-contract.md."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from enmctl.boards.http_answer import HttpAnswer
from enmctl.models import DiscoveredBoard

PAGE: Final = "/id"
ANSWER_MOST: Final = 1024
"""Bytes that the contract allows; a page of another firmware may have any."""

NAME: Final = re.compile(r"[^\s/\\\x00-\x1f\x7f-\x9f]{1,63}")
"""A board's id or type, as it may stand in a name, a path and a log."""

VERSION: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """A board's answer: sizes are bytes, ``uptime`` is seconds, None is "not said"."""

    local_id: str
    application_id: int
    board_type: str
    version: str | None = None
    uptime: float | None = None
    free: int | None = None
    flash: int | None = None

    def is_of(self, board: DiscoveredBoard) -> bool:
        """Whether the board that answers is the one that was meant; one named by address may be any."""
        if self.board_type.casefold() != board.board_type.casefold():
            return False
        named = board.application_id if board.named_application is None else board.named_application
        return named is None or (self.application_id, self.local_id) == (named, board.local_id)

    def __str__(self) -> str:
        return f"{self.board_type}_{self.application_id}_{self.local_id}"


def read_identity(answer: HttpAnswer) -> Identity | None:
    """The identity in an answer to ``GET /id``, or None where this firmware does not keep the contract."""
    if answer.status != 200 or len(answer.body) > ANSWER_MOST:  # noqa: PLR2004 - HTTP's "OK"
        return None
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or _number(said.get("contract")) is None:
        return None
    local_id, application_id, board_type = _name(said.get("id")), _number(said.get("app")), _name(said.get("type"))
    if local_id is None or application_id is None or board_type is None:
        return None
    return Identity(
        local_id=local_id,
        application_id=application_id,
        board_type=board_type,
        version=read_version(said.get("fw")),
        uptime=_number(said.get("uptime")),
        free=_number(said.get("free")),
        flash=_number(said.get("flash")),
    )


def read_version(text: Any) -> str | None:
    """A version as firmware may tell it, or None for anything else."""
    return text if isinstance(text, str) and VERSION.fullmatch(text) else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def _number(value: Any) -> int | None:
    """A whole number that is not negative; JSON knows booleans and fractions too."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
