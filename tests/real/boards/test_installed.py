from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.boards.esp8266 import Esp8266
from enmctl.boards.installed import board_types, drivers
from enmctl.settings import Settings

GOOD = """
class Good:
    board_type = "good"
    radio = None
    def __init__(self, settings):
        self.settings = settings

class Other(Good):
    board_type = "esp8266"

def broken(settings):
    raise RuntimeError("it breaks")
"""
ENTRY_POINTS = """
[enmctl.boards]
good = pluggedin:Good
broken = pluggedin:broken
gone = pluggedin.nowhere:Gone
lying = pluggedin:Good
esp8266 = pluggedin:Other
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in package, as installed as pip would."""
    (tmp_path / "pluggedin.py").write_text(GOOD)
    info = tmp_path / "pluggedin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pluggedin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)


def test_our_own_board_types_are_found_by_the_same_door() -> None:
    assert "esp8266" in board_types()
    assert isinstance(drivers(Settings())["esp8266"], Esp8266)


@pytest.mark.usefixtures("plugin")
def test_a_plug_in_adds_a_board_type_and_a_broken_one_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings()
    with caplog.at_level(logging.WARNING):
        found = drivers(settings)
    assert {"esp8266", "good"} <= found.keys()
    assert not {"broken", "gone", "lying"} & found.keys()
    assert isinstance(found["esp8266"], Esp8266), "a plug-in took our own type over"
    for word in ("broken", "gone", "lying", "it breaks", "two packages"):
        assert word in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.usefixtures("plugin")
def test_the_types_are_known_without_importing_a_driver() -> None:
    assert board_types() == sorted({"broken", "esp8266", "gone", "good", "lying"} | set(board_types()))
    code = "import sys; from enmctl.boards.installed import board_types; board_types(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "enmctl.boards.installed" in loaded
    for heavy in ("enmctl.boards.esp8266", "asyncio", "httpx", "zeroconf"):
        assert heavy not in loaded
