"""The Supervisor's hooks: what they say is taken whole, or refused with a reason."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from enmctl.gateway.control import DeviceView, Hook
from enmctl.models import DeviceStatus
from tests.real.gateway.api.conftest import COMMIT, HOLY_SUNSET, UUID, Served


@pytest.mark.parametrize("app_id", [13015, "13015", None])
@pytest.mark.parametrize("word", [UUID, "1265892"])
async def test_a_hook_of_every_supervisor_is_taken(served: Served, app_id: object, word: str) -> None:
    body = {"appId": app_id, "commit": COMMIT, "config": {"A": "1"}, "environment": {}, "more": [1]}
    answer = await served.client.put(f"/v1/devices/{word}", json=body)
    assert (answer.status_code, answer.content) == (202, b"")
    assert served.control.hooks == [(UUID, Hook(COMMIT, {"A": "1"}, {}))]


@pytest.mark.parametrize(
    ("body", "hook"),
    [
        ({"commit": COMMIT}, Hook(COMMIT, None, None)),
        ({"commit": None, "config": None, "environment": {"a": "b"}}, Hook(None, None, {"a": "b"})),
        ({"config": {"n": 1, "f": 1.5, "t": True, "o": False, "s": "ü"}}, None),
    ],
)
async def test_null_says_nothing_and_numbers_become_text(served: Served, body: object, hook: Hook | None) -> None:
    assert (await served.client.put(f"/v1/devices/{UUID}", json=body)).status_code == 202
    wanted = hook or Hook(None, {"n": "1", "f": "1.5", "t": "true", "o": "false", "s": "ü"}, None)
    assert served.control.hooks == [(UUID, wanted)]


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"appId": 1}',
        '{"commit": null, "config": null, "environment": null}',
        '{"commit": ""}',
        '{"commit": 5}',
        '{"commit": {"a": 1}}',
        '{"commit": "a\\u0000b"}',
        '{"commit": "' + "a" * 300 + '"}',
        '{"config": []}',
        '{"config": "x"}',
        '{"config": {"a": null}}',
        '{"config": {"a": ["b"]}}',
        '{"environment": {"a": {"b": "c"}}}',
        '{"environment": {"a": 1e999}}',
        '{"environment": {"a": NaN}}',
        '{"environment": {"a": "\\ud800"}}',
        '{"environment": {"\\ud800": "a"}}',
        '{"commit": "a", "config": 1}',
        '{"commit": "a", "more": NaN}',
        "[]",
        "null",
        '"text"',
        "12",
        "",
        "{",
        '{"commit": "a"',
        "commit=a",
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "9" * 10_000,
    ],
    ids=lambda body: str(body)[:30],
)
async def test_a_hook_that_makes_no_sense_is_refused_with_a_reason(served: Served, body: str) -> None:
    answer = await served.client.put(f"/v1/devices/{UUID}", content=body)
    assert answer.status_code == 400
    said = answer.json()
    assert said["error"]
    assert said["reason"] == "bad-request"
    assert said["remedy"]
    assert served.control.hooks == []


@pytest.mark.parametrize("body", [b'{"commit": "\xff"}', b"\xff\xfe{\x00}\x00", b"\x00"])
async def test_bytes_that_are_no_text_are_refused(served: Served, body: bytes) -> None:
    assert (await served.client.put(f"/v1/devices/{UUID}", content=body)).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 202),
        ("application/json", 202),
        ("application/json; charset=UTF-8", 202),
        ("application/vnd.api+json", 202),
        ("application/x-www-form-urlencoded", 202),
        ("text/plain;charset=utf-8", 202),
        ("multipart/form-data; boundary=x", 415),
        ("text/xml", 415),
        ("application/json; charset=utf-16", 415),
    ],
)
async def test_json_is_taken_under_what_clients_call_it(served: Served, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await served.client.put(f"/v1/devices/{UUID}", content=b'{"commit":"a"}', headers=headers)
    assert answer.status_code == status


async def test_a_byte_order_mark_is_let_be(served: Served) -> None:
    answer = await served.client.put(f"/v1/devices/{UUID}", content=b'\xef\xbb\xbf{"commit":"a"}')
    assert answer.status_code == 202


async def test_a_hundred_hooks_at_once_are_all_taken(served: Served) -> None:
    for number in range(100):
        device = replace(HOLY_SUNSET, uuid=f"{number:062x}", local_id=str(number))
        served.control.views[device.uuid] = DeviceView(device, DeviceStatus.IDLE)
    body = json.dumps({"appId": "1", "commit": COMMIT, "config": {}, "environment": {}}).encode()

    async def hook(number: int) -> int:
        head = f"PUT /v1/devices/{number:062x} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        status, _ = await served.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return status

    assert await asyncio.gather(*(hook(number) for number in range(100))) == [202] * 100
    assert {uuid for uuid, _ in served.control.hooks} == {f"{number:062x}" for number in range(100)}
