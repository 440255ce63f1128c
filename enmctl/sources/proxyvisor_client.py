"""HTTP with a Supervisor: one client, every wait and every body bounded, the key never where it does not belong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from enmctl.errors import LostAnswerError, SettingError, SourceAnswerError, SourceAwayError, SourceRefusedError
from enmctl.settings import Settings
from enmctl.sources.proxyvisor_wire import line

CONNECT_TIMEOUT = 5.0
"""Seconds to reach the Supervisor; it is on this machine or beside it."""

BODY_MOST = 1 << 20
"""Bytes of an ordinary answer."""

LIST_MOST = 64 << 20
"""Bytes of a list: 10 000 devices are 5.5 MB."""

TRIES, FIRST_WAIT = 3, 0.1
"""How often a question that changes nothing is asked where nobody answers, and seconds before the second time."""

CONNECTIONS = 16
"""How many requests are under way at once."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors after which no byte of the request has left."""

UNAUTHORIZED = 401

PORT_MOST = 65_535


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body, as it may stand in a line for people."""
        return line(self.body[:200].decode("utf-8", "replace"))


class ProxyvisorClient:
    """Requests to one Supervisor. The key goes in the Authorization header, and as a parameter only after a 401."""

    def __init__(self, settings: Settings) -> None:
        keep_urls_out_of_logs()
        self.address = settings.supervisor_address.rstrip("/")
        self._version = settings.api_version
        self._key = settings.api_key
        self._key_as_parameter = False
        self._limit = settings.supervisor_timeout
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make the client. Raises SettingError where the Supervisor's address is none."""
        limit = self._limit
        if not _is_address(self.address):
            raise SettingError(
                f"BALENA_SUPERVISOR_ADDRESS (or RESIN_…) is {self.address!r}",
                remedy="it must be an address like http://127.0.0.1:48484",
            )
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit)),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            headers={"Accept-Encoding": "identity"},
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def ask(self, *path: str, most: int = BODY_MOST) -> Reply:
        """GET below the API's version; asked again where nobody answers.

        Raises:
            SourceAwayError: nobody answers, or with a server error.
            SourceRefusedError: the key is not accepted.
            SourceAnswerError: the answer is longer than ``most`` bytes.
        """
        url = self.url(self._version, *path)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(NEVER_SENT),
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(FIRST_WAIT),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return self._usable(await self._exchange("GET", url, None, most), url)
        except httpx.HTTPError as error:
            self._away(url, error)
        raise AssertionError("unreachable")

    async def tell(self, method: str, *path: str, body: Mapping[str, Any]) -> Reply:
        """Send JSON once; whether it may be sent again is for the caller to know.

        Raises:
            SourceAwayError: it never left.
            LostAnswerError: it may have arrived, and no answer came.
            SourceRefusedError: the key is not accepted.
        """
        url = self.url(self._version, *path)
        try:
            reply = await self._exchange(method, url, body, BODY_MOST)
        except NEVER_SENT as error:
            self._away(url, error)
        except (httpx.HTTPError, SourceAnswerError) as error:
            raise LostAnswerError(
                f"the Supervisor's answer to {method} {url} got lost ({describe(error)})",
                remedy="what came of it is looked up before it is asked again",
            ) from error
        if reply.status == UNAUTHORIZED:
            self._unauthorized(url)
        return reply

    @asynccontextmanager
    async def stream(self, *path: str, headers: Mapping[str, str]) -> AsyncGenerator[httpx.Response]:
        """GET whose body the caller reads; how long that may take is for the caller to limit.

        Raises:
            SourceAwayError: nobody answers, or the transfer broke.
            SourceRefusedError: the key is not accepted.
        """
        url = self.url(self._version, *path)
        try:
            for as_parameter in self._ways():
                request = self._request("GET", url, None, as_parameter=as_parameter, headers=headers)
                response = await self._begun(request)
                try:
                    if response.status_code == UNAUTHORIZED:
                        continue
                    self._key_as_parameter = as_parameter
                    yield response
                    return
                finally:
                    await response.aclose()
        except httpx.HTTPError as error:
            self._away(url, error)
        self._unauthorized(url)

    async def answers(self) -> bool:
        """Whether anything answers; what it says does not matter."""
        try:
            await self._exchange("GET", self.url("ping"), None, BODY_MOST)
        except (httpx.HTTPError, SourceAnswerError):
            return False
        return True

    def url(self, *path: str) -> str:
        """An address below the Supervisor's, each element quoted."""
        from urllib.parse import quote

        return "/".join([self.address, *(quote(element, safe="") for element in path)])

    @property
    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the client is not open")
        return self._client

    def _ways(self) -> tuple[bool, ...]:
        """How the key may go, in order: whether as a parameter."""
        if self._key is None:
            return (False,)
        return (self._key_as_parameter, not self._key_as_parameter)

    def _request(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        *,
        as_parameter: bool,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        all_headers = dict(headers or {})
        params = None
        if self._key is not None and as_parameter:
            params = {"apikey": self._key}
        elif self._key is not None:
            all_headers["Authorization"] = f"ApiKey {self._key}"
        content = None
        if body is not None:
            all_headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode("ascii")
        return self._opened.build_request(method, url, content=content, params=params, headers=all_headers)

    async def _begun(self, request: httpx.Request) -> httpx.Response:
        """The answer up to its body, within the limit: a Supervisor packs an asset when it is asked for it first."""
        try:
            async with asyncio.timeout(self._limit):
                return await self._opened.send(request, stream=True)
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {self._limit:g} s") from None

    async def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None, most: int) -> Reply:
        """One request, with the key the other way after a 401; the whole of it within the limit."""
        reply = Reply(UNAUTHORIZED, b"")
        for as_parameter in self._ways():
            request = self._request(method, url, body, as_parameter=as_parameter)
            try:
                async with asyncio.timeout(self._limit):
                    reply = await self._read(request, url, most)
            except TimeoutError:
                raise httpx.ReadTimeout(f"no whole answer within {self._limit:g} s") from None
            if reply.status != UNAUTHORIZED:
                self._key_as_parameter = as_parameter
                return reply
        return reply

    async def _read(self, request: httpx.Request, url: str, most: int) -> Reply:
        response = await self._opened.send(request, stream=True)
        try:
            parts = bytearray()
            async for part in response.aiter_bytes():
                parts += part
                if len(parts) > most:
                    raise SourceAnswerError(
                        f"the Supervisor's answer to {url} is longer than {most} bytes",
                        remedy="check that BALENA_SUPERVISOR_ADDRESS (or RESIN_…) is a Supervisor's",
                    )
            return Reply(response.status_code, bytes(parts))
        finally:
            await response.aclose()

    def _usable(self, reply: Reply, url: str) -> Reply:
        """Let an answer pass that speaks of the question; server errors mean that the Supervisor is away."""
        if reply.status == UNAUTHORIZED:
            self._unauthorized(url)
        if reply.status >= 500 or 300 <= reply.status < 400:  # noqa: PLR2004 - HTTP's classes
            raise SourceAwayError(
                f"the Supervisor answered {url} with {reply.status} {reply.text}".rstrip(),
                remedy="it is asked again in a moment",
                reason="source-error",
            )
        return reply

    def _unauthorized(self, url: str) -> NoReturn:
        said = "the key that was sent" if self._key else "no key (RESIN_SUPERVISOR_API_KEY is na)"
        raise SourceRefusedError(
            f"the Supervisor at {url} does not accept {said}",
            remedy="set RESIN_SUPERVISOR_API_KEY to its key; on balena the service needs the label "
            "io.balena.features.supervisor-api",
            reason="unauthorized",
        )

    def _away(self, url: str, error: Exception) -> NoReturn:
        raise SourceAwayError(
            f"no answer from the Supervisor at {url} ({describe(error)})",
            remedy="check BALENA_SUPERVISOR_ADDRESS (or RESIN_…); or without a Supervisor name a fleet file: --fleet",
        ) from error


def _is_address(address: str) -> bool:
    """Whether requests can be sent there at all."""
    try:
        url = httpx.URL(address)
        url.host.encode("idna")
    except (httpx.InvalidURL, ValueError):
        return False
    return bool(url.host) and (url.port is None or 0 < url.port <= PORT_MOST)


class _Quiet(logging.Filter):
    """Lets no line pass that names a URL, whatever level somebody sets: the key may be a parameter of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


_QUIET = _Quiet()


def keep_urls_out_of_logs() -> None:
    """Have httpx log no request, for good."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("httpx").addFilter(_QUIET)


def describe(error: Exception) -> str:
    """What happened on the wire, in few words."""
    return str(error) or type(error).__name__
