"""Log lines: one record a line, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from enmctl.cli.log_lines import CHATTY, HIDDEN, PANIC, mask, set_up

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
SECRETS = {
    "RESIN_SUPERVISOR_API_KEY": "key-0123456789",
    "ENM_API_TOKEN": "token-abcdef",
    "ENM_HOTSPOT_PASSWORD": "hotspot-word",
    "ENM_OTA_PASSWORD": "board-word",
}


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(capture=False)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(word: str, *records: tuple[int, str], form: str = "text", name: str = "enmctl.test", **how: bool) -> str:
    stream = io.StringIO()
    set_up(word, form=form, stream=stream, verbose=how.get("verbose", False), quiet=how.get("quiet", False))
    for level, text in records:
        logging.getLogger(name).log(level, text)
    return stream.getvalue()


def test_a_record_is_one_line_with_time_zone_level_and_logger() -> None:
    line = logged("info", (logging.WARNING, "two\nlines\x1b[31m"))
    assert line.count("\n") == 1
    assert ISO.match(line)
    assert "WARNING enmctl.test: two\\x0alines\\x1b[31m" in line


def test_json_records_are_objects_with_the_same_facts() -> None:
    line = logged("info", (logging.ERROR, "two\nlines"), form="json")
    record = json.loads(line)
    assert ISO.fullmatch(record["time"])
    assert (record["level"], record["logger"], record["message"]) == ("error", "enmctl.test", "two\nlines")


def test_a_traceback_stays_on_its_line() -> None:
    for log_format in ("text", "json"):
        stream = io.StringIO()
        set_up("info", form=log_format, stream=stream)
        try:
            int("boom")
        except ValueError:
            logging.getLogger("enmctl").exception("it broke")
        assert stream.getvalue().count("\n") == 1
        assert "ValueError: invalid literal" in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", 6),
        ("info", 5),
        ("warn", 4),
        ("warning", 4),
        ("error", 3),
        ("fatal", 2),
        ("panic", 1),
    ],
)
def test_a_level_shows_itself_and_what_is_worse(level: str, shown: int) -> None:
    levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL, PANIC]
    lines = logged(level, *((number, "x") for number in levels))
    assert lines.count("\n") == shown


def test_verbose_shows_all_whatever_the_level() -> None:
    assert logged("error", (logging.DEBUG, "fine"), verbose=True)


def test_quiet_shows_errors_alone() -> None:
    lines = logged("debug", (logging.WARNING, "odd"), (logging.ERROR, "broken"), quiet=True)
    assert "broken" in lines
    assert "odd" not in lines


@pytest.mark.parametrize("name", CHATTY)
def test_libraries_talk_only_from_a_warning_on(name: str) -> None:
    lines = logged("debug", (logging.INFO, "chatter"), (logging.WARNING, "trouble"), name=f"{name}.x")
    assert "trouble" in lines
    assert "chatter" not in lines


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_of_the_environment_reaches_the_log(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    lines = logged("info", *((logging.INFO, f"it is {value}!") for value in SECRETS.values()), form=log_format)
    assert lines.count(HIDDEN) == len(SECRETS)
    assert not any(value in lines for value in SECRETS.values())


@pytest.mark.parametrize(
    "text",
    [
        "GET http://a:4000/v1/devices?apikey=geheim123&x=1",
        "Authorization: ApiKey geheim123",
        "Authorization: Bearer geheim123",
        "http://user:geheim123@10.0.0.1/update",
        "password=geheim123",
    ],
)
def test_what_is_named_as_a_secret_is_masked_wherever_it_came_from(text: str) -> None:
    assert "geheim123" not in mask(text, [])
    assert HIDDEN in mask(text, [])


@pytest.mark.parametrize(
    "text", ["the password is wrong", "basic auth", "http://10.0.0.1/update", "resin-hotspot opened"]
)
def test_harmless_words_stay(text: str) -> None:
    assert mask(text) == text
