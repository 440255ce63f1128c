"""Where devices are asked for: nothing that is called off half-way may keep others waiting for ever."""

from __future__ import annotations

import asyncio

from enmctl.gateway.provisioning import REQUESTS_AT_ONCE, _Desk


async def test_a_search_that_is_called_off_while_it_waits_leaves_every_place_free() -> None:
    desk = _Desk()
    await desk.places.acquire()

    async def search() -> None:
        async with desk.alone():
            pass

    searching = asyncio.create_task(search())
    await asyncio.sleep(0)
    assert desk.places.locked(), "the search holds all other places, and waits for this one"
    searching.cancel()
    await asyncio.wait([searching])
    desk.places.release()
    for _ in range(REQUESTS_AT_ONCE):
        async with asyncio.timeout(1.0):
            await desk.places.acquire()
