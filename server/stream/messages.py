"""What a process sends once it takes part: pushes, reports, Ready after a resync, Done."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.symbols import memory_bytes
from gradwire.common.errors import InvalidArgument, PayloadError
from gradwire.common.transport import limits
from gradwire.common.transport import payloads as joined
from gradwire.common.transport.framing import Reassembler
from gradwire.proto import wire_pb2
from gradwire.server.coordinator import Coordinator
from gradwire.server.measures import SiteMetrics
from gradwire.server.rounds.events import Contribution, Pushed
from gradwire.server.stream.session import Session
from gradwire.server.stream.traffic_check import TrafficCheck

UNPACKED_BYTES = 1 << 29  # of an open round; payloads that unpack to more are unpacked again when it commits


class Messages:
    """Checks the messages of processes that have joined, and passes on what they say."""

    def __init__(self, coordinator: Coordinator, traffic: TrafficCheck) -> None:
        self._run = coordinator
        self._traffic = traffic

    async def handle(
        self, session: Session, message: wire_pb2.FromWorker, assembly: Reassembler[wire_pb2.FromWorker]
    ) -> None:
        """Act on one message.

        Raises:
            WireError: it is malformed, out of order or refused by the run.
        """
        kind = message.WhichOneof("message")
        if kind == "push":
            await self._push(session, message.push, assembly.received)
        elif kind == "ready" and session.discarded_rounds is not None:
            await self._run.resynced(session)
        elif kind == "report":
            await self._report(session, message.report)
        elif kind == "leave":
            session.left = limits.reason(message.leave.reason)
        elif kind == "done" and self._run.finished:
            await self._done(session, message.done)
        else:
            raise InvalidArgument(f"{kind} came in the middle of the run: the peer speaks another protocol")

    async def _push(self, session: Session, push: wire_pb2.Push, received: int) -> None:
        codec, model = self._run.fold.codec, self._run.fold.model
        workers = _pushing(session, push)
        payloads = joined.split(codec, push.payloads, push.lengths, len(workers))
        examples = self._check_push(len(workers), push)
        unpacked = self._unpacked(codec, payloads)
        session.count_push(self._run.counters.uplink, codec, push, received)
        if session.discarded_rounds is not None:
            session.discarded_rounds.add(push.round)
            return
        if push.digest and push.round == model.round and push.digest != model.digest:
            await self._run.resync(session, push.round)
            return
        if push.losses and push.round == self._run.state.round:
            self._run.note_losses(dict(zip(workers, push.losses, strict=True)))
        process = itertools.repeat(session.process)
        contributions = tuple(map(Contribution, workers, payloads, examples, unpacked, process))
        await self._run.handle(Pushed(session.number, push.round, contributions))

    def _unpacked(self, codec: AnyCodec, payloads: Sequence[bytes]) -> list[object]:
        """The payloads, validated and unpacked; None in place of those that are too large to be kept until the commit.

        Raises:
            InvalidArgument: no encoder of the codec makes one of them.
        """
        most = UNPACKED_BYTES // self._run.config.largest_round
        try:
            symbols = codec.unpack_all(payloads)
            return [each if memory_bytes(each) <= most else None for each in symbols]
        except PayloadError as error:
            raise InvalidArgument(str(error)) from error

    def _check_push(self, count: int, push: wire_pb2.Push) -> tuple[int, ...]:
        """Check losses and example counts of so many workers; the weight of each."""
        if len(push.losses) not in (0, count):
            raise InvalidArgument(f"{len(push.losses)} losses for {count} workers, expected one each or none")
        if not all(map(math.isfinite, push.losses)):
            raise InvalidArgument("a loss is infinite or not a number, expected finite ones or none")
        if not self._run.config.weighted:
            if push.examples:
                raise InvalidArgument("example counts in a run that weighs workers equally, expected none")
            return (1,) * count
        if len(push.examples) != count or min(push.examples) < 1:
            raise InvalidArgument(
                f"this run weighs by {self._run.config.weighting}: expected {count} positive counts"
            )
        return tuple(push.examples)

    async def _report(self, session: Session, report: wire_pb2.Report) -> None:
        names, committed = [m.name for m in report.metrics], self._run.fold.model.round
        if not (session.evaluates or session.named):
            raise InvalidArgument(
                "metrics came from a process that has stated no held-out data of its own and was not named to evaluate"
            )
        if report.round > committed:
            raise InvalidArgument(
                f"metrics after round {report.round} came, {committed} rounds are committed"
            )
        if not limits.accepts_metrics(names):
            raise InvalidArgument(
                f"at most {limits.MAX_METRICS} metrics with short printable names are taken"
            )
        if report.examples > limits.MAX_HELD_OUT:
            raise InvalidArgument(
                f"metrics of {report.examples} samples came, expected at most {limits.MAX_HELD_OUT}"
            )
        if session.discarded_rounds is None:  # else they were measured at other parameters
            found = SiteMetrics({m.name: m.value for m in report.metrics}, report.examples)
            await self._run.note_metrics(session, report.round, found)

    async def _done(self, session: Session, done: wire_pb2.Done) -> None:
        session.done = True
        self._traffic.check(session.stream_id, done.sent, done.received)
        await self._run.done(session, done.digest)


def _pushing(session: Session, push: wire_pb2.Push) -> tuple[int, ...]:
    """The workers whose payloads a push has, in their order.

    Raises:
        InvalidArgument: ids that do not increase, of another process, or of all its workers, which are not named.
    """
    if not push.workers:
        return session.workers
    named = tuple(push.workers)
    if any(a >= b for a, b in itertools.pairwise(named)) or not set(named) < set(session.workers):
        raise InvalidArgument(
            f"a push of workers {list(named)[:9]}, expected some of this process's, increasing, or none for all of them"
        )
    return named
