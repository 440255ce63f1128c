"""Ten rounds of ``kill -9`` with fixed seeds; ``python -m tests.real.gateway.killing`` plays as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.gateway.killing import play

SEEDS = (1, 3, 7, 12, 20, 29, 31, 34, 35, 37)
"""Together they plan to kill at each kind of event, and at a time."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_kills_at_any_moment_all_boards_end_on_target_with_as_many_devices_as_boards(
    tmp_path: Path, seed: int
) -> None:
    ended = await play(seed, tmp_path)
    assert not ended.problems, f"{ended}\n{ended.log}"
    assert ended.kills
