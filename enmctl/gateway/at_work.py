"""The gateway that runs on this machine beside a command or a program, where one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
