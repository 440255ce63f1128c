"""Has a browser listen on an interface that is made anew, with the same address, between two looks.

recreated_interface.py LISTEN_ON: prints, as JSON, whether a board that only the new interface hears was found.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys

from enmctl.radio import mdns
from enmctl.radio.mdns import MdnsBrowser, MdnsService
from enmctl.settings import Settings

MAKE = """
set -e
ip link add out0 type veth peer name out1
ip addr add 198.51.100.2/24 dev out0
ip link set out0 up
ip link set out1 up
"""

BOARD = "198.51.100.9"
MULTICAST = bytes.fromhex("01005e0000fb")
"""The Ethernet address of 224.0.0.251 (RFC 1112, 6.4)."""

LIMIT = 10.0
"""Seconds in which the board is to be found."""


def shell(script: str) -> None:
    subprocess.run(["sh", "-c", script], check=True, timeout=10)


def announcement(instance: str) -> bytes:
    """The frame in which a board on the other end of the cable says that it is there."""
    service, host = _name(instance, "_http", "_tcp", "local"), _name(instance, "local")
    records = [
        _record(_name("_http", "_tcp", "local"), 12, service),
        _record(service, 33, struct.pack(">HHH", 0, 0, 80) + host),
        _record(service, 16, b"\0"),
        _record(host, 1, socket.inet_aton(BOARD)),
    ]
    answer = struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)
    datagram = struct.pack(">HHHH", 5353, 5353, 8 + len(answer), 0) + answer
    addresses = socket.inet_aton(BOARD) + socket.inet_aton("224.0.0.251")
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 255, 17, 0)
    head = head[:10] + struct.pack(">H", _checksum(head + addresses)) + addresses
    return MULTICAST + bytes.fromhex("020000000009") + b"\x08\x00" + head + datagram


def _name(*labels: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 120, len(data)) + data


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(head) // 2}H", head))
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


async def main(listen_on: str) -> dict[str, bool]:
    mdns.REFRESH_INTERVAL = 0.2
    found = {name: asyncio.Event() for name in ("before", "after")}

    def hear(name: str, service: MdnsService | None) -> None:
        if service is not None and name in found:
            found[name].set()

    async def heard(name: str) -> bool:
        """Announce the board again and again, for it may not be listened for yet."""
        try:
            async with asyncio.timeout(LIMIT):
                while not found[name].is_set():
                    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as cable:
                        cable.bind(("out1", 0))
                        cable.send(announcement(name))
                    await asyncio.wait([asyncio.ensure_future(found[name].wait())], timeout=0.2)
        except TimeoutError:
            return False
        return True

    shell(MAKE)
    async with MdnsBrowser(Settings(mdns_interfaces=listen_on), hear):
        before = await heard("before")
        shell(f"ip link del out0\n{MAKE}")
        return {"before": before, "after": await heard("after")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1]))))
