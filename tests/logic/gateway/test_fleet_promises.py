"""Whatever the fleet, its failures, windows and edits, the policy's promises hold; five planted faults are caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from enmctl.gateway import rollout
from enmctl.models import Device
from enmctl.policy import Policy, Window
from tests.logic.gateway.fleet_model import BrokenPromiseError, Fleet, Model, Nature

BUSY_PASSES = 60
"""Passes in which people edit and boards come and go."""

PASSES_MOST = 600
"""Passes after that in which all must come to rest; time without an event is skipped."""

TRIES = 3

NATURES = st.sampled_from([Nature.WELL, Nature.WELL, Nature.WELL, Nature.FLAKY, Nature.REFUSES, Nature.UNWELL])
SICK = st.sampled_from([Nature.UNWELL, Nature.UNWELL, Nature.WELL])
"""Of a release that is good for nothing."""
WINDOWS = st.lists(st.builds(Window, st.integers(0, 1439), st.integers(0, 1439)), max_size=2).map(tuple)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    named = draw(st.booleans())
    return Policy(
        at_once=draw(st.none() | st.integers(1, 4)),
        canaries=tuple(draw(st.lists(st.sampled_from(["b0", "b1", "b2"]), max_size=2))) if named else (),
        canary_count=0 if named else draw(st.integers(0, 2)),
        well_for=draw(st.sampled_from([0.0, 45.0, 300.0])),
        stop_after=draw(st.none() | st.integers(1, 3)),
        stop_share=draw(st.none() | st.sampled_from([0.2, 0.5])),
        rollback=draw(st.booleans()),
        tries=TRIES,
        windows=draw(WINDOWS),
        zone="UTC",
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    both = tuple(draw(st.lists(policies(), min_size=1, max_size=2)))
    natures = draw(st.sampled_from([NATURES, SICK]))
    board = st.tuples(st.integers(1, len(both)), st.lists(natures, min_size=1, max_size=2).map(tuple))
    boards = tuple(draw(st.lists(board, min_size=1, max_size=8)))
    passes = st.integers(0, BUSY_PASSES - 1)
    return Fleet(
        both,
        boards,
        {0: 1, **draw(st.dictionaries(passes, st.integers(1, len(both)), max_size=4))},
        draw(st.dictionaries(passes, st.tuples(st.integers(0, len(boards) - 1), st.integers(1, 20)), max_size=4)),
        draw(st.none() | st.integers(1, 4)),
        draw(st.integers(0, 99)),
    )


def check(fleet: Fleet) -> Model:
    """Play a fleet to its end, every promise watched."""
    model = Model(fleet)
    model.play(BUSY_PASSES)
    for _ in range(PASSES_MOST):
        if not any(is_left(model, device) for device in model.devices.values()):
            break
        model.step()
        if not model.jobs and (following := model.next_event()) is not None:
            model.now = max(model.now, following)
    return model


def is_left(model: Model, device: Device) -> bool:
    """Whether a device can be on target and is not, as far as nothing stopped its application for good."""
    target = model.commit_of(device.application_id)
    if device.commit == target or model.hopeless(device.uuid):
        return False
    return not may_have_stopped(model, device.application_id)


def may_have_stopped(model: Model, application: int) -> bool:
    """Whether a version that cannot be well on some board may rightly go to no further one."""
    policy = model.fleet.policies[application - 1]
    mine = [device for device in model.devices.values() if device.application_id == application]
    hopeless = [device for device in mine if model.hopeless(device.uuid)]
    most = policy.most_failures(len(mine))
    canaries = {device.name for device in mine} & set(policy.canaries)
    if policy.canaries and not canaries:
        return True
    if policy.has_canaries and hopeless:
        return True
    if most is not None and len(hopeless) >= most:
        return True
    return bool(policy.windows) and policy.opens_at(model.now) is None


GENERATED = settings(
    max_examples=5000,  # the rarest fault shows in one of some two hundred; it ends with the first
    report_multiple_bugs=False,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@settings(max_examples=300, deadline=None)
@given(fleets())
def test_the_promises_hold_and_in_the_end_every_board_that_can_be_on_target_is(fleet: Fleet) -> None:
    model = check(fleet)
    left = [device for device in model.devices.values() if is_left(model, device)]
    assert not left, [(device.name, device.commit, device.wanted_commit, device.pin) for device in left]


def _one_more_at_once() -> Any:
    crowd = rollout.Rollout._crowd

    def faulty(self: rollout.Rollout, device: Device, policy: Policy) -> str:
        more = None if policy.at_once is None else policy.at_once + 1
        return crowd(self, device, Policy(at_once=more))

    return patch.object(rollout.Rollout, "_crowd", faulty)


def _under_way_does_not_count() -> Any:
    count = rollout.Rollout._count

    def faulty(self: rollout.Rollout, tally: Any, *words: Any) -> None:
        count(self, tally, *words)
        tally.under_way.clear()

    return patch.object(rollout.Rollout, "_count", faulty)


def _windows_do_not_count() -> Any:
    return patch.object(rollout, "closed", lambda *_: "")


def _canaries_need_not_stay() -> Any:
    def faulty(_: rollout.Rollout, device: Device, *__: Any) -> bool:
        return device.commit is not None

    return patch.object(rollout.Rollout, "_is_well", faulty)


def _what_went_back_did_not_fail() -> Any:
    def faulty(device: Device, commit: str | None) -> bool:
        return device.failures > 0 and device.failed_target == commit and device.commit != commit

    return patch.object(rollout, "has_failed", faulty)


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "one more at once": (_one_more_at_once, "are in hand"),
    "boards under way do not count": (_under_way_does_not_count, "failed on"),
    "windows do not count": (_windows_do_not_count, "outside the windows"),
    "canaries need not stay well": (_canaries_need_not_stay, "canaries"),
    "what went back did not fail": (_what_went_back_did_not_fail, "failed on|canaries"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    plant, words = FAULTS[fault]

    @GENERATED
    @given(fleets())
    def promises(fleet: Fleet) -> None:
        check(fleet)

    with plant(), pytest.raises(BrokenPromiseError, match=words):
        promises()
