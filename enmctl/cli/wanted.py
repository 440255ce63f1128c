"""What a person wants done to boards, and what became of it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from enmctl.cli.shell import Call
from enmctl.errors import EnmError, FirmwareError, StoreError, UnknownError, UsageError
from enmctl.gateway.control import JobKind

Results = Sequence[tuple[str, EnmError | None]]
"""Each board, as it was named, with what went wrong."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done, and to which boards; ``words`` name them, none stands for the only board there is.

    ``file``, ``hold``, ``all_boards`` (all that are heard, where none is named) and ``dry_run`` (nothing is sent) come
    with FLASH alone. ``access`` and ``manner`` are config that was given by hand: how the board lets us in, and what
    is done otherwise than usual. ``seconds`` is how long to listen for boards, None for the longest of
    ENM_AVAHI_TIMEOUT and ENM_BLUETOOTH_LONG_TIMEOUT whose radio can be used.
    """

    kind: JobKind
    words: Sequence[str]
    file: Path | None = None
    hold: bool = False
    all_boards: bool = False
    dry_run: bool = False
    board_type: str | None = None
    access: Mapping[str, str] = field(default_factory=dict, repr=False)
    manner: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def config(self) -> Mapping[str, str]:
        """All config that was given by hand."""
        return {**self.access, **self.manner}


def check_file(call: Call, file: Path, words: Sequence[str]) -> None:
    """See that the firmware file is one, and that it was not changed places with a board's name.

    Raises:
        UsageError: the board comes before the file.
        FirmwareError: there is no such file, or it may not be read.
    """
    from enmctl.firmware.places import There, what_is_at

    there = what_is_at(file)
    if there is There.FILE:
        return
    meant = next((word for word in words if "://" not in word and os.path.isfile(word)), None)
    if meant is not None:
        others = " ".join([str(file), *(word for word in words if word != meant)])
        raise UsageError(
            f"{file} is no file, but {meant} is one", remedy=f"the file comes first: enmctl flash {meant} {others}"
        )
    if not words and there is There.NOTHING and _names_device(call, str(file)):
        raise UsageError(f"{file} is a device, not a file", remedy=f"the file comes first: enmctl flash FILE {file}")
    problem = {There.FOLDER: "is a folder", There.NOTHING: "is not there"}.get(there, "is no file")
    raise FirmwareError(
        f"the firmware file {file} {problem}", remedy="name an image like firmware.bin", reason="no-file"
    )


def _names_device(call: Call, word: str) -> bool:
    from enmctl.gateway.naming import find_device
    from enmctl.store.reading import read_devices

    if call.simulate:
        return False
    try:
        find_device(read_devices(call.settings.database), word)
    except (UnknownError, StoreError):
        return False
    except UsageError:
        return True  # several devices are called so
    return True


def read_file(file: Path, most: int) -> bytes:
    """The bytes of the firmware file, at most so many.

    Raises:
        FirmwareError: it cannot be read, is empty, or is larger.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise FirmwareError(f"{file} cannot be read: {error.strerror}", reason="no-file") from error
    if not data:
        raise FirmwareError(f"{file} is empty", remedy="name an image like firmware.bin", reason="empty")
    if len(data) > most:
        raise FirmwareError(f"{file} is larger than {most} bytes", remedy="ENM_ASSET_MAX_SIZE bounds it", reason="size")
    return data


def read_whole(file: Path, most: int) -> tuple[bytes, str]:
    """What a gateway is to be handed of a firmware file, at most so many bytes, and a file name for it.

    An image for a Nordic board comes together with the init packet that lies beside it, as a package (Nordic's
    pc-nrfutil, before it had manifests).

    Raises:
        FirmwareError: it cannot be read, is empty, or is larger.
    """
    from enmctl.firmware.inspect import INIT_PACKET, Kind, inspect
    from enmctl.firmware.places import There, what_is_at

    data = read_file(file, most)
    beside = file.with_suffix(INIT_PACKET)
    if beside == file or what_is_at(beside) is not There.FILE or inspect(file).kind is not Kind.BARE_IMAGE:
        return data, file.name
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as members:
        members.writestr("application.bin", data)
        members.writestr("application.dat", read_file(beside, most))
    return package.getvalue(), f"{file.stem}.zip"
