"""Spans of time as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enmctl.cli.durations import LONGEST, parse, spell
from enmctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("45", 45),
        (" 1H ", 3600),
        ("1d2h3m4s", 93_784),
        ("0.5s", 0.5),
        ("1.25", 1.25),
    ],
)
def test_a_span_counts_its_seconds(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "m", "10x", "1m1h", "-5m", "1.5h", ".5s", "0.0s", "10 m 3", "9999999999s", "٣m"]
)
def test_what_is_no_span_says_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert repr(text) in caught.value.message
    assert "1h30m" in caught.value.remedy


@given(st.text(max_size=12))
def test_any_text_is_a_span_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 < parse(text) <= LONGEST


@given(st.integers(min_value=1, max_value=LONGEST))
def test_what_is_spelled_reads_back_within_its_second_unit(seconds: int) -> None:
    assert abs(parse(spell(seconds)) - seconds) < max(1, seconds * 0.05)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (4.25, "4.2s"), (59, "59s"), (90, "1m30s"), (3600, "1h"), (93_784, "1d2h")]
)
def test_a_span_is_spelled_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert spell(seconds) == text
