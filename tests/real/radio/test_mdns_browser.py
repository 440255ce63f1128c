from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import struct
import sys
import warnings
from pathlib import Path

import pytest

from enmctl.errors import RadioError
from enmctl.radio import mdns as mdns_module
from enmctl.radio.mdns import MdnsBrowser, MdnsService, scan
from enmctl.radio.multicast import open_multicast
from enmctl.settings import Settings
from enmctl.simulator import mdns as simulated_mdns
from enmctl.simulator.mdns import LoopbackMdns
from tests.real.radio.mdns_watched import (
    HTTP,
    LIMIT,
    ON_LOOPBACK,
    Watched,
    answer,
    record,
    send_to_everybody,
    wire_name,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")


@pytest.mark.parametrize("turns", range(1, 9))
async def test_a_browser_whose_opening_is_called_off_keeps_no_socket_open(turns: int) -> None:
    opening = asyncio.ensure_future(open_multicast(("127.0.0.1",)))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await opening).async_close()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await asyncio.sleep(0)
        gc.collect()
    assert [str(each.message) for each in told if "5353" in str(each.message)] == []


async def test_a_board_that_announces_itself_is_shown_with_all_it_says(
    watched: Watched, responder: LoopbackMdns
) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080, properties={"fw": "abc", "app": "7"})
    await watched.until(lambda: bool(watched.said))
    assert watched.services[name] == MdnsService(
        name=name, host=f"{name}.local", port=8080, addresses=("127.0.0.1",), properties={"fw": "abc", "app": "7"}
    )
    assert watched.said == [(name, watched.services[name])]


async def test_a_board_that_was_there_before_is_found(responder: LoopbackMdns) -> None:
    watched = Watched()
    responder.announce(f"{watched.prefix}1", 8080)
    async with watched.browser:
        await watched.until(lambda: bool(watched.services))
    assert watched.services[f"{watched.prefix}1"].properties == {}


async def test_a_board_that_takes_its_leave_is_told_once(watched: Watched, responder: LoopbackMdns) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080)
    await watched.until(lambda: name in watched.services)
    responder.withdraw(name)
    await watched.until(lambda: (name, None) in watched.said)
    assert name not in watched.services
    assert [service for _, service in watched.said if service is None] == [None]


async def test_a_changed_version_is_told(watched: Watched, responder: LoopbackMdns) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080, properties={"fw": "old"})
    await watched.until(lambda: name in watched.services)
    responder.forget(name)
    responder.announce(name, 8080, properties={"fw": "new"})
    await watched.until(lambda: watched.services[name].properties == {"fw": "new"})


@linux_only
async def test_a_board_that_moved_is_shown_at_its_new_place_and_soon_at_no_other(
    watched: Watched, responder: LoopbackMdns
) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080)
    await watched.until(lambda: name in watched.services)
    responder.forget(name)
    responder.announce(name, 9090, address="127.0.0.9")
    at_last = MdnsService(name, f"{name}.local", 9090, ("127.0.0.9",), {})
    await watched.until(lambda: bool(watched.said) and watched.said[-1][1] == at_last)
    moved = [service for _, service in watched.said if service is not None and service.port == 9090]
    assert all(service.addresses[0] == "127.0.0.9" for service in moved)


async def test_a_board_that_died_stays_shown_and_does_not_answer_when_asked_again(
    watched: Watched, responder: LoopbackMdns
) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080)
    await watched.until(lambda: name in watched.services)
    responder.forget(name)
    async with asyncio.timeout(LIMIT):
        while await watched.browser.query_again(name, seconds=0.6) is not None:
            pass  # an answer to somebody else may still have been on its way
    assert name in watched.services


async def test_asking_again_gets_what_is_true_now(watched: Watched, responder: LoopbackMdns) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 8080, properties={"fw": "abc"})
    await watched.until(lambda: name in watched.services)
    assert await watched.browser.query_again(name) == watched.services[name]


