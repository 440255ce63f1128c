"""What no simulated board does: each odd answer comes from a bare socket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import pytest

from enmctl.boards.contract import Applied
from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import EnmError, OfflineError, RefusedError, TransferError, UnsettledError
from enmctl.models import DiscoveredBoard, Proof, Stage, Step
from tests.real.boards.rig import NO_SUCH_PAGE, SUCCESS, answer, firmware, odd_server, saying, whole_form

BIG = 600_000
"""Bytes that no socket buffer swallows."""


async def update(driver: Esp8266, board: DiscoveredBoard, size: int = 16_384) -> Step:
    async with aclosing(driver.update(board, firmware(size=size), {})) as steps:
        return [step async for step in steps][-1]


async def failure(driver: Esp8266, board: DiscoveredBoard, size: int = 16_384) -> EnmError:
    with pytest.raises(EnmError) as caught:
        await update(driver, board, size)
    return caught.value


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"Update error: ERROR[99]: Something new", RefusedError, "error-99"),
        (b"FAIL", RefusedError, "refused"),
        (b"Update error: Wrong origin received!", RefusedError, "wrong-origin"),
        (b"some error happened", RefusedError, "refused"),
        (b"Update error: ERROR[4]: Not Enough Space\n" + SUCCESS, RefusedError, "no-space"),
        (b"Update Success? no, error", UnsettledError, "no-restart"),
        (b"hello", UnsettledError, "no-restart"),
        (b"", UnsettledError, "no-restart"),
        (b"\xff\xfe\x00\x1b[31m", UnsettledError, "no-restart"),
    ],
)
async def test_an_answer_with_status_200_is_judged_by_its_words(
    body: bytes, kind: type[EnmError], reason: str, driver: Esp8266
) -> None:
    async with odd_server(saying(answer(body))) as odd:
        error = await failure(driver, odd.board)
    assert isinstance(error, kind)
    assert error.reason == reason


@pytest.mark.parametrize("body", [SUCCESS, b"Update Success! Rebooting...", b"OK", b"OK\r\n"])
async def test_success_in_every_wording_counts_and_a_board_that_was_not_seen_down_waits_for_its_grace(
    body: bytes, driver: Esp8266
) -> None:
    async with odd_server(saying(answer(body))) as odd:
        last = await update(driver, odd.board)
    assert last == Step(Stage.DONE, proof=Proof.RETURN_ALONE)


@pytest.mark.parametrize(
    ("status", "kind", "reason", "permanent"),
    [
        ("401 Unauthorized", RefusedError, "wrong-password", False),
        ("404 Not Found", RefusedError, "no-update-page", False),
        ("405 Method Not Allowed", RefusedError, "no-update-page", False),
        ("413 Too Large", RefusedError, "no-space", True),
        ("418 Teapot", RefusedError, "http-418", True),
        ("500 Oh", TransferError, "http-500", False),
        ("503 Busy", TransferError, "http-503", False),
    ],
)
@pytest.mark.parametrize("early", [True, False])
async def test_a_status_is_understood_after_the_image_and_in_the_middle_of_it(
    status: str, kind: type[EnmError], reason: str, *, permanent: bool, early: bool, driver: Esp8266
) -> None:
    async with odd_server(saying(answer(b"", status), read_all=not early)) as odd:
        error = await failure(driver, odd.board, BIG if early else 16_384)
    assert type(error) is kind
    assert (error.reason, error.permanent) == (reason, permanent)


@pytest.mark.parametrize("status", ["302 Found", "304 Not Modified", "404 Not Found", "405 Method Not Allowed"])
async def test_a_page_that_sends_elsewhere_has_taken_nothing(status: str, driver: Esp8266) -> None:
    async with odd_server(saying(answer(b"", status))) as odd:
        given = {"A": "1"}
        assert await driver.configure(odd.board, {}, new_config=given, new_environment=given) == Applied(
            config=False, environment=False
        )
        for action in (driver.restart(odd.board, {}), driver.identify(odd.board, {})):
            with pytest.raises(RefusedError) as caught:
                await action
            assert caught.value.reason == "unsupported"


async def test_an_early_answer_before_a_reset_is_heard_through_the_broken_pipe(driver: Esp8266) -> None:
    async with odd_server(saying(answer(b"", "401 Unauthorized"), read_all=False, reset=True)) as odd:
        error = await failure(driver, odd.board, BIG)
    assert error.reason in {"wrong-password", "connection-lost"}  # a reset may overtake what was said before it


async def test_success_before_the_image_was_there_is_no_success(driver: Esp8266) -> None:
    async with odd_server(saying(answer(SUCCESS), read_all=False)) as odd:
        error = await failure(driver, odd.board, BIG)
    assert isinstance(error, TransferError)
    assert error.reason == "early-answer"


async def test_a_connection_closed_in_the_middle_is_a_broken_transfer(driver: Esp8266) -> None:
    async with odd_server(saying(b"", read_all=False)) as odd:
        error = await failure(driver, odd.board, BIG)
    assert isinstance(error, TransferError)
    assert error.reason == "connection-lost"


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nUpdate Succ", b"garbage\n"])
async def test_a_connection_that_ends_without_a_whole_answer_is_settled_by_looking(
    reply: bytes, driver: Esp8266
) -> None:
    async with odd_server(saying(reply)) as odd:
        error = await failure(driver, odd.board)
    assert isinstance(error, UnsettledError)
    assert error.reason == "no-restart"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + SUCCESS,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n1\r\nK\r\n0\r\n\r\n",
    ],
)
async def test_an_answer_of_any_framing_is_read(reply: bytes, driver: Esp8266) -> None:
    async with odd_server(saying(reply)) as odd:
        assert (await update(driver, odd.board)).proof is Proof.RETURN_ALONE


async def test_the_form_is_to_the_letter_what_the_naive_parser_wants(driver: Esp8266) -> None:
    bodies = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        bodies.append(await whole_form(reader, head))
        writer.write(answer(b"FAIL"))

    async with odd_server(talk) as odd:
        await failure(driver, odd.board)
        head = next(head for head in odd.received if head.startswith(b"POST")).decode()
        port = odd.board.port
    lines = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
    assert head.startswith("POST /update HTTP/1.1\r\n")
    assert lines["Origin"] == f"http://127.0.0.1:{port}"
    assert lines["Host"] == f"127.0.0.1:{port}"
    assert lines["Connection"] == "close"
    assert "Authorization" not in lines
    assert "Transfer-Encoding" not in lines
    assert "Expect" not in lines
    kind, _, boundary = lines["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert (
        bodies[0]
        == (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="image"; filename="firmware.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + firmware(size=16_384).data
        + f"\r\n--{boundary}--\r\n".encode()
    )


async def test_an_aborted_transfer_resets_the_connection(driver: Esp8266) -> None:
    async def read_little(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
        for _ in range(BIG // 1024):
            await reader.readexactly(1024)
            await asyncio.sleep(0.005)

    async with odd_server(read_little) as odd:
        async with aclosing(driver.update(odd.board, firmware(size=BIG), {})) as steps:
            async for step in steps:
                if step.done > 4000:
                    break
        assert await odd.ended() == "ConnectionResetError"


async def test_a_web_server_that_hangs_is_named_before_an_image_is_sent(driver: Esp8266) -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
        await reader.read()

    async with odd_server(hang, on_get=hang) as odd:
        error = await failure(driver, odd.board)
    assert isinstance(error, OfflineError)
    assert error.reason == "silent"
    assert "off and on" in error.remedy


async def test_something_else_than_http_is_named(driver: Esp8266) -> None:
    async def ssh(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    async with odd_server(ssh, on_get=ssh) as odd:
        error = await failure(driver, odd.board)
    assert isinstance(error, RefusedError)
    assert error.reason == "not-http"


@pytest.mark.parametrize(
    "reply",
    [
        NO_SUCH_PAGE,
        answer(b"<html>hello</html>"),
        answer(b"[]"),
        answer(b'{"id": 7}'),
        answer(b'{"contract": true, "id": "42", "app": 7, "type": "esp8266"}'),
        answer(b'{"contract": 1, "id": "4\\n2", "app": 7, "type": "esp8266"}'),
        answer(b"[" * 1000),
        answer(b"x" * 100_000),
    ],
)
async def test_a_page_that_is_no_identity_is_none(reply: bytes, driver: Esp8266) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(reply if head.startswith(b"GET /id ") else answer(b"form"))

    async with odd_server(saying(b""), on_get=talk) as odd:
        told = await driver.ask(odd.board, {})
    assert (told.version, told.local_id, told.application_id) == (None, None, None)


async def test_a_board_on_ipv6_is_spoken_to_with_brackets(driver: Esp8266) -> None:
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 on loopback")
    async with odd_server(saying(answer(b"OK")), host="::1") as odd:
        last = await update(driver, odd.board)
        head = next(head for head in odd.received if head.startswith(b"POST"))
    assert last.stage is Stage.DONE
    assert b"\r\nHost: [::1]:%d\r\n" % (odd.board.port or 0) in head
    assert b"\r\nOrigin: http://[::1]:%d\r\n" % (odd.board.port or 0) in head


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
