"""``enmctl pause`` and ``resume``: what is asked of a running gateway, or kept for the next."""

from __future__ import annotations

import time

from enmctl.cli.durations import spell
from enmctl.cli.shell import Call
from enmctl.errors import BusyError, OfflineError
from enmctl.gateway.at_work import client_of_running
from enmctl.gateway.client import GatewayClient
from enmctl.models import GatewayStatus

LOOK_AGAIN = 0.1
"""Seconds between two looks whether the gateway has come to rest."""

STARTS_WITHIN = 5.0
"""Seconds that a gateway which is only starting is given to take commands."""

PATIENCE = 10.0
"""Seconds beyond what a running transfer may take at most."""


def ask_for(call: Call, status: GatewayStatus, seconds: float | None = None) -> None:
    """Have the gateway pause (for so many seconds, or until told otherwise) or go on, and wait until it does.

    Raises:
        BusyError: somebody else asked for the opposite meanwhile, or a gateway is at work that takes no commands.
        OfflineError: it took longer than a transfer may take.
        GatewayError: the gateway does not answer.
    """
    client = _client(call)
    if client is None:
        _keep_for_next(call, status, seconds)
    else:
        client.set_status(status, seconds)
        _wait_for(call, client, status, seconds)
    _tell(call, status, seconds, now=client is not None)


def _client(call: Call) -> GatewayClient | None:
    """The gateway that runs, once it takes commands; None where none runs, or no more."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            return client_of_running(call.settings)
        except BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOOK_AGAIN)


def _wait_for(call: Call, client: GatewayClient, status: GatewayStatus, seconds: float | None) -> None:
    limit = call.settings.update_timeout + PATIENCE
    deadline = time.monotonic() + limit
    said = False
    while client.status().current is not status:
        if client.status().target is not status:
            raise BusyError(
                "somebody else asked for the opposite meanwhile"
                if seconds is None
                else f"the {spell(seconds)} of the pause were over before the running transfers had ended",
                remedy="enmctl status shows how it stands",
            )
        if time.monotonic() > deadline:
            raise OfflineError(
                f"the gateway is not {status} after {spell(limit)}", remedy="enmctl status shows what it is at"
            )
        if not said:
            call.output.say("waiting for running transfers to end; Ctrl-C ends the waiting, not the pause")
            said = True
        time.sleep(LOOK_AGAIN)


def _keep_for_next(call: Call, status: GatewayStatus, seconds: float | None) -> None:
    from enmctl.store import Store

    with Store.open(call.settings.database, set_aside=False) as store:
        store.set_meta("target_status", status)
        store.set_meta("paused_by", None)
        store.set_meta("paused_for", None if seconds is None else str(seconds))
        store.set_meta("paused_until", None if seconds is None else str(time.time() + seconds))


def _tell(call: Call, status: GatewayStatus, seconds: float | None, *, now: bool) -> None:
    span = "" if seconds is None else f" for {spell(seconds)}"
    if call.output.as_json:
        call.output.document({"target_status": status, "seconds": seconds, "gateway_running": now})
    elif status is GatewayStatus.PAUSED:
        call.output.say(
            f"the gateway is paused{span}: no transfer runs and the radios are free"
            if now
            else f"no gateway runs; the next one starts paused{span}"
        )
    else:
        call.output.say("the gateway goes on" if now else "no gateway runs; the next one starts working")
