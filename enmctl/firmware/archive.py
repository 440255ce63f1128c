"""Reading tar archives that nobody trusts.

A Supervisor hands out a firmware asset as a plain GNU tar. Python's own reader stops without a word at a truncated or
damaged header, follows links, and reads extension headers of any size into memory, so the format is read here: regular
files and folders, ustar, GNU long names and POSIX (pax) headers; whatever else is in an archive, it is refused whole.

The format: POSIX.1-2017 ``pax``, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, Final

from enmctl.errors import ArchiveError
from enmctl.firmware.disk import disk_errors, remove, sync_folder, sync_tree

BLOCK: Final = 512
"""Bytes of a tar block: every header is one, every member is padded to a multiple."""

EXTENSION_MOST: Final = 64 * 1024
"""Bytes of one extension header (a long name, pax records); real ones have some hundred."""

NAME_MOST: Final = 1024
"""Bytes of a member's whole name."""

PART_MOST: Final = 255
"""Bytes of one part of a name; what Linux file systems take."""

COPY_CHUNK: Final = 256 * 1024
"""Bytes that are copied at once."""

OTHER_KINDS: Final = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK", "a zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"<", "a web page"),
    (b"{", "a JSON text"),
    (b"\xe9", "a bare ESP8266 image"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may come out of an archive: headers of any kind, and bytes of all files together."""

    members: int = 256
    size: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file or a folder in an archive; ``parts`` is its checked name, ``size`` its bytes."""

    parts: tuple[str, ...]
    size: int
    folder: bool

    @property
    def name(self) -> str:
        """The name as people write it."""
        return "/".join(self.parts)


def unpack_tar(archive: Path, folder: Path, *, limits: Limits | None = None) -> tuple[str, ...]:
    """Unpack an uncompressed tar into a folder that is new or empty, and have it all on the disk.

    Modes, owners and times in the archive are ignored. What was written is removed again when anything is wrong.

    Args:
        archive: the tar file.
        folder: where its members go; its parent exists.
        limits: the most that may come out; by default 256 members and 32 MiB.

    Returns:
        The names of the files that were written.

    Raises:
        ArchiveError: it is unsafe, broken, truncated or too big; ``reason`` is one of ``not-tar``, ``truncated``,
            ``damaged``, ``unsafe-name``, ``link``, ``device``, ``sparse``, ``member-kind``, ``duplicate-member``,
            ``too-many-members``, ``too-big`` and ``empty-archive``.
        StoreError: the disk is full or cannot be written.
    """
    with disk_errors(f"unpacking {archive.name}"):
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise ArchiveError(f"{folder} is not empty", remedy="nothing is unpacked over other files", reason="folder")
        try:
            with archive.open("rb") as file:
                names = _write_members(file, archive.name, folder, limits or Limits())
            sync_tree(folder)
            sync_folder(folder.parent)
        except BaseException:
            remove(folder)
            raise
    return tuple(names)


def _write_members(file: BinaryIO, title: str, folder: Path, limits: Limits) -> list[str]:
    names = []
    for member in _Reader(file, title, limits).members():
        path = folder.joinpath(*member.parts)
        try:
            if member.folder:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                _copy(file, title, member, path)
                names.append(member.name)
        except (FileExistsError, NotADirectoryError):
            raise ArchiveError(
                f"{title} has {member.name} twice", remedy="build the archive anew", reason="duplicate-member"
            ) from None
    if not names:
        raise ArchiveError(
            f"{title} has no file in it, so no firmware",
            remedy="put the firmware into the image's /assets folder and push again",
            reason="empty-archive",
        )
    return names


def _copy(file: BinaryIO, title: str, member: Member, path: Path) -> None:
    left = member.size
    with path.open("xb") as target:
        while left:
            chunk = file.read(min(left, COPY_CHUNK))
            if not chunk:
                raise _truncated(title, f"{member.name} lacks {left} of its {member.size} bytes")
            target.write(chunk)
            left -= len(chunk)
    padding = -member.size % BLOCK
    if len(file.read(padding)) != padding:
        raise _truncated(title, f"it ends within the padding of {member.name}")


def _truncated(title: str, where: str) -> ArchiveError:
    return ArchiveError(f"{title} is truncated, {where}", remedy="fetch it again", reason="truncated")


@dataclass(slots=True)
class _Extension:
    """What extension headers say of the member that follows them."""

    name: bytes | None = None
    size: int | None = None
    seen: bool = False


class _Reader:
    """Reads the headers of a tar; whoever takes a member from it must read its content and padding."""

    def __init__(self, file: BinaryIO, title: str, limits: Limits) -> None:
        self._file = file
        self._title = title
        self._limits = limits
        self._headers = 0
        self._declared = 0

    def members(self) -> Iterator[Member]:
        """The files and folders, one by one, up to the end-of-archive blocks."""
        extension = _Extension()
        while (header := self._header()) is not None:
            kind = header[156:157]
            if kind in b"Lxg":
                self._extend(extension, kind, self._size(header))
                continue
            member = self._member(header, kind, extension)
            extension = _Extension()
            if member is not None:
                yield member
        if extension.seen:
            raise self._damaged("its last header announces a member that is not there")

    def _header(self) -> bytes | None:
        header = self._file.read(BLOCK)
        if len(header) < BLOCK:
            if not self._headers and header:
                raise self._not_tar(header)
            raise _truncated(self._title, "it has no end mark")
        if not any(header):
            second = self._file.read(BLOCK)
            if len(second) < BLOCK:
                raise _truncated(self._title, "its end mark is cut off")
            if any(second):
                raise self._damaged("an empty block stands between its members")
            return None
        if not _checksum_fits(header):
            raise self._damaged("a header's checksum is wrong") if self._headers else self._not_tar(header)
        self._headers += 1
        if self._headers > self._limits.members:
            raise ArchiveError(
                f"{self._title} has more than {self._limits.members} members",
                remedy="put only the firmware into the image's /assets folder",
                reason="too-many-members",
            )
        return header

    def _member(self, header: bytes, kind: bytes, extension: _Extension) -> Member | None:
        name = extension.name if extension.name is not None else _header_name(header)
        size = self._size(header) if extension.size is None else extension.size
        shown = _shown(name)
        self._refuse_kind(kind, shown)
        folder = kind == b"5" or name.endswith(b"/")
        if folder and size:
            raise self._damaged(f"the folder {shown} has {size} bytes")
        self._declared += size
        if self._declared > self._limits.size:
            raise ArchiveError(
                f"{self._title} holds more than {self._limits.size} bytes",
                remedy="raise ENM_ASSET_MAX_SIZE if that is meant",
                reason="too-big",
            )
        parts = self._parts(name)
        if not parts:
            if folder:
                return None
            raise self._unsafe(shown)
        return Member(parts, size, folder)

    def _refuse_kind(self, kind: bytes, shown: str) -> None:
        if kind in (b"0", b"\0", b"7", b"5"):
            return
        words, reason = {
            b"1": ("a hard link", "link"),
            b"2": ("a symbolic link", "link"),
            b"K": ("a link", "link"),
            b"3": ("a character device", "device"),
            b"4": ("a block device", "device"),
            b"6": ("a pipe", "device"),
            b"S": ("a sparse file", "sparse"),
        }.get(kind, (f"of the unknown kind {kind!r}", "member-kind"))
        raise ArchiveError(
            f"{self._title} is refused, {shown} in it is {words}",
            remedy="put plain files into the image's /assets folder",
            reason=reason,
        )

    def _parts(self, name: bytes) -> tuple[str, ...]:
        """The parts of a name that stays inside the folder; none for the folder itself."""
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise self._unsafe(_shown(name)) from None
        parts = tuple(part for part in text.split("/") if part not in {"", "."})
        safe = (
            len(name) <= NAME_MOST
            and not text.startswith("/")
            and not re.search(r"[\x00-\x1f\x7f\\]", text)
            and not PureWindowsPath(text).drive
            and ".." not in parts
            and all(len(part.encode()) <= PART_MOST for part in parts)
        )
        if not safe:
            raise self._unsafe(_shown(name))
        return parts

    def _extend(self, extension: _Extension, kind: bytes, size: int) -> None:
        if size > EXTENSION_MOST:
            raise self._damaged(f"an extension header has {size} bytes")
        padded = size + -size % BLOCK
        content = self._file.read(padded)
        if len(content) < padded:
            raise _truncated(self._title, "it ends within an extension header")
        content = content[:size]
        if kind == b"L":
            extension.seen = True
            extension.name = content.split(b"\0", 1)[0]
            return
        records = self._pax_records(content)
        if any(key.startswith("GNU.sparse.") for key in records):
            self._refuse_kind(b"S", "a member")
        if kind == b"g":
            if {"path", "size", "linkpath"} & records.keys():
                raise self._damaged("a global header names a member")
            return
        extension.seen = True
        extension.name = records.get("path", extension.name)
        if "size" in records:
            extension.size = self._decimal(records["size"])

    def _pax_records(self, content: bytes) -> Mapping[str, bytes]:
        records = {}
        at = 0
        while at < len(content):
            found = re.compile(rb"(\d{1,6}) ([^=\n]{1,255})=").match(content, at)
            end = at + int(found[1]) if found else 0
            if found is None or not found.end() < end <= len(content) or content[end - 1 : end] != b"\n":
                raise self._damaged("an extension header makes no sense")
            records[found[2].decode(errors="replace")] = content[found.end() : end - 1]
            at = end
        return records

    def _size(self, header: bytes) -> int:
        field = header[124:136]
        if field[0] & 0x80:  # GNU's binary form, for sizes from 8 GiB on
            return self._limits.size + 1
        digits = field.strip(b"\0 ")
        try:
            return int(digits or b"0", 8)
        except ValueError:
            raise self._damaged("a member's size is no number") from None

    def _decimal(self, digits: bytes) -> int:
        if not re.fullmatch(rb"\d{1,20}", digits):
            raise self._damaged("a member's size is no number")
        return int(digits)

    def _not_tar(self, start: bytes) -> ArchiveError:
        kind = next((f", it is {words}" for magic, words in OTHER_KINDS if start.startswith(magic)), "")
        return ArchiveError(
            f"{self._title} is not a tar archive{kind}", remedy="an asset is a plain tar", reason="not-tar"
        )

    def _damaged(self, where: str) -> ArchiveError:
        return ArchiveError(f"{self._title} is damaged, {where}", remedy="fetch it again", reason="damaged")

    def _unsafe(self, shown: str) -> ArchiveError:
        return ArchiveError(
            f"{self._title} is refused, the name {shown} in it leads outside or is no name",
            remedy="build the archive from inside the folder of the firmware",
            reason="unsafe-name",
        )


def _shown(name: bytes) -> str:
    """A name as a message may carry it, whatever is in it."""
    return repr(name[:100].decode(errors="replace"))


def _header_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _checksum_fits(header: bytes) -> bool:
    """Whether the header's checksum is right: the sum of its bytes, its own field counted as spaces."""
    digits = header[148:156].strip(b"\0 ")
    if not re.fullmatch(rb"[0-7]{1,8}", digits):
        return False
    return int(digits, 8) == sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
