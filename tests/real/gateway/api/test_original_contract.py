"""What users and Supervisors of edge-node-manager send gets what they expect."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from enmctl.models import DeviceStatus, GatewayStatus
from tests.real.gateway.api.conftest import UUID, Served
from tests.real.gateway.api.curl import curl

HOLY_SUNSET = """
{"ApplicationUUID": 511898, "BoardType": "esp8266", "Name": "holy-sunset", "LocalUUID": "1265892",
 "ResinUUID": "64a1ae375b213d7e5af8409da3ad63108df4c8462089a05aa9af358c3f0df1",
 "Commit": "16b5cd4df8085d2872a6f6fc0c378629a185d78b", "TargetCommit": "16b5cd4df8085d2872a6f6fc0c378629a185d78b",
 "Status": "Idle", "Config": null, "TargetConfig": {"RESIN_HOST_TYPE": "esp8266", "RESIN_SUPERVISOR_DELTA": "1"},
 "Environment": null, "TargetEnvironment": {}, "RestartFlag": false, "DeleteFlag": false}
"""
"""As the original's README shows it."""

PAUSE = """curl -i -H "Content-Type: application/json" -X PUT --data '{"targetStatus":"Paused"}' """
RESUME = """curl -i -H "Content-Type: application/json" -X PUT --data '{"targetStatus":"Running"}' """


def fields(text: str | bytes) -> list[tuple[str, Any]]:
    """An object's fields in their order."""
    pairs: list[tuple[str, Any]] = list(json.loads(text).items())
    return pairs


async def test_the_readme_examples_get_what_they_got(served: Served) -> None:
    async def replay(command: str) -> tuple[int, bytes]:
        answer = await served.client.send(curl(command, served.api.address))
        return answer.status_code, answer.content

    assert await replay(PAUSE + "localhost:1337/v1/enm/status") == (200, b"")
    assert served.control.asked == [GatewayStatus.PAUSED]
    served.control.current_status = GatewayStatus.RUNNING
    assert await replay("curl -i -X GET localhost:1337/v1/enm/status") == (
        200,
        b'{"currentStatus":"Running","targetStatus":"Paused"}',
    )
    assert await replay(RESUME + "localhost:1337/v1/enm/status") == (200, b"")
    assert served.control.asked == [GatewayStatus.PAUSED, GatewayStatus.RUNNING]

    progress: list[tuple[str, Any]] = [("Progress", None), ("PinnedCommit", None)]
    status, body = await replay("curl -i -X GET localhost:1337/v1/devices")
    assert status == 200
    [device] = json.loads(body)
    assert list(device.items()) == fields(HOLY_SUNSET) + progress
    status, body = await replay("curl -i -X GET localhost:1337/v1/devices/1265892")
    assert (status, fields(body)) == (200, fields(HOLY_SUNSET) + progress)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_all_seven_routes_take_a_slash_at_the_end(served: Served, slash: str) -> None:
    client, control = served.client, served.control
    assert (await client.get(f"/v1/enm/status{slash}")).status_code == 200
    assert (await client.put(f"/v1/enm/status{slash}", json={"targetStatus": "Paused"})).status_code == 200
    assert (await client.get(f"/v1/devices{slash}")).status_code == 200
    assert (await client.get(f"/v1/devices/{UUID}{slash}")).status_code == 200
    assert (await client.put(f"/v1/devices/{UUID}{slash}", json={"commit": "a"})).status_code == 202
    assert (await client.put(f"/v1/devices/1265892/restart{slash}")).status_code == 200
    assert (await client.delete(f"/v1/devices/{UUID}{slash}")).status_code == 200
    assert (control.restarts, control.deleted) == (["1265892"], [UUID])
    assert not control.jobs


async def test_a_device_is_found_by_uuid_and_by_local_id(served: Served) -> None:
    for word in (UUID, "1265892"):
        answer = await served.client.get(f"/v1/devices/{word}")
        assert answer.json()["ResinUUID"] == UUID


async def test_delete_of_an_unknown_device_is_done(served: Served) -> None:
    for word in ("0000000", "no%ffutf8", "x" * 600, "%01"):
        answer = await served.client.delete(f"/v1/devices/{word}")
        assert (answer.status_code, answer.content) == (200, b""), word


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "", None), ("PUT", "", {"commit": "a"}), ("PUT", "/restart", None)],
)
async def test_an_unknown_device_is_404_with_a_reason(served: Served, method: str, path: str, body: object) -> None:
    answer = await served.client.request(method, f"/v1/devices/0000000{path}", json=body)
    assert answer.status_code == 404
    assert answer.json()["reason"] == "unknown"
    assert answer.json()["remedy"]


async def test_what_is_not_known_yet_is_empty_and_progress_is_per_cent(served: Served) -> None:
    view = served.control.views[UUID]
    device = replace(view.device, commit=None, target_commit=None, local_id=None, target_config=None)
    served.control.views[UUID] = replace(view, device=device, status=DeviceStatus.INSTALLING, progress=42)
    shown = (await served.client.get(f"/v1/devices/{UUID}")).json()
    assert (shown["Commit"], shown["TargetCommit"], shown["LocalUUID"]) == ("", "", "")
    assert shown["TargetConfig"] is None
    assert (shown["Status"], shown["Progress"]) == ("Installing", 42)


async def test_restart_sets_the_flag(served: Served) -> None:
    await served.client.put(f"/v1/devices/{UUID}/restart")
    assert (await served.client.get(f"/v1/devices/{UUID}")).json()["RestartFlag"] is True


@pytest.mark.parametrize("word", ["Stopped", "paused", "", None, 1, True, ["Paused"], {"a": 1}])
async def test_any_other_status_word_is_refused(served: Served, word: object) -> None:
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": word})
    assert answer.status_code == 400
    assert "targetStatus" in answer.json()["error"]
    assert served.control.asked == []


async def test_a_pause_may_have_an_end(served: Served) -> None:
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": "Paused", "seconds": 0.5})
    assert (answer.status_code, served.control.seconds) == (200, 0.5)


@pytest.mark.parametrize("seconds", ["0", "-1", '"10"', "true", "1e999", "1e12", "[]"])
async def test_an_end_that_makes_no_sense_is_refused(served: Served, seconds: str) -> None:
    body = f'{{"targetStatus":"Paused","seconds":{seconds}}}'
    answer = await served.client.put("/v1/enm/status", content=body)
    assert answer.status_code == 400
    assert served.control.asked == []
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": "Running", "seconds": 5})
    assert answer.status_code == 400


async def test_a_pause_may_have_a_name_which_is_told_until_it_ends(served: Served) -> None:
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": "Paused", "by": "logger"})
    assert (answer.status_code, served.control.paused_by) == (200, "logger")
    assert (await served.client.get("/v1/enm/status")).json()["pausedBy"] == "logger"
    await served.client.put("/v1/enm/status", json={"targetStatus": "Paused", "by": None})
    assert "pausedBy" not in (await served.client.get("/v1/enm/status")).json()


@pytest.mark.parametrize("by", ["", "a" * 101, "a\nb", 1, True, []])
async def test_a_name_that_is_none_is_refused(served: Served, by: object) -> None:
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": "Paused", "by": by})
    assert answer.status_code == 400
    answer = await served.client.put("/v1/enm/status", json={"targetStatus": "Running", "by": "logger"})
    assert answer.status_code == 400
    assert served.control.asked == []
