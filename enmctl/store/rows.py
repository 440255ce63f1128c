"""How typed values stand in rows: the one place that turns either into the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypedDict

from enmctl.errors import StoreError
from enmctl.models import Attempt, AttemptKind, Device, Outcome, PinnedBy, Proof

Cell = str | int | float | None
"""What one cell of a row holds."""

DEVICE_COLUMNS: tuple[str, ...] = tuple(Device.__slots__)
ATTEMPT_COLUMNS: tuple[str, ...] = tuple(name for name in Attempt.__slots__ if name != "stages")

_LONE_SURROGATES = "surrogatepass"


class DeviceColumns(TypedDict, total=False):
    """The columns of a device that may change, by name; the fields of ``Device`` but its uuid."""

    application_id: int
    board_type: str
    local_id: str | None
    name: str
    commit: str | None
    target_commit: str | None
    config: Mapping[str, str] | None
    target_config: Mapping[str, str] | None
    environment: Mapping[str, str] | None
    target_environment: Mapping[str, str] | None
    restart_wanted: bool
    deleted: bool
    unlisted: bool
    held_target: str | None
    failures: int
    failed_target: str | None
    failed_permanently: bool
    failed_at: float | None
    retry_at: float | None
    first_listed: int | None
    commit_at: float | None
    good_commit: str | None
    pinned_commit: str | None
    pinned_target: str | None
    pinned_by: PinnedBy | None


NO_FAILURES: Final = DeviceColumns(
    failures=0, failed_target=None, failed_permanently=False, failed_at=None, retry_at=None
)
"""A device whose failures are forgotten."""


def quoted(column: str) -> str:
    """A column's name as SQL wants it: ``commit`` is a word of its own there."""
    return f'"{column}"'


def listed(columns: Iterable[str]) -> str:
    """Columns' names for a SELECT or an INSERT."""
    return ", ".join(quoted(column) for column in columns)


def places(columns: Sequence[object]) -> str:
    """As many question marks as there are columns."""
    return ", ".join("?" * len(columns))


def known(columns: Iterable[str]) -> Iterable[str]:
    """The same names, each of them a column of a device: what goes into SQL is never a stranger's text.

    Raises:
        KeyError: there is no such column.
    """
    for column in columns:
        if column not in DEVICE_COLUMNS:
            raise KeyError(column)
        yield column


def cell(value: Any) -> Cell:
    """A value of a model as a cell: mappings as JSON with sorted keys, so that equal ones are equal text."""
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, int):
        return int(value)
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"))


def _storable(text: str) -> str:
    """The text itself, or, where UTF-8 cannot hold it (half a surrogate pair, which JSON may carry), one it can."""
    if text.isascii():
        return str(text)
    return text.encode("utf-16-le", _LONE_SURROGATES).decode("utf-16-le", "replace")


def device_cells(device: Device) -> list[Cell]:
    """A device's row, in the order of ``DEVICE_COLUMNS``."""
    return [cell(getattr(device, name)) for name in DEVICE_COLUMNS]


class _Mappings(dict[Any, "Mapping[str, str] | None"]):
    """Mappings by their JSON text, each text parsed once: the devices of an application mostly share theirs."""

    def __init__(self) -> None:
        super().__init__({None: None})

    def __missing__(self, text: str) -> Mapping[str, str]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(text)
        self[text] = value
        return value


def devices(rows: Iterable[tuple[Any, ...]]) -> list[Device]:
    """Devices from rows in the order of ``DEVICE_COLUMNS``.

    Equal commits and equal mappings are one object, which saves memory; so nobody may change a mapping.

    Raises:
        StoreError: somebody else wrote a row that makes no sense.
    """
    mapping = _Mappings()
    shared: dict[Any, Any] = {}
    share = shared.setdefault
    found: list[Device] = []
    row: tuple[Any, ...] = ()
    try:
        for row in rows:
            (uuid, application_id, board_type, local_id, name, commit, target_commit, config, target_config,
             environment, target_environment, restart_wanted, deleted, unlisted, held_target, failures, failed_target,
             failed_permanently, failed_at, retry_at, first_listed, commit_at, good_commit, pinned_commit,
             pinned_target, pinned_by) = row  # fmt: skip
            found.append(
                Device(
                    uuid,
                    application_id,
                    share(board_type, board_type),
                    local_id,
                    name,
                    share(commit, commit),
                    share(target_commit, target_commit),
                    mapping[config],
                    mapping[target_config],
                    mapping[environment],
                    mapping[target_environment],
                    restart_wanted == 1,
                    deleted == 1,
                    unlisted == 1,
                    held_target,
                    failures,
                    failed_target,
                    failed_permanently == 1,
                    failed_at,
                    retry_at,
                    first_listed,
                    commit_at,
                    share(good_commit, good_commit),
                    pinned_commit,
                    pinned_target,
                    None if pinned_by is None else PinnedBy(pinned_by),
                )
            )
    except (ValueError, TypeError, RecursionError) as error:
        raise _senseless(f"device {row[0]}") from error
    return found


def attempt(row: Sequence[Any], stages: Mapping[str, float]) -> Attempt:
    """An attempt from a row in the order of ``ATTEMPT_COLUMNS`` and its stages.

    Raises:
        StoreError: somebody else wrote a row that makes no sense.
    """
    values = dict(zip(ATTEMPT_COLUMNS, row, strict=True))
    try:
        values["kind"] = AttemptKind(values["kind"])
        values["outcome"] = Outcome(values["outcome"])
        values["proof"] = None if values["proof"] is None else Proof(values["proof"])
    except ValueError as error:
        raise _senseless(f"attempt {values['id']}") from error
    return Attempt(**values, stages=stages)


def _senseless(what: str) -> StoreError:
    return StoreError(
        f"the database's row of {what} makes no sense",
        remedy="somebody changed it by hand: put it right, or delete it",
        reason="damaged",
    )
