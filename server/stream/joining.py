"""Joining a run: Join and Welcome, Ready, the initial model, and what the replica misses."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import MutableMapping

import numpy as np

from gradwire.common.arrays.compat import all_finite
from gradwire.common.codecs import AnyCodec
from gradwire.common.downlinks import announced
from gradwire.common.errors import FailedPrecondition, InvalidArgument, SpecError, Unavailable
from gradwire.common.system.memory import largest_dim
from gradwire.common.training.digest import digest_of
from gradwire.common.training.layout import Layout
from gradwire.common.transport import limits, protocol
from gradwire.common.transport.layouts import check_constants, layout_from_message, layout_to_message
from gradwire.common.transport.specs import run_to_message, spec_from_message, spec_to_message
from gradwire.proto import wire_pb2
from gradwire.server.coordinator import Coordinator
from gradwire.server.stream.assignment import Bound, assign
from gradwire.server.stream.identity import check_process
from gradwire.server.stream.inbox import Inbox
from gradwire.server.stream.session import Session
from gradwire.server.stream.traffic_check import TrafficCheck

UPLOAD_TIMEOUT = 60.0  # seconds without a byte of the initial model, for which all other workers wait
UPLOAD_RATE = 16 << 10  # bytes per second at which it must arrive, or another worker is asked for it


class Joining:
    """Brings processes into a run."""

    def __init__(
        self,
        coordinator: Coordinator,
        streams: MutableMapping[str, Session],
        traffic: TrafficCheck,
        dim: int | None,
        *,
        own_data: bool = False,
    ) -> None:
        """Bring processes into a run.

        Args:
            coordinator: the run.
            streams: the newest session of every connected process, by its name.
            traffic: compares the counts of streams that broke.
            dim: coordinates that the model must have; None for what the first worker has.
            own_data: each process trains on data of its own, so that worker ids stay with its name.
        """
        self._own_data = own_data
        self._run = coordinator
        self._streams = streams
        self._traffic = traffic
        self._dim = dim
        self._numbers = itertools.count(1)
        self._initial = asyncio.Lock()

    # ---- Join ----------------------------------------------------------------------------------------------

    async def accept(self, inbox: Inbox, certified: str | None) -> Session:
        """Take Join and assign worker ids; the new session.

        Raises:
            WireError: another protocol, a name that may not be used, or no free ids.
            LogError: the assignment could not be stored.
        """
        join = (await inbox.expect("join")).join
        if join.protocol != protocol.PROTOCOL:
            raise FailedPrecondition(
                f"the worker speaks protocol {join.protocol}, this server {protocol.PROTOCOL}: install one version"
            )
        if not 1 <= len(join.process) <= limits.MAX_PROCESS_NAME or not join.process.isprintable():
            raise InvalidArgument(f"a process name has 1 to {limits.MAX_PROCESS_NAME} printable characters")
        check_process(join.process, certified)
        await self._abort_earlier(join.process)
        workers = self._assign(join, certified=certified is not None)
        task = asyncio.current_task()
        assert task is not None
        session = self._streams[join.process] = Session(next(self._numbers), join.process, workers, task)
        session.started = join.own_loop and join.started
        return session

    async def _abort_earlier(self, process: str) -> None:
        """End the earlier stream of a process that reconnects before the server noticed that it broke."""
        # While we wait, another stream of the process may begin.
        while (earlier := self._streams.pop(process, None)) is not None:
            earlier.abort("the process has joined on another stream")
            # Not for the end of its task: a write that the peer does not read may delay that for long.
            await earlier.removed.wait()

    def _assign(self, join: wire_pb2.Join, *, certified: bool) -> tuple[int, ...]:
        known = self._run.log.assignments()
        workers = assign(
            join.process,
            join.count,
            tuple(join.workers),
            workers=self._run.config.workers,
            known=known,
            connected=self._streams.keys(),
            bound=Bound.CERTIFICATE if certified else Bound.DATA if self._own_data else Bound.NOT,
            senders=self._run.log.senders_of(),
        )
        if join.process in known:
            self._run.counters.reconnects += 1
        if known.get(join.process) != workers:
            self._run.log.assign(join.process, workers)
        return workers

    # ---- Welcome and Ready ---------------------------------------------------------------------------------

    async def bring_in(self, session: Session, inbox: Inbox) -> None:
        """Send Welcome, take Ready, and the initial model if the run has none; then let the process take part.

        Raises:
            WireError: another codec or dimension, or an initial model that cannot be used.
            LogError: the initial model could not be stored.
        """
        session.send(wire_pb2.FromServer(welcome=self._welcome(session)))
        inbox.assembly.limit = limits.CONTROL_BYTES + limits.READY_BYTES * len(session.workers)
        ready = (await inbox.expect("ready")).ready
        self._check_dim(ready.codec.dim)
        codec = self._check_codec(ready)
        async with self._initial:
            if not self._run.fold.has_model:
                await self._take_initial(session, inbox, codec, ready)
        self._check_layout(session, ready)
        known = self._run.fold.codec
        if known.fingerprint != codec.fingerprint:
            raise FailedPrecondition(
                f"the worker's task has {codec.dim} parameters, the run has {known.dim}: give it the run's data"
            )
        inbox.assembly.limit = max(limits.CONTROL_BYTES, protocol.longest_push(codec, len(session.workers)))
        for count in ready.earlier:
            self._traffic.check(count.stream, count.sent, count.received)
        self._traffic.opened(session)
        await self._run.admit(session, ready)

    def _welcome(self, session: Session) -> wire_pb2.Welcome:
        config = self._run.log.config  # as given: a worker whose run is described otherwise begins anew
        run = run_to_message(config, self._run.log.run_id)
        downlink = announced(config.downlink)
        if downlink is not None:
            run.downlink.CopyFrom(spec_to_message(downlink))
        return wire_pb2.Welcome(run=run, workers=session.workers, stream=session.stream_id)

    def _check_layout(self, session: Session, ready: wire_pb2.Ready) -> None:
        """Let a worker whose model is laid out otherwise name the difference: it has both layouts.

        A worker that states no layout, or a run that has none, is held to the dimension alone.
        """
        layout = self._run.fold.started.layout
        if layout is None or not ready.layout or ready.layout == layout.fingerprint:
            return
        session.send(wire_pb2.FromServer(layout=layout_to_message(layout)))  # written before the status
        raise FailedPrecondition(
            "the worker's model is laid out otherwise than the run's: give it the run's model"
        )

    def _check_codec(self, ready: wire_pb2.Ready) -> AnyCodec:
        """The run's codec at the worker's dimension; nothing that the worker sent is built.

        Fingerprints alone are compared. The same codec can be spelled in several ways: with defaults or without, by
        position or by name, or as Welcome spelled it.
        """
        message = ready.codec
        try:
            codec = self._run.fold.codec_at(message.dim, ready.averaged)
            if message.fingerprint == codec.fingerprint:
                return codec
            theirs = str(spec_from_message(message.spec))
        except SpecError as error:
            raise FailedPrecondition(str(error)) from error
        if theirs != codec.spec:
            raise FailedPrecondition(f"the worker encodes with {theirs}, the run with {codec.spec}")
        raise FailedPrecondition(
            f"{codec.spec} has another fingerprint at the worker: both ends need the same gradwire version"
        )

    def _check_dim(self, dim: int) -> None:
        """The first worker's dimension becomes the run's: refuse one that the task or the memory cannot have."""
        if self._dim is not None and dim != self._dim and not self._run.fold.has_model:
            raise FailedPrecondition(
                f"the worker's task has {dim} parameters, the run's has {self._dim}: give it the run's data"
            )
        most = largest_dim()
        if dim > most:
            raise FailedPrecondition(
                f"a model of {dim} parameters, this server's memory holds {most}: choose a smaller task"
            )

    async def _take_initial(
        self, session: Session, inbox: Inbox, codec: AnyCodec, ready: wire_pb2.Ready
    ) -> None:
        """Ask the worker for the initial model, whose digest and layout it has announced in Ready."""
        session.send(wire_pb2.FromServer(upload=wire_pb2.Upload()))
        inbox.assembly.limit = limits.initial_bytes(codec.dim)
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT + 4 * codec.dim / UPLOAD_RATE):
                initial = (await inbox.expect("initial", UPLOAD_TIMEOUT)).initial
        except TimeoutError as error:
            raise Unavailable(
                "the initial model arrived too slowly: another worker is asked for it"
            ) from error
        if len(initial.state) != 4 * codec.dim:
            raise InvalidArgument(f"an initial model of {len(initial.state)} bytes, expected {4 * codec.dim}")
        if digest_of(np.frombuffer(initial.state, "<f4")) != ready.digest:
            raise InvalidArgument("the initial model's digest is not the one announced: it was damaged")
        if not all_finite(np.frombuffer(initial.state, "<f4")):
            raise InvalidArgument("the initial model holds numbers that are not finite: correct the task")
        layout = _layout_of(initial, ready)
        await self._run.begin(initial.state, codec, layout, tuple(initial.constants))


def _layout_of(initial: wire_pb2.Snapshot, ready: wire_pb2.Ready) -> Layout | None:
    """The layout of an initial model; None where the worker states none.

    Raises:
        InvalidArgument: it is not the one announced in Ready, or does not fit the model.
    """
    if not ready.layout and not initial.HasField("layout"):
        if ready.averaged or initial.constants:
            raise InvalidArgument(
                f"{ready.averaged} averaged coordinates and {len(initial.constants)} constant arrays came without a "
                "layout: expected one, or none of both"
            )
        return None
    if initial.layout.ByteSize() > limits.LAYOUT_BYTES:
        raise InvalidArgument(
            f"a layout of {initial.layout.ByteSize()} bytes, expected at most {limits.LAYOUT_BYTES}"
        )
    layout = layout_from_message(initial.layout)
    if layout.fingerprint != ready.layout or (layout.dim, layout.averaged) != (
        ready.codec.dim,
        ready.averaged,
    ):
        raise InvalidArgument("the initial model's layout is not the one announced: it was damaged")
    check_constants(layout, initial.constants)
    return layout
