from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "database" / "enm.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, history_limit=100) as opened:
        yield opened
