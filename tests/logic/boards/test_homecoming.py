from __future__ import annotations

from dataclasses import replace

import pytest

from enmctl.boards.homecoming import Expectation, Homecoming, Look, Presence, Settled
from enmctl.boards.identity import Identity
from enmctl.errors import EnmError, TransferError, UnsettledError
from enmctl.models import Proof

OLD = "a" * 40
NEW = "b" * 40
THIRD = "c" * 40
GRACE = 15.0
DOWN = Look(Presence.DOWN)
SILENT = Look(Presence.SILENT)
UP = Look(Presence.UP)
BEFORE = Identity("42", 7, "ESP8266", version=OLD, uptime=1000)


def telling(version: str | None, uptime: float | None = None) -> Look:
    return Look(Presence.UP, Identity("42", 7, "ESP8266", version=version, uptime=uptime))


def advertising(version: str) -> Look:
    return Look(Presence.UP, advertised=version)


def expecting(
    *, accepted: bool = True, mark: str | None = None, commit: str | None = NEW, before: Identity | None = BEFORE
) -> Expectation:
    version = before.version if before is not None else None
    return Expectation(accepted=accepted, mark=mark, commit=commit, before=before, before_version=version, asked_at=0.0)


def settle(expectation: Expectation, *looks: tuple[float, Look]) -> Settled | None:
    """What the last look settles; none before it may settle anything."""
    homecoming = Homecoming("the board", expectation, GRACE)
    settled = None
    for at, look in looks:
        assert settled is None, "it settled too early"
        settled = homecoming.see(look, at)
    return settled


def test_the_new_version_settles_it_at_once_also_if_the_board_was_never_seen_down() -> None:
    assert settle(expecting(), (10, telling(NEW))) == Settled(Proof.VERSION_READ_BACK, NEW)
    assert settle(expecting(accepted=False), (10, telling(NEW))) == Settled(Proof.VERSION_READ_BACK, NEW)
    assert settle(expecting(), (10, DOWN), (13, telling(NEW))) == Settled(Proof.VERSION_READ_BACK, NEW)


def test_the_old_version_settles_nothing_while_the_board_has_not_gone_down() -> None:
    assert settle(expecting(), (10, telling(OLD)), (11, telling(OLD)), (24, telling(OLD))) is None


@pytest.mark.parametrize("looks", [((10.0, DOWN), (13.0, telling(OLD))), ((10.0, telling(OLD)), (25.0, telling(OLD)))])
def test_the_old_version_after_the_restart_or_the_grace_is_a_failure(looks: tuple[tuple[float, Look], ...]) -> None:
    for accepted in (True, False):
        with pytest.raises(TransferError) as caught:
            settle(expecting(accepted=accepted), *looks)
        assert caught.value.reason == "old-version"
        assert not caught.value.permanent


def test_a_third_commit_is_unsettled_for_good() -> None:
    with pytest.raises(UnsettledError) as caught:
        settle(expecting(), (10, DOWN), (13, telling(THIRD)))
    assert (caught.value.reason, caught.value.permanent) == ("other-version", True)


def test_the_mark_of_the_image_goes_before_the_commit() -> None:
    marked = expecting(mark="1.3")
    assert settle(marked, (10, telling("1.3"))) == Settled(Proof.VERSION_READ_BACK, "1.3")
    for version in (NEW, "1.2"):
        with pytest.raises(UnsettledError):
            settle(marked, (10, DOWN), (13, telling(version)))


def test_a_text_of_the_builders_own_proves_neither_success_nor_failure() -> None:
    for version in ("1.2", "1.3"):
        before = replace(BEFORE, version="1.2")
        settled = settle(expecting(before=before), (10, DOWN), (13, telling(version)))
        assert settled == Settled(Proof.CHECK_AND_RETURN, version)


def test_the_same_version_again_needs_a_restart_to_be_seen() -> None:
    again = expecting(commit=OLD)
    assert settle(again, (10, telling(OLD))) is None
    assert settle(again, (10, DOWN), (13, telling(OLD))) == Settled(Proof.CHECK_AND_RETURN, OLD)


@pytest.mark.parametrize(
    ("accepted", "looks", "proof"),
    [
        (True, [(10.0, UP), (11.0, DOWN), (14.0, UP)], Proof.CHECK_AND_RETURN),
        (False, [(10.0, UP), (11.0, DOWN), (14.0, UP)], Proof.RETURN_ALONE),
        (True, [(10.0, UP), (24.9, UP), (25.0, UP)], Proof.RETURN_ALONE),
    ],
)
def test_without_a_version_what_was_said_and_seen_makes_the_proof(
    accepted: bool, looks: list[tuple[float, Look]], proof: Proof
) -> None:
    expectation = expecting(accepted=accepted, before=None)
    assert settle(expectation, *looks) == Settled(proof, None)


