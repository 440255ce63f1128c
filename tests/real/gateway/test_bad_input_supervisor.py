"""Bad input by the Supervisor's door: away, silent, wrong, strange.

The last good state stays in force, it is said once, and all goes on when the Supervisor is well again.

Elsewhere: answers to a provisioning that get lost (``test_lost_answers_make_no_second_device``), a cloud
that is away (``test_rollout.test_what_happened_while_the_cloud_was_away_is_told_when_it_is_back``), odd bytes and odd
values one by one (``tests/real/sources``, ``tests/logic/sources``), bad hooks (``api/test_bad_requests``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from enmctl.models import DeviceStatus
from enmctl.store import Store
from tests.real.gateway.lines import no_bug_is_told, said
from tests.real.gateway.rig import Rig, application_id, eventually, rig, until_stored, until_views

LOST = "no desired state"
BACK = "the source answers again"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


Fault = tuple[str, dict[str, Any], str]
"""A fault of the simulated Supervisor, its options, and what the line must say."""

NO_JSON = "no JSON"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([("silent", {}, "no whole answer"), ("stall-halfway", {}, "no whole answer")], id="silent"),
        pytest.param(
            [
                ("500", {}, "500 Internal Server Error"),
                ("503", {}, "503 Service Unavailable"),
                ("401", {}, "does not accept the key"),
                ("404", {}, "404 Not found"),
                ("redirect", {"to": "http://192.0.2.1/"}, "307"),
            ],
            id="errors",
        ),
        pytest.param(
            [
                ("garbage", {}, NO_JSON),
                ("answer", {"body": "[" * 100_000}, NO_JSON),
                ("cut-halfway", {}, "peer closed connection"),
                ("lost", {}, "disconnected"),
            ],
            id="garbage",
        ),
        pytest.param(
            [
                ("wrong-shape", {}, "not a list"),
                ("null", {}, "not a list"),
                ("answer", {"body": '"devices"'}, "not a list"),
            ],
            id="wrong-shapes",
        ),
    ],
)
async def test_a_supervisor_that_gives_no_usable_list_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, faults: list[Fault]
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(supervisor_timeout=0.5) as running:
            await world.all_on_target()
            [uuid] = running.gateway.crew.desired.devices
            for fault, options, says in faults:
                caplog.clear()
                world.supervisor.faults_taken.clear()
                for question in ("applications", "devices"):
                    world.supervisor.fail(question, fault, **options)
                await world.wait_for(lambda: world.supervisor.faults_taken.total() >= 8)
                assert list(running.gateway.crew.desired.applications) == [world.app]
                assert list(running.gateway.crew.desired.devices) == [uuid]
                assert running.steward.turning()
                world.supervisor.heal()
                await eventually(lambda: bool(said(caplog, BACK)))
                _is_one_line_with_what_where_and_what_next(said(caplog, LOST), says, world.supervisor.url)
                assert said(caplog, BACK) == [BACK]
                assert no_bug_is_told(caplog)
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
        assert world.supervisor.inserted == 1


async def test_a_supervisor_that_is_down_is_said_once_and_missed_by_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            await world.supervisor.stop_listening()
            await eventually(lambda: bool(said(caplog, LOST)))
            [uuid] = world.supervisor.devices
            for _ in range(2):
                restarts = world.boards[0].restarts
                await running.steward.want_restart(uuid)
                await world.boards[0].wait_for(lambda it: it.restarts > restarts and it.state == "running", 20)  # noqa: B023 - is called at once
                await until_views(running, lambda views: views[0].status is DeviceStatus.IDLE)
            await world.supervisor.listen_again()
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
        _is_one_line_with_what_where_and_what_next(said(caplog, LOST), "no answer", world.supervisor.url)


async def test_a_gateway_that_starts_without_its_supervisor_works_on_with_what_it_knows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
        await world.supervisor.stop_listening()
        caplog.clear()
        async with world.gateway() as running:
            await until_views(running, lambda views: [view.status for view in views] == [DeviceStatus.IDLE])
            restarts = world.boards[0].restarts
            await running.steward.want_restart(world.boards[0].local_id)
            await world.boards[0].wait_for(lambda it: it.restarts > restarts and it.state == "running", 20)
            await eventually(lambda: bool(said(caplog, LOST)))
            assert len(said(caplog, LOST)) == 1
            await world.supervisor.listen_again()
            await world.all_on_target()
        assert len(world.supervisor.devices) == 1


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "RESIN_HOST_TYPE"),
        (None, "no config"),
        ("esp8266", "no config"),
        ({"RESIN_HOST_TYPE": 8266}, "8266"),
        ({"RESIN_HOST_TYPE": "toaster"}, "toaster"),
        ({"RESIN_HOST_TYPE": ["esp8266"], "deep": {"er": [{}]}}, "esp8266"),
    ],
)
async def test_an_application_with_a_strange_config_is_skipped_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, config: Any, says: str
) -> None:
    async with rig(tmp_path, boards=1) as world:
        strange = application_id()
        world.supervisor.add_application(strange, "strange", config)
        stray = await world.add_board(application_id=strange)
        world.boards.remove(stray)
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 8)
            [line] = said(caplog, f"application {strange}", says)
            assert "set it to" in line or "RESIN_HOST_TYPE" in line
            assert not stray.uploads
            assert {view.device.application_id for view in await running.steward.devices()} == {world.app}
            world.supervisor.set_config(strange, {"RESIN_HOST_TYPE": "esp8266"})
            await until_views(running, lambda views: len(views) == 2)
        assert world.supervisor.inserted == 2
        assert no_bug_is_told(caplog)


async def test_odd_entries_of_a_list_are_left_out_and_cost_the_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            row = next(iter(world.supervisor.devices.values()))
            good = {"uuid": row.uuid, "appId": world.app, "name": "good", "targetCommit": row.target_commit}
            world.supervisor.fail("devices", "answer", body=[*_odd_devices(world), good])
            await until_views(running, lambda views: "good" in {view.device.name for view in views})
            assert len(await running.steward.devices()) == 2, "a device that a list left out is asked for by itself"
            world.supervisor.heal()
            newest = world.push()
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {newest}
        assert said(caplog, "left out")
        assert len(said(caplog, "left out")) == len(set(said(caplog, "left out")))
        assert no_bug_is_told(caplog)
        assert not said(caplog, "a pass failed")


def _odd_devices(world: Rig) -> list[Any]:
    return [
        None,
        5,
        [],
        {},
        {"uuid": None, "appId": world.app},
        {"uuid": "", "appId": world.app},
        {"uuid": "../..", "appId": world.app},
        {"uuid": "\ud800", "appId": world.app},
        {"uuid": "a" * 100_000, "appId": world.app},
        {"uuid": "b" * 62, "appId": 10**30},
        {"uuid": "c" * 62, "appId": -1},
        {"uuid": "d" * 62, "appId": True},
        {
            "uuid": "e" * 62,
            "appId": world.app,
            "name": "\ud800\n\x1b[31m",
            "targetConfig": {"\udfff": "\ud800", "n": None},
        },
        {"uuid": "f" * 62, "appId": world.app, "targetCommit": {}, "targetConfig": [], "targetEnvironment": "x"},
    ]


async def test_a_supervisor_without_the_api_is_not_taken_for_one_that_dropped_every_device(tmp_path: Path) -> None:
    """Versions from 14.8 on answer each of our questions with Express's own 404."""
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(report_interval=0.2) as running:
            await world.all_on_target()
            for operation in ("applications", "devices", "device", "report", "log", "provision"):
                world.supervisor.fail(
                    operation,
                    "answer",
                    status=404,
                    body="<!DOCTYPE html>\n<html><body>\n<pre>Cannot PUT /v1/devices/x</pre>\n</body></html>\n",
                )
            await world.wait_for(lambda: world.supervisor.faults_taken["report answer"] >= 1)
            await world.wait_for(lambda: world.supervisor.faults_taken["applications answer"] >= 3)
            assert len(await running.steward.devices()) == 1
            world.supervisor.heal()
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
            assert [
                device.deleted for device in await running.gateway.crew.store.call(Store.devices, deleted=None)
            ] == [False]


