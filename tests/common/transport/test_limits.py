"""Limits of messages: what the protocol's largest messages take is within them."""

import numpy as np
import pytest

from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.transport import limits
from gradwire.common.transport.framing import frames
from gradwire.proto import wire_pb2


@pytest.mark.parametrize("optimizer", ["sgd", "sgd(momentum=0.9)"])
@pytest.mark.parametrize("dim", [1, 1000])
def test_snapshot_fits(optimizer: str, dim: int) -> None:
    model = Model(np.zeros(dim, np.float32), parse_optimizer(optimizer))
    snapshot = wire_pb2.Snapshot(round=2**64 - 1, state=model.snapshot())
    size = wire_pb2.FromServer(snapshot=snapshot).ByteSize()
    limit = limits.snapshot_bytes(dim, 1 + len(model.state))
    assert limit - 64 < size <= limit


def test_pieces_fit_into_a_frame() -> None:
    message = wire_pb2.FromServer(entry=wire_pb2.Entry(round=2**64 - 1, model=bytes(3 * limits.PIECE_BYTES)))
    sizes = [len(frame) for frame in frames(message)]
    assert len(sizes) == 4 and max(sizes) <= limits.FRAME_BYTES


def test_report_with_all_metrics_is_a_control_message() -> None:
    names = [f"{i:02}" + "x" * (limits.MAX_METRIC_NAME - 2) for i in range(limits.MAX_METRICS)]
    assert limits.accepts_metrics(names)
    report = wire_pb2.Report(
        round=2**64 - 1, metrics=[wire_pb2.Metric(name=name, value=0.5) for name in names]
    )
    assert wire_pb2.FromWorker(report=report).ByteSize() <= limits.CONTROL_BYTES


@pytest.mark.parametrize(
    "names",
    [[f"m{i}" for i in range(limits.MAX_METRICS + 1)], ["x" * (limits.MAX_METRIC_NAME + 1)], ["a\nb"]],
    ids=["too many", "too long", "control character"],
)
def test_refused_metrics(names: list[str]) -> None:
    assert not limits.accepts_metrics(names)
    assert limits.accepts_metrics([])
