"""Bad input by the asset's door: what cannot be firmware reaches no board, is said with its reason, poisons nothing.

Elsewhere: each of 404, 500, truncated, garbage, escaping, empty and cut off once
(``test_rollout.test_an_asset_that_is_broken_once_poisons_nothing``), a tar that is whole and holds no ESP8266 image
(``test_rollout.test_bad_firmware_never_reaches_a_board_and_waits_for_another_commit``), the mix-ups of images
(``tests/logic/firmware``), hostile tars member by member (``tests/real/firmware/test_archive``), a full disk under the
cache (``tests/real/firmware/test_cache.test_a_full_disk_is_said_and_nothing_half_stays``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.real.gateway.lines import no_bug_is_told, said
from tests.real.gateway.rig import eventually, rig, until_stored


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


@pytest.mark.parametrize(
    ("fault", "options", "says"),
    [
        ("404", {}, "does not have the asset"),
        ("401", {}, "does not accept the key"),
        ("503", {}, "answered 503"),
        ("silent", {}, "no answer"),
        ("stall-halfway", {}, "broke off"),
        ("truncated", {}, "is truncated"),
        ("garbage-tar", {}, "not a tar"),
        ("escaping", {}, "escaped"),
        ("links", {}, "linked"),
        ("empty", {}, "no file"),
        ("zero", {}, "no end mark"),
    ],
)
async def test_an_asset_that_stays_broken_is_said_and_fetched_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, options: dict[str, Any], says: str
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.supervisor.fail("assets", fault, **options)
        commit = world.push()
        async with world.gateway(stall_timeout=0.5, supervisor_timeout=1.0, asset_max_size=1 << 20):
            await world.wait_for(lambda: world.supervisor.faults_taken[f"assets {fault}"] >= 2)
            await eventually(lambda: bool(said(caplog, f"is not on {commit[:8]}", says)))
            assert not world.boards[0].uploads
            [line, *_] = said(caplog, f"is not on {commit[:8]}", says)
            assert commit[:8] in line
            assert "it is tried again in" in line
            assert line.count("\n") == 0
            world.supervisor.heal()
            await world.all_on_target()
            assert world.boards[0].fw == commit
        assert no_bug_is_told(caplog)
    assert not _names_below(tmp_path) & {"escaped", "linked"}


@pytest.mark.parametrize("fault", ["huge", "endless"])
async def test_an_asset_that_is_too_large_is_given_up_in_time_and_waits_for_another_commit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.supervisor.fail("assets", fault, size=100 << 20, times=1)
        commit = world.push()
        async with world.gateway(asset_max_size=1 << 20) as running:
            await until_stored(running, lambda devices: any(device.failed_permanently for device in devices))
            [line] = said(caplog, f"is not on {commit[:8]}", "larger than 1048576 bytes", "ENM_ASSET_MAX_SIZE")
            assert "it waits for another target" in line
            assert _bytes_below(tmp_path / "assets") < 1 << 20
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
        assert no_bug_is_told(caplog)


async def test_an_asset_without_the_firmware_waits_for_another_commit_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path, boards=1) as world:
        commit = world.push(assets={"README": b"no firmware here"})
        async with world.gateway() as running:
            await until_stored(running, lambda devices: any(device.failed_permanently for device in devices))
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 8)
            [line] = said(caplog, f"is not on {commit[:8]}")
            assert "firmware.bin" in line
            assert "it waits for another target" in line
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
        assert no_bug_is_told(caplog)


async def test_a_folder_for_assets_that_cannot_be_made_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "assets"
    in_the_way.write_text("a file, not a folder")
    async with rig(tmp_path, boards=1) as world:
        commit = world.push()
        async with world.gateway():
            await eventually(lambda: bool(said(caplog, f"is not on {commit[:8]}")))
            assert "ENM_ASSETS_DIRECTORY" in said(caplog, f"is not on {commit[:8]}")[0]
            assert not world.boards[0].uploads
            in_the_way.unlink()
            await world.all_on_target()
        assert no_bug_is_told(caplog)


def _names_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
