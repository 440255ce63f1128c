"""The reader of BoltDB pages, against pages of our own making, and against any damage."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import StoreError
from enmctl.store import edge_node_manager
from enmctl.store.bolt import MAGIC, Bolt, fnv64a, recognised

THREE = (Path(__file__).parents[2] / "real" / "store" / "data" / "three.bolt").read_bytes()
FLEET = (Path(__file__).parents[2] / "real" / "store" / "data" / "fleet.bolt").read_bytes()
BRANCH, LEAF, META = 1, 2, 4
BUCKET = 1

Item = tuple[int, bytes, bytes]


class Writer:
    """Makes a BoltDB file of one tree a bucket, ``most`` items a page, so that few items make a deep tree."""

    def __init__(self, page_size: int = 512, most: int = 3) -> None:
        self.page_size = page_size
        self.most = most
        self.pages: list[bytes] = []

    def file(self, buckets: dict[bytes, dict[bytes, bytes]], *, inline: bool = False) -> bytes:
        items: list[Item] = []
        for name, content in sorted(buckets.items()):
            leaves = [(0, key, value) for key, value in sorted(content.items())]
            value = (
                struct.pack("<QQ", 0, 0) + self.leaf(0, leaves) if inline else struct.pack("<QQ", self.tree(leaves), 0)
            )
            items.append((BUCKET, name, value))
        root = self.tree(items)
        whole = b"".join(self.pages)
        return self.meta(0, root, 1) + self.meta(1, root, 2) + whole

    def meta(self, number: int, root: int, transaction: int, *, page_size: int | None = None) -> bytes:
        size = page_size or self.page_size
        end = 2 + sum(len(page) for page in self.pages) // self.page_size
        summed = struct.pack("<IIIIQQQQQ", MAGIC, 2, size, 0, root, 0, 2, end, transaction)
        page = struct.pack("<QHHI", number, META, 0, 0) + summed + struct.pack("<Q", fnv64a(summed))
        return page.ljust(self.page_size, b"\0")

    def tree(self, items: list[Item]) -> int:
        if len(items) <= self.most:
            return self.add(lambda number: self.leaf(number, items))
        parts = [items[start : start + self.most] for start in range(0, len(items), self.most)]
        level = [(part[0][1], self.tree(part)) for part in parts]
        while len(level) > self.most:
            groups = [level[start : start + self.most] for start in range(0, len(level), self.most)]
            level = [(group[0][0], self.add_branch(group)) for group in groups]
        return self.add_branch(level)

    def add_branch(self, children: list[tuple[bytes, int]]) -> int:
        head, body = b"", b""
        for place, (key, child) in enumerate(children):
            head += struct.pack("<IIQ", (len(children) - place) * 16 + len(body), len(key), child)
            body += key
        return self.add(lambda number: self.page(number, BRANCH, len(children), head + body))

    def leaf(self, number: int, items: list[Item]) -> bytes:
        head, body = b"", b""
        for place, (flags, key, value) in enumerate(items):
            head += struct.pack("<IIII", flags, (len(items) - place) * 16 + len(body), len(key), len(value))
            body += key + value
        return self.page(number, LEAF, len(items), head + body)

    def page(self, number: int, flags: int, count: int, content: bytes) -> bytes:
        pages = -(-(16 + len(content)) // self.page_size)
        page = struct.pack("<QHHI", number, flags, count, pages - 1) + content
        return page if number == 0 else page.ljust(pages * self.page_size, b"\0")

    def add(self, make: object) -> int:
        number = 2 + sum(len(page) for page in self.pages) // self.page_size
        assert callable(make)
        self.pages.append(make(number))
        return number


def outcome(data: bytes) -> str:
    try:
        edge_node_manager.read(data)
    except StoreError as error:
        return error.reason
    return "read"


contents = st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=1500), max_size=30)


@settings(max_examples=60, deadline=None)
@given(contents, contents, st.sampled_from([512, 1024, 4096]))
def test_every_item_of_a_tree_is_read_whatever_its_depth(
    wanted: dict[bytes, bytes], other: dict[bytes, bytes], page_size: int
) -> None:
    data = Writer(page_size).file({b"Device": wanted, b"Other": other})
    assert Bolt(data).items(b"Device") == wanted
    assert Bolt(data).items(b"Other") == other
    assert Bolt(data).items(b"Nobody") is None


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=40), max_size=5))
def test_a_bucket_inside_its_parents_page_is_read(content: dict[bytes, bytes]) -> None:
    assert Bolt(Writer(4096, most=9).file({b"Device": content}, inline=True)).items(b"Device") == content


def test_the_meta_page_of_the_last_transaction_counts_and_the_other_where_it_is_broken() -> None:
    writer = Writer()
    old = writer.tree([(BUCKET, b"Device", struct.pack("<QQ", writer.tree([(0, b"k", b"old")]), 0))])
    new = writer.tree([(BUCKET, b"Device", struct.pack("<QQ", writer.tree([(0, b"k", b"new")]), 0))])
    pages = b"".join(writer.pages)
    for metas in (
        writer.meta(0, old, 6) + writer.meta(1, new, 7),
        writer.meta(0, new, 8) + writer.meta(1, old, 7),
    ):
        assert Bolt(metas + pages).items(b"Device") == {b"k": b"new"}
        newest = 40 if metas.startswith(writer.meta(0, new, 8)) else 512 + 40
        broken = bytearray(metas)
        broken[newest] ^= 1
        assert Bolt(bytes(broken) + pages).items(b"Device") == {b"k": b"old"}


def test_without_a_whole_meta_page_the_file_is_damaged() -> None:
    data = bytearray(Writer().file({b"Device": {}}))
    data[30] ^= 1
    data[512 + 30] ^= 1
    with pytest.raises(StoreError, match="neither of its meta pages"):
        Bolt(bytes(data))


def test_a_tree_that_runs_in_a_circle_is_damage_and_ends() -> None:
    writer = Writer()
    number = 2
    page = writer.page(number, BRANCH, 1, struct.pack("<IIQ", 16, 1, number) + b"k")
    writer.pages.append(page.ljust(512, b"\0"))
    data = writer.meta(0, 2, 1) + writer.meta(1, 2, 2) + b"".join(writer.pages)
    with pytest.raises(StoreError, match="named twice"):
        Bolt(data).items(b"Device")


@pytest.mark.parametrize("size", [*range(0, 8192, 97), len(FLEET) // 2, len(FLEET) - 1])
def test_a_truncated_file_is_noticed_wherever_it_ends(size: int) -> None:
    with pytest.raises(StoreError) as raised:
        edge_node_manager.read(FLEET[:size])
    assert raised.value.reason == "bolt-damaged"


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_flipped_bits_and_a_cut_never_bring_anything_but_a_store_error(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([THREE, FLEET]))
    damaged = bytearray(original)
    # Mostly in the first pages and at the heads of pages, where a flip means something.
    places = st.one_of(
        st.integers(0, 12 * 4096 - 1),
        st.integers(0, len(original) - 1),
        st.builds(lambda page, byte: page * 4096 + byte, st.integers(0, len(original) // 4096 - 1), st.integers(0, 63)),
    )
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(original))))
    assert outcome(bytes(damaged[:cut])) in {"read", "bolt-damaged"}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000))
def test_any_page_content_is_read_or_refused(content: bytes) -> None:
    writer = Writer(4096)
    writer.pages.append(content[:4096].ljust(4096, b"\0"))
    data = writer.meta(0, 2, 1) + writer.meta(1, 2, 2) + b"".join(writer.pages)
    with pytest.raises(StoreError):
        Bolt(data).items(b"Device")
    fixed = bytearray(data)
    fixed[8192 : 8192 + 12] = struct.pack("<QHH", 2, LEAF, 3)
    assert outcome(bytes(fixed)) in {"read", "bolt-damaged"}


def test_a_file_is_recognised_by_either_meta_page() -> None:
    assert recognised(THREE[:128])
    assert recognised(b"\0" * 4096 + THREE[4096:8192])
    assert not recognised(b"SQLite format 3\0" + b"\0" * 8000)
    assert not recognised(b"")


def test_the_hash_is_the_published_one() -> None:
    # Test vectors of draft-eastlake-fnv, appendix C.
    assert fnv64a(b"") == 0xCBF29CE484222325
    assert fnv64a(b"a") == 0xAF63DC4C8601EC8C
    assert fnv64a(b"foobar") == 0x85944171F73967E8


def test_records_that_are_no_device_are_left_out_and_counted() -> None:
    good = b'{"ResinUUID":"u1","ApplicationUUID":1,"LocalUUID":"a","BoardType":"esp8266","Config":{"N":1,"S":"x"}}'
    bad = [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"ResinUUID":"","ApplicationUUID":1}',
        b'{"ResinUUID":"u","ApplicationUUID":true}',
        b'{"ResinUUID":"u","ApplicationUUID":1e99}',
        b'{"ResinUUID":"u","ApplicationUUID":' + b"9" * 30 + b"}",
    ]
    content = {bytes([place]): record for place, record in enumerate([good, *bad], 1)}
    imported = edge_node_manager.read(Writer(4096).file({b"Device": content}))
    assert [device.uuid for device in imported.devices] == ["u1"]
    assert imported.devices[0].config == {"N": "1", "S": "x"}
    assert imported.senseless == len(bad)


def test_of_two_records_of_one_board_only_the_first_keeps_it() -> None:
    record = '{"ResinUUID":"%s","ApplicationUUID":1,"LocalUUID":"a","BoardType":"esp8266","DeleteFlag":%s}'
    content = {
        uuid.encode(): (record % (uuid, deleted)).encode()
        for uuid, deleted in [("u1", "false"), ("u2", "false"), ("u3", "true")]
    }
    devices = edge_node_manager.read(Writer(4096).file({b"Device": content})).devices
    assert [(device.uuid, device.local_id, device.deleted) for device in devices] == [
        ("u1", "a", False),
        ("u2", None, False),
        ("u3", "a", True),
    ]


def test_a_database_without_the_bucket_holds_no_device() -> None:
    assert edge_node_manager.read(Writer().file({b"Other": {}})).devices == []
