"""Reads BoltDB files, in which edge-node-manager kept its devices: buckets of keys and values, and nothing is written.

A file is pages of one size. Pages 0 and 1 are meta pages, written in turn; the valid one with the higher transaction id
holds the root bucket's page. Branch and leaf pages form a B+tree for each bucket; a small bucket lies inside the value
that names it, a large page runs on over the pages after it. Everything is little-endian here: BoltDB writes the
machine's own order, and gateways are ARM or x86.

Facts: go.etcd.io/bbolt, ``page.go``, ``bucket.go`` and ``db.go`` (format version 2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from enmctl.errors import StoreError

MAGIC: Final = 0xED0CDAED
_FORMAT: Final = 2
_PAGE: Final = struct.Struct("<QHHI")  # id, flags, count, overflow
_META: Final = struct.Struct("<IIIIQQQQQQ")  # magic, format, page size, flags, root, sequence, freelist, end, txid, sum
_BRANCH: Final = struct.Struct("<IIQ")  # offset from here, key size, page
_LEAF: Final = struct.Struct("<IIII")  # flags, offset from here, key size, value size
_BUCKET: Final = struct.Struct("<QQ")  # root page, sequence

_IS_BRANCH: Final = 0x01
_IS_LEAF: Final = 0x02
_IS_BUCKET: Final = 0x01
_PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))
_DEEPEST: Final = 32
"""A tree of so many levels holds more than any disk; a deeper one runs in a circle."""

HEAD_SIZE: Final = _PAGE_SIZES[-1] + _PAGE.size + _META.size
"""Bytes from a file's start that suffice for ``recognised``."""


def recognised(head: bytes) -> bool:
    """Whether a file that begins like this is, or was, a BoltDB database: one of its meta pages shows the magic."""
    magic = MAGIC.to_bytes(4, "little")
    return any(head[start + _PAGE.size :][:4] == magic for start in (0, *_PAGE_SIZES))


@dataclass(frozen=True, slots=True)
class _Meta:
    page_size: int
    root: int
    end: int
    transaction: int


class Bolt:
    """A BoltDB database, read from its bytes.

    Raises:
        StoreError: it is damaged or truncated (reason ``bolt-damaged``); so do all methods.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._meta = _latest_meta(data)
        if self._meta.end * self._meta.page_size > len(data):
            raise _damaged(f"it is truncated, {len(data)} bytes of {self._meta.end * self._meta.page_size} are left")

    def items(self, bucket: bytes) -> dict[bytes, bytes] | None:
        """Keys and values of a bucket at the root, without the buckets inside it; None where there is none."""
        root = self._page(self._meta.root)
        seen = {self._meta.root}
        for flags, key, value in self._leaves(root, seen, 0):
            if key == bucket and flags & _IS_BUCKET:
                return {key: value for flags, key, value in self._bucket(value, seen) if not flags & _IS_BUCKET}
        return None

    def _bucket(self, value: bytes, seen: set[int]) -> Iterator[tuple[int, bytes, bytes]]:
        if len(value) < _BUCKET.size:
            raise _damaged("a bucket has no header")
        root, _ = _BUCKET.unpack_from(value)
        if root == 0:
            return self._leaves(value[_BUCKET.size :], seen, 0)
        return self._leaves(self._page(root, seen), seen, 0)

    def _page(self, number: int, seen: set[int] | None = None) -> bytes:
        """A page with what it runs on over. ``seen`` refuses one that was already there: each has one parent."""
        size = self._meta.page_size
        if not 2 <= number < self._meta.end:  # noqa: PLR2004 - pages 0 and 1 are the meta pages
            raise _damaged(f"page {number} is none of its {self._meta.end}")
        if seen is not None:
            if number in seen:
                raise _damaged(f"page {number} is named twice")
            seen.add(number)
        start = number * size
        own, _, _, overflow = _PAGE.unpack_from(self._data, start)
        if own != number or number + overflow >= self._meta.end:
            raise _damaged(f"page {number} is not what it should be")
        return self._data[start : start + (1 + overflow) * size]

    def _leaves(self, page: bytes, seen: set[int], depth: int) -> Iterator[tuple[int, bytes, bytes]]:
        if depth > _DEEPEST:
            raise _damaged("its tree is too deep")
        if len(page) < _PAGE.size:
            raise _damaged("a page has no header")
        _, flags, count, _ = _PAGE.unpack_from(page)
        if flags == _IS_LEAF:
            yield from _leaf_items(page, count)
        elif flags == _IS_BRANCH:
            for child in _branch_children(page, count):
                yield from self._leaves(self._page(child, seen), seen, depth + 1)
        else:
            raise _damaged(f"a page is of kind {flags:#x}, neither branch nor leaf")


def _latest_meta(data: bytes) -> _Meta:
    found = [meta for start in (0, *_PAGE_SIZES) if (meta := _meta_at(data, start)) is not None]
    if not found:
        raise _damaged("neither of its meta pages is whole")
    return max(found, key=lambda meta: meta.transaction)


def _meta_at(data: bytes, start: int) -> _Meta | None:
    place = start + _PAGE.size
    if len(data) < place + _META.size:
        return None
    magic, form, page_size, _, root, _, _, end, transaction, checksum = _META.unpack_from(data, place)
    summed = data[place : place + _META.size - 8]
    if (magic, form) != (MAGIC, _FORMAT) or page_size not in _PAGE_SIZES or checksum != fnv64a(summed):
        return None
    return _Meta(page_size, root, end, transaction) if start in {0, page_size} else None


def fnv64a(data: bytes) -> int:
    """The 64-bit FNV-1a hash (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _leaf_items(page: bytes, count: int) -> Iterator[tuple[int, bytes, bytes]]:
    _check_room(page, count)
    taken = 0
    last: bytes | None = None
    for place in range(_PAGE.size, _PAGE.size + count * _LEAF.size, _LEAF.size):
        flags, offset, key_size, value_size = _LEAF.unpack_from(page, place)
        start = place + offset
        end = start + key_size + value_size
        taken += key_size + value_size
        if max(end, taken) > len(page):
            raise _damaged("an item reaches beyond its page")
        key = page[start : start + key_size]
        if last is not None and key <= last:
            raise _damaged("its keys are not in order")
        last = key
        yield flags, key, page[start + key_size : end]


def _branch_children(page: bytes, count: int) -> Iterator[int]:
    _check_room(page, count)
    for place in range(_PAGE.size, _PAGE.size + count * _BRANCH.size, _BRANCH.size):
        _, _, child = _BRANCH.unpack_from(page, place)
        yield child


def _check_room(page: bytes, count: int) -> None:
    if _PAGE.size + count * _LEAF.size > len(page):  # branch elements are of the same size
        raise _damaged("a page counts more items than it has room for")


def _damaged(how: str) -> StoreError:
    return StoreError(f"the BoltDB file is damaged: {how}", reason="bolt-damaged", permanent=True)
