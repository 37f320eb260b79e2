"""Limits of what crosses the wire. Both ends apply these, each to what it receives; docs/protocol.md lists them.

Every limit is checked before memory is spent on what exceeds it.
"""

from __future__ import annotations

from collections.abc import Collection

from gradwire.common.training.layout import MAX_ARRAYS, MAX_LAYOUT_BYTES

PIECE_BYTES = 1 << 20  # a longer message travels in pieces of this many of its own bytes
FRAME_BYTES = PIECE_BYTES + 64  # the longest protobuf message that gRPC may carry: a piece and its tags

# A message of names and numbers (Join, Ready, Report, Done, Welcome), which does not grow with the model.
CONTROL_BYTES = 1 << 16

READY_BYTES = 16  # of the first Ready, for each worker of its process, besides

MAX_PROCESS_NAME = 128  # characters
MAX_REASON = 200  # characters of why a process leaves
MAX_METRICS = 64  # in a report
MAX_METRIC_NAME = 64  # characters
MAX_HELD_OUT = 1 << 53  # samples that a report's metrics are means over
MAX_EXAMPLES = (1 << 32) - 1  # of one worker in one round: a fixed32


LAYOUT_BYTES = MAX_LAYOUT_BYTES + 64  # of a Layout message
CONSTANT_BYTES = 64 << 20  # of the values of all constant arrays; beyond that, only their digests travel


def snapshot_bytes(dim: int, arrays: int = 1) -> int:
    """Bytes that no Snapshot of so many float32 arrays [dim] exceeds: parameters and the optimizer's state."""
    return 4 * arrays * dim + 64


def initial_bytes(dim: int) -> int:
    """Bytes that no initial model exceeds: parameters, layout, and the values of constant arrays with their tags."""
    return snapshot_bytes(dim) + LAYOUT_BYTES + CONSTANT_BYTES + 16 * MAX_ARRAYS


def reason(text: str) -> str:
    """Why a process leaves, as it may be shown: short, and without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_REASON])


def accepts_metrics(names: Collection[str]) -> bool:
    """Whether a report may carry metrics of these names: not too many, each short and printable."""
    return len(names) <= MAX_METRICS and all(
        name.isprintable() and len(name) <= MAX_METRIC_NAME for name in names
    )
