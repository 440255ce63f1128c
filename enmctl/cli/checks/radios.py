"""What the radios need: D-Bus, NetworkManager with an interface for the hotspot, multicast, and a Bluetooth adapter."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from enmctl.cli.checks.finding import Finding, ok, trouble, warning
from enmctl.errors import RadioError
from enmctl.models import Radio
from enmctl.radio.bluetooth.backend import SIMULATED
from enmctl.radio.hotspot.hotspot import Hotspot
from enmctl.radio.hotspot.profile import KNOWN_PASSWORD, has_default_password, wanted
from enmctl.radio.mdns import LOOPBACK, interfaces
from enmctl.radio.multicast import open_multicast
from enmctl.radio.system_bus import BusAnswerError, SystemBus, bus_address
from enmctl.settings import Settings

BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"

BLUETOOTHD: Final = (
    "/usr/libexec/bluetooth/bluetoothd",
    "/usr/lib/bluetooth/bluetoothd",
    "/usr/sbin/bluetoothd",
    "bluetoothctl",
)
"""Programs that tell BlueZ's version, where distributions have them; over D-Bus it is not told."""

BLUEZ_LEAST: Final = (5, 55)
"""The oldest version that bleak works with."""

VERSION_LIMIT: Final = 3.0
"""Seconds for a program to tell its version."""

BLOCKS: Final = Path("/sys/class/rfkill")
"""Where the kernel tells which radios are blocked (``Documentation/driver-api/rfkill.rst``)."""


async def bus(settings: Settings, needed: Collection[Radio]) -> Finding:
    """Whether the system's D-Bus lets this user in."""
    wanted = _needs_bluez(settings, needed) or settings.hotspot == "on"
    try:
        async with SystemBus.opened(settings):
            return ok("D-Bus", f"{bus_address(settings)} lets this user in")
    except RadioError as error:
        if sys.platform != "linux":
            return ok("D-Bus", f"not needed on {sys.platform}")
        return trouble("D-Bus", error, needed=wanted)


async def hotspot(settings: Settings, needed: Collection[Radio]) -> Finding:
    """Whether a hotspot is up, or could be raised."""
    if settings.hotspot == "off":
        return ok("hotspot", "not wanted (ENM_HOTSPOT=off)")
    is_wanted = settings.hotspot == "on" and Radio.WIFI in needed
    try:
        wanted(settings)
        async with Hotspot.opened(settings) as there:
            network = await there.current()
            if network is None:
                version, interface = await there.rehearse()
                found = f"NetworkManager {version} can raise it on {interface}"
            else:
                found = f"{network.name} is up on {network.interface}"
    except RadioError as error:
        lacking = RadioError("without D-Bus there is none", remedy="see D-Bus") if error.reason == "no-bus" else error
        return trouble("hotspot", lacking, needed=is_wanted)
    if has_default_password(settings):
        return warning("hotspot", found, KNOWN_PASSWORD)
    return ok("hotspot", found)


async def multicast(settings: Settings, needed: Collection[Radio]) -> Finding:
    """Whether boards can be heard over multicast DNS."""
    try:
        opened = await open_multicast(interfaces(settings))
    except RadioError as error:
        return trouble("mDNS", error, needed=Radio.WIFI in needed)
    try:
        heard_on = sorted({_address(sender.interface_key) for sender in opened.zeroconf.engine.senders})
    finally:
        await opened.async_close()
    outside = [address for address in heard_on if address not in (LOOPBACK, "::1")]
    if not outside:
        return warning(
            "mDNS", "boards are listened for on this machine alone", "connect it to their network, or raise the hotspot"
        )
    return ok("mDNS", f"boards are listened for on {', '.join(outside)}")


async def bluetooth(settings: Settings, needed: Collection[Radio]) -> Finding:
    """Whether there is a Bluetooth adapter that can be used: the one that was named, or any."""
    named = settings.bluetooth_adapter
    if named.startswith(SIMULATED):
        return ok("Bluetooth", f"simulated (ENM_BLUETOOTH_ADAPTER={named}): no adapter is used")
    if sys.platform != "linux":
        return ok("Bluetooth", f"not looked at on {sys.platform}")
    try:
        async with SystemBus.opened(settings) as system:
            shown = await system.objects(BLUEZ, "/")
    except BusAnswerError as error:
        return trouble("Bluetooth", _refused(error), needed=Radio.BLUETOOTH in needed)
    except RadioError:
        no_bus = RadioError("without D-Bus there is no Bluetooth", remedy="see D-Bus")
        return trouble("Bluetooth", no_bus, needed=Radio.BLUETOOTH in needed)
    adapters = {path.rpartition("/")[2]: each[ADAPTER] for path, each in shown.items() if ADAPTER in each}
    try:
        return ok("Bluetooth", _usable(adapters, named))
    except RadioError as error:
        return trouble("Bluetooth", error, needed=Radio.BLUETOOTH in needed)


