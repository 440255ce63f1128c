"""The firmware that a fleet file names: read whole, hashed, its signature checked, and handed out."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enmctl.errors import FirmwareError, SourceGoneError
from enmctl.firmware.archive import Limits, unpack_tar
from enmctl.firmware.disk import disk_errors, remove
from enmctl.models import short
from enmctl.sources.fleet import identities
from enmctl.sources.fleet.document import Document, FirmwareEntry
from enmctl.sources.fleet.minisign import SIGNATURE_MOST, SUFFIX, verify
from enmctl.sources.fleet.places import Keys
from enmctl.sources.fleet.sections import Fault
from enmctl.sources.fleet.states import States, look_at

BARE_NAME: Final = "firmware.bin"
"""What a bare image is called in an asset, whatever the file is called here."""

ARCHIVE, UNPACKED = ".archive.tar", ".unpacked"
"""What an asset's folder holds for as long as a tar is unpacked into it."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of an application's firmware; ``path`` is None for one that is fetched."""

    commit: str
    sha256: str
    entry: FirmwareEntry
    path: Path | None


UNREPLACED: Final = re.compile(r"~|.*/~|.*\$")
"""A path as a shell would replace something in it."""

Releases = Mapping[tuple[int, str], Release]
"""Releases by application and commit."""


class ReleaseReader:
    """Looks at every firmware file of a document.

    Args:
        folder: what paths in the file are relative to.
        most: bytes of the largest file that is taken.
        seen: where every file whose change matters is noted, in its state before it was read.

    Attributes:
        faults: everything that is wrong with them.
    """

    def __init__(self, folder: Path, most: int, seen: States) -> None:
        self._folder = folder
        self._most = most
        self._seen = seen
        self._read: dict[Path, bytes | str] = {}
        self.faults: list[Fault] = []

    def read(self, document: Document) -> dict[str, dict[str | None, Release]]:
        """For each application its releases by version; None stands for the one that its boards should run."""
        found: dict[str, dict[str | None, Release]] = {}
        for name, application in document.applications.items():
            mine = found[name] = {}
            for version, entry in [(None, application.firmware), *application.versions.items()]:
                release = self._release(entry)
                if release is not None:
                    mine[version] = release
            own = application.firmware.version
            if None in mine and own is not None and mine.setdefault(own, mine[None]).commit != mine[None].commit:
                problem = (
                    f"{own} is {name}'s own version, with other firmware: leave it out here, or name the same file"
                )
                self.faults.append(Fault(application.versions[own].keys, problem))
        return found

    def _release(self, entry: FirmwareEntry) -> Release | None:
        if entry.is_url:
            return self._release_elsewhere(entry)
        path = self._folder / entry.where
        try:
            data = self._content(path)
        except FirmwareError as error:
            self.faults.append(Fault(entry.keys, error.message))
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        if entry.sha256 is not None and entry.sha256 != sha256:
            problem = f"{path} has the SHA-256 {sha256}, not this one: put the right file there, or that hash here"
            self.faults.append(Fault(_beside(entry.keys, "sha256"), problem))
            return None
        if entry.public_key is not None:
            look_at(_signature_path(self._folder, entry, path), self._seen)
        try:
            _check_signature(self._folder, entry, path, data)
        except FirmwareError as error:
            self.faults.append(Fault(_beside(entry.keys, "signature" if entry.signature else "public_key"), str(error)))
            return None
        return Release(identities.commit(entry.version, sha256), sha256, entry, path)

    def _release_elsewhere(self, entry: FirmwareEntry) -> Release | None:
        """One that is fetched when it is needed; its signature may be a file here, which has to be there now."""
        if entry.public_key is not None and entry.signature is not None and entry.has_signature_here:
            look_at(self._folder / entry.signature, self._seen)
            try:
                read_signature(self._folder / entry.signature, entry.name)
            except FirmwareError as error:
                self.faults.append(Fault(_beside(entry.keys, "signature"), str(error)))
                return None
        sha256 = entry.sha256 or ""
        return Release(identities.commit(entry.version, sha256), sha256, entry, None)

    def _content(self, path: Path) -> bytes:
        look_at(path, self._seen)
        if path not in self._read:
            try:
                self._read[path] = read_whole(path, self._most)
            except FirmwareError as error:
                self._read[path] = str(error)
        content = self._read[path]
        if isinstance(content, str):
            raise FirmwareError(content)
        return content


def _check_signature(folder: Path, entry: FirmwareEntry, path: Path, data: bytes) -> None:
    """Refuse firmware that is to be signed and is not. Raises FirmwareError."""
    if entry.public_key is not None:
        signature = read_signature(_signature_path(folder, entry, path), path.name)
        verify(data, signature, entry.public_key, path.name)


def _signature_path(folder: Path, entry: FirmwareEntry, path: Path) -> Path:
    """Where the signature of a firmware file is."""
    return folder / entry.signature if entry.signature else path.with_name(path.name + SUFFIX)


def read_signature(path: Path, name: str) -> str:
    """The text of a signature file.

    Raises:
        FirmwareError: there is none: the firmware is not signed.
    """
    try:
        return _beginning(path, SIGNATURE_MOST).decode("utf-8", "replace")
    except OSError as error:
        raise FirmwareError(
            f"{name} is refused: it is not signed, for {path.name} cannot be read ({error.strerror})",
            remedy=f"sign it: minisign -Sm {name}, or leave public_key out",
            reason="unsigned",
        ) from error


def read_whole(path: Path, most: int) -> bytes:
    """The bytes of a firmware file.

    Raises:
        FirmwareError: it is not there, is none, or is larger than ``most``.
    """
    try:
        data = _beginning(path, most + 1)
    except OSError as error:
        remedy = "~ and $ stand for themselves in a fleet file" if UNREPLACED.match(str(path)) else ""
        message = f"the firmware file {path} cannot be read: {error.strerror}"
        raise FirmwareError(message, remedy=remedy, reason="no-file") from error
    if not data:
        raise FirmwareError(f"the firmware file {path} is empty", reason="empty")
    if len(data) > most:
        raise FirmwareError(f"the firmware file {path} is larger than {most} bytes (ENM_ASSET_MAX_SIZE)", reason="size")
    return data


def _beginning(path: Path, most: int) -> bytes:
    """The first bytes of a file; what is none, like a pipe on which nobody writes, is not waited for."""

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "It is no regular file")
        return file.read(most)


def hand_out(release: Release, folder: Path, to: Path, most: int) -> None:
    """Fill the folder ``to`` with a release from a file here, looked at once more: it may be another by now.

    Raises:
        SourceGoneError: the file is another one now; the next look at the fleet file tells.
        FirmwareError: its signature does not fit.
        StoreError: the disk is full, or cannot be written.
    """
    path = release.path
    if path is None:
        raise SourceGoneError(f"{short(release.commit)} is not a file here")
    try:
        data = read_whole(path, most)
    except FirmwareError as error:
        raise SourceGoneError(error.message, remedy="it is looked for again") from error
    if hashlib.sha256(data).hexdigest() != release.sha256:
        raise SourceGoneError(f"{path} was changed meanwhile", remedy="the fleet file is read again")
    _check_signature(folder, release.entry, path, data)
    put(data, path.name, to, most)


def put(data: bytes, name: str, to: Path, most: int) -> None:
    """Write firmware as the members of an asset: a tar is unpacked, a bare image gets the name that drivers know."""
    with disk_errors(f"keeping {name}"):
        for left in to.iterdir():
            remove(left)
        if not name.lower().endswith(".tar"):
            is_bare = name.lower().endswith((".bin", ".bin.gz"))
            (to / (BARE_NAME if is_bare else name)).write_bytes(data)
            return
        archive, unpacked = to / ARCHIVE, to / UNPACKED
        archive.write_bytes(data)
        unpack_tar(archive, unpacked, limits=Limits(size=most))
        for member in list(unpacked.iterdir()):
            if not member.name.startswith("."):
                member.replace(to / member.name)
        remove(unpacked)
        remove(archive)


def _beside(keys: Keys, name: str) -> Keys:
    return (*keys[:-1], name)