def test_no_answer_no_restart_and_no_version_is_never_done() -> None:
    with pytest.raises(UnsettledError) as caught:
        settle(expecting(accepted=False, before=None), (10, UP), (25, UP))
    assert caught.value.reason == "no-restart"


def test_the_grace_counts_from_the_last_silence() -> None:
    assert settle(expecting(before=None), (0, UP), (14, SILENT), (16, UP), (29, UP)) is None


def test_silence_is_no_sign_of_a_restart() -> None:
    assert settle(expecting(before=None), (0, SILENT), (1, UP)) is None


def test_a_later_start_than_before_shows_a_restart_that_nobody_saw() -> None:
    same = expecting(commit=None)
    assert settle(same, (20, telling(OLD, uptime=1020))) is None
    assert settle(same, (20, telling(OLD, uptime=1019))) is None
    assert settle(same, (20, telling(OLD, uptime=3))) == Settled(Proof.CHECK_AND_RETURN, OLD)
    assert settle(expecting(commit=None, before=replace(BEFORE, uptime=1)), (20, telling(OLD, uptime=2))) == Settled(
        Proof.CHECK_AND_RETURN, OLD
    )


@pytest.mark.parametrize("commit", [None, OLD, NEW])
@pytest.mark.parametrize("first", [DOWN, SILENT, telling(OLD, uptime=1001)])
def test_a_board_whose_uptime_shows_that_it_did_not_restart_is_not_back_however_long_it_answers(
    commit: str | None, first: Look
) -> None:
    homecoming = Homecoming("the board", expecting(commit=commit), GRACE)
    for at, look in ((1.0, first), (10.0, telling(OLD, uptime=1010)), (40.0, telling(OLD, uptime=1040))):
        assert homecoming.see(look, at) is None
    with pytest.raises(UnsettledError) as caught:
        homecoming.see(telling(OLD, uptime=1060), 60.0, is_last=True)
    assert caught.value.reason == "no-restart"


def test_the_uptime_of_a_board_that_had_just_started_shows_neither() -> None:
    fresh = expecting(commit=None, before=replace(BEFORE, uptime=1))
    assert settle(fresh, (1, telling(OLD, uptime=2)), (2, DOWN), (3, telling(OLD, uptime=2))) is not None


def test_a_version_read_back_settles_it_whatever_the_uptime_says() -> None:
    assert settle(expecting(), (20, telling(NEW, uptime=1020))) == Settled(Proof.VERSION_READ_BACK, NEW)


def test_a_restart_after_the_grace_still_counts() -> None:
    looks = [(10.0, telling(OLD, uptime=1010)), (40.0, telling(OLD, uptime=1040)), (50.0, telling(OLD, uptime=4))]
    assert settle(expecting(commit=None), *looks) == Settled(Proof.CHECK_AND_RETURN, OLD)


def test_what_is_advertised_proves_success_and_never_failure() -> None:
    advertised = Expectation(accepted=True, commit=NEW, before_version=OLD)
    assert settle(advertised, (10, DOWN), (13, advertising(NEW))) == Settled(Proof.VERSION_READ_BACK, NEW)
    stale = settle(advertised, (10, DOWN), (13, advertising(OLD)), (20, advertising(OLD)), (28, advertising(OLD)))
    assert stale == Settled(Proof.CHECK_AND_RETURN, None)


def test_the_last_look_decides_without_waiting_for_the_grace() -> None:
    homecoming = Homecoming("the board", expecting(before=None), GRACE)
    assert homecoming.see(UP, 1.0, is_last=True) == Settled(Proof.RETURN_ALONE, None)


@pytest.mark.parametrize(
    ("look", "word"),
    [(DOWN, "did not come back"), (SILENT, "answers nothing"), (Look(Presence.STRANGER), "another board")],
)
def test_a_board_that_does_not_come_back_says_how_it_was_seen_last(look: Look, word: str) -> None:
    homecoming = Homecoming("the board", expecting(), GRACE)
    homecoming.see(look, 1.0)
    error: EnmError = homecoming.missed(60)
    assert isinstance(error, UnsettledError)
    assert error.reason == "no-return"
    assert word in error.message
