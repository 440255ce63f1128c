"""What README.md and docs/fleet-file.md show of fleet files is right, and can be typed."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enmctl.errors import ExitCode
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.nordic.packages import legacy_package, universal_hex
from tests.real.boards.air import image as board_image
from tests.real.cli.outside import WITHIN
from tests.real.cli.rig import Run, whole_environment

ROOT = Path(__file__).parents[3]
PAGES = ("docs/fleet-file.md", "README.md")
TEXTS = {page: (ROOT / page).read_text("utf-8") for page in PAGES}
FILES = [
    pytest.param(block, id=f"{page}-{number}")
    for page, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", text, re.DOTALL))
]


def commands() -> dict[tuple[str, ...], str]:
    """The blocks with commands by what is typed in them; one that stands on both pages is run once."""
    blocks = [
        block
        for text in reversed(TEXTS.values())
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        if "$ enmctl" in block and ("fleet" in block or text is not TEXTS["README.md"])
    ]
    return {tuple(re.findall(r"^\$ (.*)", block, re.MULTILINE)): block for block in blocks}


COMMANDS = commands().values()

CONTENTS: dict[str, Callable[[], bytes]] = {
    ".hex": lambda: universal_hex(board_image("microbit-v1"), board_image("microbit-v2")),
    ".zip": lambda: legacy_package(board_image("nrf51822dk")),
}
"""Firmware by the ending of its file; any other is for the ESP8266."""

BOARDS = 6
"""How many simulated ones there are."""

LISTENS = "fleet init --timeout 1s"
"""It finds no board, or those of other tests: loopback is one room."""


@pytest.mark.parametrize("block", FILES)
def test_every_file_that_is_shown_is_right(block: str, enmctl: Run, tmp_path: Path) -> None:
    image = esp8266_image(fw="1.4.0", size=16 * 1024)
    for name in re.findall(r'firmware = "([^":]+)"', block):
        (tmp_path / name).write_bytes(CONTENTS.get(Path(name).suffix, lambda: image)())
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    if "PUBLIC_KEY" in block:
        signature = secret.sign(hashlib.blake2b(image).digest())
        line, over_all = (
            base64.b64encode(each).decode() for each in (b"ED12345678" + signature, secret.sign(signature))
        )
        text = f"untrusted comment: x\n{line}\ntrusted comment: \n{over_all}\n"
        (tmp_path / "lamps-1.4.0.bin.minisig").write_text(text)
    path = tmp_path / "fleet.toml"
    text = block.replace("HASH", hashlib.sha256(image).hexdigest()).replace("PUBLIC_KEY", key)
    path.write_text(text, "utf-8")
    result = enmctl("fleet", "check", path)
    assert result.exit_code == ExitCode.DONE, result.stdout


@pytest.mark.parametrize("block", COMMANDS)
def test_every_command_that_is_shown_can_be_typed(block: str, enmctl: Run, folder: Path, tmp_path: Path) -> None:
    for match in re.finditer(r"^\$ enmctl (?P<words>.*)\n(?P<answer>(?:(?!\$ ).+\n)*)", block, re.MULTILINE):
        words = shlex.split(match["words"].split(" #")[0])
        if "run" in words:
            _runs_until_all_have_it(words, folder, tmp_path)
            continue
        result = enmctl(*words)
        if match["words"] == LISTENS:
            assert result.exit_code in (ExitCode.DONE, ExitCode.OFFLINE)
            _stand_in(folder)
            continue
        expected = ExitCode.REMAINS if "plan" in words and "--simulate" in words else ExitCode.DONE
        assert result.exit_code == expected, (words, result.stderr)
        assert match["answer"] in result.stdout


def _stand_in(folder: Path) -> None:
    """What ``init`` would have written where a board is."""
    (folder / "firmware.bin").write_bytes(esp8266_image(fw="1.0.0", size=16 * 1024))
    (folder / "fleet.toml").write_text(
        '[applications.lamps]\nboard = "esp8266"\nfirmware = "firmware.bin"\nboards = { applications = [7] }\n'
    )


def _runs_until_all_have_it(words: list[str], folder: Path, place: Path) -> None:
    """The command as a terminal runs it, with canaries that need not wait, until every board runs the firmware."""
    path = folder / "fleet.toml"
    path.write_text(path.read_text("utf-8").replace('"20s"', '"0s"'), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "enmctl", *words],
        cwd=folder,
        env=whole_environment(place),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        runs: set[str] = set()
        for line in process.stderr:
            if match := re.search(r"(\S+) \(\w+\) runs 1\.0\.0-\w+ now", line):
                runs.add(match[1])
            if len(runs) == BOARDS:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
        assert len(runs) == BOARDS
    finally:
        process.kill()
        process.communicate()
