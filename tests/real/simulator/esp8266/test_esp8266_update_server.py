from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from enmctl.simulator.esp8266 import BoardState, SimulatedEsp8266
from enmctl.simulator.esp8266_update import Outcome
from enmctl.simulator.images import esp8266_image
from tests.real.simulator.esp8266.conftest import LIMIT, Boards, Client

SUCCESS = '<META http-equiv="refresh" content="15;URL=/">Update Success! Rebooting...'


def form(image: bytes, *headers: str, boundary: str = "frontier") -> bytes:
    """A multipart body with exactly these part headers."""
    head = "\r\n".join([f"--{boundary}", *headers, "", ""]).encode()
    return head + image + f"\r\n--{boundary}--\r\n".encode()


DISPOSITION = 'Content-Disposition: form-data; name="image"; filename="firmware.bin"'
KIND = "Content-Type: application/octet-stream"
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}


async def stays_up(board: SimulatedEsp8266, client: Client) -> None:
    """The board answers, and never restarted."""
    assert (await client.id(board))["fw"] == "factory"
    assert board.boots == 1


async def test_a_good_image_is_taken_and_runs_after_the_restart(
    board: SimulatedEsp8266, client: Client, image: bytes
) -> None:
    answer = await client.update(board, image)
    assert (answer.status_code, answer.text) == (200, SUCCESS)
    assert len(answer.content) == 74
    assert answer.headers["keep-alive"] == "timeout=2000"
    await board.wait_for(lambda board: board.boots == 2, LIMIT)
    assert (await client.id(board))["fw"] == "new"
    assert board.firmware == image
    (upload,) = board.uploads
    assert (upload.field, upload.file_name, upload.size) == ("image", "firmware.bin", len(image))
    assert (upload.outcome, upload.sha256) == (Outcome.ACCEPTED, hashlib.sha256(image).hexdigest())


@pytest.mark.parametrize("field", ["firmware", "update", "anything"])
async def test_the_field_may_have_any_name(board: SimulatedEsp8266, client: Client, image: bytes, field: str) -> None:
    assert (await client.update(board, image, field=field)).text == SUCCESS


async def test_a_gzipped_image_is_taken_and_unpacked(board: SimulatedEsp8266, client: Client, image: bytes) -> None:
    assert (await client.update(board, gzip.compress(image))).text == SUCCESS
    await board.wait_for(lambda board: board.boots == 2, LIMIT)
    assert (await client.id(board))["fw"] == "new"


async def test_a_truncated_image_is_taken_and_bricks_the_board(
    board: SimulatedEsp8266, client: Client, image: bytes
) -> None:
    assert (await client.update(board, image[:40_000])).text == SUCCESS
    await board.wait_for(lambda board: board.state is BoardState.BRICKED, LIMIT)
    await board.power(False)
    await board.power(True)
    assert board.state is BoardState.BRICKED
    with pytest.raises(httpx.ConnectError):
        await client.id(board)
    await board.rescue(image)
    assert (await client.id(board))["fw"] == "new"


@pytest.mark.parametrize(
    ("sent", "field", "error"),
    [
        (b"\x7fELF" + bytes(9000), "image", "ERROR[10]: Magic byte is not 0xE9"),
        (b"<html>", "image", "ERROR[10]: Magic byte is not 0xE9"),
        (
            esp8266_image(fw=None, flash_size=16 << 20, size=8192),
            "image",
            "ERROR[9]: new Flash config wrong, real size: 4194304",
        ),
        (esp8266_image(fw=None, size=120_000), "image", "ERROR[4]: Not Enough Space"),
        (b"", "image", "ERROR[13]: No data supplied"),
        (esp8266_image(fw=None, size=8192), "filesystem", "ERROR[5]: Bad Size Given"),
    ],
    ids=["elf", "html", "flash-size", "too-big", "empty", "filesystem"],
)
async def test_a_refusal_is_answered_200_after_all_was_read_and_nothing_changes(
    boards: Boards, client: Client, sent: bytes, field: str, error: str
) -> None:
    board = await boards(free_space=100_000)
    answer = await client.update(board, sent, field=field)
    assert (answer.status_code, answer.text) == (200, f"Update error: {error}\n")
    (upload,) = board.uploads
    assert (upload.outcome, upload.size) == (Outcome.REFUSED, len(sent))
    assert upload.error == int(error.partition("[")[2].partition("]")[0])
    await stays_up(board, client)


async def test_a_form_without_a_file_is_refused_on_an_open_server_too(board: SimulatedEsp8266, client: Client) -> None:
    body = form(b"hello", 'Content-Disposition: form-data; name="text"')
    answer = await client.ask(board, "POST", "/update", content=body, headers=FORM)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == 'Basic realm="Login Required"'
    await stays_up(board, client)