@pytest.mark.parametrize("name", ["", ".", "x" * 70, "a\0b", "ESP8266_" + "\N{SNOWMAN}" * 30])
async def test_asking_again_for_nonsense_finds_nobody(watched: Watched, name: str) -> None:
    assert await watched.browser.query_again(name, seconds=0.1) is None


async def test_on_loopback_only_a_foreign_address_is_not_shown(watched: Watched, responder: LoopbackMdns) -> None:
    foreign, here = f"{watched.prefix}1", f"{watched.prefix}2"
    responder.announce(foreign, 80, address="192.0.2.66")
    responder.announce(here, 80)
    await watched.until(lambda: here in watched.services)
    assert list(watched.services) == [here]
    assert await watched.browser.query_again(foreign, seconds=2) is None


async def test_on_loopback_only_a_board_that_moves_away_is_no_longer_shown(
    watched: Watched, responder: LoopbackMdns
) -> None:
    name = f"{watched.prefix}1"
    responder.announce(name, 80)
    await watched.until(lambda: name in watched.services)
    responder.forget(name)
    responder.announce(name, 80, address="192.0.2.66")
    await watched.until(lambda: name not in watched.services)
    assert all(
        address.startswith("127.")
        for _, service in watched.said
        if service is not None
        for address in service.addresses
    )


async def test_elsewhere_a_foreign_address_is_shown(responder: LoopbackMdns) -> None:
    watched = Watched(loopback_only=False)
    responder.announce(f"{watched.prefix}1", 80, address="192.0.2.66")
    async with watched.browser:
        await watched.until(lambda: bool(watched.services))
    assert watched.services[f"{watched.prefix}1"].addresses == ("192.0.2.66",)


async def test_a_board_without_any_txt_record_is_shown_all_the_same(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns_module, "RESOLVE_TIMEOUT", 0.3)
    name = f"{watched.prefix}1"
    instance, host = wire_name(name.encode(), *HTTP), wire_name(name.encode(), b"local")
    send_to_everybody(
        answer(
            record(wire_name(*HTTP), 12, instance),
            record(instance, 33, struct.pack(">HHH", 0, 0, 80) + host),
            record(host, 1, socket.inet_aton("127.0.0.1")),
        )
    )
    await watched.until(lambda: name in watched.services)
    assert watched.services[name].properties == {}


async def test_what_is_kept_is_bounded_and_said_once(
    responder: LoopbackMdns, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mdns_module, "MAX_SERVICES", 3)
    watched = Watched()
    async with watched.browser as browser:
        for number in range(8):
            responder.announce(f"{watched.prefix}{number}", 80)
        # The last of a packet's round trip: its answer comes after all the announcements.
        await browser.query_again(f"{watched.prefix}7")
        assert len(browser.services) <= 3
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING] == [
        "more than 3 services are advertised; further ones are not looked at"
    ]


async def test_many_boards_at_once_are_all_found(responder: LoopbackMdns) -> None:
    watched = Watched()
    for number in range(150):
        responder.announce(f"{watched.prefix}{number}", 80)
    async with watched.browser:
        await watched.until(lambda: len(watched.services) == 150)


async def test_a_board_whose_announcement_was_missed_is_asked_for(
    responder: LoopbackMdns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_mdns, "ANNOUNCEMENT_GAPS", ())
    monkeypatch.setattr(mdns_module, "REFRESH_INTERVAL", 0.2)
    watched = Watched()
    responder.announce(f"{watched.prefix}1", 80)
    async with watched.browser as browser:
        assert browser._browser is not None
        browser._browser.query_scheduler.stop()
        await watched.until(lambda: bool(watched.services))


