"""What the simulated Supervisor is told to get wrong goes wrong on the wire, so often as asked."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from enmctl.errors import UsageError
from enmctl.simulator.supervisor import MEANINGS, FaultName, SimulatedSupervisor

SHORT = 0.2
"""Seconds after which a client has had enough of a silent Supervisor."""


async def raw_request(supervisor: SimulatedSupervisor, method: str, path: str, body: Any = None) -> bytes:
    """Ask over a bare socket, and return all that comes until the connection ends."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: supervisor\r\nAuthorization: ApiKey {supervisor.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(supervisor.url).port)
    try:
        writer.write(head.encode() + content)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_lost_answer_leaves_a_device_and_ends_the_connection_without_a_byte(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    supervisor.fail("provision", "lost-answer", times=1)
    assert await raw_request(supervisor, "POST", "/v1/devices", {"appId": app}) == b""
    assert supervisor.inserted == 1
    assert supervisor.requests[-1].status is None
    assert supervisor.faults_taken == {"provision lost-answer": 1}
    assert (await client.post("/v1/devices", json={"appId": app})).status_code == 201


async def test_request_lost_before_the_insert_leaves_none(supervise: Any) -> None:
    supervisor, _, app = await supervise()
    supervisor.fail("provision", "lost")
    assert await raw_request(supervisor, "POST", "/v1/devices", {"appId": app}) == b""
    supervisor.heal()
    supervisor.fail("provision", "reset")
    with pytest.raises(ConnectionResetError):
        await raw_request(supervisor, "POST", "/v1/devices", {"appId": app})
    assert supervisor.inserted == 0


async def test_device_is_made_though_the_client_has_left_meanwhile(supervise: Any) -> None:
    supervisor, client, app = await supervise(cloud_delay=SHORT)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/devices", json={"appId": app}, timeout=SHORT / 4)
    assert supervisor.inserted == 0
    await supervisor.wait_for(lambda: supervisor.inserted == 1, 5)


async def test_device_is_made_though_the_supervisor_stopped_listening_meanwhile(supervise: Any) -> None:
    supervisor, client, app = await supervise(cloud_delay=SHORT)
    asked = asyncio.create_task(client.post("/v1/devices", json={"appId": app}))
    await supervisor.wait_for(lambda: len(supervisor.requests) == 1 and supervisor.requests[0].body is not None, 5)
    await supervisor.stop_listening()
    with pytest.raises(httpx.TransportError):
        await asked
    await supervisor.wait_for(lambda: supervisor.inserted == 1, 5)


async def test_late_insert_comes_after_the_connection_has_ended(supervise: Any) -> None:
    supervisor, _, app = await supervise()
    supervisor.fail("provision", "late-insert", times=1, delay=0.1)
    assert await raw_request(supervisor, "POST", "/v1/devices", {"appId": app}) == b""
    assert supervisor.inserted == 0
    await supervisor.wait_for(lambda: supervisor.inserted == 1, 5)


async def test_stale_target_state_deletes_a_new_device_and_the_next_poll_brings_it_back(
    supervise: Any, hook_gateway: Any
) -> None:
    hook_gateway.status = 200
    supervised = await supervise(hook_address=hook_gateway.address, apply_interval=0.01)
    supervisor = supervised.supervisor
    supervisor.fail("provision", "stale-target", times=1)
    uuid = (await supervised.provision())["uuid"]
    assert (await supervised.client.get(f"/v1/devices/{uuid}")).status_code in (404, 410)
    await supervisor.wait_for(lambda: uuid not in supervisor.devices, 5)
    supervisor.poll_target_state()
    assert (await supervised.device(uuid))["uuid"] == uuid
    assert supervisor.inserted == 1


async def test_no_answer_and_silent_differ_in_what_was_done(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    for fault, inserted in (("silent", 0), ("no-answer", 1)):
        supervisor.fail("provision", fault, times=1)
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/devices", json={"appId": app}, timeout=SHORT)
        assert supervisor.inserted == inserted


async def test_slow_answers_late_and_right(supervise: Any) -> None:
    supervisor, client, _ = await supervise()
    supervisor.fail("devices", "slow", times=1, delay=SHORT)
    started = asyncio.get_running_loop().time()
    assert (await client.get("/v1/devices")).json() == []
    assert asyncio.get_running_loop().time() - started >= SHORT


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_errors_by_number(supervise: Any, status: int) -> None:
    supervisor, client, app = await supervise()
    supervisor.fail("any", str(status), times=2)
    assert (await client.get("/v1/dependent-apps")).status_code == status
    assert (await client.post("/v1/devices", json={"appId": app})).status_code == status
    assert (await client.get("/v1/dependent-apps")).status_code == 200
    assert supervisor.inserted == 0


async def test_answers_of_wrong_shape(supervise: Any) -> None:
    supervisor, client, app = await supervise()
    supervisor.fail("applications", "wrong-shape", times=1)
    supervisor.fail("applications", "null", times=1)
    supervisor.fail("applications", "numbers-as-strings", times=1)
    supervisor.fail("applications", "garbage", times=1)
    supervisor.fail("applications", "answer", times=1, status=202, body=[{"uuid": None}])
    listed = {"id": app, "commit": None, "name": "greenhouse", "config": {"RESIN_HOST_TYPE": "esp8266"}}
    answers = [await client.get("/v1/dependent-apps") for _ in range(6)]
    assert answers[0].json() == {"d": [listed]}
    assert answers[1].json() is None
    assert answers[2].json() == [listed | {"id": str(app)}]
    with pytest.raises(ValueError, match=r"utf-8|Expecting|codec"):
        answers[3].json()
    assert (answers[4].status_code, answers[4].json()) == (202, [{"uuid": None}])
    assert answers[5].json() == [listed]


async def test_redirect_names_another_host(supervise: Any) -> None:
    supervisor, client, _ = await supervise()
    supervisor.fail("devices", "redirect", to="http://elsewhere.invalid/")
    answer = await client.get("/v1/devices", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://elsewhere.invalid/")


async def test_endless_answer_stops_only_at_its_size(supervise: Any) -> None:
    supervisor, client, _ = await supervise()
    supervisor.fail("devices", "endless", size=1 << 20)
    answer = await client.get("/v1/devices")
    assert "content-length" not in answer.headers
    assert len(answer.content) >= 1 << 20


async def test_faults_can_be_limited_to_a_path(supervise: Any) -> None:
    supervised = await supervise()
    uuids = [(await supervised.provision())["uuid"] for _ in range(2)]
    supervised.supervisor.fail("report", "500", only=uuids[1])
    statuses = [
        (await supervised.client.put(f"/v1/devices/{uuid}", json={"status": "Idle"})).status_code for uuid in uuids
    ]
    assert statuses == [200, 500]


async def stream_until_it_breaks(client: httpx.AsyncClient, path: str, **more: Any) -> tuple[httpx.Response, bytes]:
    """The answer, and what came of its body before the connection broke or went silent."""
    got = bytearray()
    async with client.stream("GET", path, **more) as answer:
        try:
            async for chunk in answer.aiter_raw():
                got += chunk
        except httpx.TransportError:
            return answer, bytes(got)
    raise AssertionError("the answer came whole")


@pytest.mark.parametrize("fault", ["cut-halfway", "reset-halfway", "stall-halfway"])
async def test_asset_breaks_halfway_and_the_rest_can_be_had(supervise: Any, fault: str) -> None:
    supervisor, client, app = await supervise()
    commit = supervisor.push(app, {"firmware.bin": bytes(range(256)) * 1000})
    path = f"/v1/dependent-apps/{app}/assets/{commit}"
    supervisor.fail("assets", fault, times=1)
    answer, first = await stream_until_it_breaks(client, path, timeout=SHORT)
    size = int(answer.headers["content-length"])
    assert 0 < len(first) <= size // 2
    assert fault == "reset-halfway" or len(first) == size // 2
    headers = {"Range": f"bytes={len(first)}-", "If-Range": answer.headers["etag"]}
    rest = await client.get(path, headers=headers)
    assert rest.status_code == 206
    with tarfile.open(fileobj=io.BytesIO(first + rest.content)) as tar:
        assert tar.getnames() == ["firmware.bin"]


@pytest.fixture
async def pushed(supervise: Any) -> tuple[SimulatedSupervisor, httpx.AsyncClient, str]:
    supervisor, client, app = await supervise()
    commit = supervisor.push(app, {"firmware.bin": bytes(50_000)})
    return supervisor, client, f"/v1/dependent-apps/{app}/assets/{commit}"


async def test_spoiled_assets(pushed: Any) -> None:
    supervisor, client, path = pushed
    whole = (await client.get(path)).content

    async def spoiled(fault: str, **options: Any) -> bytes:
        supervisor.fail("assets", fault, times=1, **options)
        answer = await client.get(path)
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) == len(answer.content)
        return bytes(answer.content)

    assert await spoiled("truncated") == whole[: len(whole) // 2]
    assert await spoiled("empty") == bytes(10240)
    assert await spoiled("zero") == b""
    garbage = await spoiled("garbage-tar")
    assert len(garbage) == len(whole)
    with pytest.raises(tarfile.ReadError):
        members(garbage)
    assert members(await spoiled("escaping")) == ["firmware.bin", "../escaped"]
    assert members(await spoiled("links")) == ["firmware.bin", "linked"]
    assert members(await spoiled("other")) == ["README"]
    assert len(await spoiled("huge", size=1 << 20)) > 1 << 20
    assert (await client.get(path)).content == whole


def members(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


@pytest.mark.parametrize(
    ("operation", "fault", "options"),
    [
        ("nothing", "500", {}),
        ("devices", "nonsense", {}),
        ("devices", "500", {"unheard": 1}),
        ("devices", "500", {"times": 0}),
        ("devices", "truncated", {}),
        ("assets", "stale-target", {}),
    ],
)
async def test_faults_that_make_no_sense_are_refused(operation: str, fault: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=fault):
        SimulatedSupervisor().fail(operation, fault, **options)


def test_every_fault_says_what_it_means() -> None:
    assert set(MEANINGS) == set(FaultName)


async def test_while_not_listening_connections_are_refused_and_the_port_stays(supervise: Any) -> None:
    supervised = await supervise()
    supervisor, client, _ = supervised
    await supervised.provision()
    url = supervisor.url
    await supervisor.stop_listening()
    for _ in range(3):
        with pytest.raises(httpx.ConnectError):
            await client.get("/v1/devices")
    await supervisor.listen_again()
    assert supervisor.url == url
    assert len((await client.get("/v1/devices")).json()) == 1
    await supervisor.listen_again()
    await supervisor.stop_listening()
    await supervisor.stop_listening()


async def test_wait_for_says_how_things_stand_when_it_gives_up(supervise: Any) -> None:
    supervisor, _, _ = await supervise()
    with pytest.raises(TimeoutError, match="0 devices"):
        await supervisor.wait_for(lambda: supervisor.inserted > 0, SHORT / 10)


async def test_leaving_ends_requests_that_nobody_answers() -> None:
    async with SimulatedSupervisor() as supervisor:
        supervisor.fail("any", "silent")
        asked = asyncio.create_task(raw_request(supervisor, "GET", "/v1/devices"))
        await supervisor.wait_for(lambda: bool(supervisor.faults_taken), 5)
    assert await asyncio.wait_for(asked, 5) == b""
