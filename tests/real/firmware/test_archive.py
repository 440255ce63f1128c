from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enmctl.errors import ArchiveError, StoreError
from enmctl.firmware.archive import BLOCK, Limits, unpack_tar

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"firmware") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""


def tar(*members: Member, form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD = tar(special("sub", tarfile.DIRTYPE), file("firmware.bin", b"F" * 1300), file("sub/notes.txt", b"hello"))
GOOD_END = 512 * (1 + 1 + 3 + 1 + 1)
"""Where the end mark starts in it."""


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    def run(data: bytes, **limits: int) -> tuple[str, ...]:
        (tmp_path / "asset.tar").write_bytes(data)
        return unpack_tar(tmp_path / "asset.tar", tmp_path / "out", limits=Limits(**limits))

    return run


@pytest.fixture
def refused(tmp_path: Path, unpack: Callable[..., tuple[str, ...]]) -> Callable[..., str]:
    def run(data: bytes, **limits: int) -> str:
        with pytest.raises(ArchiveError) as caught:
            unpack(data, **limits)
        assert caught.value.remedy
        assert caught.value.permanent
        assert sorted(path.name for path in tmp_path.iterdir()) == ["asset.tar"], "something is left"
        return caught.value.reason

    return run


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path, unpack: Callable[..., tuple[str, ...]]) -> None:
    assert unpack(GOOD) == ("firmware.bin", "sub/notes.txt")
    assert (tmp_path / "out/firmware.bin").read_bytes() == b"F" * 1300
    assert (tmp_path / "out/sub/notes.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_are_read_in_each_format(form: int, tmp_path: Path, unpack: Callable[..., tuple[str, ...]]) -> None:
    name = "/".join(["d" * 50] * 4) + "/firmware.bin"
    assert unpack(tar(file(name), file("x"), form=form)) == (name, "x")
    assert (tmp_path / "out" / name).read_bytes() == b"firmware"


def test_names_beyond_ascii_are_read(unpack: Callable[..., tuple[str, ...]]) -> None:
    assert unpack(tar(file("grün.bin"), form=tarfile.PAX_FORMAT)) == ("grün.bin",)


def test_a_global_comment_is_let_through(unpack: Callable[..., tuple[str, ...]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "c0ffee"}) as made:
        made.addfile(*((info := file("a"))[0], io.BytesIO(info[1])))
    assert unpack(buffer.getvalue()) == ("a",)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar program here")
def test_what_gnu_tar_makes_of_a_folder_is_read(tmp_path: Path) -> None:
    source = tmp_path / "assets"
    (source / "sub").mkdir(parents=True)
    (source / "firmware.bin").write_bytes(os.urandom(5000))
    (source / "sub" / ("n" * 180)).write_bytes(b"")
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "firmware.bin", "sub"], cwd=source, check=True)
    assert unpack_tar(tmp_path / "a.tar", tmp_path / "out") == ("firmware.bin", "sub/" + "n" * 180)
    assert (tmp_path / "out/firmware.bin").read_bytes() == (source / "firmware.bin").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "a/..", "..", "a\\..\\evil", "C:/evil", "C:evil", "a\nb", ".", "a" * 300],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_leads_outside_is_refused(name: str, form: int, refused: Callable[..., str]) -> None:
    assert refused(tar(file("firmware.bin"), file(name), form=form)) == "unsafe-name"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"V", "member-kind"),
        (b"M", "member-kind"),
    ],
)
def test_whatever_is_no_file_or_folder_is_refused(kind: bytes, why: str, refused: Callable[..., str]) -> None:
    assert refused(tar(file("firmware.bin"), special("odd", kind, "/etc/passwd"))) == why


def test_a_sparse_file_in_a_pax_header_is_refused(refused: Callable[..., str]) -> None:
    info, content = file("sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"}
    assert refused(tar((info, content), form=tarfile.PAX_FORMAT)) == "sparse"


