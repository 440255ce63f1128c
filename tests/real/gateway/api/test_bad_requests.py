"""Requests that are broken, too large, too slow or not HTTP: each gets its status, and the next client is served."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enmctl.errors import UsageError
from enmctl.gateway.api import connection, intake
from enmctl.gateway.api.parsing import read_hook, read_object, read_status
from tests.real.gateway.api.conftest import LIMIT, UUID, Serve, Served, until

HEAD = f"PUT /v1/devices/{UUID} HTTP/1.1\r\nHost: localhost\r\n"


async def still_serves(served: Served) -> bool:
    return (await served.client.get("/v1/enm/status")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "no-such-path"),
        ("GET", "/v1", 404, "no-such-path"),
        ("GET", "/v2/devices", 404, "no-such-path"),
        ("GET", "/v1/devices/a/b", 404, "no-such-path"),
        ("GET", "/v1/devices//restart", 404, "no-such-path"),
        ("GET", "/v1/%64evices", 404, "no-such-path"),
        ("GET", "/../../etc/passwd", 404, "no-such-path"),
        ("POST", "/v1/enm/status", 405, "no-such-method"),
        ("DELETE", "/v1/devices", 405, "no-such-method"),
        ("PATCH", f"/v1/devices/{UUID}", 405, "no-such-method"),
        ("GET", f"/v1/devices/{UUID}/restart", 405, "no-such-method"),
        ("OPTIONS", "/v1/devices", 405, "no-such-method"),
        ("BREW", "/v1/devices", 405, "no-such-method"),
        ("GET", "/v1/devices/no%ffutf8", 400, "bad-request"),
        ("GET", "/v1/devices/a%00b", 400, "bad-request"),
        ("GET", "/v1/devices/" + "x" * 600, 400, "bad-request"),
    ],
)
async def test_a_wrong_path_or_method_has_its_status(
    served: Served, method: str, path: str, status: int, reason: str
) -> None:
    got, body = await served.raw(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert got == status
    said = json.loads(body)
    assert said["reason"] == reason
    assert said["error"]


async def test_a_wrong_method_is_told_the_right_ones(served: Served) -> None:
    answer = await served.client.post("/v1/enm/status")
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"GET", "HEAD", "PUT"}


async def test_head_is_answered_without_a_body(served: Served) -> None:
    answer = await served.client.head("/v1/devices")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /v1/devices HTTP/1.1\r\n\r\n",
        b"GET /v1/devices HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v1/d\xc3\xa9vices HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD.encode() + b"Content-Length: -1\r\n\r\n",
        HEAD.encode() + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        HEAD.encode() + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
        HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nnot-a-size\r\n",
        HEAD.encode() + b"no colon\r\n\r\n",
    ],
    ids=lambda request: str(request[:24]),
)
async def test_what_is_not_http_gets_400_in_the_shape_of_every_error(served: Served, request_bytes: bytes) -> None:
    status, body = await served.raw(request_bytes)
    assert status == 400
    assert json.loads(body)["reason"] == "not-http"
    assert await still_serves(served)


async def test_a_head_that_is_too_large_is_ended(served: Served) -> None:
    status, _ = await served.raw(HEAD.encode() + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n")
    assert status in (0, 400), "the answer may be lost to a client that is still sending"
    assert await still_serves(served)


async def test_http_1_0_without_a_host_is_served(served: Served) -> None:
    status, body = await served.raw(b"GET /v1/enm/status HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)["currentStatus"]) == (200, "Running")


async def test_a_truncated_body_does_nothing(served: Served) -> None:
    body = b'{"commit":"a"}'
    status, _ = await served.raw(f"{HEAD}Content-Length: 100\r\n\r\n".encode() + body, half_close=True)
    assert status in (0, 400)
    assert served.control.hooks == []
    assert await still_serves(served)


async def test_a_body_that_stops_coming_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STALL_TIMEOUT", 0.1)
    monkeypatch.setattr(intake, "DRAIN_TIMEOUT", 0.1)
    began = time.monotonic()
    status, body = await served.raw(f'{HEAD}Content-Length: 100\r\n\r\n{{"com'.encode())
    assert (status, json.loads(body)["reason"]) == (408, "slow-body")
    assert time.monotonic() - began < LIMIT
    assert served.control.hooks == []


async def test_a_body_that_drips_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_TIMEOUT", 0.2)
    monkeypatch.setattr(intake, "DRAIN_TIMEOUT", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.api.port)
    writer.write(f"{HEAD}Content-Length: 100000\r\n\r\n".encode())
    drip = asyncio.create_task(_drip(writer))
    answer = await asyncio.wait_for(reader.readline(), LIMIT)
    drip.cancel()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "began", [b"", b"GET /v1/dev", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]
)
async def test_a_head_that_does_not_end_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch, began: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.api.port)
    writer.write(began)
    drip = asyncio.create_task(_drip(writer)) if began.endswith(b"dev") else None
    try:
        await asyncio.wait_for(reader.read(), LIMIT)
    except ConnectionResetError:
        pass
    finally:
        if drip is not None:
            drip.cancel()
        writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"a")
        await asyncio.sleep(0.02)


async def test_a_second_head_on_a_kept_connection_is_bounded_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.api.port)
    writer.write(b"GET /v1/enm/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await reader.readuntil(b"}") != b""
    drip = asyncio.create_task(_drip(writer))
    try:
        assert await asyncio.wait_for(reader.read(), LIMIT) == b""
    except ConnectionResetError:
        pass
    finally:
        drip.cancel()
        writer.close()


async def test_a_client_that_never_reads_is_let_go(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_TIMEOUT", 0.2)
    served = await serve()
    [view] = served.control.views.values()
    served.control.views = {str(number): view for number in range(50_000)}
    _, writer = await asyncio.open_connection("127.0.0.1", served.api.port, limit=1024)
    writer.write(b"GET /v1/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: bool(served.api._state.tasks))
    await until(lambda: not (served.api._state.connections or served.api._state.tasks))
    writer.close()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused_by_its_real_bytes(served: Served, declared: bool) -> None:
    body = b'{"commit":"' + b"a" * (1 << 20) + b'"}'

    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    content = body if declared else pieces()
    answer = await served.client.put(f"/v1/devices/{UUID}", content=content)
    assert (answer.status_code, answer.json()["reason"]) == (413, "too-large")
    assert served.control.hooks == []
    assert await still_serves(served)


async def test_a_client_that_asks_before_it_sends_is_refused_at_once(served: Served) -> None:
    head = f"{HEAD}Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n"
    status, _ = await served.raw(head.encode())
    assert status == 413
    head = f'{HEAD}Expect: 100-continue\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{{"commit":"a"}}'
    status, rest = await served.raw(head.encode())
    assert status == 100
    assert rest.startswith(b"HTTP/1.1 202 ")


async def test_a_body_of_a_request_that_needs_none_is_bounded_too(served: Served) -> None:
    answer = await served.client.request("GET", "/v1/devices", content=b"a" * ((1 << 20) + 1))
    assert answer.status_code == 413
    assert (await served.client.request("GET", "/v1/devices", content=b"a")).status_code == 200


async def test_a_compressed_body_is_refused(served: Served) -> None:
    answer = await served.client.put(f"/v1/devices/{UUID}", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["reason"]) == (415, "encoding")


async def test_uploads_at_once_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "IN_HAND_MOST", 1000)
    answer = await served.client.put("/v1/devices/1265892/firmware", content=b"a" * 2000)
    assert answer.status_code == 409
    answer = await served.client.put("/v1/devices/1265892/firmware", content=b"a" * 900)
    assert answer.status_code == 200
    answer = await served.client.put("/v1/devices/1265892/firmware", content=b"a" * 900)
    assert answer.status_code == 200, "what was done with is not counted any more"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ua0d8commitfgev1.e-', max_size=60).map(str.encode))
def test_no_body_is_our_fault(body: bytes) -> None:
    for read in (read_hook, read_status):
        with suppress(UsageError):
            read(read_object(body))
