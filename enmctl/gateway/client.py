"""A running gateway as the command line talks to it: blocking, and cheap to import.

Each call has a connection of its own, so one client may be used from several threads.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from enmctl.boards.manner import WORDS
from enmctl.errors import EnmError, ExitCode, GatewayError
from enmctl.gateway.control import Job, JobKind
from enmctl.models import GatewayStatus, Proof, Stage, Step

if TYPE_CHECKING:
    from http.client import HTTPResponse

CONNECT_TIMEOUT: Final = 5.0
"""Seconds in which a gateway on this machine takes a connection."""

ANSWER_TIMEOUT: Final = 70.0
"""Seconds without a byte of an answer; a gateway waits at most 60 s for its disk."""

SILENCE_TIMEOUT: Final = 30.0
"""Seconds without a line of a job's news; a gateway sends an empty one every 5 s."""

ANSWER_MOST: Final = 64 << 20
"""Bytes of an answer; 10 000 devices are about 10 MB."""

LINE_MOST: Final = 64 << 10
"""Bytes of one line of a job's news."""

_FIRST_ERROR: Final = 400
_FIRST_FAULT: Final = 500


Item = TypeVar("Item")


class Status(NamedTuple):
    """Whether the gateway works, what it was asked for last, and under which name it was paused ("": none)."""

    current: GatewayStatus
    target: GatewayStatus
    paused_by: str = ""


class GatewayClient:
    """The HTTP API of a running gateway.

    Every method raises ``GatewayError`` where the gateway does not answer, or not as one, and otherwise the gateway's
    own errors as ``Control`` does.

    Args:
        address: like ``http://127.0.0.1:1337``.
        token: what ENM_API_TOKEN says; "" where none is wanted.

    Attributes:
        address: as it was given.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self._token = token
        try:
            parts = urlsplit(address)
            self._host, self._port = parts.hostname or "", parts.port or 80
        except ValueError:
            self._host = ""
        if not self._host:
            raise GatewayError(f"{address!r} is no address of a gateway", remedy="it is like http://127.0.0.1:1337")

    def status(self) -> Status:
        """Whether the gateway works or is paused."""
        with self._understood():
            said = self._json("GET", "/v1/enm/status")
            current, target = GatewayStatus(said["currentStatus"]), GatewayStatus(said["targetStatus"])
            return Status(current, target, str(said.get("pausedBy", "")))

    def set_status(self, target: GatewayStatus, seconds: float | None = None, *, by: str = "") -> None:
        """Have it pause (for so many seconds, or until told otherwise; under a name, where one is given) or go on."""
        wanted: dict[str, Any] = {"targetStatus": target}
        if seconds is not None:
            wanted["seconds"] = seconds
        if by:
            wanted["by"] = by
        self._answer("PUT", "/v1/enm/status", wanted)

    def summary(self) -> dict[str, Any]:
        """How the gateway stands, as ``Control.summary`` tells it."""
        return self._object("/v1/enm/gateway")

    def devices(self) -> list[dict[str, Any]]:
        """Every device, by the original's field names."""
        with self._understood():
            said = self._json("GET", "/v1/devices")
            if not isinstance(said, list) or not all(isinstance(device, dict) for device in said):
                raise TypeError
            return said

    def device(self, word: str) -> dict[str, Any]:
        """One device, by uuid or local id."""
        return self._object(_device_path(word))

    def delete(self, word: str) -> None:
        """Have it stop looking after a device; one that it does not know is no error."""
        self._answer("DELETE", _device_path(word))

    def plan(self) -> list[dict[str, Any]]:
        """What it would do now, and why."""
        return self._list("/v1/enm/plan", "actions", "GET", dict)

    def roll_back(self, word: str, *, application: bool, clear: bool) -> list[str]:
        """Have a device, or all of an application, go back, or come forward again; a line a device."""
        path = f"/v1/enm/applications/{quote(word, safe='')}" if application else _device_path(word)
        return self._list(f"{path}/rollback", "done", "DELETE" if clear else "PUT", str)

    def work(self, job: Job) -> Generator[Step, None, None]:
        """Have it do a job, and tell each step; closing the generator does not stop the job.

        Raises:
            EnmError: what went wrong with the job.
        """
        with self._asked(*_request_for(job), silence=SILENCE_TIMEOUT) as answer:
            while True:
                with self._understood():
                    line = answer.readline(LINE_MOST)
                    if not line.endswith(b"\n"):
                        raise EOFError
                    news = json.loads(line) if line.strip() else None
                    step = _step(news) if news is not None and "stage" in news else None
                if step is not None:
                    yield step
                elif news is not None and "error" in news:
                    raise _error(news, self.address)
                elif news is not None:
                    return

    def _list(self, path: str, name: str, method: str, kind: type[Item]) -> list[Item]:
        """A list in an answer, each of its elements of this kind."""
        with self._understood():
            said = self._json(method, path)[name]
            if not isinstance(said, list) or not all(isinstance(element, kind) for element in said):
                raise TypeError
            return said

    def _object(self, path: str) -> dict[str, Any]:
        with self._understood():
            said = self._json("GET", path)
            if not isinstance(said, dict):
                raise TypeError
            return said

    def _json(self, method: str, path: str) -> Any:
        return json.loads(self._answer(method, path))

    def _answer(self, method: str, path: str, body: Any = None) -> bytes:
        with self._asked(method, path, body) as answer, self._understood():
            return _read(answer)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Any, *, silence: float = ANSWER_TIMEOUT
    ) -> Generator[HTTPResponse, None, None]:
        """The answer to a request if it is a good one; once it began, it goes on within ``silence`` seconds."""
        from http.client import HTTPConnection

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None and not isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        with closing(HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)) as connection:
            with self._understood():
                connection.connect()
                talk = connection.sock
                talk.settimeout(ANSWER_TIMEOUT)
                with suppress(
                    BrokenPipeError, ConnectionResetError
                ):  # it may have refused, and said so, before the end
                    connection.request(method, path, body, headers)
                answer = connection.getresponse()
            with answer:
                if answer.status >= _FIRST_ERROR:
                    with self._understood():
                        said = _read(answer)
                    raise _refusal(answer.status, said, self.address)
                talk.settimeout(silence)
                yield answer

    @contextmanager
    def _understood(self) -> Generator[None]:
        """Whatever comes of a talk within becomes a ``GatewayError``."""
        from http.client import HTTPException

        try:
            yield
        except TimeoutError:
            raise GatewayError(
                f"the gateway at {self.address} does not answer in time",
                remedy="see its log, or restart it",
                reason="gateway-silent",
            ) from None
        except OSError as error:
            raise GatewayError(
                f"the gateway at {self.address} does not answer ({error.strerror or error})",
                remedy="see whether it runs: enmctl status",
                reason="gateway-away",
            ) from None
        except (HTTPException, EOFError, ValueError, LookupError, TypeError, RecursionError):
            raise _nonsense(self.address) from None


