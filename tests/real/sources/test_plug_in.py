"""A third source comes as a package of its own, in forty lines, and enmctl is not changed for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.simulator.images import esp8266_image
from tests.real.gateway.rig import Rig, eventually, rig, until_stored

SOURCE = Path(__file__).parent / "folder_source.py"
METADATA = "Metadata-Version: 2.1\nName: enmctl-folder\nVersion: 1.0\n"


@pytest.fixture
def plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package as pip leaves it, and the folder that it reads."""
    site = tmp_path / "site-packages"
    described = site / "enmctl_folder-1.0.dist-info"
    described.mkdir(parents=True)
    shutil.copy(SOURCE, site / "enmctl_folder.py")
    (described / "METADATA").write_text(METADATA)
    (described / "entry_points.txt").write_text("[enmctl.sources]\nfolder = enmctl_folder:FolderSource\n")
    monkeypatch.syspath_prepend(site)
    folder = tmp_path / "desired"
    folder.mkdir()
    monkeypatch.setenv("ENM_FOLDER", str(folder))
    yield folder
    monkeypatch.undo()


def release(folder: Path, world: Rig, version: str) -> None:
    """Put a version where the source looks for it."""
    place = folder / f"{world.app}-esp8266" / version
    place.mkdir(parents=True)
    (place / "firmware.bin").write_bytes(esp8266_image(fw=version, size=16 * 1024))


async def test_a_source_from_a_plug_in_has_boards_made_devices_of_and_updated(plugged_in: Path, tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        release(plugged_in, world, "1.0")
        async with world.gateway(source="folder") as running:
            await eventually(lambda: all(board.fw == "1.0" for board in world.boards))
            release(plugged_in, world, "1.1")
            await eventually(lambda: all(board.fw == "1.1" for board in world.boards))
            await until_stored(running, lambda devices: {device.commit for device in devices} == {"1.1"})
            assert running.steward.summary()["source"]["name"] == "folder"


def test_it_is_as_short_as_is_promised() -> None:
    lines = SOURCE.read_text("utf-8").partition("class FolderSource")[2].splitlines()
    assert len([line for line in lines if line.strip()]) <= 40
