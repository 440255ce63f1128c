"""The demo needs no network, and nothing of ``demo``, ``simulator`` and ``--simulate`` leaves loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.gateway.process import whole_environment

pytestmark = pytest.mark.system

HERE = Path(__file__).parent

LOOPBACK_ALONE = "ip link set lo up"

WITH_A_WAY_OUT = """
set -e
ip link set lo up
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6  # else the kernel itself asks for routers
ip link add out0 type veth peer name out1
ip addr add 198.51.100.2/24 dev out0
ip link set out0 up
ip link set out1 up
ip route add default via 198.51.100.1
ip route add multicast 224.0.0.0/4 dev out0
"""
"""An interface with a default route and one for multicast, where every frame is seen and nobody answers."""


def in_a_network(set_up: str, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a network of its own."""
    words = ["unshare", "--net", "sh", "-c", f'{set_up}\nexec "$0" "$@"', *map(str, command)]
    environment = whole_environment(variables)
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, env=environment)


def watched(*command: str | Path, **variables: str) -> Any:
    """Run a command beside an interface with a way out; what it said, and which frames were seen there."""
    done = in_a_network(WITH_A_WAY_OUT, sys.executable, HERE / "watched.py", sys.executable, *command, **variables)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["would_be_seen"], "the watch sees nothing at all"
    return told


def test_the_demo_works_without_any_network() -> None:
    done = in_a_network(LOOPBACK_ALONE, sys.executable, "-m", "enmctl", "demo", "--boards", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Idle") == 3 + 3, "besides, one of each kind with Bluetooth"


POINTING_OUTSIDE = {
    "BALENA_SUPERVISOR_ADDRESS": "http://198.51.100.7:48484",
    "RESIN_SUPERVISOR_ADDRESS": "http://198.51.100.7:48484",
    "RESIN_SUPERVISOR_API_KEY": "secret",
    "ENM_MDNS_INTERFACES": "198.51.100.2",
    "ENM_API_HOST": "198.51.100.2",
    "ENM_API_WITHOUT_TOKEN": "on",
    "HTTP_PROXY": "http://198.51.100.7:3128",
    "http_proxy": "http://198.51.100.7:3128",
    "ALL_PROXY": "http://198.51.100.7:3128",
}
"""What a real gateway would send frames for."""

SIMULATOR_FOR_A_WHILE = """
import os, signal, subprocess, sys
simulator = subprocess.Popen(
    [sys.executable, "-m", "enmctl", "simulator", "--boards", "2", "--json"], stdout=subprocess.PIPE
)
simulator.stdout.readline()
scan = subprocess.run([sys.executable, "-m", "enmctl", "--simulate", "scan"], check=False)
simulator.send_signal(signal.SIGINT)
sys.exit(simulator.wait(30) or scan.returncode)
"""


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "enmctl", "demo", "--boards", "2"),
        ("-m", "enmctl", "--simulate", "run", "--once"),
        ("-c", SIMULATOR_FOR_A_WHILE),
    ],
    ids=["demo", "simulate", "simulator"],
)
def test_nothing_leaves_loopback(command: tuple[str, ...]) -> None:
    told = watched(*command, **POINTING_OUTSIDE)
    assert told["code"] == 0, told["talk"]
    assert told["frames"] == []


def test_a_record_with_a_foreign_address_is_not_acted_on(tmp_path: Path) -> None:
    """A whole gateway hears of boards outside and at a name of the network: it asks none of them."""
    told = watched(HERE / "foreign_records.py", tmp_path)
    assert told["code"] == 0, told["talk"]
    heard = json.loads(told["output"])
    assert heard == {"on_target": 1, "devices": 1}
    assert told["frames"] == []


@pytest.mark.parametrize("listen_on", ["198.51.100.2", "all"])
def test_an_interface_that_is_made_anew_with_its_address_is_listened_on_again(listen_on: str) -> None:
    done = in_a_network(LOOPBACK_ALONE, sys.executable, HERE / "recreated_interface.py", listen_on)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"before": True, "after": True}
