"""How the log looks: one record a line, as text or as JSON, with the time's zone and without secrets.

Logs are talk, so they go to stderr. Text is for people and ``docker logs``; JSON for what collects logs.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from enmctl.cli.output import DIM, PLAIN, RED, clean, coloured
from enmctl.settings import variables

PANIC = logging.CRITICAL + 10
"""Above fatal, as in the original's logger; nothing logs at it, so that it asks for silence."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": PANIC,
}
"""What the words of ENM_LOG_LEVEL mean to ``logging``."""

CHATTY = ("asyncio", "bleak", "httpcore", "httpx", "uvicorn", "zeroconf")
"""Libraries whose talk below a warning tells a person nothing about boards."""

HIDDEN = "***"
"""What stands where a secret stood."""

SHORTEST_SECRET = 4
"""Characters; masking a shorter word would blacken half the log and protect nothing."""

_PASSWORDS_IN_ADDRESSES = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]+@")
_NAMED_SECRETS = re.compile(
    r"(?i)\b((?:apikey|api_key|token|password)=|(?:apikey|bearer|basic)\s+(?=\S{8}))[^\s&,;\"']+"
)


def known_secrets() -> list[str]:
    """The values of the secret variables, the longest first; defaults are no secrets."""
    found = {
        os.environ.get(spelling, "")
        for variable in variables().values()
        if variable.secret
        for spelling in variable.names
        if os.environ.get(spelling) != variable.default
    }
    found.add(os.environ.get("ENM_OTA_PASSWORD", ""))
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def mask(text: str, secrets: Iterable[str] | None = None) -> str:
    """The text without ``secrets`` (by default the known ones), passwords in addresses, and what is named as secret."""
    for secret in known_secrets() if secrets is None else secrets:
        text = text.replace(secret, HIDDEN)
    text = _PASSWORDS_IN_ADDRESSES.sub(rf"\1:{HIDDEN}@", text)
    return _NAMED_SECRETS.sub(rf"\1{HIDDEN}", text)


def moment(at: float) -> str:
    """A time of day in ISO 8601, with milliseconds and the local zone's offset."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="milliseconds")


class TextLines(logging.Formatter):
    """``2026-01-31T12:00:00.000+01:00 INFO    enmctl.gateway: …``, in colour where asked."""

    def __init__(self, secrets: Iterable[str], *, in_colour: bool = False) -> None:
        super().__init__()
        self._secrets = tuple(secrets)
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as its one line."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        line = f"{record.levelname:<7} {record.name}: {clean(mask(text, self._secrets))}"
        if not self._in_colour:
            return f"{moment(record.created)} {line}"
        start, end = (RED, PLAIN) if record.levelno >= logging.ERROR else ("", "")
        return f"{DIM}{moment(record.created)}{PLAIN} {start}{line}{end}"


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and ``exception`` where there is one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The record as its one line."""
        fields = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage(), self._secrets),
        }
        if record.exc_info:
            fields["exception"] = mask(self.formatException(record.exc_info), self._secrets)
        return json.dumps(fields)


def set_up(
    word: str, *, form: str = "text", verbose: bool = False, quiet: bool = False, stream: TextIO | None = None
) -> None:
    """Let everything that logs in this process write to ``stream`` (stderr).

    Args:
        word: a level, as in ``LEVELS``.
        form: text or json.
        verbose: show all, whatever the level.
        quiet: show errors and worse alone.
        stream: where to.
    """
    stream = stream or sys.stderr
    secrets = known_secrets()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(secrets) if form == "json" else TextLines(secrets, in_colour=coloured(stream)))
    level = logging.DEBUG if verbose else LEVELS[word]
    if quiet:
        level = max(level, logging.ERROR)
    logging.addLevelName(logging.CRITICAL, "FATAL")
    logging.addLevelName(PANIC, "PANIC")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)
