"""Builds the virtual machine's disk: Debian from packages, with a kernel that has simulated Wi-Fi and Bluetooth radios.

``python -m tests.system.vm.image`` prints the folder of the image, and builds it first where it is not there yet. It
needs root, the network, and Debian's mmdebstrap and e2fsprogs. Images live in ``ENM_VM_CACHE`` (else ``enmctl-vm`` in
the user's cache folder) under a hash of all that goes into them; an older one makes room.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[2]

SUITE = "bookworm"
PYTHON = "3.11"
"""The suite's own Python; its packages are chosen on the host, where pip is."""

PACKAGES = [
    "bluez",
    "busybox-static",
    "dbus",
    "dnsmasq-base",
    "iproute2",
    "iputils-ping",
    "iw",
    "kmod",
    "libpam-modules",
    "network-manager",
    "nftables",
    "procps",
    "python3",
    "rfkill",
    "udev",
    "wireless-regdb",
    "wpasupplicant",
]
"""Debian packages of the guest: what runs in it, and what its tests look with."""

EXTRAS = ("signatures", "simulator", "test")
"""Those of enmctl's extras whose packages the guest gets."""

MODULES = [
    "arch",
    "crypto",
    "lib",
    "net",
    "drivers/bluetooth",
    "drivers/virtio",
    "drivers/block/virtio_blk.ko",
    "drivers/net/veth.ko",
    "drivers/net/wireless/mac80211_hwsim.ko",
    "fs/ext4",
    "fs/jbd2",
    "fs/mbcache.ko",
    "fs/9p",
    "fs/netfs",
    "fs/fscache",
    "drivers/char/hw_random",
    "drivers/hid/uhid.ko",
    "drivers/hid/hid.ko",
]
"""Folders and files of kernel modules that the guest gets. Debian's cloud kernel has no radios; this is the generic."""

FIRST_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
"""What is needed to reach the root file system."""

FETCH_KERNEL = r"""chroot "$1" sh -c 'cd /var/tmp && apt-get -q download -o APT::Sandbox::User=root \
    "$(apt-cache depends linux-image-amd64 | sed -n "s/.*Depends: \(linux-image-.*\)/\1/p" | head -n 1)"'"""
"""Fetches the package of the newest kernel; it is never installed, which would take a boot loader and much time."""

LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

SPARE = 150
"""MiB that are free on the disk, beside a quarter of what is on it."""

STEP_LIMIT = 240.0
"""Seconds for each step of building; the longest, with a near mirror, takes one or two minutes."""

USER = "somebody:x:1000:1000::/home/somebody:/bin/sh"
"""An account without any rights."""


UNREACHABLE = re.compile(
    "Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Connection failed|"
    "Connection timed out|Network is unreachable|Failed to establish a new connection|timed out after"
)
"""What apt and pip say where the network is not there, or too slow for a step."""


class CannotBuildError(Exception):
    """A step of building failed, in words."""

    @property
    def is_of_network(self) -> bool:
        """Whether a mirror cannot be reached, which says nothing of what is built."""
        return UNREACHABLE.search(str(self)) is not None


def cache() -> Path:
    """Where images are kept."""
    named = os.environ.get("ENM_VM_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enmctl-vm"


def python_packages() -> list[str]:
    """What enmctl and its tests need of the package index."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    wanted = (*project["dependencies"], *(name for extra in EXTRAS for name in extras[extra]))
    return sorted({name for name in wanted if not name.startswith(f"{project['name']}[")})


def digest() -> str:
    """A short hash of all that goes into the image."""
    parts = [SUITE, *python_packages(), *(file.read_text() for file in (Path(__file__), *_guest_files()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def built() -> Path:
    """The folder with the image: ``kernel``, ``initramfs`` and ``disk``; built first where it is not there yet."""
    place = cache() / digest()
    with _alone():
        if not (place / "complete").exists():
            started = time.monotonic()
            for old in cache().iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            _build(place)
            _say(f"built in {time.monotonic() - started:.0f} s: {place}")
    return place


@contextmanager
def _alone() -> Iterator[None]:
    """Within, no other process looks after the cache."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    root = place / "root"
    _make_root(root)
    version = _add_kernel(place, root)
    _add_python(root)
    _add_guest(root)
    _make_initramfs(place, root, version)
    _make_disk(place, root)
    shutil.rmtree(root)
    (place / "complete").touch()


def _make_root(root: Path) -> None:
    """Unpack and configure the packages, and fetch the kernel's beside them, which is never installed."""
    _run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        f"--include={','.join(PACKAGES)}",
        f"--customize-hook={FETCH_KERNEL}",
        SUITE,
        root,
    )