async def test_a_listener_that_fails_ends_nothing(responder: LoopbackMdns) -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    seen: list[str] = []

    def listen(name: str, _service: MdnsService | None) -> None:
        seen.append(name)
        raise ZeroDivisionError

    prefix = Watched().prefix
    async with MdnsBrowser(ON_LOOPBACK, listen, loopback_only=True) as browser:
        async with asyncio.timeout(LIMIT):
            for number in (1, 2):
                responder.announce(f"{prefix}{number}", 80)
                while f"{prefix}{number}" not in seen:
                    await browser.query_again(f"{prefix}{number}", seconds=0.2)
    assert all(isinstance(fault["exception"], ZeroDivisionError) for fault in faults)


async def test_a_scan_ends_as_soon_as_what_is_there_is_enough(responder: LoopbackMdns) -> None:
    name = f"{Watched().prefix}1"
    responder.announce(name, 80)
    started = asyncio.get_running_loop().time()
    found = await scan(ON_LOOPBACK, 30, until=lambda services: name in services, loopback_only=True)
    assert found[name].port == 80
    assert asyncio.get_running_loop().time() - started < LIMIT


async def test_a_scan_ends_in_time_when_nothing_is_enough() -> None:
    async with asyncio.timeout(LIMIT):
        await scan(ON_LOOPBACK, 0.2, until=lambda _: False, loopback_only=True)
        await scan(ON_LOOPBACK, 0.2, loopback_only=True)


async def test_addresses_that_are_not_on_this_machine_are_a_radio_error() -> None:
    with pytest.raises(RadioError, match=r"203\.0\.113\.7") as caught:
        await scan(Settings(mdns_interfaces="203.0.113.7,2001:db8::7"), 1)
    assert caught.value.reason == "no-interface"
    assert "ENM_MDNS_INTERFACES" in caught.value.message


async def test_an_address_that_is_not_here_is_left_out_beside_one_that_is(responder: LoopbackMdns) -> None:
    name = f"{Watched().prefix}1"
    responder.announce(name, 80)
    settings = Settings(mdns_interfaces="203.0.113.7,127.0.0.1")
    assert name in await scan(settings, LIMIT, until=lambda services: name in services)


async def test_all_interfaces_can_be_listened_on(responder: LoopbackMdns) -> None:
    name = f"{Watched().prefix}1"
    responder.announce(name, 80)
    assert name in await scan(Settings(), LIMIT, until=lambda services: name in services)


def listened_on(browser: MdnsBrowser) -> set[str]:
    assert browser._zeroconf is not None
    return {str(sender.interface_key[0]) for sender in browser._zeroconf.zeroconf.engine.senders}


@linux_only
async def test_an_interface_that_comes_is_listened_on_at_once_and_left_when_it_goes() -> None:
    settings = Settings(mdns_interfaces="203.0.113.7")
    async with MdnsBrowser(settings, also_on=["127.0.0.9"]) as browser:
        assert listened_on(browser) == {"127.0.0.9"}
        await browser.listen_also_on(["127.0.0.10", "203.0.113.9"])
        assert listened_on(browser) == {"127.0.0.10"}


async def test_on_loopback_only_no_further_interface_is_listened_on() -> None:
    async with MdnsBrowser(ON_LOOPBACK, loopback_only=True) as browser:
        before = listened_on(browser)
        await browser.listen_also_on(["127.0.0.9"])
        assert listened_on(browser) == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def test_nothing_is_left_behind() -> None:
    tasks = asyncio.all_tasks()
    before = open_files()
    for _ in range(3):
        await scan(ON_LOOPBACK, 0.05, loopback_only=True)
        async with LoopbackMdns() as responder, MdnsBrowser(ON_LOOPBACK, loopback_only=True):
            responder.announce(f"{Watched().prefix}1", 80)
    assert asyncio.all_tasks() == tasks
    assert open_files() <= before


async def test_what_zeroconf_logs_does_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = logging.StreamHandler()
    logging.getLogger().addHandler(terminal)
    try:
        await scan(ON_LOOPBACK, 0.05, loopback_only=True)
        logging.getLogger("zeroconf").warning("Address in use")
    finally:
        logging.getLogger().removeHandler(terminal)
    assert capfd.readouterr().err == ""
