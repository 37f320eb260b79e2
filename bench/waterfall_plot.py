"""The waterfall as a picture: a row of axes for each codec, uplink on the left, downlink on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradwire.bench.plotting import figure
from gradwire.bench.waterfall import Direction, Waterfall
from gradwire.deploy.units import human

STEPS = {
    "payload\nbits / 8": "payload_bits",
    "payload": "payload_bytes",
    "protobuf": "message_bytes",
    "TCP": "tcp_bytes",
    "interface": "interface_bytes",
}
BEFORE, ADDED = "#4c78a8", "#f58518"  # what the step above carries, and what this one adds
SHORT = 44  # characters of a title


def draw(path: Path, rows: Sequence[Waterfall]) -> None:
    """Draw them into a file."""
    with figure(path, rows=len(rows), columns=2, size=(10, 2.1 * len(rows))) as axes:
        grid = axes.reshape(len(rows), 2)
        for (left, right), row in zip(grid, rows, strict=True):
            _steps(left, row, row.uplink, f"{_short(row.codec)}: up, per worker and round")
            _steps(right, row, row.downlink, f"down, {row.mode}")


def _steps(axes: Any, row: Waterfall, direction: Direction, title: str) -> None:
    values = steps(row, direction)
    before = [0.0, *values[:-1]]
    before[0] = values[0]
    axes.bar(list(STEPS), [min(a, b) for a, b in zip(before, values, strict=True)], color=BEFORE)
    added = [max(0.0, b - a) for a, b in zip(before, values, strict=True)]
    axes.bar(list(STEPS), added, bottom=before, color=ADDED)
    for position, (value, more) in enumerate(zip(values, added, strict=True)):
        plus = f"\n+{human(more, 'B')}" if more >= 0.5 else ""
        axes.annotate(human(value, "B") + plus, (position, value), ha="center", va="bottom", fontsize=7)
    axes.set_title(title, fontsize=8, loc="left")
    axes.margins(y=0.35)
    axes.tick_params(labelsize=7)
    axes.set_yticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def steps(row: Waterfall, direction: Direction) -> list[float]:
    """The heights: bytes for each worker and round, layer by layer; bits are eighths of a byte."""
    each = row.each(direction)
    return [each[layer] / (8 if layer == "payload_bits" else 1) for layer in STEPS.values()]


def _short(codec: str) -> str:
    return codec if len(codec) <= SHORT else f"{codec[: SHORT - 1]}…"
