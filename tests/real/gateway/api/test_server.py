"""The server itself: its port, its end, and a loop that goes on turning."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace

import pytest

from enmctl.errors import (
    ArchiveError,
    BoardError,
    BusyError,
    EnmError,
    GatewayError,
    LostAnswerError,
    OutputError,
    RadioError,
    SettingError,
    StoreError,
    UnknownError,
)
from enmctl.gateway.api import connection, server, streaming
from enmctl.gateway.api.answers import status_of
from enmctl.gateway.api.server import ApiServer
from enmctl.gateway.control import Job
from enmctl.models import Stage, Step
from enmctl.settings import Settings
from tests.real.gateway.api.conftest import LIMIT, UUID, MemoryControl, Serve, Served, until


async def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BusyError) as caught:
            async with ApiServer(MemoryControl(), Settings(api_port=port)):
                pass
    assert (caught.value.reason, caught.value.exit_code) == ("port-taken", 9)
    assert str(port) in caught.value.message
    assert "ENM_API_PORT" in caught.value.remedy


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_a_wrong_setting(host: str) -> None:
    with pytest.raises(SettingError, match="ENM_API_HOST"):
        async with ApiServer(MemoryControl(), Settings(api_host=host, api_port=0, api_token="12345678")):
            pass


async def test_it_listens_before_it_is_entered_and_not_after() -> None:
    async with ApiServer(MemoryControl(), Settings(api_port=0)) as api:
        assert api.address == f"http://127.0.0.1:{api.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", api.port)
    async with ApiServer(MemoryControl(), Settings(api_port=api.port)) as again:
        assert again.port == api.port, "a restart gets its port back at once"


async def test_ipv6_loopback_is_served(serve: Serve) -> None:
    try:
        served = await serve(api_host="::1")
    except SettingError:
        return  # this machine has no IPv6
    assert served.api.address == f"http://[::1]:{served.api.port}"
    assert (await served.client.get("/v1/enm/status")).status_code == 200


async def test_it_ends_soon_whatever_is_open(caplog: pytest.LogCaptureFixture) -> None:
    control = MemoryControl()
    ended = asyncio.Event()

    async def endless(_: Job) -> AsyncGenerator[Step, None]:
        try:
            yield Step(Stage.TRANSFERRING, 1, 2)
            await asyncio.Event().wait()
        finally:
            ended.set()

    control.script = endless
    talks = []
    async with ApiServer(control, Settings(api_port=0)) as api:
        for request in (
            b"POST /v1/devices/a/identify HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /v1/enm/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PUT /v1/enm/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(request)
            talks.append((reader, writer))
            if b"Length" not in request:
                await asyncio.wait_for(reader.readuntil(b"}"), LIMIT)
        began = time.monotonic()
    assert time.monotonic() - began < 2, "it takes less than half a second on a machine that is not busy"
    assert ended.is_set()
    assert caplog.text == "", "to be ended is no fault"
    for reader, writer in talks:
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), LIMIT)
        writer.close()


async def test_one_connection_carries_many_requests(served: Served) -> None:
    for _ in range(20):
        assert (await served.client.put(f"/v1/devices/{UUID}", json={"commit": "a"})).status_code == 202
    assert len(served.api._state.connections) == 1


async def test_ten_thousand_devices_do_not_stall_the_loop(served: Served) -> None:
    view = served.control.views[UUID]
    served.control.views = {
        str(number): replace(view, device=replace(view.device, uuid=f"{number:062x}", local_id=str(number)))
        for number in range(10_000)
    }
    longest = 0.0
    stop = asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not stop.is_set():
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    reader, writer = await asyncio.open_connection("127.0.0.1", served.api.port)
    writer.write(b"GET /v1/devices HTTP/1.0\r\n\r\n")
    answer = bytearray()
    while piece := await asyncio.wait_for(reader.read(65_536), 20):
        answer += piece
    stop.set()
    await watching
    writer.close()
    body = answer.partition(b"\r\n\r\n")[2]
    assert [device["LocalUUID"] for device in json.loads(body)] == [str(number) for number in range(10_000)]
    assert longest < 0.1


async def test_a_long_list_leaves_the_loop_a_turn_at_every_piece(served: Served) -> None:
    [view] = served.control.views.values()
    loop = asyncio.get_running_loop()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 1000:
            loop.call_soon(turn)

    loop.call_soon(turn)
    pieces = [(turns, len(piece)) async for piece in streaming._list_pieces([view] * 1000)]
    assert [turn for turn, _ in pieces] == sorted({turn for turn, _ in pieces}), "each piece in another turn"
    assert max(size for _, size in pieces) < 100_000


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250])
async def test_a_list_of_any_length_is_whole(served: Served, count: int) -> None:
    view = served.control.views[UUID]
    served.control.views = {str(number): view for number in range(count)}
    assert len((await served.client.get("/v1/devices")).json()) == count


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingError("a"), 400),
        (UnknownError("a"), 404),
        (ArchiveError("a"), 422),
        (BusyError("a"), 409),
        (StoreError("a"), 503),
        (RadioError("a"), 503),
        (LostAnswerError("a"), 502),
        (BoardError("a"), 502),
        (GatewayError("a"), 502),
        (EnmError("a"), 500),
    ],
)
async def test_each_error_has_its_status(served: Served, error: EnmError, status: int) -> None:
    assert status_of(error) == status
    served.control.fault = error
    answer = await served.client.get("/v1/devices")
    assert (answer.status_code, answer.json()["error"]) == (status, "a")


def test_every_error_of_the_tree_but_its_root_has_a_status() -> None:
    def below(kind: type[EnmError]) -> set[type[EnmError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    ours = {kind for kind in below(EnmError) if kind.__module__ == "enmctl.errors"}

    assert {kind for kind in ours if status_of(kind("a")) == 500} == {EnmError, OutputError}


async def test_a_mistake_of_ours_is_500_and_logged_without_its_inside(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.control.fault = RuntimeError("secret inside")
    for method, path in (("GET", "/v1/devices"), ("GET", "/v1/enm/gateway"), ("DELETE", "/v1/devices/a")):
        answer = await served.client.request(method, path)
        assert (answer.status_code, answer.json()["reason"]) == (500, "bug")
        assert "secret" not in answer.text
    assert caplog.text.count("RuntimeError: secret inside") == 3


async def test_more_connections_than_allowed_are_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MOST", 3)
    served = await serve()
    idle = [await asyncio.open_connection("127.0.0.1", served.api.port) for _ in range(3)]
    answer = await served.client.get("/v1/enm/status", headers={"connection": "close"})
    assert answer.status_code == 503
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()

    await until(lambda: not served.api._state.connections)
    assert (await served.client.get("/v1/enm/status")).status_code == 200


async def test_connections_that_say_nothing_take_no_more_descriptors_than_allowed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MOST", 3)
    monkeypatch.setattr(connection, "SPARE", 1)
    served = await serve()
    silent = [await asyncio.open_connection("127.0.0.1", served.api.port) for _ in range(20)]
    ends = [asyncio.ensure_future(reader.read()) for reader, _ in silent]
    await until(lambda: sum(end.done() for end in ends) == 20 - 4)
    assert len(served.api._state.connections) == 4
    for _, writer in silent:
        writer.close()
    await asyncio.gather(*ends, return_exceptions=True)
    await until(lambda: not served.api._state.connections)
    assert (await served.client.get("/v1/enm/status")).status_code == 200


async def test_the_summary_is_served(served: Served) -> None:
    assert (await served.client.get("/v1/enm/gateway")).json() == {"version": "1.0", "currentStatus": "Running"}
