"""Limits for an emulated processor: a hang-up takes the seconds there that it never takes over the air."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from enmctl.boards.bluetooth_board import BluetoothBoard
from enmctl.dfu.limits import Limits

ORDERLY, GONE, STALL = 8.0, 15.0, 8.0


@pytest.fixture(scope="session", autouse=True)
def _patient() -> Iterator[None]:
    usual: property = vars(BluetoothBoard)["_limits"]  # no setting is meant to be so long

    def patient(board: BluetoothBoard) -> Limits:
        limits: Limits = usual.__get__(board)
        return replace(limits, orderly=ORDERLY, gone=GONE, stall=STALL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BluetoothBoard, "_limits", property(patient))
        yield
