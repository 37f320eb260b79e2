"""The longer messages of a worker, from its state of the run. Building one may take long: call it in a thread."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradwire.common.transport import limits, protocol
from gradwire.common.transport.layouts import layout_to_message
from gradwire.common.transport.specs import codec_to_message
from gradwire.proto import wire_pb2
from gradwire.worker.run_state import RunState
from gradwire.worker.tasks.base import constants_of


def ready(state: RunState, earlier: Sequence[wire_pb2.StreamCount] = ()) -> wire_pb2.FromWorker:
    """What the worker has built, and where its replica is.

    Args:
        state: after Welcome.
        earlier: counts of streams that broke.
    """
    assert state.run is not None
    return wire_pb2.FromWorker(
        ready=wire_pb2.Ready(
            codec=codec_to_message(state.codec),
            run_id=state.run.run_id,
            round=state.replica.round,
            digest=state.model.digest,
            earlier=earlier,
            layout=state.layout.fingerprint,
            averaged=state.layout.averaged,
            last=[
                wire_pb2.LastPush(worker=worker, round=round_)
                for worker, round_ in state.encoder.undecided().items()
            ],
            evaluates=state.sends_metrics and state.reports.evaluates,
        )
    )


def initial(state: RunState) -> wire_pb2.FromWorker:
    """The initial model: parameters, layout, and the values of constant arrays unless they are too long."""
    return wire_pb2.FromWorker(
        initial=wire_pb2.Snapshot(
            state=state.model.params.astype("<f4", copy=False).tobytes(),
            layout=layout_to_message(state.layout),
            constants=constants_of(state.task),
        )
    )


def push(state: RunState, workers: Collection[int]) -> wire_pb2.FromWorker:
    """The payloads of the replica's round, which are computed now.

    Args:
        state: of the run.
        workers: of this process, those of whom a push is due.

    Raises:
        GradwireError: as ``Encoder.encode`` and ``RunState.weights``.
    """
    assert state.run is not None
    round_ = state.replica.round
    encoded = state.encoder.encode(state.model, round_, workers)
    return protocol.push_message(
        state.codec,
        round_,
        encoded.payloads,
        losses=encoded.losses if state.sends_metrics else (),
        examples=state.weights(encoded),
        digest=state.model.digest if round_ % state.run.digest_every == 0 else 0,
        workers=encoded.workers if encoded.workers != state.encoder.workers else (),
    )


def longest(state: RunState) -> int:
    """Bytes of the longest message that this run's server sends: an entry, a snapshot or a layout."""
    arrays = 1 + len(state.model.state)
    return max(
        limits.CONTROL_BYTES,
        state.replica.longest_entry,
        limits.snapshot_bytes(state.codec.dim, arrays),
        limits.LAYOUT_BYTES,
    )
