"""Who may use the API.

On loopback everybody on this machine may, but no web page that a browser here happens to show: neither by its own
requests to us (``Origin``, ``Sec-Fetch-Site``) nor by a name of its own that it lets point here (``Host``; "DNS
rebinding"). On any other address a token is wanted, and where one is set it is wanted on loopback too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from enmctl.errors import SettingError
from enmctl.gateway.api.answers import RequestError
from enmctl.settings import Settings

REALM: Final = "enmctl"

_LOCAL_NAMES: Final = frozenset({"localhost", "0.0.0.0", "::"})  # noqa: S104 - names of this machine in a Host header
"""Beside loopback addresses; the Supervisor's default hook address is http://0.0.0.0:1337/v1/devices/."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_exposure(settings: Settings) -> None:
    """See that the API will not be open to the network by accident.

    Raises:
        SettingError: it would be.
    """
    if is_loopback(settings.api_host) or settings.api_token or settings.api_without_token:
        return
    raise SettingError(
        f"ENM_API_HOST is {settings.api_host!r}, and whoever reaches it could flash every board",
        remedy="set ENM_API_TOKEN to a token that callers must show, or ENM_API_WITHOUT_TOKEN=on if all may",
        reason="exposed",
    )


class Doorkeeper:
    """Decides by a request's headers whether it may come in.

    Args:
        settings: the bound host, and the token if one is wanted.
    """

    def __init__(self, settings: Settings) -> None:
        self._token = settings.api_token.encode()
        self._host = settings.api_host.lower()
        self._checks_host = not self._token and is_loopback(settings.api_host)

    def check(self, headers: Headers) -> None:
        """Let it in.

        Raises:
            RequestError: it may not (401 without the token, 403 from a web page).
        """
        self._check_host(headers)
        self._check_origin(headers)
        if self._token and not any(
            hmac.compare_digest(shown, self._token) for shown in _shown_tokens(headers.getlist("authorization"))
        ):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "this gateway wants its token",
                reason="token",
                remedy="show ENM_API_TOKEN, as Authorization: Bearer TOKEN or as the password of Basic",
                headers=[("www-authenticate", "Bearer"), ("www-authenticate", f'Basic realm="{REALM}"')],
            )

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host")
        if not self._checks_host or host is None:
            return
        name = _host_name(host)
        if name is None or not (name in _LOCAL_NAMES or name == self._host or is_loopback(name)):
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "this gateway is not called so",
                reason="host",
                remedy="ask for it by 127.0.0.1 or localhost; under another name it wants ENM_API_TOKEN set",
            )

    @staticmethod
    def _check_origin(headers: Headers) -> None:
        origin = headers.get("origin")
        from_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if origin is not None:
            from_elsewhere = origin.lower() != f"http://{headers.get('host', '')}".lower()
        if from_elsewhere:
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "a web page of another site may not use this gateway",
                reason="origin",
                remedy="ask from a program, not from a page",
            )


def _host_name(header: str) -> str | None:
    """The name in a ``Host`` header, without port and brackets, in lower case."""
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return None
    return None if name is None else name.rstrip(".")


def _shown_tokens(headers: list[str]) -> list[bytes]:
    """The tokens that ``Authorization`` headers show."""
    tokens = []
    for header in headers:
        scheme, _, credentials = header.strip().partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer":
            tokens.append(credentials.encode())
        elif scheme.lower() == "basic":
            tokens.append(_basic_password(credentials))
    return tokens


def _basic_password(credentials: str) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
