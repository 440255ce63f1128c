"""A source in one small file, as a plug-in package would bring it: ``ENM_SOURCE=folder``, desired state in folders.

``$ENM_FOLDER/{application id}-{board type}/{version}/firmware.bin``: the last version by name is what should run.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Self

from enmctl.errors import SourceGoneError
from enmctl.models import Application, Desired, ListedDevice, Provisioned, Report
from enmctl.settings import Settings
from enmctl.sources.contract import Progressed


class FolderSource:
    name = "folder"

    def __init__(self, settings: Settings, board_types: Collection[str]) -> None:
        self.root, self.devices = Path(os.environ["ENM_FOLDER"]), dict[str, int]()
        self.last: object = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def reachable(self) -> bool:
        return self.root.is_dir()

    async def fetch(self) -> Desired | None:
        newest = {folder.name: max(version.name for version in folder.iterdir()) for folder in self.root.iterdir()}
        if (state := (newest, dict(self.devices))) == self.last:
            return None
        self.last, applications = state, dict[int, Application]()
        for name, commit in newest.items():
            number, board_type = name.split("-")
            applications[int(number)] = Application(int(number), name, board_type, commit)
        devices = {
            made: ListedDevice(made, of, target_commit=applications[of].commit) for made, of in self.devices.items()
        }
        return Desired(applications, devices)

    async def listed(self, made: str) -> bool:
        return made in self.devices

    async def provision(self, application: Application, local_id: str) -> Provisioned:
        made = uuid.uuid5(uuid.NAMESPACE_OID, f"{application.id}/{local_id}").hex
        self.devices[made] = application.id
        return Provisioned(made, f"board {local_id}")

    async def fetch_asset(self, application: Application, commit: str, folder: Path, progressed: Progressed) -> None:
        if not (version := self.root / application.name / commit).is_dir():
            raise SourceGoneError(f"there is no {version}")
        shutil.copytree(version, folder, dirs_exist_ok=True)

    async def report(self, made: str, report: Report) -> None:
        pass

    async def log(self, made: str, message: str, at: float) -> None:
        pass