async def test_a_form_without_a_file_gets_the_answer_of_the_upload_before(
    board: SimulatedEsp8266, client: Client
) -> None:
    refused = await client.update(board, b"nonsense")
    body = form(b"hello", 'Content-Disposition: form-data; name="text"')
    assert (await client.ask(board, "POST", "/update", content=body, headers=FORM)).text == refused.text


@pytest.mark.parametrize("credentials", [None, ("enm", "wrong"), ("other", "secret")])
async def test_wrong_credentials_are_told_after_the_whole_image(
    boards: Boards, client: Client, image: bytes, credentials: tuple[str, str] | None
) -> None:
    board = await boards(auth=("enm", "secret"))
    answer = await client.update(board, image, auth=credentials)
    assert (answer.status_code, answer.content) == (401, b"")
    assert board.uploads[-1].outcome is Outcome.UNAUTHORIZED
    await stays_up(board, client)


async def test_right_credentials_are_taken(boards: Boards, client: Client, image: bytes) -> None:
    board = await boards(auth=("enm", "secret"))
    assert (await client.update(board, image, auth=("enm", "secret"))).text == SUCCESS


async def test_the_page_shows_whether_this_is_an_update_server_and_who_may_use_it(
    boards: Boards, client: Client
) -> None:
    board, closed = await boards(), await boards(auth=("enm", "secret"), path="/ota")
    assert "multipart/form-data" in (await client.ask(board, "GET", "/update")).text
    assert (await client.ask(closed, "GET", "/ota")).status_code == 401
    assert (await client.ask(closed, "GET", "/ota", auth=("enm", "secret"))).status_code == 200
    assert (await client.ask(closed, "GET", "/update")).status_code == 404


async def test_other_methods_and_paths(board: SimulatedEsp8266, client: Client) -> None:
    options = await client.ask(board, "OPTIONS", "/update")
    assert (options.status_code, options.text, options.headers["access-control-allow-origin"]) == (200, "y", "*")
    assert (await client.ask(board, "PUT", "/update")).status_code == 404
    missing = await client.ask(board, "GET", "/nope?query=1")
    assert (missing.status_code, missing.text) == (404, "Not found: /nope")


async def test_a_body_that_is_no_form_breaks_the_connection(
    board: SimulatedEsp8266, client: Client, image: bytes
) -> None:
    with pytest.raises(httpx.TransportError):
        await client.ask(board, "POST", "/update", content=image)
    await stays_up(board, client)


