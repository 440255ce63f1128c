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
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from enmctl.errors import UnknownError, UsageError
from enmctl.gateway.reach import ON_LOOPBACK, Reach
from enmctl.radio.mdns import LOOPBACK
from enmctl.settings import NO_KEY
from enmctl.simulator.control import Board, control_app, describe
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.filling import fill_from
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.mdns import LoopbackMdns
from enmctl.simulator.serving import Listener
from enmctl.simulator.supervisor import SimulatedSupervisor

if TYPE_CHECKING:
    from enmctl.simulator.bluetooth.living import LivingBoard
    from enmctl.simulator.bluetooth.neighbourhood import Neighbourhood

FIRMWARE_SIZE = 256 * 1024
"""Bytes of a made-up release."""

BOARDS = 3
"""Boards of each application where no other number is given."""

BOARD_TYPE = "esp8266"
"""The board type of an application where no other is named."""

BLUETOOTH_TYPES = ("microbit", "nrf51822dk")
"""The board types that are simulated over Bluetooth, which the extra ``simulator`` brings."""

BLUETOOTH_FIRMWARE_SIZE = 32 * 1024
"""Bytes of a made-up release for one of them: they take some 10 KiB a second."""

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
        bluetooth: whether there is an air for Bluetooth boards; by itself where an application is for such.
        bluetooth_firmware_size: bytes of a release for Bluetooth boards.
        bluetooth_options: for the air, see ``Neighbourhood``.
        supervisor_options: for the Supervisor, see ``SimulatedSupervisor``.

    Attributes:
        supervisor: the Supervisor with its cloud.
        boards: the boards on the network by their ids; one whose id is taken, by its name.
        bluetooth_boards: the boards on the air by their addresses.
        neighbourhood: the air, None where there is none.
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
        bluetooth: bool = False,
        bluetooth_firmware_size: int = BLUETOOTH_FIRMWARE_SIZE,
        bluetooth_options: Mapping[str, Any] | None = None,
        **supervisor_options: Any,
    ) -> None:
        self.api_port = api_port
        self.supervisor = SimulatedSupervisor(**supervisor_options)
        self.boards: dict[str, SimulatedEsp8266] = {}
        self.bluetooth_boards: dict[str, LivingBoard] = {}
        self.neighbourhood: Neighbourhood | None = None
        self._applications = [SimulatedApplication(*each) for each in applications or [any_application()]]
        self._boards_per_application = boards_per_application
        self._firmware_size = firmware_size
        self._release_at_start = release_at_start
        self._board_options = dict(board_options or {})
        self._releases = 0
        self._mdns = LoopbackMdns()
        self._control = Listener(control_app(self), port=control_port)
        self._stack = AsyncExitStack()
        self._bluetooth = bluetooth
        self._bluetooth_firmware_size = bluetooth_firmware_size
        self._bluetooth_options = dict(bluetooth_options or {})
        for application in self._applications:
            if application.board_type not in (BOARD_TYPE, *BLUETOOTH_TYPES):
                raise UsageError(
                    f"boards of type {application.board_type!r} cannot be simulated",
                    remedy=f"take one of {', '.join((BOARD_TYPE, *BLUETOOTH_TYPES))}",
                )
            self._bluetooth |= application.board_type in BLUETOOTH_TYPES

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._mdns)
            await stack.enter_async_context(self.supervisor)
            await stack.enter_async_context(self._control)
            if self._bluetooth:
                from enmctl.simulator.bluetooth.neighbourhood import Neighbourhood

                self.neighbourhood = await stack.enter_async_context(Neighbourhood(**self._bluetooth_options))
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
                for number in range(self._boards_per_application):
                    if application.board_type == BOARD_TYPE:
                        await self.add_board(application.id)
                    else:
                        await self.add_bluetooth_board(application.id, number=number)
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

    async def add_bluetooth_board(self, app_id: int, *, number: int = 0, **options: Any) -> LivingBoard:
        """Switch on one more Bluetooth board of an application: a micro:bit V1 or V2 by turns, as ``number`` goes.

        ``options`` are those of ``Neighbourhood.add``.
        """
        from enmctl.simulator.bluetooth.neighbourhood import breed_of

        board_type = next(each.board_type for each in self._applications if each.id == app_id)
        breed = options.pop("breed", None) or breed_of(board_type, number)
        return await self.add_to_air(breed, options.pop("serial", None), application_id=app_id, **options)

    async def add_to_air(self, breed: str, serial: int | None = None, **options: Any) -> LivingBoard:
        """Switch on one more Bluetooth board, of an application or none; see ``Neighbourhood.add``.

        Raises:
            UsageError: the world has no air.
        """
        if self.neighbourhood is None:
            raise UsageError("this world has no Bluetooth", remedy="make it with bluetooth=True")
        board = await self.neighbourhood.add(breed, serial or 1 + secrets.randbelow(_CHIPS - 1), **options)
        self.bluetooth_boards[board.local_id] = board
        return board

    @property
    def all_boards(self) -> Mapping[str, Board]:
        """The boards of all radios by their ids."""
        return {**self.boards, **self.bluetooth_boards}

    @property
    def reach(self) -> Reach:
        """What reaches this world in this program, and nothing beyond."""
        return ON_LOOPBACK if self.neighbourhood is None else self.neighbourhood.reach

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
            assets = self._made_up(app_id, commit, size)
        return self.supervisor.push(app_id, assets, commit)

    def _made_up(self, app_id: int, commit: str, size: int | None) -> Mapping[str, bytes]:
        """The members of a release's asset, for the boards that the application is for."""
        board_type = next((each.board_type for each in self._applications if each.id == app_id), BOARD_TYPE)
        if board_type == BOARD_TYPE:
            size = self._firmware_size if size is None else size
            return {"firmware.bin": esp8266_image(fw=commit, size=size, seed=self._releases)}
        from enmctl.simulator.bluetooth.neighbourhood import asset

        size = self._bluetooth_firmware_size if size is None else size
        return asset(board_type, app_id, commit, size=size, seed=self._releases)

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
            "ENM_BLUETOOTH_ADAPTER": "" if self.neighbourhood is None else self.neighbourhood.adapter,
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


def any_application(name: str = "greenhouse", board_type: str = BOARD_TYPE) -> SimulatedApplication:
    """An application that no other world on this machine is likely to have: all hear the same multicast."""
    return SimulatedApplication(_LEAST_APPLICATION + secrets.randbelow(_APPLICATIONS), name, board_type)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
