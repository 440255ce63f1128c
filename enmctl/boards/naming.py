"""The names by which boards are found: ``<type>_<application>_<id>`` over mDNS, and addresses that people write."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from enmctl.boards.contract import Heard
from enmctl.boards.identity import NAME, read_version
from enmctl.errors import UsageError
from enmctl.models import DiscoveredBoard, Radio
from enmctl.radio.mdns import MdnsService

HTTP_PORT: Final = 80

CONFLICT: Final = re.compile(r"(?: \(\d{1,3}\)| #\d{1,3})$")
"""What Bonjour and Avahi put behind a name that somebody else has already; no id ends like that."""

DASHED_CONFLICT: Final = re.compile(r"-\d{1,3}$")
"""What the ESP8266's own mDNS and zeroconf put there; ids other than numbers may well end like that."""

HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*\.?", re.ASCII
)
FILE_ENDINGS: Final = (".bin", ".hex", ".zip", ".tar", ".gz", ".elf", ".uf2", ".txt")
"""Words that end so are files; nobody's board is called so."""


@dataclass(frozen=True, slots=True)
class InstanceName:
    """The parts of an instance's name; ``local_ids`` are what its last part may mean, the likeliest first."""

    board_type: str
    application_id: int
    local_ids: tuple[str, ...]


def read_instance(name: str) -> InstanceName | None:
    """Take an instance's name apart, or None where it is not of this form."""
    parts = name.split("_", 2)
    if len(parts) != 3 or not re.fullmatch(r"\d{1,18}", parts[1], re.ASCII):  # noqa: PLR2004 - type, application, id
        return None
    board_type, application, rest = parts
    rest = CONFLICT.sub("", rest.removesuffix(".").removesuffix(".local"))
    undashed = DASHED_CONFLICT.sub("", rest)
    likeliest = (undashed, rest) if re.fullmatch(r"\d+", undashed, re.ASCII) else (rest, undashed)
    local_ids = tuple(dict.fromkeys(local_id for local_id in likeliest if NAME.fullmatch(local_id)))
    return InstanceName(board_type, int(application), local_ids) if local_ids else None


def recognise(heard: Heard, board_type: str) -> DiscoveredBoard | None:
    """The board of this type behind an advertised service, or None.

    The name counts, for it is what the original went by. A TXT record that speaks of the same board tells the version,
    and which of two readings of the name is right; one that speaks of another board is ignored.
    """
    if not isinstance(heard, MdnsService):
        return None
    name = read_instance(heard.name)
    if name is None or name.board_type.casefold() != board_type.casefold():
        return None
    if not heard.addresses or not 0 < heard.port < 1 << 16:
        return None
    said = {key.lower(): value for key, value in heard.properties.items()}
    said_id = said.get("id")
    local_id = said_id if said_id in name.local_ids else name.local_ids[0]
    is_same = said_id in (None, "", local_id) and said.get("app", "") in ("", str(name.application_id))
    return DiscoveredBoard(
        board_type=board_type,
        application_id=name.application_id,
        local_id=local_id,
        radio=Radio.WIFI,
        name=heard.name,
        addresses=tuple(sorted(heard.addresses, key=lambda address: ":" in address)),
        port=heard.port,
        version=read_version(said.get("fw")) if is_same else None,
    )


def at_address(address: str, board_type: str) -> DiscoveredBoard | None:
    """The board at ``http://[user@]host[:port][/path]``, ``host:port`` or ``host``, or None where this is no address.

    A bare word is a host only where it is an IP address, has a dot, or is ``localhost``: all else names a device.

    Raises:
        UsageError: a password is in the address.
    """
    has_scheme = address.lower().startswith("http://")
    if not has_scheme and ("/" in address or "@" in address or _is_no_host(address)):
        return None
    try:
        parts = urlsplit(address if has_scheme else f"http://{_in_brackets(address)}")
        host, port, user = parts.hostname, parts.port, unquote(parts.username or "")
    except ValueError:
        return None
    if parts.password is not None:
        raise UsageError("a password in an address is seen by everybody", remedy="put it into ENM_OTA_PASSWORD")
    host = (host or "").replace("%25", "%", 1)
    if port == 0 or not (_ip(host) or HOST_NAME.fullmatch(host)):
        return None
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    shown = f"[{host}]" if ":" in host else host
    name = shown if port in (None, HTTP_PORT) else f"{shown}:{port}"
    return DiscoveredBoard(
        board_type=board_type,
        application_id=None,
        local_id=name,
        radio=Radio.WIFI,
        name=name,
        addresses=(host,),
        port=port or HTTP_PORT,
        path="" if path == "/" else path,
        user=user,
    )


def _is_no_host(word: str) -> bool:
    """Whether a word without a scheme is something else: a device's name or id, a file."""
    if _ip(word.strip("[]")):
        return False
    host, colon, port = word.partition(":")
    if colon:
        return not re.fullmatch(r"\d{1,5}", port, re.ASCII) and not word.startswith("[")
    return host != "localhost" and ("." not in host.strip(".") or host.lower().endswith(FILE_ENDINGS))


def _in_brackets(word: str) -> str:
    return f"[{word}]" if _ip(word) and ":" in word else word


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
