"""What a board that is back after its update proves."""

from __future__ import annotations

from dataclasses import replace

from enmctl.dfu.limits import Limits
from enmctl.dfu.update import Choice, Job, update
from enmctl.models import Proof
from enmctl.simulator.nordic.faults import Fault, FaultKind
from enmctl.simulator.nordic.interference import Interfering
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import Model
from enmctl.simulator.nordic.packages import secure_init
from enmctl.simulator.nordic.steps import Point
from tests.logic.dfu.schedules import VARIANTS, image_of

LIMITS = Limits()
V2 = next(each for each in VARIANTS if each.name == "micro:bit V2")


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
