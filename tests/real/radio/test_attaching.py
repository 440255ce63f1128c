"""The adapter of a Raspberry Pi 3 attached by a small program in the place of btattach."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.errors import ExitCode, RadioError
from enmctl.radio.bluetooth import BluetoothRadio, attaching
from enmctl.settings import Settings
from tests.real.radio.bluetoothd import FakeBluetoothd, needs_daemon

SCRIPT = """#!/bin/sh
echo "$0 $*" >> {folder}/calls
[ "$(wc -l < {folder}/calls)" -gt {failing} ] || exit 7
echo $$ > {folder}/process
mkdir -p {folder}/sys/hci0
exec sleep 60
"""


class Machine:
    """A Raspberry Pi 3 whose programs are scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, program: str, *, failing: int = 0, script: str = SCRIPT) -> None:
        """Have a program that fails so many times, and then brings an adapter and stays."""
        file = self.folder / "bin" / program
        file.write_text(script.format(folder=self.folder, failing=failing), encoding="utf-8")
        file.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        return (self.folder / "calls").read_text().replace(f"{self.folder}/bin/", "").splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for name in ("bin", "sys"):
        (tmp_path / name).mkdir()
    (tmp_path / "sys" / "hci0:64").mkdir()
    for name in ("sleep", "wc", "mkdir", "sh"):
        (tmp_path / "bin" / name).symlink_to(
            next(path for path in (Path("/bin") / name, Path("/usr/bin") / name) if path.exists())
        )
    monkeypatch.setattr(attaching, "ADAPTERS", tmp_path / "sys")
    monkeypatch.setattr(attaching, "INTERVAL", 0.01)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    yield Machine(tmp_path)
    process = tmp_path / "process"
    if process.exists():
        os.kill(int(process.read_text()), signal.SIGKILL)


def test_only_a_raspberry_pi_3_without_an_adapter_needs_it(machine: Machine) -> None:
    assert attaching.is_needed("raspberrypi3")
    assert attaching.is_needed("raspberrypi3-64")
    assert not attaching.is_needed("")
    assert not attaching.is_needed("raspberrypi4-64")
    (machine.folder / "sys" / "hci0").mkdir()
    assert not attaching.is_needed("raspberrypi3")


async def test_it_is_tried_three_times_by_the_newer_program_which_stays(machine: Machine) -> None:
    machine.install("btattach", failing=2)
    machine.install("hciattach")
    await attaching.attach()
    assert machine.calls == ["btattach -B /dev/ttyAMA0 -P bcm -S 921600 -N"] * 3
    os.kill(int((machine.folder / "process").read_text()), 0)


async def test_where_there_is_only_the_older_program_that_is_taken(machine: Machine) -> None:
    machine.install("hciattach")
    await attaching.attach()
    assert machine.calls == ["hciattach -n /dev/ttyAMA0 bcm43xx 921600 noflow -"]


@pytest.mark.parametrize(
    ("script", "why"), [(SCRIPT, "ended with 7"), ("#!/bin/sh\nexec sleep 60\n", "no adapter within")]
)
async def test_one_that_does_not_come_is_said_with_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(attaching, "LIMIT", 0.5)
    machine.install("btattach", failing=3, script=script)
    with pytest.raises(RadioError, match=why) as caught:
        await attaching.attach()
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.RADIO, "no-adapter")
    assert "3 times" in caught.value.message
    assert "bluez" in caught.value.remedy


async def test_without_a_program_for_it_that_is_said(machine: Machine) -> None:
    assert machine.folder.exists()
    with pytest.raises(RadioError, match="neither btattach nor hciattach"):
        await attaching.attach()


@needs_daemon
@pytest.mark.parametrize("device_type", ["raspberrypi3", "intel-nuc"])
async def test_a_radio_has_it_attached_before_it_listens(
    machine: Machine, daemon: FakeBluetoothd, device_type: str
) -> None:
    assert daemon.objects
    machine.install("btattach")
    async with BluetoothRadio(Settings(device_type=device_type)):
        assert attaching.has_adapter() is (device_type == "raspberrypi3")
