"""One process's stream, as the run sees it: an outbox, the workers behind it, and what crossed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradwire.common.codecs import AnyCodec
from gradwire.common.traffic import Traffic
from gradwire.common.transport import protocol
from gradwire.proto import wire_pb2
from gradwire.server.outgoing import Outgoing, OutgoingEntry

MAX_BACKLOG = 64  # messages that wait for a slow reader; more would put the whole run into memory

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Session:
    """A process that is connected.

    Attributes:
        number: never reused while the server runs.
        workers: ids of the logical workers it hosts, in the order of its pushes.
        outbox: messages to write, None to end the stream.
        received: pushes that came on this stream; the worker counts them too, and both must agree.
        sent: entries that went out on this stream.
        stream: the task that serves it.
        done: the process has folded the last entry.
        cut_because: why the server ended the stream, once it has.
        astray: rounds of pushes that were not counted since the replica was found to differ; None while it follows.
    """

    number: int
    process: str
    workers: tuple[int, ...]
    stream: asyncio.Task[None]
    outbox: asyncio.Queue[Outgoing | None] = field(default_factory=asyncio.Queue)
    received: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    sent: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    done: bool = False
    cut_because: str | None = None
    astray: set[int] | None = None

    def send_entry(self, entry: OutgoingEntry) -> None:
        """Queue an entry, or cut the stream of a process that is too far behind: it will come back and catch up."""
        if self.outbox.qsize() >= MAX_BACKLOG:
            log.warning("%s is %d messages behind: its stream is cut", self.process, self.outbox.qsize())
            self.cut(f"this process is {self.outbox.qsize()} messages behind: join again and catch up")
        else:
            self.outbox.put_nowait(entry)

    def cut(self, reason: str) -> None:
        """End the stream; the worker is told that it may come again, and why."""
        if self.cut_because is None:
            self.cut_because = reason
            self.stream.cancel()

    def send(self, message: wire_pb2.FromServer) -> None:
        """Queue a message that is not round traffic."""
        self.outbox.put_nowait(Outgoing.of(message))

    def count_push(
        self, total: Traffic, codec: AnyCodec, push: wire_pb2.Push, payloads: Sequence[bytes], received: int
    ) -> None:
        """Count a push of ``received`` message bytes, here and in the run's total."""
        lengths = [codec.nbytes if codec.fixed_length else len(p) for p in payloads]
        bits = sum(codec.nbits if codec.fixed_length else 8 * len(p) for p in payloads)
        predicted = protocol.predicted_push_bytes(codec, push, len(payloads))
        total.count(
            bits=(bits, bits), payload=(sum(lengths), len(push.payloads)), message=(predicted, received)
        )
        add_traffic(self.received, len(push.payloads), received)

    def count_entry(self, total: Traffic, entry: OutgoingEntry) -> None:
        """Count an entry that was written, here and in the run's total."""
        total.count(
            bits=(entry.payload_bits.predicted, entry.payload_bits.measured),
            payload=(entry.payload_bytes.predicted, entry.payload_bytes.measured),
            message=(entry.message_bytes.predicted, entry.message_bytes.measured),
        )
        add_traffic(self.sent, entry.payload_bytes.measured, entry.message_bytes.measured)


def add_traffic(count: wire_pb2.Traffic, payload_bytes: int, message_bytes: int) -> None:
    """Count one message."""
    count.messages += 1
    count.payload_bytes += payload_bytes
    count.message_bytes += message_bytes
