from __future__ import annotations

import pytest

from enmctl.errors import StoreError
from enmctl.models import Attempt, AttemptKind, Outcome, Proof, Stage
from enmctl.store import Store
from tests.real.store.samples import KEY, begin, device


def test_an_attempt_is_journalled_from_its_begin_to_its_end(store: Store) -> None:
    attempt_id = store.begin_attempt(AttemptKind.FLASH, KEY, None, None, 2048, 50.5)
    begun = Attempt(attempt_id, AttemptKind.FLASH, 7, KEY.local_id, None, None, 50.5, size=2048)
    assert store.attempts() == [begun]
    store.set_stage(attempt_id, Stage.TRANSFERRING, 0.5)
    store.set_stage(attempt_id, Stage.QUEUED, 0.0)
    store.set_stage(attempt_id, Stage.TRANSFERRING, 9.0)
    store.set_sent(attempt_id, 1024)
    store.end_attempt(attempt_id, Outcome.FAILED, ended_at=60.0, reason="transfer", message="it broke")
    (ended,) = store.attempts()
    assert ended == Attempt(
        attempt_id,
        AttemptKind.FLASH,
        7,
        KEY.local_id,
        None,
        None,
        50.5,
        ended_at=60.0,
        outcome=Outcome.FAILED,
        reason="transfer",
        message="it broke",
        sent=1024,
        size=2048,
        stages={"queued": 0.0, "transferring": 0.5},
    )
    assert list(ended.stages) == ["queued", "transferring"]


def test_success_ends_the_attempt_and_marks_the_device_in_one_step(store: Store) -> None:
    failed = device(
        target_commit="c2", failures=3, failed_target="c1", failed_permanently=True, failed_at=1.0, retry_at=2.0
    )
    store.add_device(failed)
    attempt_id = begin(store)
    assert store.succeed_update(
        attempt_id, failed.uuid, ended_at=120.0, proof=Proof.VERSION_READ_BACK, sent=1000, commit="c1", held_target=None
    )
    assert store.devices() == [device(commit="c1", target_commit="c2", commit_at=120.0)]
    (attempt,) = store.attempts()
    assert (attempt.outcome, attempt.proof, attempt.ended_at, attempt.sent) == (
        Outcome.SUCCEEDED,
        Proof.VERSION_READ_BACK,
        120.0,
        1000,
    )


def good_of(store: Store) -> tuple[str | None, str | None]:
    [known] = store.devices()
    return known.commit, known.good_commit


def test_the_last_good_commit_is_the_one_before_and_never_the_one_that_was_left_for_it(store: Store) -> None:
    store.add_device(device())

    def comes_to(commit: str | None) -> tuple[str | None, str | None]:
        proof = Proof.VERSION_READ_BACK
        store.succeed_update(begin(store), device().uuid, ended_at=1.0, proof=proof, commit=commit)
        return good_of(store)

    assert comes_to("c1") == ("c1", None)
    assert comes_to("c1") == ("c1", None)
    assert comes_to("c2") == ("c2", "c1")
    assert comes_to("c1") == ("c1", "c1"), "back to it: c2 is not where it would go back to"
    assert comes_to("c3") == ("c3", "c1")
    assert comes_to("c4") == ("c4", "c3")
    assert comes_to(None) == (None, "c4"), "a flash by hand with a file that nobody knows"


def test_a_device_of_which_nothing_is_known_any_more_keeps_what_it_ran_as_good(store: Store) -> None:
    store.add_device(device(commit="c2", good_commit="c0"))

    def breaks_off(tried: str | None) -> tuple[str | None, str | None]:
        attempt_id = store.begin_attempt(AttemptKind.UPDATE, KEY, device().uuid, tried, 1000, 100.0)
        store.end_attempt(attempt_id, Outcome.UNKNOWN, ended_at=101.0, in_doubt=True)
        return good_of(store)

    assert breaks_off("c3") == (None, "c2")
    assert breaks_off("c3") == (None, "c2")
    store.change(device().uuid, commit="c3")
    assert breaks_off("c2") == (None, "c2"), "it was on its way back to that"
    store.change(device().uuid, commit="c3")
    assert breaks_off("c3") == (None, "c2"), "it was sent what it ran once more"
    store.change(device().uuid, commit="c3", good_commit=None)
    assert breaks_off(None) == (None, "c3"), "a flash by hand with a file that nobody knows"


@pytest.mark.parametrize("ends", ["at the next start", "with the next attempt"])
def test_an_interrupted_attempt_leaves_doubt_once_bytes_may_have_gone_out(store: Store, ends: str) -> None:
    begun = {1: Stage.DOWNLOADING, 2: Stage.TRANSFERRING, 3: Stage.RETURNING}
    for number, stage in begun.items():
        store.add_device(device(number, commit="c0"))
        store.set_stage(begin(store, number), stage, 0.5)
    restarted = device(4, commit="c0")
    store.add_device(restarted)
    assert restarted.key is not None
    restart = store.begin_attempt(AttemptKind.RESTART, restarted.key, restarted.uuid, None, 0, 100.0)
    store.set_stage(restart, Stage.RETURNING, 0.5)
    if ends == "at the next start":
        store.interrupt_running(200.0)
    else:
        for number in range(1, 5):
            begin(store, number)
    assert [(known.commit, known.good_commit) for known in store.devices()] == [
        ("c0", None),
        (None, "c0"),
        (None, "c0"),
        ("c0", None),
    ]


