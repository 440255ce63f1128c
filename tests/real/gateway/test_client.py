"""The command line's way to a running gateway: the same words on both sides, and no way to hang or be fooled."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from enmctl.boards.manner import manner
from enmctl.errors import (
    BoardError,
    BusyError,
    EnmError,
    FirmwareError,
    GatewayError,
    LostAnswerError,
    OfflineError,
    RefusedError,
    StoreError,
    UnknownError,
    UnsettledError,
    UsageError,
)
from enmctl.gateway import client as module
from enmctl.gateway.api.server import ApiServer
from enmctl.gateway.client import GatewayClient, Status
from enmctl.gateway.control import Job, JobKind
from enmctl.models import GatewayStatus, Proof, Stage, Step
from enmctl.settings import Settings
from tests.real.gateway.api.conftest import LIMIT, UUID, MemoryControl
from tests.servers import listening

TOKEN = "correct-horse-battery"
FLASH = Job(JobKind.FLASH, "http://user@10.0.0.7:80/a b", b"\xe9abc", "firm ware.bin", hold=True)

Say = Callable[[bytes], Awaitable[GatewayClient]]


@asynccontextmanager
async def gateway(token: str = "") -> AsyncGenerator[tuple[MemoryControl, GatewayClient]]:
    control = MemoryControl()
    async with ApiServer(control, Settings(api_port=0, api_token=token)) as api:
        yield control, GatewayClient(api.address, token)


async def steps_of(client: GatewayClient, job: Job) -> list[Step]:
    return await asyncio.to_thread(lambda: list(client.work(job)))


async def test_status_is_asked_and_set() -> None:
    async with gateway() as (control, client):
        assert await asyncio.to_thread(client.status) == Status(GatewayStatus.RUNNING, GatewayStatus.RUNNING)
        await asyncio.to_thread(client.set_status, GatewayStatus.PAUSED, 600)
        assert (control.asked, control.seconds) == ([GatewayStatus.PAUSED], 600)
        assert (await asyncio.to_thread(client.status)).current is GatewayStatus.PAUSED
        await asyncio.to_thread(client.set_status, GatewayStatus.PAUSED, by="logger")
        assert (await asyncio.to_thread(client.status)).paused_by == "logger"
        await asyncio.to_thread(client.set_status, GatewayStatus.RUNNING)
        assert control.seconds is None


async def test_devices_are_listed_shown_and_deleted() -> None:
    async with gateway() as (control, client):
        [device] = await asyncio.to_thread(client.devices)
        assert device == await asyncio.to_thread(client.device, "1265892")
        assert device["ResinUUID"] == UUID
        assert (await asyncio.to_thread(client.summary))["version"] == "1.0"
        with pytest.raises(UnknownError, match="enmctl devices"):
            await asyncio.to_thread(client.device, "a/b?c#d %")
        await asyncio.to_thread(client.delete, UUID)
        await asyncio.to_thread(client.delete, "unknown")
        assert control.deleted == [UUID, "unknown"]


@pytest.mark.parametrize(
    "job",
    [
        FLASH,
        Job(JobKind.FLASH, "a", b"x"),
        Job(JobKind.FLASH, "a", b"x", manner=manner(full=True, resume=False, allow_system=True)),
        Job(JobKind.RESTART, "hä/h"),
        Job(JobKind.IDENTIFY, "1265892"),
        Job(JobKind.PROVISION, "http://10.0.0.7"),
    ],
)
async def test_a_job_arrives_as_it_was_meant_and_its_steps_come_back(job: Job) -> None:
    async def all_said(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.QUEUED, note="behind 2 others")
        yield Step(Stage.TRANSFERRING, 5, 10)
        yield Step(Stage.DONE, note="it will be put back", proof=Proof.VERSION_READ_BACK, version="1.0")

    async with gateway() as (control, client):
        control.script = all_said
        assert await steps_of(client, job) == [step async for step in all_said(job)]
        assert control.jobs == [job]


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        RefusedError("it said no", remedy="look", reason="wrong-flash"),
        UnsettledError("who knows", remedy="look again"),
        BoardError("odd", remedy="try again", reason="odd"),
        OfflineError("silent", remedy="power it"),
        FirmwareError("too large", remedy="smaller", reason="too-large"),
        StoreError("disk full", remedy="make room"),
        BusyError("paused", remedy="enmctl resume", reason="paused"),
        UnknownError("no such board", remedy="scan"),
        UsageError("two are called so", remedy="name one"),
        LostAnswerError("lost", remedy="wait"),
    ],
)
async def test_an_error_stays_what_it_is(error: EnmError, after: int) -> None:
    async def fails(_: Job) -> AsyncGenerator[Step, None]:
        for number in range(after):
            yield Step(Stage.TRANSFERRING, number, 9)
        raise error

    async with gateway() as (control, client):
        control.script = fails
        with pytest.raises(EnmError) as caught:
            await steps_of(client, FLASH)
    came = caught.value
    assert (came.message, came.remedy, came.reason) == (error.message, error.remedy, error.reason)
    assert came.exit_code == error.exit_code
    if error.reason == error.default_reason:
        assert type(came) is type(error)


async def test_http_s_own_refusals_are_usage() -> None:
    async with gateway() as (_, client):
        with pytest.raises(UsageError, match="16777216 bytes"):
            await steps_of(client, Job(JobKind.FLASH, "a", b"a" * ((16 << 20) + 1)))


async def test_a_mistake_of_the_gateway_is_not_ours() -> None:
    async with gateway() as (control, client):
        control.fault = RuntimeError("inside")
        with pytest.raises(GatewayError, match="mistake"):
            await asyncio.to_thread(client.devices)


async def test_leaving_early_does_not_stop_the_job() -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def waits(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.QUEUED)
        await go_on.wait()
        ended.set()

    async with gateway() as (control, client):
        control.script = waits
        steps = client.work(FLASH)
        assert (await asyncio.to_thread(next, steps)).stage is Stage.QUEUED
        steps.close()
        go_on.set()
        await asyncio.wait_for(ended.wait(), LIMIT)


async def test_one_client_serves_several_threads() -> None:
    async with gateway() as (control, client):
        jobs = [Job(JobKind.IDENTIFY, str(number)) for number in range(8)]
        told = await asyncio.gather(*(steps_of(client, job) for job in jobs))
        assert [steps[-1].stage for steps in told] == [Stage.DONE] * 8
        assert sorted(job.board for job in control.jobs) == [job.board for job in jobs]


async def test_the_token_is_shown_and_a_missing_one_is_named() -> None:
    async with gateway(TOKEN) as (_, client):
        assert (await asyncio.to_thread(client.status)).current is GatewayStatus.RUNNING
        assert TOKEN not in repr(client)
        for wrong in ("", TOKEN + "x"):
            stranger = GatewayClient(client.address, wrong)
            with pytest.raises(GatewayError, match="ENM_API_TOKEN") as caught:
                await asyncio.to_thread(stranger.status)
            assert caught.value.reason == "token"


def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(GatewayError, match="enmctl status") as caught:
            GatewayClient(address).status()
    assert (caught.value.reason, caught.value.exit_code) == ("gateway-away", 8)


@pytest.mark.parametrize("address", ["", "nonsense", "http://", "http://[::1", "http://a:99999"])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(GatewayError):
        GatewayClient(address)


@pytest.fixture
async def say() -> AsyncIterator[Say]:
    """Starts servers that answer everything with the bytes given, and then end the connection."""
    async with AsyncExitStack() as stack:

        async def start(answer: bytes) -> GatewayClient:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                if not answer:
                    await reader.read()

            return GatewayClient(f"http://127.0.0.1:{await stack.enter_async_context(listening(talk))}")

        yield start


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n<html>",
        b'HTTP/1.1 404 Oops\r\nConnection: close\r\n\r\n["no"]',
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
        ok(b""),
        ok(b"\xff"),
        ok(b"null"),
        ok(b'{"a":1}'),
        ok(b"[1]"),
        ok(b"[" * 100_000),
        ok(b'{"stage":"transferring"}\n'),
        ok(b'{"stage":"dancing","done":1,"total":1,"note":""}\n'),
        ok(b'{"stage":"queued","done":"x","total":1,"note":""}\n'),
        ok(b'{"result":"done"'),
        ok(b"a" * 200_000 + b"\n"),
        ok(b"\n\n\n"),
    ],
    ids=lambda answer: str(answer[:60])[-34:],
)
async def test_what_does_not_answer_as_a_gateway_is_said(say: Say, answer: bytes) -> None:
    client = await say(answer)

    async def asked(ask: Callable[[], object]) -> None:
        with pytest.raises(GatewayError) as caught:
            await asyncio.wait_for(asyncio.to_thread(ask), LIMIT)
        assert caught.value.reason in ("gateway-answer", "gateway-away", "gateway")
        assert caught.value.remedy

    await asked(client.status)
    await asked(client.devices)
    await asked(lambda: list(client.work(Job(JobKind.IDENTIFY, "a"))))


async def test_a_stream_that_ends_early_is_no_success(say: Say) -> None:
    client = await say(ok(b'{"stage":"queued","done":0,"total":0,"note":"","proof":null,"version":null}\n'))
    with pytest.raises(GatewayError):
        await steps_of(client, Job(JobKind.IDENTIFY, "a"))


async def test_silence_is_given_up(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT", 0.1)
    client = await say(b"")
    with pytest.raises(GatewayError) as caught:
        await asyncio.to_thread(client.status)
    assert caught.value.reason == "gateway-silent"


async def test_silence_amid_news_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_TIMEOUT", 0.1)

    async def waits(_: Job) -> AsyncGenerator[Step, None]:
        yield Step(Stage.QUEUED)
        await asyncio.Event().wait()

    async with gateway() as (control, client):
        control.script = waits
        with pytest.raises(GatewayError) as caught:
            await steps_of(client, FLASH)
    assert caught.value.reason == "gateway-silent"


async def test_an_answer_without_end_is_given_up(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_MOST", 1000)
    client = await say(ok(b" " * 2000 + b"{}"))
    with pytest.raises(GatewayError):
        await asyncio.to_thread(client.summary)


async def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with gateway() as (_, client):
        await asyncio.to_thread(client.status)


def test_it_is_cheap_to_import() -> None:
    program = "import sys, enmctl.gateway.client; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert not {"asyncio", "logging", "sqlite3", "http.client", "starlette", "httpx"} & set(modules.split())
