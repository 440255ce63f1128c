"""Firmware for simulated boards: taken by every checker, and decisive for what a board is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import UsageError
from enmctl.firmware.hex import Family, read_hex
from enmctl.firmware.microbit import from_binary, from_hex
from enmctl.firmware.nordic import Protocol, read_package
from enmctl.firmware.nordic_boards import suits
from enmctl.firmware.targets import Target
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, NRF52_S132, NRF51822DK, Layout
from enmctl.simulator.nordic.flash import Flash
from enmctl.simulator.nordic.images import make_image, spoilt
from enmctl.simulator.nordic.packages import (
    legacy_package,
    microbit_hex,
    microbit_package,
    secure_package,
    universal_hex,
)
from enmctl.simulator.nordic.presets import MAKECODE, microbit_v1, microbit_v2, nrf51822dk, stock_secure
from enmctl.simulator.nordic.traits import MAGIC, Found, ProgramTraits, RuntimeTraits, code_page, find, hashes
from tests.logic.simulator.nordic.talking import Talk

LAYOUTS = {"V1": MICROBIT_V1, "V2": MICROBIT_V2, "DK": NRF51822DK, "S132": NRF52_S132}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
NAMED = ProgramTraits(name="4711", led=True, version="1.2")


def found_in(layout: Layout, image: bytes, *, known_size: int = 0) -> Found | None:
    flash = Flash(layout.chip)
    flash.memory[layout.application : layout.application + len(image)] = image
    return find(flash, layout, known_size=known_size)


@every_layout
@pytest.mark.parametrize("size", [1024, 2048, 10_240, 60_000])
def test_an_image_has_the_size_asked_for_and_tells_what_it_is(layout: Layout, size: int) -> None:
    runtime = RuntimeTraits(open=False, whitelist=True)
    image = make_image(layout, NAMED, runtime=runtime, size=size)
    assert len(image) == size
    assert found_in(layout, image) == Found(runtime, NAMED, size)


@pytest.mark.parametrize("layout", [MICROBIT_V1, MICROBIT_V2], ids=["V1", "V2"])
def test_a_makecode_image_has_its_page_and_the_same_runtime_for_every_program(layout: Layout) -> None:
    one, other = (make_image(layout, ProgramTraits(name=name), runtime=MAKECODE, size=16384) for name in "ab")
    place = one.index(MAGIC)
    assert place % layout.chip.page == 0
    assert one[:place] == other[:place]
    flash = Flash(layout.chip)
    flash.memory[layout.application : layout.application + len(one)] = one
    code = code_page(flash, layout)
    assert code == layout.application + place
    assert hashes(flash, code)[0] == other[place + 16 : place + 24]
    assert hashes(flash, code)[1] != other[place + 24 : place + 32]
    third = make_image(layout, ProgramTraits(name="a"), runtime=MAKECODE, size=16384, runtime_seed=1)
    assert third[place + 16 : place + 24] != one[place + 16 : place + 24]


def test_the_same_arguments_give_the_same_image_and_others_another() -> None:
    image = make_image(MICROBIT_V1, NAMED, seed=1)
    assert image == make_image(MICROBIT_V1, NAMED, seed=1)
    others = [make_image(MICROBIT_V1, NAMED, seed=2), make_image(MICROBIT_V1, seed=1), make_image(MICROBIT_V2, NAMED)]
    assert len({image, *others}) == 4


@pytest.mark.parametrize("size", [1020, 4098, 0x24004])
def test_an_image_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(UsageError):
        make_image(MICROBIT_V1, size=size)
    with pytest.raises(UsageError):
        make_image(MICROBIT_V2, runtime=MAKECODE, size=4096)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([MICROBIT_V1, MICROBIT_V2]), st.integers(0, 8191))
def test_an_image_with_one_wrong_bit_does_not_run(layout: Layout, place: int) -> None:
    image = spoilt(make_image(layout, NAMED, size=8192), place)
    found = found_in(layout, image)
    assert found is None or found.program != NAMED


@settings(max_examples=60)
@given(st.integers(1, 2047))
def test_a_splice_of_two_images_does_not_run(words: int) -> None:
    one, other = (make_image(MICROBIT_V1, NAMED, size=8192, seed=seed) for seed in (1, 2))
    spliced = one[: 4 * words] + other[4 * words :]
    found = found_in(MICROBIT_V1, spliced)
    assert (found is not None and found.program == NAMED) is (spliced in (one, other))


def test_what_an_old_image_left_behind_a_new_one_does_not_matter() -> None:
    long, short = make_image(MICROBIT_V1, NAMED, size=60_000), make_image(MICROBIT_V1, size=2048)
    assert found_in(MICROBIT_V1, short + long[2048:]) == Found(RuntimeTraits(), ProgramTraits(), 2048)
    real = make_image(MICROBIT_V1, size=2048)[:28] + bytes(2020)
    left = found_in(MICROBIT_V1, real + long[2048:], known_size=2048)
    assert left is not None
    assert left.program == ProgramTraits()


def test_a_program_for_another_chip_or_none_at_all_does_not_run() -> None:
    assert found_in(MICROBIT_V1, make_image(MICROBIT_V2)) is None
    assert found_in(MICROBIT_V2, make_image(MICROBIT_V1)) is None
    assert found_in(MICROBIT_V1, b"\xff" * 100) is None


@pytest.mark.parametrize("runtime", [RuntimeTraits(), MAKECODE], ids=["plain", "MakeCode"])
def test_hex_files_of_images_pass_the_checks_before_sending(runtime: RuntimeTraits) -> None:
    v1, v2 = (make_image(layout, NAMED, runtime=runtime, size=16384) for layout in (MICROBIT_V1, MICROBIT_V2))
    [part] = read_hex(microbit_hex(MICROBIT_V1, v1)).parts
    assert from_hex(part, Family.V1).data == v1
    [part] = read_hex(microbit_hex(MICROBIT_V2, v2)).parts
    assert from_hex(part, Family.V2).data == v2
    whole = read_hex(universal_hex(v1, v2))
    assert whole.universal
    assert [from_hex(part, family).data for part, family in zip(whole.parts, Family, strict=True)] == [v1, v2]
    assert from_binary(v1, Family.V1).data == v1


@pytest.mark.parametrize(
    ("layout", "package", "target", "protocol"),
    [
        (MICROBIT_V1, legacy_package, Target.MICROBIT_V1, Protocol.LEGACY),
        (NRF51822DK, legacy_package, Target.NRF51822DK, Protocol.LEGACY),
        (MICROBIT_V2, microbit_package, Target.MICROBIT_V2, Protocol.SECURE),
        (NRF52_S132, secure_package, Target.NRF52, Protocol.SECURE),
    ],
    ids=["V1", "DK", "V2", "S132"],
)
def test_packages_of_images_pass_the_checks_before_sending(
    layout: Layout, package: object, target: Target, protocol: Protocol
) -> None:
    assert callable(package)
    data = make_image(layout, NAMED, size=20_000)
    [image] = read_package(package(data, name="micro-bit"))
    assert (image.data, image.protocol) == (data, protocol)
    assert target in suits(image).targets
    assert package(data) == package(data)


def test_what_is_flashed_decides_what_a_board_is_after_the_next_start() -> None:
    rows = [
        (microbit_v1(program=NAMED), "BBC micro:bit [4711]"),
        (microbit_v2(program=replace(NAMED, prefix="uBit")), "uBit [4711]"),
        (nrf51822dk(program=NAMED), "4711"),
        (stock_secure(program=NAMED), "4711"),
    ]
    for board, name in rows:
        advertisement = Talk(board).on().board.advertisement
        assert advertisement is not None
        assert advertisement.name == name


def test_a_spoilt_image_is_dead_on_a_board_that_checks_nothing_and_a_cable_alone_helps() -> None:
    image = make_image(MICROBIT_V1, NAMED)
    board = Talk(microbit_v1(image=spoilt(image, 4000))).on().board
    assert (board.mode, board.advertisement, board.describe()["mode"]) == ("dead", None, "dead")


def test_the_flash_is_kept_between_two_lives_of_a_board() -> None:
    board = microbit_v1(program=NAMED)
    again = microbit_v1(content=board.machine.flash.image())
    assert Talk(again).on().board.image() == board.image()


def test_a_board_describes_itself_in_plain_values() -> None:
    for make in (microbit_v1, microbit_v2, nrf51822dk, stock_secure):
        board = make()
        for said in (board.describe(), Talk(board).on().board.describe()):
            assert json.loads(json.dumps(said)) == said
        assert said["sha256"] is not None
