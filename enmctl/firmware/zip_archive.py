"""Reading zip archives that nobody trusts: into memory, under limits, and never to a path that an archive names."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from enmctl.errors import ArchiveError

ARCHIVE_MOST: Final = 4 * 1024 * 1024
"""Bytes of an archive; a package with all that fits on these chips has less than 2 MiB."""

CONTENT_MOST: Final = 4 * 1024 * 1024
"""Bytes of all members together, unpacked."""

MEMBERS_MOST: Final = 64
"""Members of an archive; a package has up to seven, a Mac doubles them."""

ENCRYPTED: Final = 0x1
JUNK: Final = ("__MACOSX/", ".DS_Store", "._")
"""What a Mac leaves in archives."""

BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for archives that are not right."""


def read_zip(data: bytes) -> Mapping[str, bytes]:
    """The files at the top of an archive, by name; what is in folders is left alone.

    Raises:
        ArchiveError: it is unsafe, broken or too big; ``reason`` is one of ``too-big``, ``too-many-members``,
            ``unsafe-name``, ``link``, ``encrypted``, ``duplicate-member`` and ``damaged``.
    """
    if len(data) > ARCHIVE_MOST:
        raise _too_big(f"it has {len(data)} bytes")
    with _broken_is_refused(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) > MEMBERS_MOST:
            raise ArchiveError(
                f"it has {len(members)} members, a package has at most {MEMBERS_MOST}",
                remedy="make a package with only the firmware in it",
                reason="too-many-members",
            )
        if (declared := sum(member.file_size for member in members)) > CONTENT_MOST:
            raise _too_big(f"it says that it holds {declared} bytes")
        return _read_members(archive, members)


def _read_members(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    for member in members:
        name = _checked_name(member)
        if member.is_dir() or "/" in name or name.startswith(JUNK):
            continue
        if name in found:
            raise ArchiveError(f"it has {name!r} twice", remedy="make the package again", reason="duplicate-member")
        with archive.open(member) as opened:
            found[name] = opened.read(member.file_size + 1)  # without a number, a liar would be unpacked whole
    return found


def _checked_name(member: zipfile.ZipInfo) -> str:
    """A member's name, once it is known to lead nowhere else and the member to be a plain file or a folder."""
    name = member.orig_filename
    if name.startswith("/") or ".." in name.split("/") or re.search(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:|^$", name):
        raise ArchiveError(
            f"it is refused, the name {name[:100]!r} in it leads outside or is no name",
            remedy="make the package from inside the folder of the firmware",
            reason="unsafe-name",
        )
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"it is refused, {name!r} in it is a link", remedy="put plain files into it", reason="link")
    if member.flag_bits & ENCRYPTED:
        raise ArchiveError("it is encrypted", remedy="make the package without a password", reason="encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _damaged(f"{name!r} is packed in an unusual way")
    return name


@contextmanager
def _broken_is_refused() -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise _damaged(str(error) or type(error).__name__) from None


def _damaged(how: str) -> ArchiveError:
    return ArchiveError(
        f"it is damaged or no zip archive, {how}", remedy="fetch or make the package again", reason="damaged"
    )


def _too_big(how: str) -> ArchiveError:
    return ArchiveError(
        f"{how}, a package has at most {CONTENT_MOST}",
        remedy="make a package with only the firmware in it",
        reason="too-big",
    )
