"""The gateway that runs on this machine beside a command or a program, where one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enmctl.errors import BusyError
from enmctl.gateway.client import GatewayClient
from enmctl.gateway.instance import RunningGateway, running

if TYPE_CHECKING:
    from enmctl.settings import Settings


def gateway_at_work(settings: Settings) -> tuple[RunningGateway, GatewayClient | None] | None:
    """The gateway that has this database, with a client where its HTTP API is up; None where none runs.

    Raises:
        StoreError: this user may not look.
    """
    found = running(settings.database)
    if found is None:
        return None
    return found, None if found.api_address is None else GatewayClient(found.api_address, settings.api_token)


def client_of_running(settings: Settings) -> GatewayClient | None:
    """The running gateway, ready to be asked; None where none runs.

    Raises:
        BusyError: one is at work and takes no commands: ``run --once``, or one that is only starting.
        StoreError: this user may not look.
    """
    at_work = gateway_at_work(settings)
    if at_work is None:
        return None
    found, client = at_work
    if client is None:
        raise BusyError(f"{found} is at work here and takes no commands", remedy="try again when it is done")
    return client
