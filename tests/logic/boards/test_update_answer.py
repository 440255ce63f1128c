from __future__ import annotations

import pytest

from enmctl.boards.http_answer import HttpAnswer
from enmctl.boards.update_answer import CODES, Verdict, judge
from enmctl.errors import RefusedError

TEMPORARY = {1, 2, 3, 6, 7, 14, 15}
CURED_BY_A_PERSON = {4, 8, 11, 12, 16}


def said(text: str, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {}, text.encode())


@pytest.mark.parametrize("code", range(1, 17))
def test_every_code_of_the_updater_has_a_meaning_a_remedy_and_the_right_lastingness(code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        judge(said(f"Update error: ERROR[{code}]: some text\n"), "the board")
    error = caught.value
    assert error.reason == CODES[code].reason
    assert error.permanent is (code not in TEMPORARY | CURED_BY_A_PERSON)
    assert f"error {code}, some text" in error.message
    assert error.remedy


def test_the_reasons_differ() -> None:
    assert len({code.reason for code in CODES.values()}) == len(CODES)


@pytest.mark.parametrize(
    "text",
    [
        '<META http-equiv="refresh" content="15;URL=/">Update Success! Rebooting...',
        "Update Success! Rebooting...\n",
        "OK",
        " OK\r\n",
    ],
)
def test_success_is_told_by_its_phrase(text: str) -> None:
    assert judge(said(text), "the board") is Verdict.ACCEPTED


@pytest.mark.parametrize("text", ["", "ok", "OK, but no", "hello", "OKAY", "Rebooting...", "Update Success error"])
def test_whatever_else_is_said_is_unclear(text: str) -> None:
    assert judge(said(text), "the board") is Verdict.UNCLEAR


def test_control_characters_of_a_board_do_not_reach_a_terminal() -> None:
    for text in ("ERROR[4]: \x1b[31mred", "FAIL \x1b[31mred", "ERROR[77]: \x07"):
        with pytest.raises(RefusedError) as caught:
            judge(said(text), "the board")
        assert "\x1b" not in str(caught.value)
        assert "\x07" not in str(caught.value)
