"""A station in a network namespace of its own, as an ESP8266 is one: it joins a network, and asks for an address."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.system.vm.daemons import LOGS, Daemon, must, run, until

NAMESPACE: Final = "station"
CONTROL: Final = "/run/wpa-station"
LEASE_SCRIPT: Final = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
ip route replace default via "$router"
ip route replace multicast 224.0.0.0/4 dev "$interface"
echo "$ip" > /tmp/station-address
"""


class Station:
    """One Wi-Fi interface that NetworkManager does not see."""

    def __init__(self, interface: str) -> None:
        self.interface = interface

    @classmethod
    @asynccontextmanager
    async def apart(cls, phy: str, interface: str) -> AsyncGenerator[Station]:
        """Take a radio away from the machine, into the namespace."""
        await must("ip", "netns", "add", NAMESPACE)
        await must("iw", "phy", phy, "set", "netns", "name", NAMESPACE)
        await must(*inside("ip", "link", "set", "lo", "up"))
        (LOGS / "lease.sh").write_text(LEASE_SCRIPT)
        (LOGS / "lease.sh").chmod(0o755)
        try:
            yield cls(interface)
        finally:
            await run("ip", "netns", "delete", NAMESPACE)

    @asynccontextmanager
    async def trying_to_join(self, ssid: str, password: str) -> AsyncGenerator[None]:
        """Try to be in a network, again and again as boards do."""
        settings = LOGS / "station.conf"
        network = f'ssid="{ssid}"\n psk="{password}"\n scan_freq=2412 2437 2462'
        settings.write_text(f"ctrl_interface={CONTROL}\nnetwork={{\n {network}\n}}\n")
        words = inside("wpa_supplicant", "-i", self.interface, "-c", settings, "-D", "nl80211")
        async with Daemon(*words, log="station.log"):
            yield

    async def is_in(self) -> bool:
        """Whether the access point let it in."""
        return "wpa_state=COMPLETED" in (await self._ask("status")).split()

    async def is_refused(self) -> bool:
        """Whether its password was found wrong."""
        return "[TEMP-DISABLED]" in await self._ask("list_networks")

    async def get_address(self, name: str) -> str:
        """Ask for an address under a name, as ``WiFi.hostname`` does."""
        found = LOGS / "station-address"
        found.unlink(missing_ok=True)
        words = ("-n", "-q", "-t", "20", "-T", "1", "-x", f"hostname:{name}", "-s", LOGS / "lease.sh")
        await must(*inside("busybox", "udhcpc", "-i", self.interface, *words))
        return found.read_text().strip()

    async def _ask(self, word: str) -> str:
        return (await run(*inside("wpa_cli", "-p", CONTROL, "-i", self.interface, word))).text

    async def until_in(self) -> None:
        """Wait until it is let in."""
        await until(self.is_in)


def inside(*words: str | Path) -> tuple[str | Path, ...]:
    """A command, run in the station's namespace."""
    return ("ip", "netns", "exec", NAMESPACE, *words)
