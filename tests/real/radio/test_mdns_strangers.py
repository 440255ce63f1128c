"""What strangers on the network send, and looks around it that go wrong."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct

import pytest
from zeroconf import DNSPointer, DNSQuestionType, current_time_millis  # type: ignore[attr-defined]  # not in __all__
from zeroconf._services.browser import generate_service_query

from enmctl.radio import mdns as mdns_module
from enmctl.radio.multicast import SERVICE_TYPE
from enmctl.simulator import mdns as simulated_mdns
from enmctl.simulator.mdns import LoopbackMdns
from tests.real.radio.mdns_watched import HTTP, LIMIT, Watched, answer, record, send_to_everybody, wire_name


async def test_garbage_on_the_network_is_passed_over(
    watched: Watched, responder: LoopbackMdns, caplog: pytest.LogCaptureFixture
) -> None:
    noise = random.Random(8266)
    odd = [b"x" * 63, b"\xff\xfe", b"\0", b" ", b"a.b", b"ESP8266__", b"_"]
    for label in odd:
        instance = wire_name(label, *HTTP)
        send_to_everybody(
            answer(
                record(wire_name(*HTTP), 12, instance),
                record(instance, 33, struct.pack(">HHH", 0, 0, 0) + wire_name(label, b"local")),
                record(instance, 16, b"\x05=\xff\xfe=\xff\xc8short"),
                record(wire_name(label, b"local"), 1, socket.inet_aton("127.0.0.1")),
            )
        )
        send_to_everybody(answer(record(instance, 33, b"\0"), record(wire_name(label, b"local"), 1, b"\x7f")))
    send_to_everybody(answer(record(wire_name(*HTTP), 12, wire_name(*HTTP))))
    for length in (0, 1, 11, 12, 40, 400, 8000):
        send_to_everybody(noise.randbytes(length))
        send_to_everybody(b"\0\0\x84\0\0\0\0\1\0\0\0\0" + noise.randbytes(length))
    name = f"{watched.prefix}1"
    responder.announce(name, 80)
    await watched.until(lambda: name in watched.services)
    assert all(0 < service.port < 65536 and service.addresses for service in watched.browser.services.values())
    assert [line for line in caplog.records if line.levelno > logging.DEBUG] == []


async def test_a_name_that_fits_no_packet_once_it_is_read_leaves_the_browser_asking(
    watched: Watched, responder: LoopbackMdns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched.browser._zeroconf is not None
    zeroconf = watched.browser._zeroconf.zeroconf
    instance, host = wire_name(watched.prefix.encode(), *HTTP), wire_name(watched.prefix.encode(), b"local")
    send_to_everybody(
        answer(
            record(wire_name(*HTTP), 12, wire_name(b"\xff" * 40, *HTTP)),
            record(wire_name(b"\xff" * 40, *HTTP), 16, b"\x04fw=1"),
            record(wire_name(*HTTP), 12, wire_name(b"\xfe" * 40, b"elsewhere")),
            record(wire_name(*HTTP), 12, instance),
            record(instance, 33, struct.pack(">HHH", 0, 0, 80) + host),
            record(instance, 16, b"\0"),
            record(host, 1, socket.inet_aton("127.0.0.1")),
        )
    )
    await watched.until(lambda: watched.prefix in watched.services)
    assert not any("\ufffd" in name for name in zeroconf.cache.names())
    await watched.browser.listen_also_on([])
    generate_service_query(zeroconf, current_time_millis(), {SERVICE_TYPE}, True, DNSQuestionType.QM)[0].packets()
    monkeypatch.setattr(simulated_mdns, "ANNOUNCEMENT_GAPS", ())
    responder.announce(f"{watched.prefix}1", 80)
    await watched.until(lambda: f"{watched.prefix}1" in watched.services)


async def test_a_question_that_zeroconf_cannot_write_is_no_fault_of_whoever_asks(watched: Watched) -> None:
    assert watched.browser._zeroconf is not None
    zeroconf = watched.browser._zeroconf.zeroconf
    unwritable = DNSPointer(SERVICE_TYPE, 12, 1, 120, "x" * 70 + f".{SERVICE_TYPE}")
    zeroconf.cache.async_add_records([unwritable])
    await watched.browser.listen_also_on([])


@pytest.mark.usefixtures("watched")
async def test_a_look_around_that_fails_is_said_once_and_is_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0
    third = asyncio.Event()

    def fail(_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            third.set()
        raise ZeroDivisionError

    monkeypatch.setattr(mdns_module, "ask_who_is_there", fail)
    async with asyncio.timeout(LIMIT):
        await third.wait()
    assert [line.levelno for line in caplog.records if line.name == mdns_module.__name__] == [logging.ERROR]
