from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enmctl.simulator.nordic.chips import NRF51, NRF52832, Chip
from enmctl.simulator.nordic.flash import Flash

SMALL = replace(NRF51, size=4096)
LONG_AFTER = 1000.0


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


@pytest.mark.parametrize("chip", [NRF51, NRF52832], ids=lambda chip: chip.name)
def test_an_erase_takes_its_time_a_page_and_a_write_a_word(chip: Chip) -> None:
    flash = Flash(chip)
    assert flash.erase(0, 3 * chip.page, now=1.0) == pytest.approx(1.0 + 3 * chip.erase_seconds)
    done = flash.write(0, bytes(20), now=1.0)
    assert done == pytest.approx(1.0 + 3 * chip.erase_seconds + 5 * chip.word_seconds)
    flash.settle(done - 1e-6)
    assert flash.waiting == 1
    flash.settle(done)
    assert (flash.waiting, flash.read(0, 24)) == (0, bytes(20) + b"\xff" * 4)


def test_an_erase_takes_whole_pages_however_few_bytes_are_meant() -> None:
    flash = Flash(SMALL, bytes(4096))
    flash.settle(flash.erase(1500, 1, now=0.0))
    assert [flash.read(page, 1024) == b"\xff" * 1024 for page in range(0, 4096, 1024)] == [False, True, False, False]


def test_the_drain_is_what_was_set() -> None:
    flash = Flash(SMALL, drain=10_000)
    assert flash.write(0, bytes(1000), now=0.0) == pytest.approx(0.1)
    flash.drain(None)
    assert flash.write(0, bytes(4), now=1.0) == pytest.approx(1.0 + SMALL.word_seconds)


def test_writing_clears_bits_and_only_erasing_sets_them() -> None:
    flash = Flash(SMALL)
    flash.write(8, words(0xFFFF0000), now=0.0)
    flash.settle(flash.write(8, words(0x0F0F0F0F), now=0.0))
    assert flash.word(8) == 0x0F0F0000
    flash.settle(flash.erase(8, 4, now=1.0))
    assert flash.word(8) == 0xFFFFFFFF


def test_a_power_cut_leaves_the_words_that_were_written_and_forgets_the_rest() -> None:
    flash = Flash(SMALL)
    flash.write(0, words(1, 2, 3, 4), now=0.0)
    flash.write(16, words(5), now=0.0)
    flash.cut(2.5 * SMALL.word_seconds)
    flash.settle(LONG_AFTER)
    assert flash.read(0, 20) == words(1, 2) + b"\xff" * 12
    assert flash.waiting == 0


def test_a_power_cut_in_an_erase_leaves_a_page_half_erased() -> None:
    flash = Flash(SMALL, bytes(4096))
    flash.erase(0, 2048, now=0.0)
    flash.cut(1.5 * SMALL.erase_seconds)
    assert flash.read(0, 2048) == b"\xff" * 1536 + bytes(512)


def test_what_is_kept_between_two_runs_is_what_was_written() -> None:
    flash = Flash(SMALL)
    flash.settle(flash.write(100, words(7), now=0.0))
    assert Flash(SMALL, flash.image()).word(100) == 7
    with pytest.raises(ValueError, match="262144"):
        Flash(NRF51, flash.image())


def test_a_write_that_fails_leaves_the_flash_as_it_was_and_is_told() -> None:
    flash = Flash(SMALL)
    flash.fail()
    done = flash.write(0, words(1), now=0.0, buffered=True)
    flash.write(4, words(2), now=0.0, buffered=True)
    assert flash.failing_at == done
    flash.settle(LONG_AFTER)
    assert flash.read(0, 8) == b"\xff" * 4 + words(2)
    assert flash.buffered == 0


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "erase"]),
        st.integers(0, 1000).map(lambda word: word * 4),
        st.binary(min_size=4, max_size=32).map(lambda data: data[: len(data) // 4 * 4]),
        st.floats(0, 0.01),
    ),
    max_size=20,
)


@given(OPERATIONS, st.floats(0, 0.3))
def test_whatever_is_asked_a_cut_leaves_what_was_done_in_order_by_then(
    operations: list[tuple[str, int, bytes, float]], after: float
) -> None:
    flash, model, now, busy = Flash(SMALL), bytearray(b"\xff" * 4096), 0.0, 0.0
    cut = sum(pause for *_, pause in operations) + after
    for what, address, data, pause in operations:
        now += pause
        began = max(now, busy)
        if what == "erase":
            busy = flash.erase(address, 4, now)
            share = min(1.0, max(0.0, (cut - began) / SMALL.erase_seconds))
            page, size = address // 1024 * 1024, int(share * 1024) // 4 * 4
            model[page : page + size] = b"\xff" * size
        else:
            busy = flash.write(address, data, now)
            whole = busy <= cut
            written = len(data) if whole else max(0, int((cut - began) / SMALL.word_seconds)) * 4
            for place, byte in enumerate(data[:written], address):
                model[place] &= byte
        assert busy > began
    flash.cut(cut)
    assert flash.image() == bytes(model)