def test_a_success_that_cannot_be_stored_whole_is_not_stored_at_all(store: Store) -> None:
    store.add_many([device(1), device(2)])
    attempt_id = begin(store)
    with pytest.raises(StoreError):
        store.succeed_update(
            attempt_id, device().uuid, ended_at=1.0, proof=Proof.RETURN_ALONE, commit="c1", local_id="2"
        )
    assert store.attempts()[0].outcome is Outcome.RUNNING
    assert store.device(device().uuid) == device()


def test_success_of_a_device_that_is_gone_still_ends_the_attempt(store: Store) -> None:
    attempt_id = begin(store)
    assert not store.succeed_update(attempt_id, device().uuid, ended_at=1.0, proof=Proof.RETURN_ALONE, commit="c1")
    assert store.attempts()[0].outcome is Outcome.SUCCEEDED


def test_what_still_ran_is_interrupted_once(store: Store) -> None:
    ids = [begin(store, number) for number in (1, 2, 3)]
    store.set_stage(ids[2], Stage.TRANSFERRING, 1.0)
    store.end_attempt(ids[1], Outcome.UNKNOWN, ended_at=101.0)
    interrupted = store.interrupt_running(200.0)
    assert [attempt.id for attempt in interrupted] == [ids[0], ids[2]]
    assert interrupted == [attempt for attempt in store.attempts()[::-1] if attempt.outcome is Outcome.INTERRUPTED]
    assert {attempt.ended_at for attempt in interrupted} == {200.0}
    assert store.interrupt_running(300.0) == []


def test_attempts_are_told_newest_first_by_device_or_board(store: Store) -> None:
    ids = [begin(store, number) for number in (1, 2, 1)]
    assert [attempt.id for attempt in store.attempts()] == ids[::-1]
    assert [attempt.id for attempt in store.attempts(device(1).uuid)] == [ids[2], ids[0]]
    assert [attempt.id for attempt in store.attempts(local_id="2")] == [ids[1]]
    assert [attempt.id for attempt in store.attempts(limit=2)] == ids[:0:-1]
    assert store.attempts(device(1).uuid, "2") == []


def test_a_board_has_one_attempt_at_a_time_and_one_without_an_end_was_interrupted(store: Store) -> None:
    """Its end found no room on the disk; whoever begins anew knows that it runs no more."""
    first, other, second = begin(store), begin(store, 2), begin(store, started_at=200.0)
    outcomes = {attempt.id: (attempt.outcome, attempt.ended_at) for attempt in store.attempts()}
    assert outcomes[first] == (Outcome.INTERRUPTED, 200.0)
    assert outcomes[other] == outcomes[second] == (Outcome.RUNNING, None)


def test_old_attempts_go_but_none_that_runs(store: Store) -> None:
    running = begin(store)
    for _ in range(300):
        store.end_attempt(begin(store, 2), Outcome.SUCCEEDED, ended_at=1.0)
    left = [attempt.id for attempt in store.attempts(limit=1000)]
    assert running in left
    assert 101 <= len(left) <= 101 + 64
    assert left[:100] == list(range(301, 201, -1))


def test_the_stages_of_an_old_attempt_go_with_it(store: Store) -> None:
    for _ in range(200):
        attempt_id = begin(store)
        store.set_stage(attempt_id, Stage.QUEUED, 0.0)
        store.end_attempt(attempt_id, Outcome.SUCCEEDED, ended_at=1.0)
    with store.reading() as connection:
        assert connection.execute("SELECT min(attempt_id) FROM stages").fetchone()[0] > 50


def test_log_lines_come_as_they_were_written_whatever_the_clock_did(store: Store) -> None:
    lines = [(5.0, "u1", "info", "one"), (3.0, "u2", "error", "two\n\ud800"), (1.0, "u1", "info", "three")]
    store.add_events(line for line in lines)
    assert [(event.at, event.message) for event in store.events("u1")] == [(5.0, "one"), (1.0, "three")]
    assert [event.message for event in store.events()] == ["one", "two\n\ufffd", "three"]
    assert [event.message for event in store.events(limit=2)] == ["two\n\ufffd", "three"]
    store.add_events([])
    assert store.events("nobody") == []


def test_a_reader_that_asks_again_and_again_misses_no_line(store: Store) -> None:
    store.add_events((0.0, "u", "info", str(number)) for number in range(50))
    seen = [event.message for event in store.events("u", limit=1)]
    first = store.events("u", limit=100)[0].id
    seen, after = ["0"], first
    while lines := store.events("u", limit=7, after=after):
        seen += [event.message for event in lines]
        after = lines[-1].id
    assert seen == [str(number) for number in range(50)]


def test_only_so_many_log_lines_are_kept(store: Store) -> None:
    for start in range(0, 1000, 10):
        store.add_events((0.0, "u", "info", str(start + number)) for number in range(10))
        assert len(store.events(limit=10_000)) <= 105
    left = [int(event.message) for event in store.events(limit=10_000)]
    assert left == list(range(left[0], 1000))
    assert len(left) >= 100


def test_facts_and_lock_ids_are_kept_and_forgotten(store: Store) -> None:
    assert store.meta("pause") is None
    store.set_meta("pause", "until 5")
    store.set_meta("pause", "until 6")
    assert store.meta("pause") == "until 6"
    store.set_meta("pause", None)
    store.set_meta("pause", None)
    assert store.meta("pause") is None
    assert not store.knows_lock("a")
    store.remember_lock("a")
    store.remember_lock("a")
    assert store.knows_lock("a")
    store.forget_lock("a")
    assert not store.knows_lock("a")
