"""Runs one command in the virtual machine: ``python -m tests.system.vm.machine [--limit SECONDS] COMMAND…``.

The guest boots from the image's disk, which it cannot change. It has this checkout at ``/checkout`` (read-only, with
the compiled files of the host where its Python is the same), what enmctl needs of the package index, and no network but
the radios that the command makes. Its output and exit code come back. This takes no more than QEMU: no KVM, no root.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.system.vm.image import CHECKOUT, built

QEMU = "qemu-system-x86_64"

PROCESSORS, MEMORY = 2, 1024
"""How many, and MiB."""

LIMIT = 300.0
"""Seconds after which a machine that has not ended is switched off."""

KERNEL_WORDS = "console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/init mitigations=off tsc=reliable no_timer_check"

SILENT = 125
"""The code of a machine that ended without a word of its command's."""


class Done(NamedTuple):
    """What became of a command; ``trouble`` is what the machine itself said where it did not get to the end."""

    code: int
    output: str
    trouble: str = ""


def run(command: Sequence[str], *, limit: float = LIMIT) -> Done:
    """Boot, run the command as root in ``/checkout``, and switch off."""
    image = built()
    with tempfile.TemporaryDirectory(prefix="enmctl-vm-") as folder:
        exchange = Path(folder)
        (exchange / "command").write_text(shlex.join(command) + "\n")
        _write_metadata(exchange / "metadata")
        trouble = _boot(image, exchange, limit)
        output = _read(exchange / "output")
        code = _read(exchange / "code").strip()
        if code:
            return Done(int(code), output)
        return Done(SILENT, output, f"{trouble}\n{_read(exchange / 'console')[-3000:]}")


def _boot(image: Path, exchange: Path, limit: float) -> str:
    """Run QEMU until the guest switches itself off; what went wrong with it."""
    acceleration = ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
    if os.environ.get("ENM_VM_KVM"):
        acceleration = ["-accel", "kvm", "-cpu", "host"]
    command = [
        *(QEMU, "-M", "q35", *acceleration, "-smp", str(PROCESSORS), "-m", str(MEMORY)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", image / "kernel", "-initrd", image / "initramfs", "-append", KERNEL_WORDS),
        *("-serial", f"file:{exchange / 'console'}", "-device", "virtio-rng-pci"),
        *("-drive", f"file={image / 'disk'},format=raw,if=none,id=disk,snapshot=on,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *_shared("exchange", exchange, ""),
        *_shared("checkout", CHECKOUT, ",readonly=on"),
    ]
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return f"the machine was switched off after {limit:g} s"
    return f"{QEMU} ended with {done.returncode}: {done.stderr.strip()}"


def _shared(name: str, folder: Path, options: str) -> list[str]:
    """What shares a folder with the guest."""
    return [
        *("-fsdev", f"local,id={name},path={folder},security_model=none,multidevs=remap{options}"),
        *("-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"),
    ]


def _write_metadata(folder: Path) -> None:
    """What tells the guest's Python which boards and sources enmctl has: the checkout alone is no installed package."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    place = folder / "enmctl-0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: enmctl\nVersion: 0\n")
    groups = project["entry-points"].items()
    sections = (
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in them.items()) for group, them in groups
    )
    (place / "entry_points.txt").write_text("\n".join(sections))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def missing() -> str:
    """Why no machine can run here, in words, or nothing."""
    programs = [name for name in (QEMU, "mmdebstrap", "mke2fs", "dpkg-deb") if shutil.which(name) is None]
    return f"QEMU cannot be installed here: no {', '.join(programs)}" if programs else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a command in the virtual machine.")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds until it is switched off")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    done = run(asked.command, limit=asked.limit)
    sys.stdout.write(done.output)
    sys.stderr.write(done.trouble)
    sys.exit(done.code)


if __name__ == "__main__":
    main()
