"""Answers of the simulated Supervisor, as values that can still be spoiled before they go out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from starlette.types import Receive, Scope, Send

from enmctl.simulator.serving import drop, unbuffered, until_gone
from enmctl.simulator.supervisor.records import RequestRecord

CHUNK = 1 << 16
"""Bytes of an answer that are handed to the connection at once."""

RESET_PAUSE = 0.1
"""Seconds between the first half and the reset: RST throws away what the client has not read yet."""

HTML = "text/html; charset=utf-8"
"""What Express calls plain text, too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    body: bytes = b""
    content_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_text(cls, status: int, text: str) -> Answer:
        """An answer of plain text, as most errors are."""
        return cls(status, text.encode())

    @classmethod
    def of_json(cls, status: int, value: Any) -> Answer:
        """An answer of JSON."""
        body = json.dumps(value, separators=(",", ":")).encode()
        return cls(status, body, "application/json; charset=utf-8")

    @classmethod
    def of_no_route(cls, method: str, path: str) -> Answer:
        """What Express says where nothing is mounted."""
        text = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>\n'
            f"<body>\n<pre>Cannot {escape(method)} {escape(path)}</pre>\n</body>\n</html>\n"
        )
        return cls(404, text.encode())


class Exchange:
    """One request's connection: the ways in which it can be answered, or not."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        self.record = record
        self._scope = scope
        self._receive = receive
        self._send = send

    async def answer(self, answer: Answer) -> None:
        """Send the whole answer."""
        await self._start(answer)
        self.record.status = answer.status
        await self._send_body(answer.body)
        await self._send({"type": "http.response.body", "body": b""})

    async def answer_half(self, answer: Answer, end: str) -> None:
        """Announce the whole answer, send half of it, then end by ``cut`` (FIN), ``reset`` (RST) or ``stall``."""
        unbuffered(self._scope)
        await self._start(answer)
        self.record.status = answer.status
        await self._send_body(answer.body[: len(answer.body) // 2])
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        if end == "reset":
            await asyncio.sleep(RESET_PAUSE)
        if end == "stall":
            await until_gone(self._receive)
        else:
            await drop(self._scope, self._receive, reset=end == "reset")

    async def answer_without_end(self, answer: Answer, size: int) -> None:
        """Send the head of the answer without a length, then its body again and again, up to ``size`` bytes."""
        await self._start(answer, announce=False)
        self.record.status = answer.status
        chunk = (answer.body or b" ") * (CHUNK // max(len(answer.body), 1) + 1)
        for _ in range(size // len(chunk) + 1):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def drop(self, *, reset: bool = False) -> None:
        """End the connection without an answer."""
        await drop(self._scope, self._receive, reset=reset)

    async def keep_silent(self) -> None:
        """Never answer; the client may leave when it likes."""
        await until_gone(self._receive)

    async def _start(self, answer: Answer, *, announce: bool = True) -> None:
        headers = {"Content-Type": answer.content_type, **answer.headers}
        if announce:
            headers["Content-Length"] = str(len(answer.body))
        encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": encoded})

    async def _send_body(self, body: bytes) -> None:
        for start in range(0, len(body), CHUNK):
            await self._send({"type": "http.response.body", "body": body[start : start + CHUNK], "more_body": True})
