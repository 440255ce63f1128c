"""A fleet file as the source of desired state, for gateways that have no server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

from enmctl.errors import FleetError, SettingError, SourceGoneError, SourceRefusedError, StoreError
from enmctl.models import Application, Desired, Device, Provisioned, Report
from enmctl.settings import Settings
from enmctl.sources.contract import Progressed
from enmctl.sources.fleet import identities
from enmctl.sources.fleet.fleet import Fleet, read_fleet
from enmctl.sources.fleet.releases import hand_out, put
from enmctl.sources.fleet.states import States, states_of
from enmctl.sources.fleet.watching import Watch
from enmctl.store.reading import read_devices

LOG = logging.getLogger(__name__)


class FleetSource:
    """Keeps ``enmctl.sources.contract.Source`` over a file; nobody is told anything, for nobody else is there.

    Which boards have become devices it remembers from the database; what they should run stands in the file alone.

    Attributes:
        address: the file's path.
    """

    name = "fleet"

    def __init__(self, settings: Settings, board_types: Collection[str]) -> None:
        """Raises SettingError where no file is named."""
        if settings.fleet_file is None:
            raise SettingError("ENM_SOURCE is fleet, and no fleet file is named", remedy="set ENM_FLEET_FILE")
        self._path: Path = settings.fleet_file
        self.address = str(self._path)
        self._settings = settings
        self._board_types = frozenset(board_types)
        self._known: dict[str, Device] = {}
        self._fleet: Fleet | None = None
        self._seen: States = {}
        self._fault: FleetError | None = None
        self._listed: frozenset[str] = frozenset()
        self._is_told = False
        self._watch: Watch | None = None
        self._changed: Callable[[], None] = lambda: None

    async def __aenter__(self) -> Self:
        try:
            devices = await asyncio.to_thread(read_devices, self._settings.database, deleted=None)
        except StoreError as error:
            LOG.debug("which boards are devices is not known: %s", error)
            devices = []
        self._known = {device.uuid: device for device in devices}
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    async def check(self) -> None:
        """See that the file is right. Raises FleetError."""
        await self._read()
        if self._fault is not None:
            raise self._fault

    def watch(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called as soon as the file, or firmware that it names, is another."""
        self._changed = changed
        self._watch = Watch(changed)
        self._watch.watch(self._seen)

    async def reachable(self) -> bool:
        """Whether the file is there."""
        return self._path.is_file()

    async def fetch(self) -> Desired | None:
        """What the file says; None where neither it nor its firmware has changed.

        Raises:
            FleetError: something in it is wrong; the last answer stays in force.
        """
        if not self._seen or await asyncio.to_thread(states_of, self._seen) != self._seen:
            await self._read()
        if self._fault is not None:
            raise self._fault
        if self._is_told or self._fleet is None:
            return None
        self._is_told = True
        desired = self._fleet.desired(self._known.values())
        self._listed = frozenset(desired.devices)
        return desired

    async def _read(self) -> None:
        """Read the file and all that it names; what is wrong is kept, and raised until it is put right."""
        most, seen = self._settings.asset_max_size, States()
        before = await asyncio.to_thread(states_of, self._seen)
        try:
            fleet = await asyncio.to_thread(read_fleet, self._path, self._board_types, most=most, seen=seen)
        except FleetError as error:
            self._fault = error
            self._seen = {**before, **seen}
        else:
            if self._fault is not None or self._fleet is not None:
                LOG.info("the fleet file %s is taken up", self._path)
            self._fleet, self._fault, self._is_told = fleet, None, False
            self._seen = seen
        if self._watch is not None:
            self._watch.watch(self._seen)

    async def listed(self, uuid: str) -> bool:
        """Whether the file wants the device looked after."""
        return uuid in self._listed

    async def provision(self, application: Application, local_id: str) -> Provisioned:
        """Make a device: its uuid comes from the application and the board, so that it is the same each time."""
        fleet = self._fleet
        name = None if fleet is None else fleet.name_of(application.id)
        uuid = identities.device_uuid(application.id, local_id)
        listed = None if fleet is None or name is None else fleet.listed(name, uuid, local_id)
        if listed is None:
            raise SourceRefusedError(
                f"the fleet file does not want board {local_id} looked after",
                remedy=f"name it there, like [devices.NAME] with board = {local_id!r}",
            )
        device = Device(uuid, application.id, application.board_type or "", local_id, listed.name or "")
        self._known[uuid] = device
        self._listed |= {uuid}
        self._is_told = False
        self._changed()
        return Provisioned(uuid, listed.name or "", listed)

    async def fetch_asset(self, application: Application, commit: str, folder: Path, progressed: Progressed) -> None:
        """Fill ``folder`` with the firmware of a commit.

        Raises:
            SourceGoneError: the file does not name it (any more).
            SourceAwayError: it is at a URL, and cannot be fetched now.
            FirmwareError: it is not what the file says.
        """
        releases = {} if self._fleet is None else self._fleet.by_commit()
        release = releases.get((application.id, commit))
        if release is None:
            raise SourceGoneError(
                f"the fleet file names no firmware {commit} for {application.name or application.id}",
                remedy="the target has probably changed: it is looked at again",
            )
        most = self._settings.asset_max_size
        if release.path is not None:
            await asyncio.to_thread(hand_out, release, self._path.parent, folder, most)
            return
        from enmctl.sources.fleet.download import download  # httpx is slow to import, and most files need it not

        name, data = await download(release, self._path.parent, self._settings, progressed)
        await asyncio.to_thread(put, data, name, folder, most)

    async def report(self, uuid: str, report: Report) -> None:
        """Nobody is to be told."""

    async def log(self, uuid: str, message: str, at: float) -> None:
        """The database keeps the lines of devices' logs; nobody else wants them."""
