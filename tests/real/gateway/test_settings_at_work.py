"""What each setting changes in a gateway at work; ``ELSEWHERE`` says where those are shown that are not shown here.

Spans are shown by their lower end: a machine that is busy makes everything later, and nothing sooner.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from enmctl.errors import BusyError, ExitCode
from enmctl.gateway.reach import ON_LOOPBACK
from enmctl.gateway.run import run_once
from enmctl.models import AttemptKind, DeviceStatus, Outcome, Proof, Stage
from enmctl.settings import variables
from enmctl.store import Store
from enmctl.store.reading import read_attempts, read_events
from tests.real.boards.rig import SUCCESS, answer, odd_server, saying
from tests.real.gateway.noticing import notice
from tests.real.gateway.process import Ended, enmctl
from tests.real.gateway.rig import Rig, rig, until_stored, until_views

EARLY = 0.95
"""Share of a span after which a clock of another resolution may call it over."""

FOR_EVER = 600.0
"""Seconds that no test lasts."""


ELSEWHERE = {
    "pause_delay": "tests/real/gateway/test_people_step_in.py",
    "api_host": "tests/real/gateway/api/test_access.py",
    "api_port": "tests/real/gateway/api/test_server.py",
    "api_token": "tests/real/gateway/api/test_access.py",
    "api_without_token": "tests/real/gateway/api/test_access.py",
    "supervisor_timeout": "tests/real/gateway/test_once.py",
    "provision_settle": "tests/real/gateway/test_devices_come_and_go.py",
    "report_interval": "tests/real/gateway/test_rest.py",
    "connect_timeout": "tests/real/boards/test_esp8266_update.py",
    "answer_timeout": "tests/real/gateway/test_rollout.py",
    "stall_timeout": "tests/real/gateway/test_rollout.py",
    "return_timeout": "tests/real/boards/test_esp8266_update.py",
    "probe_timeout": "tests/real/boards/test_esp8266_pages.py",
    "stop_timeout": "tests/real/gateway/test_journals.py",
    "fleet_file": "tests/real/gateway/either.py",
    "asset_max_size": "tests/real/gateway/test_bad_input_assets.py",
    "hotspot": "tests/real/gateway/test_hotspot.py",
    "hotspot_ssid": "tests/real/gateway/test_hotspot.py",
    "hotspot_password": "tests/real/gateway/test_hotspot.py",
    "hotspot_interface": "tests/real/radio/hotspot/test_hotspot.py",
    "hotspot_keep": "tests/real/gateway/test_hotspot.py",
    "hotspot_delete_delay": "tests/real/radio/hotspot/test_hotspot.py",
    "system_bus_address": "tests/real/gateway/test_hotspot.py",
    "mdns_interfaces": "tests/real/radio/test_mdns_browser.py",
    "bluetooth_short_timeout": "tests/real/radio/test_bluetooth_connection.py",
    "bluetooth_long_timeout": "tests/real/radio/test_bluetooth_radio.py",
    "bluetooth_power_cycle_after": "tests/real/radio/test_bluetooth_radio.py",
    "device_type": "tests/real/radio/test_attaching.py",
    "bluetooth_adapter": "tests/real/simulator/bluetooth/visitor.py",
    "bluetooth_concurrency": "tests/real/gateway/test_bluetooth_settings.py",
    "bluetooth_gone_after": "tests/real/gateway/test_bluetooth_settings.py",
    "bluetooth_scan_while_connected": "tests/real/radio/test_bluetooth_scan.py",
}
"""For each setting that other tests show at work, the file with them."""


def test_every_setting_is_shown_at_work() -> None:
    root = Path(__file__).parents[3]
    here = Path(__file__).read_text(encoding="utf-8")
    for name, variable in variables().items():
        text = (root / ELSEWHERE[name]).read_text(encoding="utf-8") if name in ELSEWHERE else here
        assert re.search(rf"\b{name}=|\"{name}\"", text), f"nothing shows {variable.name} at work"


def gaps(times: Sequence[float]) -> list[float]:
    """The spans between moments."""
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def asked_at(world: Rig, path: str) -> list[float]:
    """When the Supervisor was asked for a path."""
    return [request.time for request in world.supervisor.requests if request.path == path]


async def once(world: Rig, **more: object) -> Ended:
    """``enmctl run --once`` in a process of its own."""
    return await enmctl(world.environment(avahi_timeout=1.5, **more), "run", "--once")


def levels(talk: str) -> set[str]:
    """The levels of the lines of a log in plain text."""
    return set(re.findall(r"^\S+ (\w+) +enmctl", talk, re.MULTILINE))


@pytest.mark.parametrize(("word", "there", "missing"), [("Debug", "DEBUG", ""), ("error", "", "INFO")])
async def test_log_level_says_how_much_is_logged(tmp_path: Path, word: str, there: str, missing: str) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        ended = await once(world, log_level=word)
    assert ended.code == ExitCode.DONE, ended.talk
    assert there in {*levels(ended.talk), ""}
    assert missing not in levels(ended.talk)


async def test_log_format_json_makes_an_object_of_each_line(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        ended = await once(world, log_format="json")
    lines = [json.loads(line) for line in ended.talk.splitlines()]
    assert {"time", "level", "logger", "message"} == set(lines[0])
    assert any("is to run" in line["message"] for line in lines)


@pytest.mark.parametrize(("word", "lines"), [("info", True), ("error", False)])
async def test_dependent_log_level_says_how_much_a_devices_own_log_gets(tmp_path: Path, word: str, lines: bool) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        assert await run_once(world.settings(dependent_log_level=word), reach=ON_LOOPBACK) is ExitCode.DONE
        assert bool(read_events(world.settings().database)) is lines
        assert any(world.supervisor.logs.values()) is lines


async def test_supervisor_check_delay_lies_between_looks_at_one_that_is_away(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        world.supervisor.fail("any", "503")
        async with world.gateway(supervisor_check_delay=0.5):
            await world.wait_for(lambda: len(asked_at(world, "/v1/dependent-apps")) >= 3)
        assert min(gaps(asked_at(world, "/v1/dependent-apps"))) >= 0.5 * EARLY


async def test_loop_delay_lies_between_two_questions_while_nothing_happens(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        async with world.gateway(loop_delay=0.6):
            await world.wait_for(lambda: len(asked_at(world, "/v1/dependent-apps")) >= 3)
        assert min(gaps(asked_at(world, "/v1/dependent-apps"))) >= 0.6 * EARLY


async def test_avahi_timeout_is_how_long_a_board_is_listened_for_without_bluetooth(tmp_path: Path) -> None:
    without = {"bluetooth_adapter": "hci99", "bluetooth_long_timeout": FOR_EVER}
    async with rig(tmp_path) as world:
        for span in (0.3, 1.2):
            began = time.monotonic()
            ended = await enmctl(world.environment(avahi_timeout=span, **without), "restart", f"absent-{world.app}")
            assert ended.code == ExitCode.UNKNOWN, ended.talk
            assert time.monotonic() - began >= span * EARLY
        world.push()
        board = await world.add_board()
        async with world.gateway():
            await world.all_on_target()
        await board.power(on=False)
        async with world.gateway(avahi_timeout=0.3) as running:
            await until_views(running, lambda views: [view.status for view in views] == [DeviceStatus.OFFLINE])


@pytest.mark.parametrize(("retries", "outcomes"), [(1, ["failed"]), (3, ["failed", "failed", "succeeded"])])
async def test_update_retries_is_how_many_attempts_follow_each_other(
    tmp_path: Path, retries: int, outcomes: list[str]
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("reset-mid-upload", times=2)
        world.push()
        delays = {"retry_delay": FOR_EVER, "retry_delay_most": FOR_EVER}
        await run_once(world.settings(update_retries=retries, **delays), reach=ON_LOOPBACK)
        tried = [each for each in read_attempts(world.settings().database) if each.kind is AttemptKind.UPDATE]
        assert [str(attempt.outcome) for attempt in reversed(tried)] == outcomes


async def test_folders_and_database_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        commit = world.push()
        places = {"db_directory": tmp_path / "here", "db_file": "other.db", "assets_directory": tmp_path / "there"}
        assert await run_once(world.settings(**places), reach=ON_LOOPBACK) is ExitCode.DONE
        assert (tmp_path / "here" / "other.db").is_file()
        assert (tmp_path / "there" / str(world.app) / commit).is_dir()
        assert not (tmp_path / "database").exists()


async def test_api_version_stands_in_the_paths_of_the_supervisor(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        async with world.gateway(api_version="v2"):
            await world.wait_for(lambda: bool(asked_at(world, "/v2/dependent-apps")))
        assert not asked_at(world, "/v1/dependent-apps")


async def test_supervisor_api_key_and_address_let_the_gateway_in(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        for key in ("another-key", "na"):
            ended = await once(world, supervisor_api_key=key)
            assert ended.code == ExitCode.SOURCE, ended.talk
            assert "another-key" not in ended.talk
        nowhere = await once(world, supervisor_address="http://127.0.0.1:9")
        assert nowhere.code == ExitCode.SOURCE
        assert "127.0.0.1:9" in nowhere.talk


@pytest.mark.parametrize("name", ["lock_file", "balena_lock_file"])
async def test_a_lock_counts_at_the_place_that_is_set(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path) as world:
        lock = tmp_path / "elsewhere" / "theirs.lock"
        lock.parent.mkdir()
        lock.write_text("somebody else's", encoding="utf-8")
        with pytest.raises(BusyError, match=r"theirs\.lock"):
            await run_once(world.settings(**{name: lock}), reach=ON_LOOPBACK)
        assert await run_once(world.settings(avahi_timeout=0.3), reach=ON_LOOPBACK) is ExitCode.DONE


async def test_source_is_taken_by_its_name(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        ended = await once(world, source="oracle")
    assert ended.code in (ExitCode.USAGE, ExitCode.UNKNOWN), ended.talk
    assert "oracle" in ended.talk
    assert "supervisor" in ended.talk, "nobody was told which there are"


@pytest.mark.parametrize(("places", "most"), [(1, 1), (3, 3)])
async def test_wifi_concurrency_is_how_many_transfers_run_at_once(tmp_path: Path, places: int, most: int) -> None:
    async with rig(tmp_path) as world:
        for _ in range(3):
            await world.add_board(flash_speed=60_000.0)
        seen: list[int] = []
        notice(world, lambda: seen.append(sum(board.uploading for board in world.boards)))
        world.push()
        async with world.gateway(wifi_concurrency=places):
            await world.all_on_target()
        assert max(seen) == most


@pytest.mark.parametrize(("places", "most"), [(1, 1), (3, 3)])
async def test_download_concurrency_is_how_many_assets_are_fetched_at_once(
    tmp_path: Path, places: int, most: int
) -> None:
    async with rig(tmp_path, boards=3) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
        for uuid in list(world.supervisor.devices):
            world.supervisor.pin(uuid, world.push())
        world.supervisor.fail("assets", "slow", delay=0.5)
        seen: list[int] = []
        notice(world, lambda: seen.append(_open_downloads(world)))
        async with world.gateway(download_concurrency=places):
            await world.all_on_target()
        assert max(seen) == most


def _open_downloads(world: Rig) -> int:
    return sum(request.status is None and "/assets/" in request.path for request in world.supervisor.requests)


async def test_update_timeout_ends_an_attempt(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        await world.add_board(flash_speed=5_000.0)
        world.push()
        assert await run_once(world.settings(update_timeout=0.8), reach=ON_LOOPBACK) is not ExitCode.DONE
        async with world.gateway(update_timeout=0.8) as running:
            await until_stored(running, lambda devices: any(device.failures for device in devices))
        attempt = next(each for each in read_attempts(world.settings().database) if each.outcome is Outcome.FAILED)
        assert attempt.reason == "timeout"
        assert "0.8 s" in attempt.message


async def test_retry_delay_doubles_up_to_the_most(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("reset-mid-upload", times=3)
        world.push()
        async with world.gateway(retry_delay=0.3, retry_delay_most=0.6):
            await world.all_on_target()
        began = [each.started_at for each in reversed(read_attempts(world.settings().database))]
        first, second, third = gaps(began)[:3]
        assert first >= 0.3 * EARLY
        assert second >= 0.6 * EARLY
        assert third >= 0.6 * EARLY


@pytest.mark.parametrize(("delay", "most", "least", "highest"), [(100.0, 400.0, 100.0, 125.0), (100.0, 50.0, 50, 62.5)])
async def test_retry_delay_most_bounds_the_wait(
    tmp_path: Path, delay: float, most: float, least: float, highest: float
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("reset-mid-upload")
        world.push()
        async with world.gateway(retry_delay=delay, retry_delay_most=most) as running:
            await until_stored(running, lambda devices: any(device.failures for device in devices))
            [device] = await running.gateway.crew.store.call(Store.devices)
        assert least <= (device.retry_at or 0.0) - (device.failed_at or 0.0) <= highest


async def test_probe_interval_lies_between_the_two_misses_that_make_a_board_offline(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(probe_interval=1.0, avahi_timeout=0.1):
            await world.all_on_target()
            gone_at = time.monotonic()
            await world.boards[0].power(on=False)
            await world.wait_for(lambda: world.statuses() == ["Offline"])
            assert time.monotonic() - gone_at >= 1.0 * EARLY


async def test_return_probe_interval_lies_between_two_looks_at_a_restarting_board(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        settings = world.settings(return_probe_interval=1.5)
        assert await run_once(settings, reach=ON_LOOPBACK) is ExitCode.DONE
        [attempt] = [each for each in read_attempts(settings.database) if each.kind is AttemptKind.UPDATE]
        waited = (attempt.ended_at or 0.0) - attempt.started_at - attempt.stages[Stage.RETURNING]
        assert waited >= 1.5 * EARLY, "the board was back after 0.2 s, and looked at sooner than asked for"


async def test_return_grace_is_how_long_a_board_must_answer_that_was_never_seen_to_go_down(tmp_path: Path) -> None:
    async with rig(tmp_path) as world, odd_server(saying(answer(SUCCESS))) as never_down:
        world.mdns.announce(f"ESP8266_{world.app}_4711", never_down.board.port or 0)
        world.push(fw=None)
        settings = world.settings(return_grace=1.5)
        assert await run_once(settings, reach=ON_LOOPBACK) is ExitCode.DONE
        [attempt] = [each for each in read_attempts(settings.database) if each.kind is AttemptKind.UPDATE]
        assert attempt.proof is Proof.RETURN_ALONE
        waited = (attempt.ended_at or 0.0) - attempt.started_at - attempt.stages[Stage.RETURNING]
        assert waited >= 1.5 * EARLY


async def test_history_limit_is_how_much_is_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=3) as world:
        for limit, at_most in ((10_000, 10_000), (10, 20)):
            world.push()
            assert await run_once(world.settings(history_limit=limit), reach=ON_LOOPBACK) is ExitCode.DONE
            assert len(read_events(world.settings().database, limit=10_000)) <= at_most
