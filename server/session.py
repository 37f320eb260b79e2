"""One process's stream, as the run sees it: an outbox, the workers behind it, and what crossed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field

from gradwire.common.codecs import AnyCodec
from gradwire.common.transport import payloads, protocol
from gradwire.common.transport.traffic import MessageSize, Size, Traffic
from gradwire.proto import wire_pb2
from gradwire.server.outgoing import Outgoing, OutgoingEntry

MAX_BACKLOG = 64  # messages that wait for a slow reader; more would put the whole run into memory
MAX_BACKLOG_BYTES = 256 << 20  # and their bytes, where more than one waits

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Session:
    """A process that is connected.

    Attributes:
        number: never reused while the server runs.
        mark: 64 random bits by which the worker names this stream when it tells what it counted, to whichever server.
        workers: ids of the logical workers it hosts, in the order of its pushes.
        outbox: messages to write, None to end the stream.
        waiting_bytes: of the messages in the outbox, and of the one that is being written.
        received: pushes that came on this stream; the worker counts them too, and both must agree.
        sent: entries that went out on this stream.
        stream: the task that serves it.
        is_leaving: the stream has found its own end.
        left: set once the run has seen the stream end: the process may come on another one.
        done: the process has folded the last entry.
        cut_because: why the server ended the stream, once it has.
        astray: rounds of pushes that were not counted since the replica was found to differ; None while it follows.
    """

    number: int
    process: str
    workers: tuple[int, ...]
    stream: asyncio.Task[None]
    outbox: asyncio.Queue[Outgoing | None] = field(default_factory=asyncio.Queue)
    waiting_bytes: int = 0
    is_leaving: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    received: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    sent: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    done: bool = False
    cut_because: str | None = None
    mark: int = field(default_factory=lambda: secrets.randbits(64))
    astray: set[int] | None = None

    def send_entry(self, entry: OutgoingEntry) -> None:
        """Queue an entry, or cut the stream of a process that is too far behind: it will come back and catch up."""
        messages, waiting = self.outbox.qsize(), self.waiting_bytes
        if messages >= MAX_BACKLOG or (messages > 1 and waiting + entry.size > MAX_BACKLOG_BYTES):
            behind = f"{messages} messages of {waiting:,} bytes behind"
            log.warning("%s is %s: its stream is cut", self.process, behind)
            self.cut(f"this process is {behind}: join again and catch up")
        else:
            self.queue(entry)

    def queue(self, outgoing: Outgoing) -> None:
        """Queue a message, however many wait."""
        self.waiting_bytes += outgoing.size
        self.outbox.put_nowait(outgoing)

    def send(self, message: wire_pb2.FromServer) -> None:
        """Queue a message that is not round traffic."""
        self.queue(Outgoing.of(message))

    def cut(self, reason: str) -> None:
        """End the stream, unless it is ending; the worker is told that it may come again, and why."""
        if self.cut_because is None and not self.is_leaving:
            self.cut_because = reason
            self.stream.cancel()

    def count_push(self, total: Traffic, codec: AnyCodec, push: wire_pb2.Push, received: int) -> None:
        """Count a push of ``received`` message bytes, here and in the run's total.

        What it must measure follows from the codec, the workers that this session hosts, and which of the optional
        fields it has; what it does measure is what came.
        """
        count = len(self.workers)
        bits, bytes_ = payloads.predicted(codec, count, push.lengths)
        bits_received, bytes_received = payloads.measured(codec, count, push.payloads)
        message = Size(protocol.predicted_push_bytes(codec, push, count), received)
        total.count(MessageSize(Size(bits, bits_received), Size(bytes_, bytes_received), message))
        add_traffic(self.received, len(push.payloads), received)

    def count_entry(self, total: Traffic, entry: OutgoingEntry) -> None:
        """Count an entry that was written, here and in the run's total."""
        total.count(entry.counts)

    def count_begun(self, entry: OutgoingEntry) -> None:
        """Count an entry whose writing begins: from here on the worker may have it."""
        add_traffic(self.sent, entry.counts.payload_bytes.measured, entry.counts.message_bytes.measured)

    def agrees(self, sent: wire_pb2.Traffic, received: wire_pb2.Traffic) -> bool:
        """Whether the worker's own counts of this stream are possible beside ours.

        A stream that ended with Done was taken in by both ends to the last byte. Of one that broke, the end of what
        was sent may be missing where it was to be received, and nothing else.
        """
        return _follows(self.received, sent, whole=self.done) and _follows(
            received, self.sent, whole=self.done
        )


def _follows(received: wire_pb2.Traffic, sent: wire_pb2.Traffic, *, whole: bool) -> bool:
    if whole or received.messages == sent.messages:
        return received == sent
    return (
        received.messages < sent.messages
        and received.payload_bytes <= sent.payload_bytes
        and received.message_bytes < sent.message_bytes
    )


def add_traffic(count: wire_pb2.Traffic, payload_bytes: int, message_bytes: int) -> None:
    """Count one message."""
    count.messages += 1
    count.payload_bytes += payload_bytes
    count.message_bytes += message_bytes
