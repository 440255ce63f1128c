"""The simulated Supervisor's hooks reach a real HTTP server as the proxyvisor's would."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"
QUICK: dict[str, Any] = {"apply_interval": 0.005, "hook_throttle": 0.02}
MANY = 6
"""As many hooks as show that they would go on for ever."""


@pytest.mark.parametrize("era", ["v6", "v11"])
async def test_hook_carries_all_four_and_the_application_in_its_era_s_kind(
    supervise: Any, hook_gateway: Any, era: str
) -> None:
    supervised = await supervise(era=era, hook_address=hook_gateway.address, **QUICK)
    supervisor, _, app = supervised
    uuid = (await supervised.provision())["uuid"]
    supervisor.set_environment(uuid, {"A": "1"})
    supervisor.push(app, {"firmware.bin": b"x"}, COMMIT)
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= 1, 5)
    hook = hook_gateway.seen[0]
    assert (hook.method, hook.path) == ("PUT", f"/v1/devices/{uuid}")
    assert hook.body == {
        "appId": app if era == "v6" else str(app),
        "commit": COMMIT,
        "config": {"RESIN_HOST_TYPE": "esp8266"},
        "environment": {"A": "1"},
    }


async def test_without_a_target_commit_no_hook_goes_out(supervise: Any, hook_gateway: Any) -> None:
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, _, app = supervised
    await supervised.provision()
    supervisor.add_application(app + 1, "other", {})
    supervisor.push(app + 1, {"firmware.bin": b"x"})
    other = (await supervised.client.post("/v1/devices", json={"appId": app + 1})).json()["uuid"]
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= MANY, 5)
    assert {hook.uuid for hook in supervisor.hooks} == {other}


async def test_200_is_an_acknowledgement_until_the_target_changes(supervise: Any, hook_gateway: Any) -> None:
    hook_gateway.status = 200
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, _, app = supervised
    first = (await supervised.provision())["uuid"]
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_answered == 1, 5)
    # A second device's hooks are the clock: while they repeat, the first one's would.
    hook_gateway.status = 202
    second = (await supervised.provision())["uuid"]
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= 1 + MANY, 5)
    assert [hook.uuid for hook in supervisor.hooks].count(first) == 1
    assert not supervisor.hooks_at_rest(), "acknowledged is not reported back"
    hook_gateway.status = 200
    supervisor.set_environment(first, {"A": "1"})
    await supervisor.wait_for(lambda: [hook.uuid for hook in supervisor.hooks].count(first) == 2, 5)
    assert second in {hook.uuid for hook in supervisor.hooks}


async def test_202_repeats_until_commit_environment_and_config_were_reported_back(
    supervise: Any, hook_gateway: Any
) -> None:
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, client, app = supervised
    uuid = (await supervised.provision())["uuid"]
    commit = supervisor.push(app, {"firmware.bin": b"x"})
    parts: list[dict[str, Any]] = [{"commit": commit}, {"environment": {}}]
    for part in parts:
        assert (await client.put(f"/v1/devices/{uuid}", json=part)).status_code == 200
        seen = supervisor.hooks_sent
        await supervisor.wait_for(lambda seen=seen: supervisor.hooks_sent >= seen + MANY, 5)
        assert not supervisor.hooks_at_rest()
    await client.put(f"/v1/devices/{uuid}", json={"config": {"RESIN_HOST_TYPE": "esp8266"}})
    await supervisor.wait_at_rest(5)
    seen = supervisor.hooks_sent
    other = (await supervised.provision())["uuid"]
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= seen + MANY, 5)
    assert {hook.uuid for hook in list(supervisor.hooks)[seen + 1 :]} == {other}


async def test_null_is_not_an_empty_map_though_both_look_alike(supervise: Any, hook_gateway: Any) -> None:
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, client, app = supervised
    supervisor.set_config(app, {})
    uuid = (await supervised.provision())["uuid"]
    commit = supervisor.push(app, {"firmware.bin": b"x"})
    shown = (await client.put(f"/v1/devices/{uuid}", json={"commit": commit})).json()
    assert shown["config"] == shown["targetConfig"] == shown["environment"] == shown["targetEnvironment"] == {}
    assert not supervisor.hooks_at_rest()
    with pytest.raises(TimeoutError, match="None"):
        await supervisor.wait_at_rest(0.01)
    await client.put(f"/v1/devices/{uuid}", json={"environment": {}, "config": {}})
    assert supervisor.hooks_at_rest()


async def test_refusal_clears_the_acknowledgement_and_repeats(supervise: Any, hook_gateway: Any) -> None:
    hook_gateway.status = 500
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, _, app = supervised
    await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_answered >= MANY, 5)


async def test_nobody_listening_is_asked_again(supervise: Any, hook_gateway: Any) -> None:
    supervised = await supervise(hook_address=hook_gateway.address, **QUICK)
    supervisor, _, app = supervised
    await hook_gateway.listener.shut()
    await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= 3, 5)
    assert supervisor.hooks_answered == 0
    await hook_gateway.listener.open()
    await supervisor.wait_for(lambda: supervisor.hooks_answered >= 1, 5)


async def test_each_device_is_asked_once_per_throttle_and_the_first_time_at_once(
    supervise: Any, hook_gateway: Any
) -> None:
    throttle = 0.15
    supervised = await supervise(hook_address=hook_gateway.address, apply_interval=0.005, hook_throttle=throttle)
    supervisor, _, app = supervised
    uuids = [(await supervised.provision())["uuid"] for _ in range(3)]
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= 9, 5)
    for uuid in uuids:
        times = [hook.time for hook in supervisor.hooks if hook.uuid == uuid]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) >= throttle
    first_three = list(supervisor.hooks)[:3]
    assert {hook.uuid for hook in first_three} == set(uuids)
    assert first_three[-1].time - first_three[0].time < throttle


async def test_new_target_waits_for_the_throttle_too(supervise: Any, hook_gateway: Any) -> None:
    hook_gateway.status = 200
    supervised = await supervise(hook_address=hook_gateway.address, apply_interval=0.005, hook_throttle=0.2)
    supervisor, _, app = supervised
    await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_answered == 1, 5)
    newer = supervisor.push(app, {"firmware.bin": b"y"})
    await supervisor.wait_for(lambda: supervisor.hooks_answered == 2, 5)
    first, second = supervisor.hooks
    assert second.time - first.time >= 0.2
    assert second.body["commit"] == newer


async def test_silent_gateway_holds_all_other_hooks_up(supervise: Any, hook_gateway: Any) -> None:
    hook_gateway.silent = True
    supervised = await supervise(hook_address=hook_gateway.address, hook_timeout=0.2, **QUICK)
    supervisor, _, app = supervised
    for _ in range(2):
        await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_sent >= 2, 5)
    first, second = list(supervisor.hooks)[:2]
    assert second.time - first.time >= 0.2
    assert first.uuid != second.uuid


@pytest.mark.parametrize("era", ["v6", "v11"])
async def test_deletion_is_repeated_until_exactly_200(supervise: Any, hook_gateway: Any, era: str) -> None:
    supervised = await supervise(era=era, hook_address=hook_gateway.address, poll_interval=0.01, **QUICK)
    supervisor, client, _ = supervised
    uuid = (await supervised.provision())["uuid"]
    supervisor.delete_device(uuid)
    for status in (202, 204, 404, 500):
        hook_gateway.status = status
        seen = supervisor.hooks_answered
        await supervisor.wait_for(lambda seen=seen: supervisor.hooks_answered >= seen + 2, 5)
        assert (await client.get(f"/v1/devices/{uuid}")).status_code == 410
        assert not supervisor.hooks_at_rest()
    hook_gateway.status = 200
    await supervisor.wait_at_rest(5)
    assert (await client.get(f"/v1/devices/{uuid}")).status_code == 404
    assert {(hook.method, hook.body) for hook in hook_gateway.seen} == {("DELETE", None)}


async def test_v6_sends_hooks_once_per_poll(supervise: Any, hook_gateway: Any) -> None:
    supervised = await supervise(era="v6", hook_address=hook_gateway.address, apply_interval=0.005, hook_throttle=0)
    supervisor, client, app = supervised
    await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    await supervisor.wait_for(lambda: supervisor.hooks_answered == 1, 5)
    await client.post("/v1/update")
    await supervisor.wait_for(lambda: supervisor.hooks_answered == 2, 5)
    for _ in range(3):
        await client.get("/v1/devices")
    assert supervisor.hooks_sent == 2


async def test_without_an_address_no_hook_goes_out_until_there_is_one(supervise: Any, hook_gateway: Any) -> None:
    supervised = await supervise(**QUICK)
    supervisor, _, app = supervised
    await supervised.provision()
    supervisor.push(app, {"firmware.bin": b"x"})
    assert supervisor.hooks_sent == 0
    supervisor.hook_address = hook_gateway.address
    await supervisor.wait_for(lambda: supervisor.hooks_answered >= 1, 5)
