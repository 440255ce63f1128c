"""From one program to the next, over the modelled link, by every way that a board has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enmctl.dfu.link import AbsentError, GattError, Open, Request, Transfer
from enmctl.firmware.nordic_init import make_legacy, make_microbit
from enmctl.models import BoardMode
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard, Return
from enmctl.simulator.nordic.chips import Layout
from enmctl.simulator.nordic.clock import Clock
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import PEER, Model
from enmctl.simulator.nordic.packages import secure_init
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import MAGIC, ProgramTraits, RuntimeTraits
from enmctl.simulator.nordic.uuids import BUTTONLESS, BUTTONLESS_BONDED, LEGACY_CONTROL, MICROBIT_DFU_CONTROL
from tests.logic.simulator.nordic import transfers
from tests.logic.simulator.nordic.talking import Talk

Make = Callable[..., NordicBoard]
NEW = ProgramTraits(name="new")
BONDED = RuntimeTraits(open=False, whitelist=True, partial=True)
APPLICATION = BoardMode.APPLICATION


def new_image(layout: Layout, size: int = 16384, runtime: RuntimeTraits = presets.MAKECODE) -> bytes:
    return make_image(layout, NEW, runtime=runtime, size=size)


def ways(image: bytes) -> dict[str, tuple[Transfer[None], Transfer[None]]]:
    """For each kind of board how its bootloader is brought up, and how it takes an image."""
    signed = secure_init(image, hardware=52, softdevices=(0xA8,), version=1, signed=True)
    return {
        "microbit-v1": (transfers.jump(MICROBIT_DFU_CONTROL, b"\x01"), transfers.legacy(image)),
        "microbit-v2": (
            transfers.jump(BUTTONLESS, b"\x01", answer="20 01 01"),
            transfers.secure(image, make_microbit(image)),
        ),
        "nrf51822dk": (
            transfers.jump(LEGACY_CONTROL, b"\x01\x04"),
            transfers.legacy(image, init=make_legacy(image, 0x87)),
        ),
        "stock-secure": (
            transfers.jump(BUTTONLESS, b"\x01", answer="20 01 01"),
            transfers.secure(image, signed),
        ),
    }


def switched_on(board: NordicBoard, *, clock: Clock | None = None) -> Model:
    model = Model(board, Timing(interval=0.0075, packets=4), clock=clock)
    model.air.power(on=True)
    model.clock.sleep(1.0)
    return model


BOARDS = [presets.microbit_v1, presets.microbit_v2, presets.nrf51822dk, presets.stock_legacy, presets.stock_secure]


@pytest.mark.parametrize("make", BOARDS, ids=lambda make: make.__name__)
def test_a_program_is_replaced_by_way_of_the_bootloader(make: Make) -> None:
    board = make()
    image = new_image(board.machine.layout, runtime=RuntimeTraits())
    model = switched_on(board)
    for transfer in ways(image)[board.kind]:
        model.run(transfer)
    model.clock.sleep(4.0)
    advertisement = board.advertisement
    assert advertisement is not None
    assert (board.mode, board.image(), "new" in advertisement.name) == ("application", image, True)


@pytest.mark.parametrize("make", [presets.microbit_v1, presets.microbit_v2], ids=["V1", "V2"])
def test_a_program_is_replaced_in_part_and_much_less_is_sent(make: Make) -> None:
    layout = make().machine.layout
    old, new = (make_image(layout, name, runtime=presets.MAKECODE, size=80_000, code_size=5000) for name in (None, NEW))
    board = make(image=old)
    model = switched_on(board)
    padded = new + b"\xff" * (-len(new) % 64)
    start = new.index(MAGIC)
    blocks = [(layout.application + at, padded[at : at + 64]) for at in range(start, len(padded), 64)]
    model.run(transfers.partial(blocks))
    model.clock.sleep(2.0)
    assert (board.mode, board.image()) == ("application", new)
    assert board.machine.flash.written < 10_000


@pytest.mark.parametrize("make", [presets.microbit_v1, presets.microbit_v2], ids=["V1", "V2"])
def test_a_bonded_board_lets_its_peer_in_and_nobody_else(make: Make) -> None:
    board = make(runtime=BONDED)
    bonding = Talk(board).on()
    bonding.take(board.reset(bonding.now, Boot.PAIRING))
    bonding.wait(1.0)
    bonding.connect(subscribe=False, peer=PEER)
    bonding.take(board.bonded(bonding.now))
    bonding.wait(20.0)
    board.power(on=False, now=bonding.now)

    stranger = switched_on(board, clock=Clock(bonding.now))
    assert isinstance(stranger.run(transfers.ask(Open(APPLICATION, 5.0)))[0], AbsentError)

    image = new_image(board.machine.layout)
    model = Model(stranger.air, bonded=True)
    uuid = MICROBIT_DFU_CONTROL if make is presets.microbit_v1 else BUTTONLESS_BONDED
    model.run(transfers.jump(uuid, b"\x01", answer="" if make is presets.microbit_v1 else "20 01 01"))
    model.clock.sleep(2.0)
    advertisement = board.advertisement
    assert advertisement is not None
    assert advertisement.bonded_only
    model.run(ways(image)[board.kind][1])
    model.clock.sleep(4.0)
    assert board.image() == image


def test_an_unbonded_peer_gets_the_att_error_that_asks_for_pairing() -> None:
    model = switched_on(presets.microbit_v1(runtime=RuntimeTraits(open=False)))
    results = model.run(transfers.ask(Open(APPLICATION, 5.0), Request(MICROBIT_DFU_CONTROL, b"\x01")))
    assert isinstance(results[1], GattError)
    assert results[1].code == 0x05


@pytest.mark.parametrize(
    ("how", "address", "name"),
    [
        (Return(address_step=1), "E5:1D:00:00:00:02", "DfuTarg"),
        (Return(name="Dfu12345"), "E5:1D:00:00:00:01", "Dfu12345"),
        (Return(seconds=20.0), "E5:1D:00:00:00:01", "DfuTarg"),
    ],
)
def test_a_board_comes_back_as_it_is_told_and_is_found_all_the_same(how: Return, address: str, name: str) -> None:
    board = presets.microbit_v1()
    model = switched_on(board)
    board.come_back(how)
    image = new_image(board.machine.layout)
    for transfer in ways(image)[board.kind]:
        model.run(transfer)
        if board.mode == "starting":
            model.clock.sleep(how.seconds + 1.0)
            advertisement = board.advertisement
            assert advertisement is not None
            if board.mode == "bootloader":
                assert (advertisement.address, advertisement.name) == (address, name)
    model.clock.sleep(how.seconds + 4.0)
    assert board.image() == image


def test_a_board_that_does_not_come_back_is_gone_until_its_power_is_switched() -> None:
    board = presets.microbit_v1()
    model = switched_on(board)
    board.come_back(Return(never=True))
    model.run(transfers.jump(MICROBIT_DFU_CONTROL, b"\x01"))
    assert isinstance(model.run(transfers.ask(Open(BoardMode.BOOTLOADER, 60.0)))[0], AbsentError)
    assert board.mode == "dead"
    model.air.power(on=False)
    model.air.power(on=True)
    model.clock.sleep(1.0)
    assert board.mode == "application"
