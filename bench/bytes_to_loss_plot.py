"""The picture of ``gradwire bench bytes-to-loss``: legible on a light page and on a dark one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradwire.bench.bytes_to_loss import Curve
from gradwire.deploy.units import human

# Middle tones on a transparent ground: each has a contrast of at least 3 to 1 with white and with GitHub's dark page.
INK, GRID = "#767d86", "#767d8640"
COLOURS = ("#d1495b", "#c07a1e", "#8a6fd1", "#2f8f6b", "#3b82c4")


def draw(path: Path, curves: Sequence[Curve], target: float, title: str) -> None:
    """Loss over bytes per worker, both logarithmic; each curve ends at its name.

    Args:
        path: its ending says what kind of picture.
        curves: at most five.
        target: the loss that the dashed line marks.
        title: what was trained.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # The same numbers give the same file: no date, and ids that are not drawn at random.
    with rc_context({"svg.hashsalt": "gradwire", "font.size": 11}):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.subplots()
        for curve, colour in zip(curves, COLOURS, strict=False):
            _line(axes, curve, colour)
        axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (4, 4)))
        _style(axes, f"Training loss against bytes per worker: {title}")
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=120, transparent=True, metadata=metadata)


def _line(axes: Any, curve: Curve, colour: str) -> None:
    # Round 0 begins before anything was sent, which a logarithmic axis cannot show.
    spent = [i * curve.bytes_per_round for i in range(1, len(curve.losses))]
    axes.plot(spent, curve.losses[1:], color=colour, linewidth=2)
    axes.annotate(
        curve.case.title,
        (spent[-1], curve.losses[-1]),
        xytext=(6, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=colour,
        fontweight="bold",
        fontsize=10,
    )


def _style(axes: Any, title: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(title, color=INK, loc="left", fontsize=12)
    axes.set_xlabel("bytes sent and received per worker (TCP)", color=INK)
    axes.set_ylabel("mean training loss", color=INK)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.tick_params(colors=INK, which="both")
    axes.xaxis.set_major_formatter(lambda value, _: _size(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.margins(x=0.04, y=0.12)


def _size(value: float) -> str:
    return human(value, "B").replace(".00", "").replace(".0", "")
