"""The gateway that runs beside a command, where one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enmctl.errors import BusyError
from enmctl.gateway.at_work import gateway_at_work

if TYPE_CHECKING:
    from enmctl.gateway.client import GatewayClient
    from enmctl.settings import Settings

__all__ = ["client_of_running", "gateway_at_work"]


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
