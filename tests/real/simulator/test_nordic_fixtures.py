"""Real MakeCode programs on simulated micro:bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from enmctl.firmware.hex import Family, read_hex
from enmctl.firmware.microbit import from_hex
from enmctl.simulator.nordic.presets import microbit_v1, microbit_v2
from enmctl.simulator.nordic.traits import MAGIC

FILES = Path(__file__).parents[4] / "shared" / "fixtures" / "microbit"

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="the shared fixtures are not beside this checkout")


@pytest.mark.parametrize("version", ["v0", "v3", "v8"])
def test_a_real_makecode_program_is_an_ordinary_open_one_and_may_be_flashed_in_part(version: str) -> None:
    path = FILES / f"microbit-small-heart-makecode-{version}.hex"
    for part in read_hex(path.read_bytes()).parts:
        family = part.family or Family.V1
        image = from_hex(part, family).data
        board = microbit_v1(image=image) if family is Family.V1 else microbit_v2(image=image)
        board.power(on=True, now=0.0)
        board.tick(1.0)
        advertisement = board.advertisement
        assert advertisement is not None
        assert advertisement.name == "BBC micro:bit [zuzuv]"
        assert board.image() == image
        partial = any(service.uuid.startswith("e97d") for service in board.services)
        assert partial is (MAGIC in image)
