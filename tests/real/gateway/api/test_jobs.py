"""Work on a board through the API: its news line by line, and errors that stay what they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from enmctl.errors import BusyError, FirmwareError, OfflineError, RefusedError, StoreError, UnknownError
from enmctl.gateway.api import streaming
from enmctl.gateway.control import Job, JobKind
from enmctl.models import Proof, Stage, Step
from tests.real.gateway.api.conftest import LIMIT, Serve, Served, until

ADDRESS = "http://user@10.0.0.7:80/update"
ENCODED = "http%3A%2F%2Fuser%4010.0.0.7%3A80%2Fupdate"


def news_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


async def test_a_flash_tells_each_step_and_its_end(served: Served) -> None:
    answer = await served.client.put("/v1/devices/1265892/firmware?name=firmware.bin&hold=1", content=b"\xe9abc")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    told: dict[str, Any] = {"note": "", "proof": "version-read-back", "version": None}
    assert news_of(answer.text) == [
        {"stage": "transferring", "done": 0, "total": 262_144, "note": "", "proof": None, "version": None},
        {"stage": "done", "done": 0, "total": 0, **told},
        {"result": "done", **told},
    ]
    assert served.control.jobs == [Job(JobKind.FLASH, "1265892", b"\xe9abc", "firmware.bin", hold=True)]


@pytest.mark.parametrize(
    ("method", "path", "body", "job"),
    [
        ("PUT", "/v1/devices/a/restart?wait=1", None, Job(JobKind.RESTART, "a")),
        ("PUT", "/v1/devices/a/restart/?wait", None, Job(JobKind.RESTART, "a")),
        ("POST", f"/v1/devices/{ENCODED}/identify", None, Job(JobKind.IDENTIFY, ADDRESS)),
        ("PUT", f"/v1/devices/{ENCODED}/firmware", "x", Job(JobKind.FLASH, ADDRESS, b"x")),
        ("POST", "/v1/enm/provision", '{"board":"holy sunset"}', Job(JobKind.PROVISION, "holy sunset")),
        ("POST", "/v1/devices/h%C3%A4%20h/identify/", None, Job(JobKind.IDENTIFY, "hä h")),
    ],
)
async def test_a_board_is_named_by_any_word(served: Served, method: str, path: str, body: str | None, job: Job) -> None:
    answer = await served.client.request(method, path, content=body)
    assert answer.status_code == 200
    assert news_of(answer.text)[-1]["result"] == "done"
    assert served.control.jobs == [job]
    assert served.control.restarts == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/devices/a/firmware", ""),
        ("PUT", "/v1/devices/a/firmware?name=..%2Fx", "x"),
        ("PUT", "/v1/devices/a/firmware?name=..", "x"),
        ("PUT", "/v1/devices/a/firmware?name=a%00", "x"),
        ("PUT", "/v1/devices/a/firmware?hold=perhaps", "x"),
        ("PUT", "/v1/devices/a/restart?wait=soon", ""),
        ("POST", "/v1/enm/provision", "{}"),
        ("POST", "/v1/enm/provision", '{"board":5}'),
        ("POST", "/v1/enm/provision", '{"board":""}'),
        ("POST", "/v1/enm/provision", ""),
    ],
)
async def test_a_job_that_makes_no_sense_is_refused(served: Served, method: str, path: str, body: str) -> None:
    assert (await served.client.request(method, path, content=body)).status_code == 400
    assert not served.control.jobs


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownError("no such board", remedy="enmctl scan"), 404),
        (BusyError("paused", remedy="enmctl resume", reason="paused"), 409),
        (FirmwareError("too large", remedy="make it smaller"), 422),
        (RefusedError("it said no", remedy="look"), 502),
        (OfflineError("silent", remedy="power it"), 504),
        (StoreError("disk full", remedy="make room"), 503),
    ],
)
async def test_a_job_that_fails_before_its_first_step_fails_by_status(
    served: Served, error: UnknownError, status: int
) -> None:
    async def fails(job: Job) -> AsyncGenerator[Step, None]:
        if job.kind is JobKind.IDENTIFY:
            raise error
        yield Step(Stage.QUEUED)

    served.control.script = fails
    answer = await served.client.post("/v1/devices/a/identify")
    assert answer.status_code == status
    assert answer.json() == {
        "error": error.message,
        "reason": error.reason,
        "remedy": error.remedy,
        "exit_code": int(error.exit_code),
    }


async def test_a_job_that_fails_later_says_so_in_its_last_line(served: Served) -> None:
    async def fails(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.TRANSFERRING, 10, 20)
        raise RefusedError("it said no", remedy="look at its log", reason="wrong-flash")

    served.control.script = fails
    answer = await served.client.put("/v1/devices/a/firmware", content=b"x")
    assert answer.status_code == 200
    wanted = {"error": "it said no", "reason": "wrong-flash", "remedy": "look at its log", "exit_code": 5}
    assert news_of(answer.text)[-1] == wanted


async def test_a_mistake_of_ours_tells_nothing_of_the_inside(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.QUEUED)
        raise RuntimeError("secret inside")

    served.control.script = breaks
    answer = await served.client.put("/v1/devices/a/firmware", content=b"x")
    assert news_of(answer.text)[-1]["reason"] == "bug"
    assert "secret" not in answer.text
    assert "secret inside" in caplog.text


async def test_silence_is_filled_and_a_late_failure_still_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FIRST_STEP_WAIT", 0.05)
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.02)
    go_on = asyncio.Event()

    async def slow(_: Job) -> AsyncGenerator[Step, None]:
        await go_on.wait()
        yield Step(Stage.RETURNING)
        raise OfflineError("it did not come back", remedy="power it")

    served.control.script = slow
    async with served.client.stream("POST", "/v1/devices/a/identify") as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert [await anext(lines), await anext(lines), await anext(lines)] == ["", "", ""]
        go_on.set()
        said = [json.loads(line) async for line in lines if line]
    assert [line.get("stage") for line in said] == ["returning", None]
    assert said[-1]["exit_code"] == 6


async def test_steps_arrive_while_the_job_runs(served: Served) -> None:
    go_on = asyncio.Event()

    async def waits(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.TRANSFERRING, 1, 2)
        await go_on.wait()
        yield Step(Stage.DONE, proof=Proof.RETURN_ALONE)

    served.control.script = waits
    async with served.client.stream("PUT", "/v1/devices/a/restart?wait=1") as answer:
        lines = answer.aiter_lines()
        assert json.loads(await asyncio.wait_for(anext(lines), LIMIT))["stage"] == "transferring"
        go_on.set()
        assert news_of("\n".join([line async for line in lines]))[-1]["result"] == "done"


@pytest.mark.parametrize("before_first_step", [True, False])
async def test_a_client_that_leaves_does_not_stop_the_job(served: Served, before_first_step: bool) -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def waits(_: Job) -> AsyncGenerator[Step, None]:
        begun.set()
        if not before_first_step:
            yield Step(Stage.TRANSFERRING, 1, 2)
        await go_on.wait()
        yield Step(Stage.DONE)
        ended.set()

    served.control.script = waits
    _, writer = await asyncio.open_connection("127.0.0.1", served.api.port)
    writer.write(b"POST /v1/devices/a/identify HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(begun.wait(), LIMIT)
    writer.close()
    await writer.wait_closed()
    await until(lambda: not served.api._state.connections)
    go_on.set()
    await asyncio.wait_for(ended.wait(), LIMIT)


async def test_firmware_up_to_its_limit_is_taken_and_no_more(serve: Serve) -> None:
    served = await serve()
    whole = b"a" * (16 << 20)
    answer = await served.client.put("/v1/devices/a/firmware", content=whole)
    assert answer.status_code == 200
    assert served.control.jobs[0].firmware == whole
    answer = await served.client.put("/v1/devices/a/firmware", content=whole + b"a")
    assert answer.status_code == 413
    assert len(served.control.jobs) == 1
