"""decide() in worlds that nobody thought of: hypothesis looks for one in which a rule of the loop is broken."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.gateway.actions import (
    Action,
    Complain,
    Configure,
    Inquire,
    Meet,
    Provision,
    Record,
    Restart,
    Tell,
    Update,
)
from enmctl.gateway.decide import Seen, Stored, Told, decide, is_on_target
from enmctl.models import (
    BoardKey,
    Desired,
    Device,
    ListedDevice,
)
from tests.logic.gateway.test_decide import APP, BOARD, NEW, OLD

COMMITS = st.sampled_from([None, OLD, NEW])
MAPS = st.sampled_from([None, {}, {"A": "1"}])
IDS = [str(number) for number in range(4)]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Desired, dict[BoardKey, Seen], Stored]:
    devices, listed, seen = [], {}, {}
    for local_id in IDS:
        uuid = f"uuid-{local_id}"
        if draw(st.booleans()):
            devices.append(
                Device(
                    uuid,
                    7,
                    "esp8266",
                    draw(st.sampled_from([None, local_id])),
                    commit=draw(COMMITS),
                    target_commit=draw(COMMITS),
                    config=draw(MAPS),
                    target_config=draw(MAPS),
                    environment=draw(MAPS),
                    target_environment=draw(MAPS),
                    restart_wanted=draw(st.booleans()),
                    deleted=draw(st.booleans()),
                    unlisted=draw(st.booleans()),
                    held_target=draw(COMMITS),
                    failures=draw(st.integers(0, 3)),
                    failed_target=draw(COMMITS),
                    failed_permanently=draw(st.booleans()),
                    failed_at=draw(st.sampled_from([None, 500.0, 5000.0])),
                    retry_at=draw(st.sampled_from([None, 900.0, 1100.0])),
                    first_listed=draw(st.sampled_from([None, 1, 5])),
                )
            )
        if draw(st.booleans()):
            listed[uuid] = ListedDevice(uuid, 7, draw(st.sampled_from([None, "n"])), draw(COMMITS), draw(MAPS))
        if draw(st.booleans()):
            board = replace(BOARD, local_id=local_id, version=draw(COMMITS))
            seen[BoardKey(7, local_id)] = Seen(board, draw(st.booleans()), draw(st.sampled_from([(), ("x:1",)])))
    busy = {BoardKey(7, local_id) for local_id in IDS if draw(st.booleans())}
    hooked = {f"uuid-{local_id}": draw(st.sampled_from([10.0, 200.0])) for local_id in IDS if draw(st.booleans())}
    applications = {7: APP} if draw(st.booleans()) else {}
    known = Stored(devices, busy, hooked, settled=draw(st.booleans()), heard=draw(st.booleans()), list_serial=9)
    return Desired(applications, listed, 100.0), seen, known


def carried_out(actions: list[Action], known: Stored) -> Stored:  # noqa: C901 - one case an action
    """What is known once the decided work has succeeded and everything was told."""
    devices = {device.uuid: device for device in known.devices}
    reports = dict(known.told)
    for action in actions:
        match action:
            case Record(uuid, changes):
                devices[uuid] = replace(devices[uuid], **changes)
            case Meet(listed, board_type):
                devices[listed.uuid] = Device(
                    listed.uuid,
                    listed.application_id,
                    board_type,
                    name=listed.name or "",
                    target_commit=listed.target_commit,
                    target_config=listed.target_config,
                    target_environment=listed.target_environment,
                    first_listed=known.list_serial,
                )
            case Update(uuid, _, commit):
                devices[uuid] = replace(devices[uuid], commit=commit, failures=0, held_target=None)
            case Configure(uuid):
                device = devices[uuid]
                devices[uuid] = replace(device, config=device.target_config, environment=device.target_environment)
            case Restart(uuid):
                devices[uuid] = replace(devices[uuid], restart_wanted=False)
            case Provision(_, board):
                devices[f"made-{board.local_id}"] = Device(f"made-{board.local_id}", 7, "esp8266", board.local_id)
            case Inquire(uuid):
                del devices[uuid]
            case Tell(uuid, report):
                known_report = reports[uuid].report if uuid in reports else report
                reports[uuid] = Told(replace(known_report, **report.fields()), 1001.0)
            case Complain():
                pass
    return dataclasses.replace(known, devices=list(devices.values()), told=reports)


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_no_board_gets_two_workers_and_nobody_busy_offline_or_deleted_gets_one(
    world: tuple[Desired, dict[BoardKey, Seen], Stored],
) -> None:
    desired, seen, known = world
    actions = decide(desired, seen, known, 1001.0)
    keys = [action.key for action in actions if isinstance(action, (Provision, Update, Configure, Restart))]
    deleted = {device.key for device in known.devices if device.deleted}
    brought_back = {action.uuid for action in actions if isinstance(action, Record) and "deleted" in action.changes}
    assert len(keys) == len(set(keys))
    for key in keys:
        assert key not in known.busy
        assert key not in deleted or brought_back
        assert seen[key].online
        assert not seen[key].rivals


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_carrying_out_what_was_decided_comes_to_rest(
    world: tuple[Desired, dict[BoardKey, Seen], Stored],
) -> None:
    """Level-triggered: with the outside unchanged, a few passes later nothing is left to do."""
    desired, seen, known = world
    desired = replace(
        desired,
        devices={
            uuid: replace(item, target_commit=item.target_commit or OLD) for uuid, item in desired.devices.items()
        },
    )
    known = replace(known, busy=frozenset())
    seen = {key: replace(here, board=replace(here.board, version=None)) for key, here in seen.items()}
    for _ in range(6):
        actions = decide(desired, seen, known, 1001.0)
        known = carried_out(actions, known)
    left = [action for action in decide(desired, seen, known, 1001.0) if not isinstance(action, Complain)]
    assert left == []


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_a_device_on_target_is_never_sent_an_image(world: tuple[Desired, dict[BoardKey, Seen], Stored]) -> None:
    desired, seen, known = world
    seen = {key: replace(here, board=replace(here.board, version=None)) for key, here in seen.items()}
    actions = decide(desired, seen, known, 1001.0)
    after = {
        device.uuid: device for device in carried_out([a for a in actions if isinstance(a, Record)], known).devices
    }
    for action in actions:
        if isinstance(action, Update):
            assert not is_on_target(after[action.uuid])
            assert action.commit == after[action.uuid].target_commit
