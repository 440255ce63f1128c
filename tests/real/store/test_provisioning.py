from __future__ import annotations

import pytest

from enmctl.errors import StoreError
from enmctl.models import BoardKey, Pending
from enmctl.store import Store
from tests.real.store.samples import KEY, device

PENDING = Pending(KEY, "esp8266", list_serial=4, asked_at=10.0)
NEW = device(local_id=KEY.local_id)


def test_a_provisioning_is_noted_before_it_is_asked_and_after(store: Store) -> None:
    assert store.begin_provisioning(PENDING)
    assert store.pending() == [PENDING]
    assert store.mark_asked(KEY, 11.5)
    assert store.pending() == [Pending(KEY, "esp8266", list_serial=4, asked_at=11.5, asked=True)]
    assert store.drop_pending(KEY)
    assert store.pending() == []
    assert not store.drop_pending(KEY)
    assert not store.mark_asked(KEY, 12.0)


def test_one_that_was_asked_for_is_not_noted_over(store: Store) -> None:
    later = Pending(KEY, "esp8266", list_serial=9, asked_at=20.0)
    store.begin_provisioning(PENDING)
    assert store.begin_provisioning(later), "nothing was asked yet"
    store.mark_asked(KEY, 21.0)
    assert not store.begin_provisioning(PENDING)
    assert store.pending() == [Pending(KEY, "esp8266", list_serial=9, asked_at=21.0, asked=True)]


def test_the_device_appears_and_the_note_goes_in_one_step(store: Store) -> None:
    store.begin_provisioning(PENDING)
    store.finish_provisioning(KEY, NEW)
    assert store.devices() == [NEW]
    assert store.pending() == []


def test_a_listed_device_without_a_board_becomes_this_board_and_keeps_the_rest(store: Store) -> None:
    listed = device(local_id=None, board_type="", name="from-the-list", target_commit="t", first_listed=3, deleted=True)
    store.add_device(listed)
    store.begin_provisioning(PENDING)
    store.finish_provisioning(KEY, device(local_id=KEY.local_id, name="from-the-answer"))
    assert store.devices() == [device(local_id=KEY.local_id, name="from-the-list", target_commit="t", first_listed=3)]
    assert store.pending() == []


def test_finishing_twice_changes_nothing(store: Store) -> None:
    store.finish_provisioning(KEY, NEW)
    store.change(NEW.uuid, commit="c")
    store.finish_provisioning(KEY, NEW)
    assert store.devices(deleted=None) == [device(local_id=KEY.local_id, commit="c")]


def test_a_uuid_that_is_another_boards_is_refused_and_nothing_changes(store: Store) -> None:
    store.add_device(device(local_id="other"))
    store.begin_provisioning(PENDING)
    with pytest.raises(StoreError) as raised:
        store.finish_provisioning(KEY, NEW)
    assert raised.value.reason == "claimed"
    assert store.devices() == [device(local_id="other")]
    assert store.pending() == [PENDING]


def test_a_board_that_already_is_another_device_is_refused_and_nothing_changes(store: Store) -> None:
    store.add_many([device(2, local_id=KEY.local_id), device(3, local_id=KEY.local_id, deleted=True)])
    store.begin_provisioning(PENDING)
    before = store.devices(deleted=None)
    with pytest.raises(StoreError) as raised:
        store.finish_provisioning(KEY, NEW)
    assert raised.value.reason == "claimed"
    assert store.devices(deleted=None) == before
    assert store.pending() == [PENDING]


def test_deleted_devices_of_the_board_let_it_go(store: Store) -> None:
    store.add_many(
        [
            device(2, local_id=KEY.local_id, deleted=True),
            device(3, local_id="other", deleted=True),
            device(4, local_id=KEY.local_id, application_id=8, deleted=True),
        ]
    )
    store.finish_provisioning(KEY, NEW)
    assert store.devices() == [NEW]
    assert [gone.local_id for gone in store.devices(deleted=True)] == [None, "other", KEY.local_id]


def test_the_oldest_comes_first(store: Store) -> None:
    keys = [BoardKey(7, "b"), BoardKey(7, "a"), BoardKey(8, "a")]
    for place, key in enumerate(keys):
        store.begin_provisioning(Pending(key, "esp8266", list_serial=1, asked_at=float(place)))
    assert [pending.key for pending in store.pending()] == keys