def _request_for(job: Job) -> tuple[str, str, Any]:
    """Method, path with query, and body that ask for a job."""
    path = _device_path(job.board)
    match job.kind:
        case JobKind.FLASH:
            manner = {WORDS[name]: value for name, value in job.manner.items()}
            query = urlencode({"name": job.file_name, "hold": int(job.hold), **manner})
            return "PUT", f"{path}/firmware?{query}", job.firmware
        case JobKind.RESTART:
            return "PUT", f"{path}/restart?wait=1", None
        case JobKind.IDENTIFY:
            return "POST", f"{path}/identify", None
        case JobKind.PROVISION:
            return "POST", "/v1/enm/provision", {"board": job.board}


def _device_path(word: str) -> str:
    return f"/v1/devices/{quote(word, safe='')}"


def _read(answer: HTTPResponse) -> bytes:
    """The whole body of an answer.

    Raises:
        ValueError: it is too large.
    """
    body = answer.read(ANSWER_MOST + 1)
    if len(body) > ANSWER_MOST:
        raise ValueError
    return body


def _step(news: Mapping[str, Any]) -> Step:
    proof = None if news.get("proof") is None else Proof(news["proof"])
    version = None if news.get("version") is None else str(news["version"])
    return Step(Stage(news["stage"]), int(news["done"]), int(news["total"]), str(news["note"]), proof, version)


def _refusal(status: int, body: bytes, address: str) -> EnmError:
    """The error that an answer with an error's status tells."""
    if status == 401:  # noqa: PLR2004 - "Unauthorized"
        return GatewayError(
            f"the gateway at {address} wants its token",
            remedy="set ENM_API_TOKEN to what the gateway has",
            reason="token",
        )
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return _nonsense(address)
    if isinstance(said, dict) and status < _FIRST_FAULT:
        said.setdefault("exit_code", int(ExitCode.USAGE))  # HTTP's own refusals: too large, no such path
    return _error(said, address)


def _error(said: Any, address: str) -> EnmError:
    """The error that a gateway tells, as what it is in the error tree."""
    if not isinstance(said, dict) or not isinstance(said.get("error"), str):
        return _nonsense(address)
    reason, remedy = str(said.get("reason", "")), str(said.get("remedy", ""))
    kind = _kind(said.get("exit_code"), reason)
    return kind(said["error"], remedy=remedy, reason=reason)


def _kind(exit_code: Any, reason: str) -> type[EnmError]:
    """The class that has this exit code, as near as the reason tells; ``GatewayError`` for a code of no class."""
    kinds = [kind for kind in _descendants(EnmError) if kind.exit_code == exit_code]
    if not kinds or exit_code == ExitCode.BUG:
        return GatewayError
    return next((kind for kind in kinds if kind.default_reason == reason), kinds[0])


def _descendants(kind: type[EnmError]) -> list[type[EnmError]]:
    """Every class below, nearer ones first."""
    children = kind.__subclasses__()
    return [*children, *(below for child in children for below in _descendants(child))]


def _nonsense(address: str) -> GatewayError:
    return GatewayError(
        f"what answers at {address} does not answer as a gateway of enmctl",
        remedy="see whether another program has its port: enmctl status",
        reason="gateway-answer",
    )
