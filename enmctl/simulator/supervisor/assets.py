"""Firmware assets as the Supervisor serves them: plain GNU tars, whole or in ranges, and the ways to spoil them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Mapping
from email.utils import formatdate, parsedate_to_datetime

from starlette.datastructures import Headers

from enmctl.simulator.supervisor.answers import Answer
from enmctl.simulator.supervisor.faults import Fault, FaultName
from enmctl.simulator.supervisor.records import Push

EMPTY_TAR = bytes(tarfile.RECORDSIZE)
"""What ``tar`` leaves behind where it found nothing to pack: 10240 zero bytes."""

TAR_TYPE = "application/x-tar"

_GARBAGE = b"\xde\xad\xbe\xef"


def build_tar(members: Mapping[str, bytes], pushed_at: float) -> bytes:
    """What ``tar -cvf DEST *`` makes of the members: no ``./``, no dotfiles on top, folders before what is in them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        folders: set[str] = set()
        for path, data in sorted(members.items()):
            if path.startswith("."):
                continue
            parents = path.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                folder = "/".join(parents[:depth])
                if folder not in folders:
                    folders.add(folder)
                    tar.addfile(_header(folder, 0o755, tarfile.DIRTYPE, 0, pushed_at))
            tar.addfile(_header(path, 0o644, tarfile.REGTYPE, len(data), pushed_at), io.BytesIO(data))
    return archive.getvalue()


def tar_of(push: Push) -> bytes | None:
    """The push's tar, or None where the build fails: no files, asked for the first time."""
    if push.tar is None:
        if not any(not path.startswith(".") for path in push.members):
            if not push.tar_failed:
                push.tar_failed = True
                return None
            push.tar = EMPTY_TAR
        else:
            push.tar = build_tar(push.members, push.pushed_at)
    return push.tar


def spoil(tar: bytes, push: Push, fault: Fault) -> bytes:
    """The tar as the fault would have it; unchanged where the fault is about something else."""
    at = push.pushed_at
    spoilers: dict[FaultName, Callable[[], bytes]] = {
        FaultName.TRUNCATED: lambda: tar[: len(tar) // 2],
        FaultName.GARBAGE_TAR: lambda: (_GARBAGE * (len(tar) // len(_GARBAGE) + 1))[: len(tar)],
        FaultName.ESCAPING: lambda: _tar_with(tar, _header("../escaped", 0o644, tarfile.REGTYPE, 4, at), b"evil"),
        FaultName.LINKS: lambda: _tar_with(tar, _link("linked", "../../outside", at), b""),
        FaultName.HUGE: lambda: build_tar({"firmware.bin": bytes(fault.size)}, at),
        FaultName.EMPTY: lambda: EMPTY_TAR,
        FaultName.ZERO: lambda: b"",
        FaultName.OTHER: lambda: build_tar({"README": b"no firmware here\n"}, at),
    }
    return spoilers[fault.name]() if fault.name in spoilers else tar


def serve(tar: bytes, pushed_at: float, headers: Headers) -> Answer:
    """The tar or the part asked for, as Express's ``sendFile`` answers.

    That means: a weak ETag of size and time, one range at most, ``If-Range`` by ETag or date, 304 and 416.
    """
    modified = formatdate(pushed_at, usegmt=True)
    etag = f'W/"{len(tar):x}-{int(pushed_at * 1000):x}"'
    shared = {"Accept-Ranges": "bytes", "Cache-Control": "public, max-age=0", "Last-Modified": modified, "ETag": etag}
    if etag in headers.get("if-none-match", ""):
        return Answer(304, b"", TAR_TYPE, shared)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", "").strip())
    if match is None or match.group() == "bytes=-" or not _still_fresh(headers.get("if-range"), etag, pushed_at):
        return Answer(200, tar, TAR_TYPE, shared)
    first, end = _bounds(match.group(1), match.group(2), len(tar))
    if first >= end:
        return Answer(416, b"", TAR_TYPE, shared | {"Content-Range": f"bytes */{len(tar)}"})
    part = shared | {"Content-Range": f"bytes {first}-{end - 1}/{len(tar)}"}
    return Answer(206, tar[first:end], TAR_TYPE, part)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last, of ``first-last``, ``first-`` or ``-length``."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _still_fresh(if_range: str | None, etag: str, pushed_at: float) -> bool:
    if if_range is None:
        return True
    if '"' in if_range:
        return etag in if_range
    try:
        return int(pushed_at) <= parsedate_to_datetime(if_range).timestamp()
    except ValueError:
        return False


def _header(name: str, mode: int, kind: bytes, size: int, at: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.mtime = mode, kind, size, int(at)
    info.uname = info.gname = "root"
    return info


def _link(name: str, target: str, at: float) -> tarfile.TarInfo:
    info = _header(name, 0o777, tarfile.SYMTYPE, 0, at)
    info.linkname = target
    return info


def _tar_with(tar: bytes, extra: tarfile.TarInfo, data: bytes) -> bytes:
    """The tar's members, and one more."""
    archive = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as source,
        tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as target,
    ):
        for member in source:
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
        target.addfile(extra, io.BytesIO(data))
    return archive.getvalue()
