"""Whatever a Supervisor sends, and however slowly: one of our errors in time, in a line that may stand in a log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from enmctl.errors import LostAnswerError, SourceAwayError, SourceError
from enmctl.models import DeviceStatus, Report
from enmctl.sources.supervisor import SupervisorSource
from tests.real.sources.rig import APPLICATION, answering, for_ever, ok, source_at

UUID = "5a" * 31
IDLE = Report(status=DeviceStatus.IDLE, is_online=True)

Ask = Callable[[SupervisorSource], Awaitable[object]]
ALL: dict[str, Ask] = {
    "fetch": lambda source: source.fetch(),
    "listed": lambda source: source.listed(UUID),
    "provision": lambda source: source.provision(APPLICATION, "1"),
    "report": lambda source: source.report(UUID, IDLE),
    "log": lambda source: source.log(UUID, "hello", 0.0),
}


@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "begins",
    [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ids=["nothing", "endless-head", "trickle"],
)
async def test_every_wait_ends_at_the_limit_however_slowly_something_comes(ask: Ask, begins: bytes) -> None:
    async def trickle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(begins)
        await for_ever(writer, b"1\r\nx\r\n" if b"chunked" in begins else b"x" if begins else b"", every=0.1)

    async with answering(trickle) as server, source_at(server.address, supervisor_timeout=0.4) as source:
        began = asyncio.get_running_loop().time()
        with pytest.raises((SourceAwayError, LostAnswerError)):
            await ask(source)
        assert asyncio.get_running_loop().time() - began < 5


@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 307 Away\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n[1,2]",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"\x00" * 1000,
    ],
)
async def test_odd_bytes_are_one_of_our_errors(ask: Ask, answer: bytes) -> None:
    async with answering(answer) as server, source_at(server.address, supervisor_timeout=2.0) as source:
        with pytest.raises(SourceError) as raised:
            await ask(source)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
@pytest.mark.parametrize("status", [b"400 Bad Request", b"410 Gone", b"503 Service Unavailable"])
async def test_what_the_supervisor_says_stands_in_one_printable_line_with_what_to_do(ask: Ask, status: bytes) -> None:
    said = b"\x1b[2J\x1b]0;owned\x07\r\nCRITICAL forged\x00 \xff" + b"x" * 10_000
    is_an_answer = ask is ALL["listed"] and status == b"410 Gone"
    async with answering(ok(said, status=status)) as server, source_at(server.address) as source:
        if is_an_answer:
            assert not await ask(source)
            return
        with pytest.raises(SourceError) as raised:
            await ask(source)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 1000
    assert raised.value.remedy