async def bluetoothd(settings: Settings, needed: Collection[Radio]) -> Finding:
    """Which BlueZ there is, where it can be told: in a container it may be the host's."""
    version = await _bluez_version()
    if version is None:
        return ok("BlueZ", "its version cannot be told here")
    if version < BLUEZ_LEAST:
        least = ".".join(map(str, BLUEZ_LEAST))
        error = RadioError(f"bluetoothd is version {_dotted(version)}", remedy=f"{least} or later is needed")
        return trouble("BlueZ", error, needed=_needs_bluez(settings, needed))
    return ok("BlueZ", f"bluetoothd is version {_dotted(version)}")


def _needs_bluez(settings: Settings, needed: Collection[Radio]) -> bool:
    """Whether a board is reached over an adapter of this machine."""
    return Radio.BLUETOOTH in needed and not settings.bluetooth_adapter.startswith(SIMULATED)


def _usable(adapters: dict[str, dict[str, Any]], named: str) -> str:
    """The adapter that would be used, in words."""
    blocked = _blocked("bluetooth", named)
    if blocked == "hard":
        raise RadioError("the Bluetooth adapter is switched off by hand", remedy="use its switch or key")
    if blocked:
        raise RadioError("the Bluetooth adapter is blocked", remedy="let it go: rfkill unblock bluetooth")
    if not adapters:
        raise RadioError(
            "there is no Bluetooth adapter here",
            remedy="plug one in; a Raspberry Pi's own may have to be attached: see systemctl status hciuart",
        )
    if named and named not in adapters:
        raise RadioError(
            f"ENM_BLUETOOTH_ADAPTER is {named}, and there is no such adapter",
            remedy=f"plug it in; it can be {' or '.join(sorted(adapters))}",
        )
    if named:
        adapters = {named: adapters[named]}
    name, adapter = min(adapters.items(), key=lambda item: (not item[1].get("Powered"), item[0]))
    if not adapter.get("Powered"):
        raise RadioError(f"{name} is switched off", remedy="switch it on: bluetoothctl power on")
    return f"{name} ({adapter.get('Address', 'no address')}) is on"


def _refused(error: BusAnswerError) -> RadioError:
    if error.is_nobody:
        return RadioError(
            "bluetoothd does not run here", remedy="install bluez, and start it: systemctl start bluetooth"
        )
    if error.is_denied:
        return RadioError(
            "this user may not use Bluetooth", remedy="run as root, or add the user to the group bluetooth"
        )
    return RadioError(f"bluetoothd does not say what it has: {error.message}", remedy="see journalctl -u bluetooth")


def _blocked(kind: str, adapter: str) -> str:
    """How the kernel keeps a kind of radio off: hard, soft or not at all.

    Of several adapters one that is on is enough, unless ``adapter`` names the one that is meant.
    """
    found = []
    for place in sorted(BLOCKS.glob("rfkill*")):
        with contextlib.suppress(OSError):
            if (place / "type").read_text().strip() == kind and not (adapter and _is_of_another(place, adapter)):
                hard, soft = ((place / name).read_text().strip() == "1" for name in ("hard", "soft"))
                found.append("hard" if hard else "soft" if soft else "")
    return min(found, key=("", "soft", "hard").index, default="")


def _is_of_another(place: Path, adapter: str) -> bool:
    """Whether a switch is that of another adapter; one for all of the machine's has a name of its maker's."""
    name = (place / "name").read_text().strip()
    return name.startswith("hci") and name != adapter


async def _bluez_version() -> tuple[int, int] | None:
    program = next(filter(None, map(shutil.which, BLUETOOTHD)), None)
    if program is None:
        return None
    with contextlib.suppress(OSError, TimeoutError):
        process = await asyncio.create_subprocess_exec(
            program, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(VERSION_LIMIT):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if found := re.search(rb"(\d+)\.(\d+)", output):
            return int(found[1]), int(found[2])
    return None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _address(key: Any) -> str:
    """The address out of what zeroconf knows an interface by."""
    return str(key[0] if isinstance(key, tuple) else key)