def test_a_link_to_a_long_target_is_refused(refused: Callable[..., str]) -> None:
    assert refused(tar(special("link", tarfile.SYMTYPE, "t" * 200))) == "link"


@pytest.mark.parametrize("length", [*range(1, GOOD_END + 2 * BLOCK, 97), GOOD_END, GOOD_END + BLOCK])
def test_a_truncated_archive_is_refused_at_every_length(length: int, refused: Callable[..., str]) -> None:
    assert refused(GOOD[:length]) in {"truncated", "not-tar"}


def test_an_archive_that_lacks_only_its_last_padding_is_whole(unpack: Callable[..., tuple[str, ...]]) -> None:
    assert unpack(GOOD[: GOOD_END + 2 * BLOCK])


def test_a_damaged_header_in_the_middle_is_refused(refused: Callable[..., str]) -> None:
    assert refused(GOOD[:512] + b"\x01" + GOOD[513:]) == "damaged"
    assert refused(GOOD[:512] + bytes(512) + GOOD[512:]) == "damaged"


@pytest.mark.parametrize("data", [bytes(10_240), tar(special("only", tarfile.DIRTYPE))])
def test_an_archive_without_a_file_is_refused(data: bytes, refused: Callable[..., str]) -> None:
    assert refused(data) == "empty-archive"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x1f\x8b" + bytes(900), "gzip"),
        (b"PK" + bytes(900), "zip"),
        (b"<html>" * 200, "web page"),
        (b"Not found", "plain tar"),
    ],
)
def test_a_file_that_is_no_tar_is_named(data: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ArchiveError, match=word) as caught:
        unpack_tar(tmp_path / "a.tar", tmp_path / "out")
    assert caught.value.reason == "not-tar"


def test_caps_hold_on_members_and_bytes(refused: Callable[..., str], unpack: Callable[..., tuple[str, ...]]) -> None:
    many = tar(*(file(f"f{number}", b"12345678") for number in range(5)))
    assert refused(many, members=4) == "too-many-members"
    assert refused(many, size=39) == "too-big"
    assert len(unpack(many, members=5, size=40)) == 5


def test_a_size_of_exabytes_is_refused_before_anything_is_read(refused: Callable[..., str]) -> None:
    info, _ = file("huge")
    info.size = 1 << 62
    assert refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)) == "too-big"
    assert refused(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)) == "too-big"


def test_an_extension_header_of_megabytes_is_refused(refused: Callable[..., str]) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1 << 20
    assert refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)) == "damaged"


def test_the_same_name_twice_is_refused(refused: Callable[..., str]) -> None:
    assert refused(tar(file("a"), file("a"))) == "duplicate-member"
    assert refused(tar(file("a"), file("a/b"))) == "duplicate-member"
    assert refused(tar(file("a/b"), file("a"))) == "duplicate-member"


def test_nothing_is_unpacked_over_other_files(tmp_path: Path, unpack: Callable[..., tuple[str, ...]]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ArchiveError) as caught:
        unpack(GOOD)
    assert caught.value.reason == "folder"
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def test_a_name_with_a_terminal_escape_is_not_printed_raw(unpack: Callable[..., tuple[str, ...]]) -> None:
    with pytest.raises(ArchiveError) as caught:
        unpack(tar(special("\x1b[31mred", tarfile.SYMTYPE, "x")))
    assert "\x1b" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(GOOD)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        unpack_tar(tmp_path / "a.tar", tmp_path / "file" / "out")
    assert caught.value.reason == "disk"


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_raises_nothing_but_an_archive_error_and_writes_nothing_outside(
    tmp_path: Path, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(GOOD)
    for at, value in damage:
        data[at] = value
    (tmp_path / "asset.tar").write_bytes(data)
    with contextlib.suppress(ArchiveError):
        unpack_tar(tmp_path / "asset.tar", tmp_path / "out")
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert [path.name for path in tmp_path.iterdir()] == ["asset.tar"]