async def test_a_device_that_is_marked_for_deletion_stays_deleted_although_it_is_listed(tmp_path: Path) -> None:
    """No hook reaches the gateway, and the list shows such a device like any other; only 410 tells."""
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(report_interval=0.2) as running:
            await world.all_on_target()
            world.supervisor.hook_address = None
            [uuid] = world.supervisor.devices
            world.supervisor.delete_device(uuid)
            await until_stored(running, lambda devices: all(device.deleted for device in devices))
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 8)
            assert await running.steward.devices() == []
            assert uuid in running.gateway.crew.desired.devices
        assert world.supervisor.inserted == 1


async def test_one_404_to_a_report_forgets_no_device_that_is_still_there(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(report_interval=0.2) as running:
            await world.all_on_target()
            world.supervisor.fail("report", "404", times=1)
            await world.wait_for(lambda: world.supervisor.faults_taken["report 404"] == 1)
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
            [device] = await running.gateway.crew.store.call(Store.devices, deleted=None)
            assert not device.deleted


def _is_one_line_with_what_where_and_what_next(lines: list[str], what: str, where: str) -> None:
    assert len(lines) == 1, lines
    [line] = lines
    assert what in line
    assert where in line or "Supervisor answered" in line
    assert "\n" not in line
    assert ": " in line.removeprefix(LOST), "it says what is to be done, or what enmctl does"
