"""What a session counts: prediction from the codec, measurement from what crossed, and the worker's own counts."""

import asyncio

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.transport import protocol
from gradwire.common.transport.traffic import Traffic
from gradwire.proto import wire_pb2
from gradwire.server.counters import Counters
from gradwire.server.stream.session import Session
from gradwire.server.stream.traffic_check import TrafficCheck

CODEC = parse("cross_polytope(repeats=3)", 12)  # 32 + 3 * 5 bits: 6 bytes, the last with one bit to spare
PAYLOADS = tuple(CODEC.encode(np.full(12, x), np.random.default_rng(0)) for x in (1.0, -2.0))


def session() -> Session:
    return Session(1, "a", (0, 1), asyncio.Future())  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def loop() -> "asyncio.AbstractEventLoop":
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    asyncio.set_event_loop(None)
    made.close()


def counted(payloads: bytes) -> Traffic:
    message = protocol.push_message(CODEC, 3, [payloads])
    total = Traffic()
    session().count_push(total, CODEC, message.push, len(message.SerializeToString()))
    return total


def test_a_push_measures_what_its_codec_predicts() -> None:
    total = counted(b"".join(PAYLOADS))
    assert (CODEC.nbits, CODEC.nbytes) == (47, 6)
    assert (total.payload_bits.predicted, total.payload_bits.measured) == (94, 94)
    assert (total.payload_bytes.predicted, total.payload_bytes.measured) == (12, 12)
    assert total.as_predicted


@pytest.mark.parametrize("payloads", [PAYLOADS[0], b"".join(PAYLOADS) + b"\0", b"\0" * 96])
def test_other_bytes_than_the_codecs_show_in_every_layer(payloads: bytes) -> None:
    total = counted(payloads)
    for layer in (total.payload_bits, total.payload_bytes, total.message_bytes):
        assert layer.predicted != layer.measured
    assert total.payload_bits.measured == 8 * len(payloads) - 2


def traffic(messages: int, bytes_: int | None = None) -> wire_pb2.Traffic:
    bytes_ = 12 * messages if bytes_ is None else bytes_
    return wire_pb2.Traffic(messages=messages, payload_bytes=bytes_, message_bytes=bytes_ + 4 * messages)


@pytest.mark.parametrize(
    ("done", "sent", "received", "agrees"),
    [
        (True, traffic(5), traffic(7), True),
        (True, traffic(6), traffic(7), False),  # all that was sent has come once Done has
        (True, traffic(5), traffic(6), False),
        (False, traffic(5), traffic(7), True),
        (False, traffic(6), traffic(5), True),  # the stream broke: a push and two entries are lost
        (False, traffic(4), traffic(7), False),  # nothing comes that was not sent
        (False, traffic(5), traffic(8), False),
        (False, traffic(5, 61), traffic(7), False),  # as many messages, other bytes
        (False, traffic(6, 59), traffic(7), False),  # more messages, fewer bytes
    ],
)
def test_the_workers_own_counts(
    done: bool, sent: wire_pb2.Traffic, received: wire_pb2.Traffic, agrees: bool
) -> None:
    here = session()
    here.received, here.sent, here.done = traffic(5), traffic(7), done
    assert here.agrees(sent, received) is agrees


def test_a_streams_counts_are_compared_once_and_only_if_it_is_of_this_server() -> None:
    counters = Counters()
    check = TrafficCheck(counters)
    first, second = session(), session()
    for each in (first, second):
        each.received, each.sent, each.done = traffic(5), traffic(7), True
        check.opened(each)
    check.check(first.stream_id, traffic(5), traffic(7))
    assert (counters.streams, counters.streams_checked, counters.worker_mismatches) == (2, 1, 0)
    check.check(first.stream_id, traffic(1), traffic(1))
    check.check(first.stream_id ^ second.stream_id, traffic(1), traffic(1))
    assert (counters.streams_checked, counters.worker_mismatches) == (1, 0)
    check.check(second.stream_id, traffic(5, 61), traffic(7))
    assert (counters.streams_checked, counters.worker_mismatches) == (2, 1)


def test_streams_that_are_never_reported_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.server.stream.traffic_check.MAX_UNCHECKED", 2)
    counters, sessions = Counters(), [session() for _ in range(3)]
    check = TrafficCheck(counters)
    for each in sessions:
        check.opened(each)
    for each in sessions:
        check.check(each.stream_id, each.received, each.sent)
    assert (counters.streams, counters.streams_checked) == (3, 2)
