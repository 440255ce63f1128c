"""For which boards an image of a Nordic package is."""

from __future__ import annotations

import pytest

from enmctl.errors import FirmwareError
from enmctl.firmware.nordic import read_pair
from enmctl.firmware.nordic_boards import suits
from enmctl.firmware.targets import Target
from tests.logic.firmware.made import V1_BASE, legacy_init, microbit_init, program, secure_init

APP = program(V1_BASE, 2048)
M4 = program(0x26000, 2048, old=False)


@pytest.mark.parametrize(
    ("data", "init", "targets", "address"),
    [
        (APP, legacy_init(APP), {Target.MICROBIT_V1}, V1_BASE),
        (APP, legacy_init(APP, (0x64,)), {Target.MICROBIT_V1}, V1_BASE),
        (APP, legacy_init(APP, (0x67,)), {Target.NRF51}, None),
        (program(0x1B000), None, {Target.NRF51822DK}, 0x1B000),
        (program(0x1B000, 0x5000), None, {Target.NRF51822DK}, 0x1B000),
        (program(V1_BASE, 0x20000), None, {Target.MICROBIT_V1}, V1_BASE),
        (program(0x1C000, stack=0x20008000), None, {Target.NRF51822DK}, 0x1C000),
        (program(V1_BASE, stack=0x20008000), None, {Target.NRF51}, None),
        (M4, legacy_init(M4), {Target.NRF52}, None),
        (M4, secure_init(M4), {Target.NRF52}, None),
        (M4, secure_init(M4, hardware=77), {Target.NORDIC}, None),
        (APP, secure_init(APP, hardware=51), {Target.NRF51}, None),
    ],
)
def test_an_image_tells_for_which_boards_it_is(
    data: bytes, init: bytes | None, targets: set[Target], address: int | None
) -> None:
    found = suits(read_pair(data, legacy_init(data) if init is None else init))
    assert (set(found.targets), found.address) == (targets, address)


@pytest.mark.parametrize(
    ("data", "init", "expected"),
    [
        (bytes(64), legacy_init(bytes(64)), "no-vectors"),
        (b"\xff" * 64, secure_init(b"\xff" * 64), "no-vectors"),
        (b"abcd", legacy_init(b"abcd"), "no-vectors"),
        (M4, secure_init(M4, hardware=51), "wrong-chip"),
        (APP, secure_init(APP, hardware=52), "wrong-chip"),
        (M4, microbit_init(M4), "no-vectors"),
    ],
)
def test_an_image_for_no_board_is_refused(data: bytes, init: bytes, expected: str) -> None:
    with pytest.raises(FirmwareError) as caught:
        suits(read_pair(data, init))
    assert (caught.value.reason, bool(caught.value.remedy)) == (expected, True)
