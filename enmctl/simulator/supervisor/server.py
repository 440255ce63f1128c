"""The simulated Supervisor as one thing that can be started, driven and looked at."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any, Self

from enmctl.errors import UsageError
from enmctl.simulator.serving import Listener
from enmctl.simulator.supervisor.eras import ERAS
from enmctl.simulator.supervisor.faults import Faults
from enmctl.simulator.supervisor.hooks import Hooks
from enmctl.simulator.supervisor.records import HookRecord, RequestRecord
from enmctl.simulator.supervisor.routes import Api, Inserted
from enmctl.simulator.supervisor.state import CloudAwayError, SupervisorState

MAKE_ONE_UP = ""
"""As an API key: any that nobody knows."""


class SimulatedSupervisor(SupervisorState):
    """A balena Supervisor with its cloud, as far as dependent devices go, on a port of this machine.

    Use it as an asynchronous context manager; everything happens in the loop that entered it.

    Args:
        api_key: the key that requests must show; None wants none, like a Supervisor in local mode.
        era: whose behaviour: ``v6``, ``v11`` (v7 to v11.5, where all works), ``v12`` (with Bearer), ``v14`` (applies no
            targets any more).
        hook_address: the base of the gateway's hook URLs, ending in ``/``; None sends no hooks.
        hook_throttle: seconds between two hooks for one device (v7 and later).
        hook_timeout: seconds that a gateway may take to answer a hook; all other devices wait meanwhile.
        apply_interval: seconds between two looks for hooks that are due (v7 and later).
        poll_interval: seconds between two polls of the target state; a change at the dashboard is polled at once.
        cloud_delay: seconds that the cloud takes for a new device, or for a report that goes there.
        null_names: as in v7 and later, a new device has neither name nor target before the next poll.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
    """

    def __init__(
        self,
        *,
        api_key: str | None = MAKE_ONE_UP,
        era: str = "v11",
        hook_address: str | None = None,
        hook_throttle: float = 30.0,
        hook_timeout: float = 900.0,
        apply_interval: float = 0.2,
        poll_interval: float = 60.0,
        cloud_delay: float = 0.0,
        null_names: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if era not in ERAS:
            raise UsageError(f"there is no era {era!r}", remedy=f"take one of {', '.join(ERAS)}")
        super().__init__(ERAS[era], null_names=null_names)
        self.poll_interval = poll_interval
        self.faults = Faults()
        self._hooks = Hooks(
            self, address=hook_address, throttle=hook_throttle, apply_interval=apply_interval, timeout=hook_timeout
        )
        key = secrets.token_hex(16) if api_key == MAKE_ONE_UP else api_key
        self._api = Api(self, self.faults, key=key, cloud_delay=cloud_delay, spawn=self._insert_apart)
        self._listener = Listener(self._api, host=host, port=port)
        self._loops: list[asyncio.Task[None]] = []
        self._insertions: set[asyncio.Task[Inserted]] = set()

    async def __aenter__(self) -> Self:
        await self._listener.open()
        self._loops = [asyncio.create_task(self._hooks.run()), asyncio.create_task(self._poll_now_and_then())]
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._loops, *self._insertions]
        for task in tasks:
            task.cancel()
        await self._listener.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, CloudAwayError):
                raise result

    @property
    def url(self) -> str:
        """``http://host:port``, once entered."""
        return self._listener.url

    @property
    def port(self) -> int:
        """The port, once entered."""
        return self._listener.port

    @property
    def api_key(self) -> str | None:
        """The key that requests must show."""
        return self._api.key

    @property
    def cloud_delay(self) -> float:
        """Seconds that the cloud takes."""
        return self._api.cloud_delay

    @cloud_delay.setter
    def cloud_delay(self, seconds: float) -> None:
        self._api.cloud_delay = seconds

    @property
    def requests(self) -> deque[RequestRecord]:
        """The last requests, in the order of arrival."""
        return self._api.requests

    @property
    def hooks(self) -> deque[HookRecord]:
        """The last hooks, in the order of sending."""
        return self._hooks.records

    @property
    def hooks_sent(self) -> int:
        """How many hooks went out."""
        return self._hooks.sent

    @property
    def hooks_answered(self) -> int:
        """How many of them were answered, whatever with."""
        return self._hooks.answered

    @property
    def hook_address(self) -> str | None:
        """What a uuid is appended to."""
        return self._hooks.address

    @hook_address.setter
    def hook_address(self, address: str | None) -> None:
        self._hooks.address = address
        self.changes.changed()

    @property
    def hook_throttle(self) -> float:
        """Seconds between two hooks for one device."""
        return self._hooks.throttle

    @hook_throttle.setter
    def hook_throttle(self, seconds: float) -> None:
        self._hooks.throttle = seconds
        self.changes.changed()

    @property
    def listening(self) -> bool:
        """Whether requests are accepted now."""
        return self._listener.listening

    @property
    def faults_taken(self) -> Counter[str]:
        """How often each fault befell a request, by ``"operation fault"``."""
        return self.faults.taken

    def fail(self, operation: str, fault: str, *, times: int | None = None, **options: Any) -> None:
        """Make the next ``times`` requests for ``operation`` go wrong; see ``faults`` for the names."""
        self.faults.fail(operation, fault, times=times, **options)

    def heal(self, operation: str | None = None) -> None:
        """Switch the faults of one operation off, or all of them."""
        self.faults.heal(operation)

    async def stop_listening(self) -> None:
        """Refuse service: drop all connections, and shut the socket. Nobody else gets the port."""
        await self._listener.shut()
        self.changes.changed()

    async def listen_again(self) -> None:
        """Come back on the same port."""
        await self._listener.open()
        self.changes.changed()

    def _insert_apart(self, insertion: Coroutine[Any, Any, Inserted]) -> asyncio.Task[Inserted]:
        """Run an insertion that goes on when whoever asked for it has left."""
        task = asyncio.create_task(insertion)
        self._insertions.add(task)
        task.add_done_callback(self._insertion_ended)
        return task

    def _insertion_ended(self, task: asyncio.Task[Inserted]) -> None:
        """Let the task go; whether it failed is for the request that asked, where that is still there."""
        self._insertions.discard(task)
        if not task.cancelled():
            task.exception()

    async def _poll_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.poll_interval)
            self.poll_target_state()
