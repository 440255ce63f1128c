"""What a board that is back after its update proves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.dfu.limits import Limits
from enmctl.dfu.update import Choice, Job, update
from enmctl.firmware.nordic import Sizes
from enmctl.firmware.nordic_init import make_legacy
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.payload import Payload
from enmctl.models import Proof
from enmctl.simulator.nordic.faults import Fault, FaultKind
from enmctl.simulator.nordic.interference import Interfering
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import Model
from enmctl.simulator.nordic.packages import secure_init
from enmctl.simulator.nordic.steps import Point
from tests.logic.dfu.schedules import VARIANTS, Variant, image_of

LIMITS = Limits()
BY_NAME = {each.name: each for each in VARIANTS}
V2 = BY_NAME["micro:bit V2"]


@pytest.mark.parametrize(
    ("name", "fault", "passes"),
    [
        ("two banks", Fault(FaultKind.REPLY_LOST, at=Point.ACTIVATE), 1),
        ("stock", Fault(FaultKind.NOTIFICATION_LOST, at=Point.EXECUTE_LAST), 2),
        ("stock", Fault(FaultKind.REPLY_LOST, at=Point.EXECUTE_LAST), 2),
    ],
)
def test_on_a_slow_computer_which_never_sees_the_last_answer_an_update_ends(
    name: str, fault: Fault, passes: int
) -> None:
    """It sees the board let go before that, each time; that the board is back is all that it knows."""
    variant = BY_NAME[name]
    old, new = (image_of(variant, 8192, number) for number in range(2))
    board = variant.make(old)
    model = Model(board, Timing())
    model.air.power(on=True)
    model.clock.sleep(1.0)
    faults = Interfering(model, [replace(fault, count=number) for number in range(1, 10)])
    job = Job("the board", lambda _: Choice((variant.payload(new),)))
    assert model.run(update(job, model.memory, LIMITS, model.now)) is Proof.RETURN_ALONE
    assert len([step for step in model.steps if "starts over" in step.note]) == passes - 1
    assert faults.hits
    model.clock.sleep(5.0)
    assert board.image() == new


def test_a_microbit_v2_that_kept_its_old_program_is_not_taken_to_run_the_new_one() -> None:
    """It does after a package of nrfutil's, and boots it when its power fails before the end of the last object."""
    old, packed, new = (image_of(V2, 8192, number) for number in range(3))
    board = V2.make(old)
    model = Model(board, Timing())
    model.air.power(on=True)
    model.clock.sleep(1.0)

    def updated(image: bytes, init: bytes | None = None) -> Proof:
        payload = V2.payload(image) if init is None else replace(V2.payload(image), init=init)
        job = Job("the board", lambda _: Choice((payload,)))
        proof = model.run(update(job, model.memory, LIMITS, model.now))
        model.clock.sleep(5.0)
        return proof

    init = secure_init(packed, hardware=52, softdevices=(0xCC,), version=1, signed=False)
    assert updated(packed, init) is Proof.CHECK_AND_RETURN
    faults = Interfering(model, [Fault(FaultKind.POWER_CUT, at=Point.EXECUTE_LAST, before=True)])
    assert updated(new) is Proof.CHECK_AND_RETURN
    assert len(faults.hits) == 1
    assert board.image() == new


def system_for(variant: Variant) -> Payload:
    """A SoftDevice, as far as a simulated board looks at one."""
    data = b"\x11" * 4096
    return replace(
        variant.payload(image_of(variant, 8192, 0)),
        role=Role.SOFTDEVICE,
        address=None,
        data=data,
        sizes=Sizes(softdevice=len(data)),
        init=make_legacy(data, 0x64 if variant.family else 0xFFFE),
        system=True,
    )


@pytest.mark.parametrize("name", ["micro:bit V1", "two banks"])
@pytest.mark.parametrize("with_program", [False, True])
def test_a_board_that_waits_in_its_bootloader_after_a_softdevice_has_taken_it(name: str, with_program: bool) -> None:
    variant = BY_NAME[name]
    new = image_of(variant, 8192, 1)
    board = variant.make(image_of(variant, 8192, 0))
    model = Model(board, Timing())
    model.air.power(on=True)
    model.clock.sleep(1.0)
    payloads = (system_for(variant), variant.payload(new)) if with_program else (system_for(variant),)
    proof = model.run(update(Job("the board", lambda _: Choice(payloads)), model.memory, LIMITS, model.now))
    assert not [step for step in model.steps if "starts over" in step.note]
    if with_program:
        assert board.image() == new
    else:
        assert (proof, board.mode) == (Proof.RETURN_ALONE, "bootloader")
