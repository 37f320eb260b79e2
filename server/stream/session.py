"""One process's stream, as the run sees it: an outbox, the workers behind it, and what crossed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from gradwire.common.codecs import AnyCodec
from gradwire.common.transport import payloads, protocol
from gradwire.common.transport.traffic import MessageSize, Size, Traffic
from gradwire.proto import wire_pb2
from gradwire.server.outgoing import Outgoing, OutgoingEntry

MAX_BACKLOG = 64  # queued messages; more would hold the whole run in memory
MAX_BACKLOG_BYTES = 256 << 20  # and their bytes, where more than one is queued

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Session:
    """A process that is connected.

    Attributes:
        number: never reused while the server runs.
        process: the process's name.
        workers: ids of the logical workers it hosts, in the order of its pushes.
        stream: the task that serves it.
        outbox: messages to write, None to end the stream.
        waiting_bytes: of the messages in the outbox, and of the one that is being written.
        stream_id: 64 random bits; with them the worker names this stream when it reports its counts, to any server.
        received: pushes that came on this stream; the worker counts them too, and both must agree.
        sent: entries that went out on this stream.
        done: the process has folded the last entry and sent Done.
        closing: the stream is ending by itself.
        removed: set once the run has removed the session: the process may join on another stream.
        abort_reason: why the server ended the stream; None while it has not.
        undecided: by worker, the open round where it has encoded a payload for it that may yet be counted.
        evaluates: the process reports metrics on held-out data of its own.
        named: it was told to evaluate for all.
        started: this is the first that the server hears of a program with a training loop of its own.
        left: why the process leaves before the end, in its own words; empty while it does not.
        discarded_rounds: rounds of pushes that were dropped while the replica resyncs; None when in sync.
    """

    number: int
    process: str
    workers: tuple[int, ...]
    stream: asyncio.Task[None]
    outbox: asyncio.Queue[Outgoing | None] = field(default_factory=asyncio.Queue)
    waiting_bytes: int = 0
    stream_id: int = field(default_factory=lambda: secrets.randbits(64))
    received: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    sent: wire_pb2.Traffic = field(default_factory=wire_pb2.Traffic)
    done: bool = False
    closing: bool = False
    removed: asyncio.Event = field(default_factory=asyncio.Event)
    abort_reason: str | None = None
    undecided: dict[int, int] = field(default_factory=dict)
    evaluates: bool = False
    named: bool = False
    started: bool = False
    left: str = ""
    discarded_rounds: set[int] | None = None

    # ---- sending -------------------------------------------------------------------------------------------

    def send_entry(self, entry: OutgoingEntry) -> None:
        """Queue an entry, or end the stream of a process that is too far behind: it reconnects and catches up."""
        messages, waiting = self.outbox.qsize(), self.waiting_bytes
        if messages >= MAX_BACKLOG or (messages > 1 and waiting + entry.size > MAX_BACKLOG_BYTES):
            behind = f"{messages} messages of {waiting:,} bytes behind"
            log.warning("process %s is %s: its stream is ended", self.process, behind)
            self.abort(f"this process is {behind}: join again and catch up")
        else:
            self.queue(entry)

    def queue(self, outgoing: Outgoing) -> None:
        """Queue a message, however many wait."""
        self.waiting_bytes += outgoing.size
        self.outbox.put_nowait(outgoing)

    def send(self, message: wire_pb2.FromServer) -> None:
        """Queue a message that is not round traffic."""
        self.queue(Outgoing.of(message))

    def send_late(self, round_: int, workers: Sequence[int]) -> None:
        """Say that the payloads of these workers for a round were not counted; nothing where there are none."""
        if workers:
            named = () if len(workers) == len(self.workers) else workers
            self.send(wire_pb2.FromServer(late=wire_pb2.Late(round=round_, workers=named)))

    def abort(self, reason: str) -> None:
        """End the stream with UNAVAILABLE and this reason, unless it is ending: the worker may reconnect."""
        if self.abort_reason is None and not self.closing:
            self.abort_reason = reason
            self.stream.cancel()

    # ---- counting ------------------------------------------------------------------------------------------

    def count_push(self, total: Traffic, codec: AnyCodec, push: wire_pb2.Push, received: int) -> None:
        """Count a push, here and in the run's total.

        What it must measure follows from the codec, its workers, and which of the optional fields it has; what it does
        measure is what came.

        Args:
            total: the run's uplink traffic.
            codec: the run's codec.
            push: the message.
            received: its bytes on the stream.
        """
        count = len(push.workers) or len(self.workers)
        bits, bytes_ = payloads.predicted(codec, count, push.lengths)
        bits_received, bytes_received = payloads.measured(codec, count, push.payloads)
        message = Size(protocol.predicted_push_bytes(codec, push, len(self.workers)), received)
        total.count(MessageSize(Size(bits, bits_received), Size(bytes_, bytes_received), message))
        _add(self.received, len(push.payloads), received)

    def count_started(self, entry: OutgoingEntry) -> None:
        """Count an entry whose writing starts: from here on the worker may have received it."""
        _add(self.sent, entry.counts.payload_bytes.measured, entry.counts.message_bytes.measured)

    def agrees(self, sent: wire_pb2.Traffic, received: wire_pb2.Traffic) -> bool:
        """Whether the worker's own counts of this stream are possible beside ours.

        Of a stream that ended with Done, both ends have received all that was sent. Of one that broke, the receiver may
        lack the last messages, and nothing else.
        """
        return _possible(self.received, sent, complete=self.done) and _possible(
            received, self.sent, complete=self.done
        )


def _possible(received: wire_pb2.Traffic, sent: wire_pb2.Traffic, *, complete: bool) -> bool:
    if complete or received.messages == sent.messages:
        return received == sent
    return (
        received.messages < sent.messages
        and received.payload_bytes <= sent.payload_bytes
        and received.message_bytes < sent.message_bytes
    )


def _add(count: wire_pb2.Traffic, payload_bytes: int, message_bytes: int) -> None:
    count.messages += 1
    count.payload_bytes += payload_bytes
    count.message_bytes += message_bytes
