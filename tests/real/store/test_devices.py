from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enmctl.errors import StoreError
from enmctl.models import BoardKey, Device
from enmctl.store import Store
from enmctl.store.rows import DEVICE_COLUMNS, DeviceColumns
from tests.real.store.samples import device

texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
mappings = st.none() | st.dictionaries(texts, texts, max_size=4)
integers = st.integers(-(1 << 63), (1 << 63) - 1)
moments = st.none() | st.floats(allow_nan=False)
columns: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "board_type": texts,
        "commit": st.none() | texts,
        "target_commit": st.none() | texts,
        "config": mappings,
        "target_config": mappings,
        "environment": mappings,
        "target_environment": mappings,
        "restart_wanted": st.booleans(),
        "unlisted": st.booleans(),
        "held_target": st.none() | texts,
        "failures": integers,
        "failed_target": st.none() | texts,
        "failed_permanently": st.booleans(),
        "failed_at": moments,
        "retry_at": moments,
        "first_listed": st.none() | integers,
    },
)


def storable(value: Any) -> Any:
    """What UTF-8 cannot hold, half a surrogate pair, is stored as a mark; inside JSON it survives."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def test_columns_have_the_names_of_the_models_fields() -> None:
    assert set(DeviceColumns.__annotations__) == set(DEVICE_COLUMNS) - {"uuid"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=columns)
def test_every_value_comes_back_as_it_was_stored_and_no_other_column_moves(
    store: Store, values: dict[str, Any]
) -> None:
    store.remove_device(device().uuid)
    store.add_device(device(target_commit="t", config={"A": "1"}))
    store.change_many([(device().uuid, values)])
    expected = {"target_commit": "t", "config": {"A": "1"}} | {name: storable(value) for name, value in values.items()}
    assert store.device(device().uuid) == device(**expected)
    store.remove_device(device().uuid)
    store.add_device(device(**values))
    assert store.device(device().uuid) == device(**{name: storable(value) for name, value in values.items()})
    assert store.change_where(device().uuid, values, failures=1), "what was stored is what is expected"


def test_a_device_is_added_once(store: Store) -> None:
    assert store.add_device(device(commit="first"))
    assert not store.add_device(device(commit="second"))
    assert store.device(device().uuid) == device(commit="first")


def test_a_board_is_one_device_only_but_deleted_ones_may_remember_it(store: Store) -> None:
    store.add_device(device(1, local_id="b", deleted=True))
    store.add_device(device(2, local_id="b", deleted=True))
    assert store.add_device(device(3, local_id="b"))
    assert not store.add_device(device(4, local_id="b"))
    with pytest.raises(StoreError) as raised:
        store.change(device(1).uuid, deleted=False)
    assert raised.value.reason == "conflict"
    assert store.add_device(device(5, local_id="b", application_id=8))
    assert store.device_of(BoardKey(7, "b")) == device(3, local_id="b")
    assert store.device_of(BoardKey(7, "c")) is None


def test_devices_are_listed_as_added_with_or_without_the_deleted(store: Store) -> None:
    one, two, three = device(1), device(2, deleted=True), device(3, local_id=None)
    assert store.add_many([three, one, two, one]) == 3
    assert store.devices() == [three, one]
    assert store.devices(deleted=True) == [two]
    assert store.devices(deleted=None) == [three, one, two]


def test_a_change_of_an_unknown_device_is_told_and_does_nothing(store: Store) -> None:
    assert not store.change("nobody", commit="c")
    assert not store.change_where("nobody", {"commit": None}, commit="c")
    assert not store.remove_device("nobody")
    assert store.devices(deleted=None) == []


def test_a_conditional_change_only_happens_while_the_row_is_as_expected(store: Store) -> None:
    store.add_device(device(target_commit="new", target_config={"A": "1", "B": "2"}))
    assert not store.change_where(device().uuid, {"target_commit": "old"}, commit="old")
    assert not store.change_where(device().uuid, {"target_commit": "new", "commit": "x"}, commit="new")
    assert not store.change_where(device().uuid, {"target_config": {"A": "1"}}, commit="new")
    expected = {"target_commit": "new", "commit": None, "target_config": {"B": "2", "A": "1"}, "deleted": False}
    assert store.change_where(device().uuid, expected, commit="new")
    assert store.device(device().uuid) == device(commit="new", target_commit="new", target_config={"A": "1", "B": "2"})


def test_a_change_leaves_alone_what_another_writer_changed_meanwhile(store: Store, path: Path) -> None:
    store.add_device(device(commit="c1"))
    with Store.open(path) as other:
        seen = store.device(device().uuid)
        assert seen is not None
        other.change(device().uuid, target_commit="newer", restart_wanted=True)
        store.change(device().uuid, commit="c2", failures=seen.failures + 1)
        assert other.device(device().uuid) == device(
            commit="c2", target_commit="newer", restart_wanted=True, failures=1
        )


def test_many_changes_are_one_transaction(store: Store, path: Path) -> None:
    store.add_many([device(1), device(2)])
    changes: list[tuple[str, dict[str, Any]]] = [
        (device(1).uuid, {"commit": "c"}),
        ("nobody", {"commit": "c"}),
        (device(2).uuid, {"failures": 1 << 70}),
    ]
    with pytest.raises(StoreError) as raised:
        store.change_many(changes)
    assert (raised.value.reason, raised.value.permanent) == ("value", True)
    assert store.devices() == [device(1), device(2)]
    assert store.change_many([*changes[:2], (device(2).uuid, {"failures": 3})]) == 2
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT failures FROM devices ORDER BY uuid").fetchall() == [(0,), (3,)]


def test_no_column_but_a_devices_own_gets_into_a_statement(store: Store) -> None:
    store.add_device(device())
    with pytest.raises(KeyError):
        store.change_many([(device().uuid, {"commit = 'x' --": 1})])
    with pytest.raises(KeyError):
        store.change_where(device().uuid, {"1=1 OR uuid": 1}, commit="x")
    assert store.devices() == [device()]


@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        (device(1).uuid, [1]),
        ("abcd", [2, 3]),
        ("abcd1", [2]),
        ("abc", []),
        ("77", [2]),
        ("lamp", [1, 3]),
        ("LAMP", []),
        ("%", []),
        ("____", []),
        ("", []),
        ("gone", []),
        ("\ud800", []),
    ],
)
def test_a_word_finds_the_devices_that_a_person_may_mean(store: Store, word: str, numbers: list[int]) -> None:
    devices = {
        1: device(1, name="lamp"),
        2: device(2, uuid="abcd1" + "0" * 57, local_id="77"),
        3: device(3, uuid="abcd2" + "0" * 57, name="lamp"),
        4: device(4, uuid="abcd3" + "0" * 57, name="gone", deleted=True),
    }
    store.add_many(devices.values())
    assert store.find(word) == [devices[number] for number in numbers]


def test_deleted_devices_are_found_when_asked_for(store: Store) -> None:
    gone = device(4, name="gone", deleted=True)
    store.add_device(gone)
    assert store.find("gone") == []
    assert store.find("gone", deleted=None) == store.find("gone", deleted=True) == [gone]


def test_a_row_that_somebody_broke_by_hand_is_named(store: Store, path: Path) -> None:
    store.add_device(device())
    with closing(sqlite3.connect(path)) as other:
        with pytest.raises(sqlite3.IntegrityError):
            other.execute("UPDATE devices SET config = 'broken'")
        other.execute("UPDATE devices SET config = '[]'")
        other.commit()
    with pytest.raises(StoreError, match=device().uuid):
        store.devices()


def test_ten_thousand_devices_share_their_equal_configs(store: Store) -> None:
    store.add_many(device(number, config={"A": "1"}, environment={"N": str(number % 2)}) for number in range(10_000))
    devices: list[Device] = store.devices()
    assert len(devices) == 10_000
    assert len({id(one.config) for one in devices}) == 1
    assert len({id(one.environment) for one in devices}) == 2
