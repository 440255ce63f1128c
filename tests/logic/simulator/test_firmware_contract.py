"""The sketch cannot be compiled here; its names and pages can at least be held to the contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enmctl.simulator.esp8266 import SimulatedEsp8266

DOCS = Path(__file__).parents[3] / "docs"
CONTRACT = (DOCS / "firmware-contract.md").read_text(encoding="utf-8")
SKETCH = (DOCS / "firmware" / "esp8266" / "esp8266.ino").read_text(encoding="utf-8")
PAGES = re.findall(r"^\| `(GET|POST) (/[a-z]+)` \|", CONTRACT, re.MULTILINE)


def test_the_contract_names_five_pages() -> None:
    assert PAGES == [
        ("GET", "/id"),
        ("POST", "/restart"),
        ("POST", "/identify"),
        ("POST", "/env"),
        ("POST", "/config"),
    ]


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_the_sketch_has_every_page(method: str, path: str) -> None:
    assert f'server.on("{path}", HTTP_{method},' in SKETCH


async def test_the_simulated_board_has_every_page_and_no_other() -> None:
    assert list(SimulatedEsp8266(1)._pages()) == PAGES


@pytest.mark.parametrize("field", ["contract", "type", "app", "id", "fw", "uptime", "free", "flash"])
def test_every_field_of_the_id_is_in_sketch_and_contract(field: str) -> None:
    assert f'"{field}":' in CONTRACT
    assert f'\\"{field}\\":' in SKETCH


def test_the_sketch_carries_the_mark_takes_updates_and_can_be_found() -> None:
    assert '"enmctl-fw=" TEXT(ENMCTL_FW)' in SKETCH
    assert 'updater.setup(&server, "/update"' in SKETCH
    assert re.search(r"void loop\(\) \{[^}]*MDNS\.update\(\);", SKETCH)
    assert [name for name in ("app", "type", "id", "fw") if f'"http", "tcp", "{name}"' in SKETCH] == [
        "app",
        "type",
        "id",
        "fw",
    ]


def test_it_is_said_that_the_sketch_was_never_compiled_here() -> None:
    assert "has not been compiled" in (DOCS / "firmware" / "esp8266" / "README.md").read_text(encoding="utf-8")
