"""Who has an address in the hotspot: boards that mDNS does not show are found by the name that they asked with.

An ESP8266 asks for its address under the same name that it advertises. NetworkManager's DHCP server (dnsmasq) keeps
what it gave to whom in a file, a line each: expiry, hardware address, address, name, client.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from enmctl.radio.mdns import MdnsService

LOG = logging.getLogger(__name__)

FOLDERS: Final = (Path("/var/lib/NetworkManager"), Path("/host/var/lib/NetworkManager"))
"""Where the file is: the machine's own place, and where a container has the host's."""

SIZE_MOST: Final = 1 << 16
"""Bytes that are read; 245 leases, the most that there can be, have half of that."""

NO_NAME: Final = "*"
"""What stands for the name of a client that told none."""

DIGITS_MOST: Final = 18
"""Digits of a moment that makes sense."""

HTTP_PORT: Final = 80
"""Where an ESP8266 listens; a lease tells no port."""


class Leases:
    """The leases of one interface, read anew when their file has changed.

    Args:
        interface: the hotspot's.
        folders: where to look for the file; the first that has it counts.
        now: the clock by which leases expire.
    """

    def __init__(
        self, interface: str, *, folders: Sequence[Path] = FOLDERS, now: Callable[[], float] = time.time
    ) -> None:
        self._paths = [folder / f"dnsmasq-{interface}.leases" for folder in folders]
        self._now = now
        self._seen: tuple[Path, int, int] | None = None
        self._text = ""
        self._has_told = False

    def read(self) -> list[MdnsService]:
        """Who has an address now, each as if it had advertised itself. Never raises."""
        for path in self._paths:
            try:
                stat = path.stat()
                seen = (path, stat.st_mtime_ns, stat.st_size)
                if seen != self._seen:
                    with path.open("rb") as file:
                        self._text = file.read(SIZE_MOST).decode("utf-8", "replace")
                    self._seen = seen
            except OSError:
                continue
            return parse(self._text, self._now())
        if not self._has_told:
            self._has_told = True
            LOG.debug(
                "%s cannot be read: boards in the hotspot are found by mDNS alone; a container needs the host's "
                "/var/lib/NetworkManager mounted",
                " or ".join(map(str, self._paths)),
            )
        return []


def parse(text: str, now: float) -> list[MdnsService]:
    """The clients of a lease file that told a name and whose lease lasts; what makes no sense is left out."""
    found: dict[str, MdnsService] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < len(("expiry", "mac", "address", "name")):
            continue
        expiry, _, address, name, *_ = words
        if name != NO_NAME and _lasts(expiry, now) and _is_address(address):
            found[name] = MdnsService(name, name, HTTP_PORT, (address,))
    return list(found.values())


def _lasts(expiry: str, now: float) -> bool:
    """Whether a lease is in force; 0 is for ever."""
    is_moment = expiry.isascii() and expiry.isdigit() and len(expiry) <= DIGITS_MOST
    return is_moment and (int(expiry) == 0 or int(expiry) > now)


def _is_address(word: str) -> bool:
    try:
        ipaddress.IPv4Address(word)
    except ValueError:
        return False
    return True
