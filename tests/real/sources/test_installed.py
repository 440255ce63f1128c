"""Which sources are installed, and what is said of one that is not there or broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from enmctl.errors import SettingError
from enmctl.settings import Settings
from enmctl.sources.installed import open_source


def test_a_source_that_is_not_installed_names_those_that_are() -> None:
    with pytest.raises(SettingError) as raised:
        open_source(Settings(source="nix"), ("esp8266",))
    assert "'nix'" in raised.value.message
    assert "supervisor" in raised.value.remedy


def test_the_source_that_is_installed_is_the_supervisor() -> None:
    assert open_source(Settings(), ("esp8266",)).name == "supervisor"


@pytest.mark.parametrize(
    "value",
    ["no_such_package.at_all:Source", "enmctl.sources.supervisor:NoSuchSource", "enmctl.sources.nothing:Source"],
)
def test_a_source_that_cannot_be_loaded_is_told_with_what_to_do(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = tmp_path / "broken-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[enmctl.sources]\nbroken = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError) as raised:
        open_source(Settings(source="broken"), ("esp8266",))
    assert "cannot be loaded" in raised.value.message
    assert "ENM_SOURCE" in raised.value.remedy
