"""What the commands of ``enmctl hotspot`` do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from enmctl.cli.shell import Call
from enmctl.errors import BusyError, RadioError
from enmctl.gateway.at_work import gateway_at_work
from enmctl.models import GatewayStatus
from enmctl.radio.hotspot.hotspot import Hotspot, Network
from enmctl.radio.hotspot.leases import Leases
from enmctl.radio.hotspot.profile import KNOWN_PASSWORD, has_default_password, names_of, wanted
from enmctl.settings import Settings


def raise_it(call: Call, *, keep: bool) -> None:
    """Raise the hotspot, and hold it until it is told to end unless it is to be kept.

    Raises:
        BusyError: a gateway looks after it.
        RadioError: it cannot be raised, or went down by itself.
    """
    call.log_warnings()
    settings = replace(call.settings, hotspot_keep=keep or call.settings.hotspot_keep)
    wanted(settings)
    _check_no_gateway(settings)
    if has_default_password(settings):
        call.output.say(KNOWN_PASSWORD)
    asyncio.run(_raise(call, settings))


def take_down(call: Call) -> None:
    """Take the hotspot down.

    Raises:
        BusyError: a gateway looks after it.
        RadioError: NetworkManager cannot be asked, or says no.
    """
    _check_no_gateway(call.settings)
    freed = asyncio.run(_down(call.settings))
    if call.output.as_json:
        call.output.document({"freed": freed})
    else:
        call.output.say(f"the hotspot is down, and {', '.join(freed)} is free" if freed else "no hotspot is up")


def show(call: Call) -> None:
    """Tell whether it is up, and who is in it.

    Raises:
        RadioError: NetworkManager cannot be asked.
    """
    network = asyncio.run(_current(call.settings))
    clients = [] if network is None else Leases(network.interface).read()
    if call.output.as_json:
        named = [{"name": client.name, "address": client.addresses[0]} for client in clients]
        call.output.document({**_facts(call.settings, network), "clients": named})
        return
    if network is None:
        call.output.pairs({"hotspot": "down", "name": names_of(call.settings)[0]})
        return
    call.output.pairs(
        {
            "hotspot": "up",
            "name": network.name,
            "interface": network.interface,
            "address": ", ".join(network.addresses) or None,
            "channel": network.channel or None,
            "kept": "yes, until enmctl hotspot down" if network.kept else "no, it ends with who raised it",
            "clients": ", ".join(f"{client.name} ({client.addresses[0]})" for client in clients) or "none with a name",
        }
    )


async def _raise(call: Call, settings: Settings) -> None:
    async with _stop_asked() as stop, Hotspot.opened(settings) as hotspot:
        raising = asyncio.ensure_future(hotspot.up())
        if not await _before(stop, raising):
            return
        network = raising.result()
        _tell(call, settings, network)
        if network.kept:
            return
        losing = asyncio.ensure_future(hotspot.until_lost(network))
        if await _before(stop, losing):
            raise RadioError(
                f"the hotspot went down: {losing.result()}", remedy="raise it again", reason="hotspot-lost"
            )
        await hotspot.lower(network)
    call.output.say("the hotspot is down")


async def _before(stop: asyncio.Event, work: asyncio.Future[Any]) -> bool:
    """Whether the work was done before a stop was asked for; then it is called off, and its end waited for."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((stopping, work), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if work.done():
        return True
    work.cancel()
    await asyncio.wait([work])
    return False


def _tell(call: Call, settings: Settings, network: Network) -> None:
    if call.output.as_json:
        call.output.event(_facts(settings, network))
        return
    at = f" ({network.addresses[0]})" if network.addresses else ""
    end = "enmctl hotspot down takes it down" if network.kept else "Ctrl-C takes it down"
    call.output.say(f"{network.name} is up on {network.interface}{at}, channel {network.channel}; {end}")


def _facts(settings: Settings, network: Network | None) -> dict[str, Any]:
    return {
        "up": network is not None,
        "ssid": names_of(settings)[0] if network is None else network.name,
        "interface": None if network is None else network.interface,
        "addresses": [] if network is None else list(network.addresses),
        "channel": None if network is None else network.channel or None,
        "kept": None if network is None else network.kept,
    }


async def _down(settings: Settings) -> list[str]:
    async with Hotspot.opened(settings) as hotspot:
        return list(await hotspot.down())


async def _current(settings: Settings) -> Network | None:
    async with Hotspot.opened(settings) as hotspot:
        return await hotspot.current()


def _check_no_gateway(settings: Settings) -> None:
    """Two would take it from each other for ever; a gateway that is paused leaves it to others."""
    at_work = gateway_at_work(settings)
    if at_work is None:
        return
    found, client = at_work
    if client is None or client.status().current is not GatewayStatus.PAUSED:
        raise BusyError(
            f"{found} looks after the hotspot",
            remedy="enmctl pause has it taken down, and enmctl resume has it raised again",
            reason="another-gateway",
        )


@asynccontextmanager
async def _stop_asked() -> AsyncGenerator[asyncio.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    yield stop
