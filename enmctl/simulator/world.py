"""A whole world on loopback: a Supervisor, its applications, boards that advertise themselves, and a port to drive it.

::

    async with World(boards_per_application=10, hook_throttle=1) as world:
        settings = Settings.from_environment(world.environment(folder))
        ...                                   a gateway runs, here or in another process
        world.push(world.application_ids[0])  a new release rolls out
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from enmctl.errors import UnknownError, UsageError
from enmctl.radio.mdns import LOOPBACK
from enmctl.settings import NO_KEY
from enmctl.simulator.control import control_app, describe
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.filling import fill_from
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.mdns import LoopbackMdns
from enmctl.simulator.serving import Listener
from enmctl.simulator.supervisor import SimulatedSupervisor

FIRMWARE_SIZE = 256 * 1024
"""Bytes of a made-up release."""

BOARDS = 3
"""Boards of each application where no other number is given."""

BOARD_TYPE = "esp8266"
"""The one board type that can be simulated."""

_COMMIT_BYTES = 20
_LEAST_APPLICATION = 100_000
_APPLICATIONS = 9_900_000
_CHIPS = 1 << 24


class SimulatedApplication(NamedTuple):
    """An application to be: its id, its name, and the type of its boards."""

    id: int
    name: str
    board_type: str = BOARD_TYPE


class World:
    """A Supervisor, boards and a control port, all on loopback and in the loop that enters.

    Args:
        applications: what there is, as ``SimulatedApplication`` or plain triples; one of a random id where left out.
        boards_per_application: how many boards each has at first; ``add_board`` adds more.
        firmware_size: bytes of a release that is made up.
        release_at_start: whether each application has a release from the start; else its commit is null.
        board_options: for every board, see ``SimulatedEsp8266``.
        api_port: where the gateway's HTTP API will be; 0 picks a port that is free now.
        control_port: where the world is driven; 0 takes a free one.
        supervisor_options: for the Supervisor, see ``SimulatedSupervisor``.

    Attributes:
        supervisor: the Supervisor with its cloud.
        boards: the boards by their ids; one whose id is taken, by its name.
        api_port: where hooks look for the gateway.
    """

    def __init__(
        self,
        *,
        applications: Sequence[tuple[int, str, str]] | None = None,
        boards_per_application: int = BOARDS,
        firmware_size: int = FIRMWARE_SIZE,
        release_at_start: bool = True,
        board_options: Mapping[str, Any] | None = None,
        api_port: int = 0,
        control_port: int = 0,
        **supervisor_options: Any,
    ) -> None:
        self.api_port = api_port
        self.supervisor = SimulatedSupervisor(**supervisor_options)
        self.boards: dict[str, SimulatedEsp8266] = {}
        self._applications = [SimulatedApplication(*each) for each in applications or [_any_application()]]
        self._boards_per_application = boards_per_application
        self._firmware_size = firmware_size
        self._release_at_start = release_at_start
        self._board_options = dict(board_options or {})
        self._releases = 0
        self._mdns = LoopbackMdns()
        self._control = Listener(control_app(self), port=control_port)
        self._stack = AsyncExitStack()
        for application in self._applications:
            if application.board_type != BOARD_TYPE:
                raise UsageError(
                    f"boards of type {application.board_type!r} cannot be simulated", remedy=f"take {BOARD_TYPE}"
                )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._mdns)
            await stack.enter_async_context(self.supervisor)
            await stack.enter_async_context(self._control)
            self.api_port = self.api_port or _free_port()
            self.supervisor.hook_address = f"http://{LOOPBACK}:{self.api_port}/v1/devices/"
            for application in self._applications:
                config = {"RESIN_HOST_TYPE": application.board_type}
                self.supervisor.add_application(application.id, application.name, config)
                if self._release_at_start:
                    self.push(application.id)
            self._stack = stack.pop_all()
        try:
            for application in self._applications:
                for _ in range(self._boards_per_application):
                    await self.add_board(application.id)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def application_ids(self) -> list[int]:
        """The applications that the world began with."""
        return [application.id for application in self._applications]

    @property
    def control_url(self) -> str:
        """Where the world is driven, see ``enmctl.simulator.control``."""
        return self._control.url

    async def add_board(self, app_id: int, **options: Any) -> SimulatedEsp8266:
        """Switch on one more board of an application; ``options`` go before those that all boards share."""
        merged = {"mdns": self._mdns, **self._board_options, **options}
        board = SimulatedEsp8266(app_id, merged.pop("local_id", None) or self._new_local_id(), **merged)
        await self._stack.enter_async_context(board)
        self.boards[board.name if board.local_id in self.boards else board.local_id] = board
        return board

    def push(
        self,
        app_id: int,
        assets: Mapping[str, bytes] | None = None,
        *,
        size: int | None = None,
        commit: str | None = None,
    ) -> str:
        """Release firmware, and return its commit.

        Args:
            app_id: the application.
            assets: the members of its asset; where left out, an image that tells the commit as its version.
            size: bytes of that image.
            commit: what the release is called; made up where left out.

        Raises:
            UnknownError: there is no such application.
            UsageError: no such image can be made.
        """
        if app_id not in self.supervisor.applications:
            raise UnknownError(f"the simulated cloud has no application {app_id}")
        commit = commit or secrets.token_hex(_COMMIT_BYTES)
        if assets is None:
            self._releases += 1
            image = esp8266_image(fw=commit, size=self._firmware_size if size is None else size, seed=self._releases)
            assets = {"firmware.bin": image}
        return self.supervisor.push(app_id, assets, commit)

    def environment(self, folder: Path) -> dict[str, str]:
        """The variables with which a gateway works in this world, and keeps all it has in ``folder``.

        The Supervisor's key is among them.
        """
        return {
            "BALENA_SUPERVISOR_ADDRESS": self.supervisor.url,
            "BALENA_SUPERVISOR_API_KEY": self.supervisor.api_key or NO_KEY,
            "ENM_DB_DIRECTORY": str(folder / "database"),
            "ENM_ASSETS_DIRECTORY": str(folder / "assets"),
            "ENM_LOCK_FILE_LOCATION": str(folder / "lock" / "resin-updates.lock"),
            "BALENA_APP_LOCK_PATH": str(folder / "lock" / "updates.lock"),
            "ENM_API_HOST": LOOPBACK,
            "ENM_API_PORT": str(self.api_port),
            "ENM_MDNS_INTERFACES": LOOPBACK,
            "ENM_HOTSPOT": "off",
        }

    def fill(self, database: Path, count: int, app_id: int | None = None) -> int:
        """Make ``count`` devices at rest, without boards, in the Supervisor and in the store at ``database``.

        Returns how many went into the store.
        """
        rows = self.supervisor.add_devices(self.application_ids[0] if app_id is None else app_id, count)
        return fill_from(database, rows, board_type=BOARD_TYPE)

    def describe(self) -> dict[str, Any]:
        """The world as plain JSON values, without the key."""
        return describe(self)

    def _new_local_id(self) -> str:
        while (local_id := str(1 + secrets.randbelow(_CHIPS - 1))) in self.boards:
            pass
        return local_id


def _any_application() -> SimulatedApplication:
    """An application that no other world on this machine is likely to have: all hear the same multicast."""
    return SimulatedApplication(_LEAST_APPLICATION + secrets.randbelow(_APPLICATIONS), "greenhouse")


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
