"""The Supervisor's key: in the header, as a parameter only after a 401, to no other host, and nowhere to be read."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from enmctl.errors import EnmError, SourceAwayError, SourceRefusedError
from enmctl.models import DeviceStatus, Report
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.sources.supervisor import SupervisorSource
from tests.real.sources.rig import APPLICATION, COMMIT, KEY, answering, ok, source_at, supervised

UUID = "5a" * 31
HEADER = b"authorization: apikey " + KEY.lower().encode()

Ask = Callable[[SupervisorSource, Path], Awaitable[object]]
ALL: dict[str, Ask] = {
    "reachable": lambda source, _: source.reachable(),
    "fetch": lambda source, _: source.fetch(),
    "listed": lambda source, _: source.listed(UUID),
    "provision": lambda source, _: source.provision(APPLICATION, "1"),
    "report": lambda source, _: source.report(UUID, Report(status=DeviceStatus.IDLE)),
    "log": lambda source, _: source.log(UUID, "hello", 0.0),
    "asset": lambda source, folder: source.fetch_asset(APPLICATION, COMMIT, folder, lambda _done, _total: None),
}
every_request = pytest.mark.parametrize("ask", ALL.values(), ids=ALL)


async def asked(ask: Ask, source: SupervisorSource, folder: Path) -> Exception | None:
    """What asking raises, whether it does or not."""
    try:
        await ask(source, folder)
    except EnmError as error:
        return error
    return None


@every_request
async def test_the_key_goes_in_the_header_alone(ask: Ask, tmp_path: Path) -> None:
    async with answering(ok(b"", status=b"500 Oh")) as server, source_at(server.address) as source:
        await asked(ask, source, tmp_path)
    assert server.asked
    for head in server.asked:
        assert HEADER in head.lower()
        assert b"apikey=" not in head.lower()


@every_request
async def test_after_a_401_the_key_goes_as_a_parameter_and_stays_there(ask: Ask, tmp_path: Path) -> None:
    async def by_parameter(head: bytes, writer: asyncio.StreamWriter) -> None:
        given = b"apikey=" + KEY.encode() in head.split(b"\r\n")[0]
        writer.write(ok(b"", status=b"500 Oh" if given else b"401 Unauthorized"))
        await writer.drain()

    async with answering(by_parameter) as server, source_at(server.address) as source:
        await asked(ask, source, tmp_path)
        count = len(server.asked)
        await asked(ask, source, tmp_path)
        again = server.asked[count:]
    assert again
    for head in again:
        assert b"apikey=" + KEY.encode() in head
        assert b"authorization" not in head.lower()


@every_request
async def test_a_key_that_is_refused_both_ways_is_said_without_the_key(ask: Ask, tmp_path: Path) -> None:
    async with (
        answering(ok(b"Unauthorized", status=b"401 Unauthorized")) as server,
        source_at(server.address) as source,
    ):
        error = await asked(ask, source, tmp_path)
    assert error is None or "does not accept the key that was sent" in str(error)
    assert error is None or isinstance(error, (SourceRefusedError, SourceAwayError))
    assert len(server.asked) in (2, 4), "each way once"


async def test_without_a_key_none_is_sent_and_a_401_says_which_variable() -> None:
    async with (
        answering(ok(b"Unauthorized", status=b"401 Unauthorized")) as server,
        source_at(server.address, supervisor_api_key="na") as source,
    ):
        with pytest.raises(SourceRefusedError) as raised:
            await source.fetch()
    assert "RESIN_SUPERVISOR_API_KEY" in str(raised.value)
    assert len(server.asked) == 2, "one for each list"
    assert not [head for head in server.asked if b"apikey" in head.lower()]


@every_request
@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Away", b"308 Away"])
async def test_a_redirect_takes_the_key_nowhere(ask: Ask, status: bytes, tmp_path: Path) -> None:
    async with answering(ok(b"[]")) as elsewhere:
        there = b"Location: " + elsewhere.address.encode() + b"/v1/devices"
        async with answering(ok(b"", there, status=status)) as server, source_at(server.address) as source:
            await asked(ask, source, tmp_path)
        assert server.asked
    assert elsewhere.asked == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(ok(b"[]")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        async with answering(ok(b"[]")) as server, source_at(server.address) as source:
            await source.fetch()
        assert len(server.asked) == 2
    assert proxy.asked == []


@every_request
@pytest.mark.parametrize("server_says", ["401 Unauthorized", "500 Oh", "garbage", "nothing"])
async def test_the_key_stands_in_no_log_line_no_error_and_no_repr(
    ask: Ask, server_says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        if server_says == "garbage":
            writer.write(b"\x00garbage\r\n\r\n")
        elif server_says == "401 Unauthorized" and b"apikey=" in head:
            writer.write(ok(b"[]", status=b"503 Away"))
        elif server_says != "nothing":
            writer.write(ok(b"", status=server_says.encode()))
        await writer.drain()

    async with answering(answer) as server, source_at(server.address) as source:
        for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection", "asyncio", "enmctl"):
            caplog.set_level(logging.DEBUG, logger=name)
        error = await asked(ask, source, tmp_path)
        shown = [repr(source), str(source), repr(vars(source))]
    if error is not None:
        shown += [str(error), repr(error), "".join(traceback.format_exception(error))]
    shown += [line for record in caplog.records for line in (record.getMessage(), repr(record.args))]
    assert not [text for text in shown if KEY in text]


async def test_a_simulated_supervisor_of_each_way_takes_it() -> None:
    async with SimulatedSupervisor(api_key=KEY, era="v11") as supervisor:
        async with source_at(supervisor.url) as source:
            await source.fetch()
        assert {request.status for request in supervisor.requests} == {200}


async def test_a_key_that_became_wrong_and_is_right_again_is_taken_up() -> None:
    async with supervised() as (supervisor, source):
        supervisor.fail("any", "401", times=4)
        with pytest.raises(SourceRefusedError):
            await source.fetch()
        assert await source.fetch() is not None
