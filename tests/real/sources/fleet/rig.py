"""Fleet files and firmware for tests."""

from __future__ import annotations

from pathlib import Path

from enmctl.simulator.images import esp8266_image
from enmctl.sources.fleet.fleet import Fleet, read_fleet

TYPES = ("esp8266", "microbit")
MOST = 1 << 20

LAMPS = """\
[applications.lamps]
board = "esp8266"
firmware = "firmware.bin"
version = "1.0"
boards = { applications = [511898] }
"""


def image(version: str, seed: int = 0) -> bytes:
    """A small whole image."""
    return esp8266_image(fw=version, size=16 * 1024, seed=seed)


def write(folder: Path, text: str = LAMPS) -> Path:
    """A fleet file, beside firmware that it may name."""
    if not (folder / "firmware.bin").exists():
        (folder / "firmware.bin").write_bytes(image("1.0"))
    path = folder / "fleet.toml"
    path.write_text(text, "utf-8")
    return path


def read(path: Path) -> Fleet:
    """The file, read with the types that tests know."""
    return read_fleet(path, TYPES, most=MOST)
