from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.boards.http_answer import BODY_MOST, HEAD_MOST, AnswerReader, HttpAnswer, NotHttpError

SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nOK"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def read(*pieces: bytes) -> HttpAnswer | None:
    reader = AnswerReader()
    for piece in pieces:
        if (answer := reader.feed(piece)) is not None:
            return answer
    return reader.end()


@pytest.mark.parametrize(("data", "body"), [(SUCCESS, b"OK"), (CHUNKED, b"hello world")])
def test_an_answer_is_read_however_it_is_cut(data: bytes, body: bytes) -> None:
    whole = read(data)
    assert whole is not None
    assert (whole.status, whole.body) == (200, body)
    assert read(*(data[at : at + 1] for at in range(len(data)))) == whole


def test_names_of_headers_are_lower_case() -> None:
    answer = read(SUCCESS)
    assert answer is not None
    assert answer.headers["server"] == "x"


def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.0 200 OK\n\nall of it") is None
    answer = reader.end()
    assert answer is not None
    assert answer.text == "all of it"


@pytest.mark.parametrize("cut", range(1, len(SUCCESS)))
def test_an_answer_that_is_cut_off_is_none(cut: int) -> None:
    with suppress(NotHttpError):
        assert read(SUCCESS[:cut]) is None


def test_interim_answers_are_passed_over() -> None:
    answer = read(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + SUCCESS)
    assert answer is not None
    assert answer.text == "OK"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_needs_no_length(status: int) -> None:
    answer = read(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert answer is not None
    assert answer.body == b""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"garbage\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * HEAD_MOST,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"no size" * 100,
        b"x" * 100_000,
    ],
)
def test_what_is_no_http_answer_is_said_so(data: bytes) -> None:
    with pytest.raises(NotHttpError):
        read(data)


def test_no_more_of_a_body_is_kept_than_is_needed() -> None:
    endless = AnswerReader()
    assert endless.feed(b"HTTP/1.1 200 OK\r\n\r\n") is None
    answer = endless.feed(b"x" * 10 * BODY_MOST)
    assert answer is not None
    assert len(answer.body) == BODY_MOST
    long = read(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * BODY_MOST)
    assert long is not None
    with pytest.raises(NotHttpError):
        read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *([b"1" + b" " * 150 + b"\r\nx\r\n"] * 1000))


@given(st.lists(st.binary(max_size=80), max_size=8))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_but_not_http(pieces: list[bytes]) -> None:
    for start in (b"", b"HTTP/1.1 200 ", CHUNKED[:46], CHUNKED[:49]):
        with suppress(NotHttpError):
            read(start, *pieces)
