"""A browser that is watched, and packets made by hand for it."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable

from enmctl.radio.mdns import MdnsBrowser, MdnsService
from enmctl.settings import Settings

ON_LOOPBACK = Settings(mdns_interfaces="127.0.0.1")
LIMIT = 10.0


class Watched:
    """A browser, and what it said of the boards of one test."""

    def __init__(self, *, loopback_only: bool = True) -> None:
        self.prefix = f"ESP8266_{10**8 + secrets.randbelow(9 * 10**8)}_"
        self.said: list[tuple[str, MdnsService | None]] = []
        self._news = asyncio.Event()
        self.browser = MdnsBrowser(ON_LOOPBACK, self._hear, loopback_only=loopback_only)

    def _hear(self, name: str, service: MdnsService | None) -> None:
        if name.startswith(self.prefix):
            self.said.append((name, service))
        self._news.set()

    @property
    def services(self) -> dict[str, MdnsService]:
        return {name: service for name, service in self.browser.services.items() if name.startswith(self.prefix)}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not holds():
                self._news.clear()
                await self._news.wait()


def send_to_everybody(packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sender.sendto(packet, ("224.0.0.251", 5353))


def wire_name(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, 0x8001 if kind != 12 else 1, 120, len(data)) + data


def answer(*records: bytes) -> bytes:
    """A multicast DNS answer, made by hand so that it can be wrong in any way."""
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


HTTP = (b"_http", b"_tcp", b"local")
