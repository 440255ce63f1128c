"""Sharing the radios with a running gateway: a pause with a name, for as long as a program needs the boards.

The pause is a lease that is renewed, so a program that dies does not stop the gateway for good. Whoever asks last has
the pause: a person who takes it over, or ends it, is not gainsaid.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from enmctl.errors import BusyError, GatewayError, OfflineError
from enmctl.gateway.at_work import client_of_running
from enmctl.gateway.client import GatewayClient, Status
from enmctl.models import GatewayStatus
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

T = TypeVar("T")

LEASE: Final = 60.0
"""Seconds after which the gateway goes on by itself where a program does not renew its pause."""

RENEWAL: Final = 20.0
"""Seconds between two renewals."""

LOOK: Final = 1.0
"""Seconds between two looks whether somebody took the pause over."""

LOOK_AGAIN: Final = 0.1
"""Seconds between two looks while the gateway comes to rest, or another program has it paused."""

PATIENCE: Final = 10.0
"""Seconds beyond what a running transfer may take at most."""

NAME_MOST: Final = 64
"""Characters of a name, which ``enmctl status`` shows."""


class Pause:
    """The pause of a gateway, or that there is none to pause. Made by ``paused``."""

    def __init__(self) -> None:
        self._lost = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether somebody took the pause over or ended it: then the gateway may use the radios again."""
        return self._lost.is_set()

    async def over(self) -> None:
        """Return once somebody has taken the pause over or ended it."""
        await self._lost.wait()

    def lose(self) -> None:
        """Note that it is over."""
        self._lost.set()


@asynccontextmanager
async def paused(name: str, settings: Settings | None = None, *, gateway: str | None = None) -> AsyncGenerator[Pause]:
    """Within, the gateway of this machine leaves the radios alone; running transfers end first.

    Where no gateway runs there is nothing to wait for. A pause that a person made is left as it is, and one that
    another program made is waited for.

    Args:
        name: what ``enmctl status`` shows meanwhile.
        settings: None reads them from the environment.
        gateway: the address of the gateway's HTTP API, where it is not found beside its database: in another container.

    Raises:
        BusyError: the gateway is only starting, or somebody had it go on before it was at rest.
        OfflineError: it is not at rest after the longest time that a transfer may take.
        GatewayError: it does not answer.
    """
    settings = Settings.from_environment() if settings is None else settings
    client = (
        GatewayClient(gateway, settings.api_token) if gateway else await asyncio.to_thread(client_of_running, settings)
    )
    pause = Pause()
    if client is None:
        yield pause
        return
    lease = _Lease(client, f"{name[: NAME_MOST - 20]} (process {os.getpid()})", pause)
    await lease.take(settings.update_timeout + PATIENCE)
    renewing = asyncio.get_running_loop().create_task(lease.renew())
    try:
        yield pause
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await asyncio.shield(lease.end())


class _Lease:
    """Our pause of a gateway, or a look at somebody else's."""

    def __init__(self, client: GatewayClient, name: str, pause: Pause) -> None:
        self._client = client
        self._name = name
        self._pause = pause
        self._is_ours = False

    async def take(self, limit: float) -> None:
        """Have the gateway pause, and wait until it is at rest."""
        try:
            async with asyncio.timeout(limit):
                await self._come_to_rest()
        except BaseException as error:
            await asyncio.shield(self.end())
            if isinstance(error, TimeoutError):
                raise OfflineError(
                    f"the gateway is not paused for {self._name} after {limit:g} s",
                    remedy="enmctl status shows what it is at",
                ) from None
            raise

    async def _come_to_rest(self) -> None:
        while True:
            status = await _asked(self._client.status)
            if status.current is GatewayStatus.PAUSED and status.paused_by == (self._name if self._is_ours else ""):
                return
            await self._step_towards(status)
            await asyncio.sleep(LOOK_AGAIN)

    async def _step_towards(self, status: Status) -> None:
        """Ask for the pause where nobody has one; else wait for the transfers, or for another program, to end."""
        if self._is_ours and status.paused_by != self._name:
            self._is_ours = False
            if status.target is GatewayStatus.RUNNING:
                raise BusyError("somebody had the gateway go on meanwhile", remedy="enmctl status shows how it stands")
        if not self._is_ours and status.target is GatewayStatus.RUNNING:
            await self._ask()
            self._is_ours = True

    async def renew(self) -> None:
        """Keep the pause until somebody takes it over."""
        clock = asyncio.get_running_loop().time
        renew_at = clock() + RENEWAL
        while True:
            await asyncio.sleep(LOOK)
            with suppress(GatewayError):  # it may be restarting, and knows of its pause when it is back
                status = await _asked(self._client.status)
                if status.target is not GatewayStatus.PAUSED or (self._is_ours and status.paused_by != self._name):
                    LOG.info("the gateway's pause was taken over or ended by somebody else")
                    self._is_ours = False
                    self._pause.lose()
                    return
                if self._is_ours and clock() >= renew_at:
                    await self._ask()
                    renew_at = clock() + RENEWAL

    async def end(self) -> None:
        """Have the gateway go on, if the pause is still ours."""
        if not self._is_ours:
            return
        self._is_ours = False
        try:
            if (await _asked(self._client.status)).paused_by == self._name:
                await _asked(lambda: self._client.set_status(GatewayStatus.RUNNING))
        except GatewayError as error:
            LOG.warning("the gateway could not be told to go on, and does so within %g s: %s", LEASE, error)

    async def _ask(self) -> None:
        await _asked(lambda: self._client.set_status(GatewayStatus.PAUSED, LEASE, by=self._name))


async def _asked(question: Callable[[], T]) -> T:
    return await asyncio.to_thread(question)
