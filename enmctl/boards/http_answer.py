"""Reading an HTTP answer from a board, whatever it really sends.

Only what boards need: HTTP/1.x with a length, in chunks, or up to the end of the connection; sizes are capped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

HEAD_MOST: Final = 16 * 1024
"""Bytes of status line and headers; boards send some hundred."""

BODY_MOST: Final = 16 * 1024
"""Bytes of a body that are kept; what follows does not change what an answer means."""

CHUNKED_MOST: Final = 4 * BODY_MOST
"""Bytes that so much of a body may take when it comes in chunks."""

STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r?\n|$)")
END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,7})[^\r\n]{0,200}\r\n")

INTERIM: Final = range(100, 200)
WITHOUT_BODY: Final = (204, 304)


class NotHttpError(Exception):
    """What came is no HTTP answer; ``args[0]`` is how it begins."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer; names of headers in lower case, and no more of the body than ``BODY_MOST``."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever is in it."""
        return self.body.decode(errors="replace").strip()


class AnswerReader:
    """Puts an answer together from the pieces in which it comes."""

    def __init__(self) -> None:
        self._data = b""
        self._status = 0
        self._headers: dict[str, str] | None = None
        self.has_begun = False

    def feed(self, data: bytes) -> HttpAnswer | None:
        """Take the next piece; return the answer once it is whole.

        Raises:
            NotHttpError: this is no HTTP answer.
        """
        self.has_begun = self.has_begun or bool(data)
        self._data += data
        while self._headers is None:
            if not self._take_head():
                return None
        return self._whole()

    def end(self) -> HttpAnswer | None:
        """What there is once the connection has ended, or None where the answer lacks something.

        Raises:
            NotHttpError: this is no HTTP answer.
        """
        if self._headers is None:
            if self._data:
                raise NotHttpError(self._data[:60])
            return None
        if "content-length" in self._headers or self._is_chunked:
            return None
        return HttpAnswer(self._status, self._headers, self._data)

    @property
    def _is_chunked(self) -> bool:
        return self._headers is not None and "chunked" in self._headers.get("transfer-encoding", "").lower()

    def _take_head(self) -> bool:
        """Read status and headers where they are whole; interim answers (100) are passed over."""
        if not STATUS_LINE.match(self._data) and (len(self._data) >= len(b"HTTP/1.1 200 ") or b"\n" in self._data):
            raise NotHttpError(self._data[:60])
        found = END_OF_HEAD.search(self._data, 0, HEAD_MOST)
        if found is None:
            if len(self._data) >= HEAD_MOST:
                raise NotHttpError(self._data[:60])
            return False
        head, self._data = self._data[: found.start()], self._data[found.end() :]
        status = int(head[9:12])
        if status in INTERIM:
            return bool(self._data)
        self._status = status
        self._headers = _headers(head)
        return True

    def _whole(self) -> HttpAnswer | None:
        headers = self._headers or {}
        if self._status in WITHOUT_BODY:
            return HttpAnswer(self._status, headers, b"")
        if self._is_chunked:
            if len(self._data) > CHUNKED_MOST:
                raise NotHttpError(self._data[:60])
            body = _unchunked(self._data)
        else:
            length = headers.get("content-length", "")
            if length and not re.fullmatch(r"\d{1,15}", length, re.ASCII):
                raise NotHttpError(self._data[:60])
            wanted = int(length) if length else BODY_MOST
            body = self._data[:wanted] if len(self._data) >= min(wanted, BODY_MOST) else None
        return None if body is None else HttpAnswer(self._status, headers, body[:BODY_MOST])


def _headers(head: bytes) -> dict[str, str]:
    headers = {}
    for line in re.split(rb"\r?\n", head)[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    return headers


def _unchunked(data: bytes) -> bytes | None:
    """The body behind the chunks, or None while the last one (or BODY_MOST) has not come."""
    body = b""
    at = 0
    while found := CHUNK_LINE.match(data, at):
        size = int(found[1], 16)
        if not size:
            return body
        body += data[found.end() : found.end() + size]
        if len(body) >= BODY_MOST:
            return body
        at = found.end() + size + 2
        if at > len(data):
            return None
    if len(data) - at >= len(b"fffffff\r\n") + 200:
        raise NotHttpError(data[at : at + 60])
    return None