def _add_kernel(place: Path, root: Path) -> str:
    """Take the kernel and the modules that are wanted out of its package; its version."""
    [package] = (root / "var/tmp").glob("linux-image-*.deb")
    unpacked = place / "kernel-package"
    _run("dpkg-deb", "--extract", package, unpacked)
    package.unlink()
    [modules] = (unpacked / "lib/modules").iterdir()
    version = modules.name
    target = root / "lib/modules" / version
    for name in (
        "modules.builtin",
        "modules.order",
        "modules.builtin.modinfo",
        *(f"kernel/{name}" for name in MODULES),
    ):
        source = modules / name
        if source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _run("cp", "-a", source, (target / name).parent)
    shutil.copy(unpacked / f"boot/vmlinuz-{version}", place / "kernel")
    shutil.rmtree(unpacked)
    _run("chroot", root, "depmod", version)
    return version


def _add_python(root: Path) -> None:
    """Install what enmctl needs, but not enmctl: that is shared with the guest as it is."""
    target = root / "opt/python"
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--root-user-action=ignore", "--python-version", PYTHON, "--only-binary=:all:", "--target", target),
        *python_packages(),
    )
    _run("chroot", root, f"python{PYTHON}", "-m", "compileall", "-q", "-j0", "/opt/python")


def _add_guest(root: Path) -> None:
    shutil.copy(HERE / "guest/init", root / "vm-init")
    (root / "vm-init").chmod(0o755)
    with (root / "etc/passwd").open("a") as file:
        file.write(f"{USER}\n")


def _make_initramfs(place: Path, root: Path, version: str) -> None:
    """A root file system in memory with as much as it takes to mount the real one."""
    folder = place / "initramfs-root"
    for name in ("bin", "dev", "modules", "proc", "root"):
        (folder / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", folder / "bin")
    shutil.copy(HERE / "guest/initramfs-init", folder / "init")
    (folder / "init").chmod(0o755)
    names = list(dict.fromkeys(_first_modules(root, version)))
    for name in names:
        shutil.copy(root / name.lstrip("/"), folder / "modules")
    (folder / "modules/list").write_text("".join(f"{Path(name).name}\n" for name in names))
    listed = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    archive = subprocess.run(
        [root / "bin/busybox", "cpio", "-o", "-H", "newc"],
        cwd=folder,
        input=listed.encode(),
        capture_output=True,
        check=True,
    ).stdout
    (place / "initramfs").write_bytes(gzip.compress(archive, 1))
    shutil.rmtree(folder)


def _first_modules(root: Path, version: str) -> Iterator[str]:
    """The files of the first modules, each after those that it needs."""
    for module in FIRST_MODULES:
        told = _run("chroot", root, "modprobe", "-S", version, "--show-depends", module)
        for line in told.splitlines():
            words = line.split()
            if words[:1] == ["insmod"]:
                yield words[1]


def _make_disk(place: Path, root: Path) -> None:
    size = int(_run("du", "-sm", root).split()[0])
    _run(
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-d",
        root,
        place / "disk",
        f"{size * 5 // 4 + SPARE}M",
    )


def _guest_files() -> Sequence[Path]:
    return sorted((HERE / "guest").iterdir())


def _run(*command: str | Path) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, timeout=STEP_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildError(str(error)) from error
    if done.returncode:
        raise CannotBuildError(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    return done.stdout


def _say(text: str) -> None:
    sys.stderr.write(f"virtual machine: {text}\n")


if __name__ == "__main__":
    sys.stdout.write(f"{built()}\n")