async def test_a_chunked_form_breaks_the_connection(board: SimulatedEsp8266, client: Client, image: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield form(image, DISPOSITION, KIND)

    with pytest.raises(httpx.TransportError):
        await client.ask(board, "POST", "/update", content=chunks(), headers=FORM)
    await stays_up(board, client)


@pytest.mark.parametrize("headers", [(DISPOSITION, KIND), (KIND, DISPOSITION), (DISPOSITION,)])
async def test_part_headers_that_the_parser_understands(
    board: SimulatedEsp8266, client: Client, image: bytes, headers: tuple[str, ...]
) -> None:
    answer = await client.ask(board, "POST", "/update", content=form(image, *headers), headers=FORM)
    assert answer.text == SUCCESS
    await board.wait_for(lambda board: board.boots == 2, LIMIT)
    assert board.firmware == image


@pytest.mark.parametrize(
    "headers",
    [
        (DISPOSITION, KIND, "Content-Length: 65536"),
        (DISPOSITION, "Content-Transfer-Encoding: binary", KIND),
        (KIND, DISPOSITION, "X: y"),
    ],
)
async def test_any_third_part_header_spoils_the_firmware(
    board: SimulatedEsp8266, client: Client, image: bytes, headers: tuple[str, ...]
) -> None:
    answer = await client.ask(board, "POST", "/update", content=form(image, *headers), headers=FORM)
    assert "ERROR[10]" in answer.text
    assert board.uploads[-1].size > len(image)


@pytest.mark.parametrize("kind", ["multipart/form-data; charset=utf-8; boundary=frontier", "multipart/form-data"])
async def test_a_boundary_that_does_not_follow_the_first_equals_sign_is_not_found(
    board: SimulatedEsp8266, client: Client, image: bytes, kind: str
) -> None:
    with pytest.raises(httpx.TransportError):
        await client.ask(
            board, "POST", "/update", content=form(image, DISPOSITION, KIND), headers={"Content-Type": kind}
        )


async def test_a_boundary_in_quotes_is_found(board: SimulatedEsp8266, client: Client, image: bytes) -> None:
    quoted = {"Content-Type": 'multipart/form-data; boundary="frontier"'}
    content = form(image, DISPOSITION, KIND)
    assert (await client.ask(board, "POST", "/update", content=content, headers=quoted)).text == SUCCESS


async def test_data_that_looks_like_a_boundary_stays_data(board: SimulatedEsp8266, client: Client) -> None:
    image = esp8266_image(fw="new", size=16_384)
    noise = (b"\r\n--frontie\r\n-\r\n--" * 500)[:8000]
    content = form(image + noise, DISPOSITION, KIND)
    assert (await client.ask(board, "POST", "/update", content=content, headers=FORM)).text == SUCCESS
    assert board.uploads[-1].sha256 == hashlib.sha256(image + noise).hexdigest()


async def begin_upload(board: SimulatedEsp8266, image: bytes, sent: int) -> socket.socket:
    """Send the head of an upload and so many bytes of the image, and nothing more."""
    loop = asyncio.get_running_loop()
    sender = socket.socket()
    sender.setblocking(False)
    await loop.sock_connect(sender, (board.address, board.port))
    body = form(image, DISPOSITION, KIND)
    head = f"POST /update HTTP/1.1\r\nContent-Type: {FORM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    await loop.sock_sendall(sender, head.encode() + body[: len(body) - len(image) + sent])
    await board.wait_for(lambda board: board.uploading and board.upload_size > sent // 2, LIMIT)
    return sender


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_an_upload_that_is_broken_off_leaves_the_old_firmware(
    board: SimulatedEsp8266, client: Client, image: bytes, reset: bool
) -> None:
    sender = await begin_upload(board, image, 30_000)
    if reset:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sender.close()
    await board.wait_for(lambda board: board.uploads[-1].outcome is Outcome.ABORTED, LIMIT)
    await stays_up(board, client)
    assert (await client.update(board, image)).text == SUCCESS


async def test_an_upload_that_goes_silent_holds_the_board_for_as_long_as_it_is_open(
    board: SimulatedEsp8266, client: Client, image: bytes
) -> None:
    sender = await begin_upload(board, image, 30_000)
    with pytest.raises(httpx.ReadTimeout):
        await client.ask(board, "GET", "/id", timeout=0.3)
    assert board.most_connections == 2
    sender.close()
    await stays_up(board, client)


async def test_a_client_that_closes_before_it_asks_again_is_one_connection(
    board: SimulatedEsp8266, client: Client
) -> None:
    for _ in range(20):
        await client.id(board)
    assert (board.most_connections, board.requests) == (1, 20)


async def test_an_idle_connection_gives_way_to_one_that_asks(board: SimulatedEsp8266, client: Client) -> None:
    reader, writer = await asyncio.open_connection(board.address, board.port)
    began = asyncio.get_running_loop().time()
    await client.id(board)
    assert asyncio.get_running_loop().time() - began < 2.0
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_one_connection_may_ask_twice(board: SimulatedEsp8266) -> None:
    reader, writer = await asyncio.open_connection(board.address, board.port)
    for _ in range(2):
        writer.write(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(LIMIT):
            assert (await reader.readuntil(b"Not found: /nope")).startswith(b"HTTP/1.1 404 Not Found\r\n")
    writer.close()
    await writer.wait_closed()
    assert board.requests == 2


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 5000, b"GET / HTTP/1.1\r\n" + b"x" * 5000])
async def test_what_is_no_request_is_dropped_and_the_board_goes_on(
    board: SimulatedEsp8266, client: Client, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection(board.address, board.port)
    writer.write(sent)
    async with asyncio.timeout(LIMIT):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    await stays_up(board, client)


async def test_the_image_is_taken_no_faster_than_it_is_written(boards: Boards, client: Client) -> None:
    board = await boards(flash_speed=400_000)
    began = asyncio.get_running_loop().time()
    assert (await client.update(board, esp8266_image(fw="new", size=131_072))).text == SUCCESS
    took = asyncio.get_running_loop().time() - began
    assert 0.3 < took < 3.0


async def test_a_sender_with_a_small_buffer_sees_how_far_the_board_is(boards: Boards) -> None:
    board = await boards(flash_speed=400_000)
    image = esp8266_image(fw="new", size=131_072)
    body = form(image, DISPOSITION, KIND)
    loop = asyncio.get_running_loop()
    with socket.socket() as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sender.setblocking(False)
        await loop.sock_connect(sender, (board.address, board.port))
        head = f"POST /update HTTP/1.1\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n"
        await loop.sock_sendall(sender, head.encode())
        furthest = 0
        for at in range(0, len(body), 4096):
            await loop.sock_sendall(sender, body[at : at + 4096])
            furthest = max(furthest, at + 4096 - board.upload_size)
        assert furthest < 64 * 1024
        async with asyncio.timeout(LIMIT):
            assert (await loop.sock_recv(sender, 4096)).startswith(b"HTTP/1.1 200 OK")


async def test_a_sketch_that_looks_once_in_a_while_answers_late(boards: Boards, client: Client) -> None:
    board = await boards(loop_delay=0.3)
    began = asyncio.get_running_loop().time()
    await client.id(board)
    assert asyncio.get_running_loop().time() - began >= 0.29
