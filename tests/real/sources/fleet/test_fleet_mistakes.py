"""Mistakes in a fleet file that no schema foresees: each is told with its place, and none of them is a bug of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from enmctl.errors import FleetError
from tests.real.sources.fleet.rig import LAMPS, read, write

DIGITS = "1" * 5000
HUGE = "0x" + "f" * 5000
MISTAKES = {
    "a number of thousands of digits": (f"x = {DIGITS}\n", "1:5", "it must have 4300 digits at most"),
    "a number that cannot be printed": (LAMPS + f"id = {HUGE}\n", "6:6", "so large a number cannot be `id`"),
    "a setting that cannot be printed": (f"[policy]\nat_once = {HUGE}\n{LAMPS}", "2:11", "so large a number cannot be"),
    "a text that cannot be printed": (LAMPS.replace('"1.0"', HUGE), "4:11", "so large a number cannot be `version`"),
    "a span that cannot be printed": (f"[policy]\nwell_for = {HUGE}\n{LAMPS}", "2:12", "so large a number s cannot"),
    "a span of thousands of digits": (f"[policy]\nwell_for = '{DIGITS}d'\n{LAMPS}", "2:12", "is no span of time"),
    "an application beyond all numbers": (LAMPS.replace("511898", HUGE), "5:28", "so large a number cannot be in"),
    "a null character in a path": (LAMPS.replace("firmware.bin", "fw\\u0000.bin"), "3:12", "cannot be `firmware`"),
    "a line feed in a path": (LAMPS.replace("firmware.bin", "fw\\n.bin"), "3:12", "it must be a path or an https URL"),
    "a null character in a signature": (LAMPS + 'signature = "a\\u0000"\n', "6:13", "cannot be `signature`"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_never_a_bug(case: str, tmp_path: Path) -> None:
    text, place, words = MISTAKES[case]
    path = write(tmp_path, text)
    with pytest.raises(FleetError) as raised:
        read(path)
    assert any(fault.startswith(f"{path}:{place}: ") and words in fault for fault in raised.value.faults), (
        raised.value.faults
    )
    assert all(len(fault) < 1000 for fault in raised.value.faults)
