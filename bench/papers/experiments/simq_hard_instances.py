"""``simq-hard-instances``: gaps on the functions of [S] section 6 by the number of rounds, quantized and not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.hard_instances import ALL_BITS, BY_TITLE, FEW_BITS
from gradwire.common.arrays.compat import F64
from gradwire.deploy.in_process.run import train
from gradwire.deploy.report.document import DASHED, Cell, Chart, Document, Section, Series, Table

SLOPE, TOLERANCE = -0.5, 0.05
SIGMAS = 2  # standard errors within which a limit counts as met


@register
class SimqHardInstances(Experiment):
    """The gap of the mean iterate at T rounds, for several T, seeds and dimensions."""

    name = "simq-hard-instances"
    title = "Hard instances of [S] section 6: the gap after T rounds, quantized and not"
    source = "[S] Theorems 2.2, 2.3 and 3.1, section 6"

    def cases(self, *, full: bool) -> Sequence[Params]:
        return [
            {"instance": title, "scheme": scheme, "dim": dim, "rounds": 1 << e, "seeds": 20 if full else 3}
            for e in reversed(range(8, 17 if full else 13))
            for dim in ((1024, 64) if full else (64,))
            for title in BY_TITLE
            for scheme in (FEW_BITS, ALL_BITS)
        ]

    def measure(self, *, instance: str, scheme: str, dim: int, rounds: int, seeds: int) -> Any:
        chosen = BY_TITLE[instance]
        runs = [train(chosen.config(scheme, dim, rounds, seed)).summary for seed in range(seeds)]
        return {
            "codec": runs[0]["codec"],
            "bits": runs[0]["uplink"]["payload_bits"] / rounds,
            "gaps": [run["history"][-1]["gap"] for run in runs],
            "at_zero": chosen.at_zero(dim),
            "guarantee": chosen.guarantee(scheme, dim, rounds),
        }

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        curves = [Curve(title, dim, results) for dim in _dims(results) for title in BY_TITLE]
        charts = [_chart(dim, curves) for dim in _dims(results)]
        return Document(
            self.title,
            finding(curves),
            [Section("Gap by rounds", charts), Section("Slopes and ratios", [_table(curves), NOTE])],
        )


class Curve:
    """Gaps by rounds of one instance and dimension, [rounds, seeds] for both schemes.

    Attributes:
        rounds: T, increasing.
        fitted: where both mean gaps are below half of that of x = 0.
    """

    def __init__(self, title: str, dim: int, results: Sequence[Measured]) -> None:
        own = [r for r in results if r.params["instance"] == title and r.params["dim"] == dim]
        self.instance, self.dim = BY_TITLE[title], dim
        self.rounds = np.array(sorted({row.params["rounds"] for row in own}), float)
        by_case = {(row.params["scheme"], row.params["rounds"]): row.result for row in own}
        self.results = {s: [by_case[s, int(t)] for t in self.rounds] for s in (ALL_BITS, FEW_BITS)}
        half = self.results[ALL_BITS][0]["at_zero"] / 2
        self.fitted = np.all([self.gaps(scheme).mean(axis=1) < half for scheme in self.results], axis=0)

    def gaps(self, scheme: str) -> F64:
        """float64 [rounds, seeds]."""
        return np.array([result["gaps"] for result in self.results[scheme]])

    def slope(self, scheme: str) -> tuple[float, float] | None:
        """The slope of log gap over log T and its standard error, of one fit for each seed; None below two points."""
        if self.fitted.sum() < 2:
            return None
        x = np.log(self.rounds[self.fitted])
        slopes = np.polyfit(x, np.log(self.gaps(scheme)[self.fitted]), 1)[0]
        return float(slopes.mean()), deviation(slopes)

    def ratio(self) -> tuple[float, float]:
        """Quantized over unquantized at the most rounds, and its standard error."""
        few, full = self.gaps(FEW_BITS)[-1], self.gaps(ALL_BITS)[-1]
        ratio = few.mean() / full.mean()
        return float(ratio), float(deviation(few - ratio * full) / full.mean())

    def of_guarantee(self) -> float:
        """The largest mean gap, quantized, as a share of what is guaranteed."""
        stated = [result["guarantee"] for result in self.results[FEW_BITS]]
        return float((self.gaps(FEW_BITS).mean(axis=1) / stated).max())

    @property
    def keeps_slope(self) -> bool:
        """Whether both slopes are -1/2 within the tolerance."""
        slopes = [self.slope(scheme) for scheme in self.results]
        return all(s is not None and abs(s[0] - SLOPE) <= TOLERANCE + SIGMAS * s[1] for s in slopes)

    @property
    def keeps_ratio(self) -> bool:
        """Whether few bits cost at most the factor that the second moments allow."""
        ratio, error = self.ratio()
        return ratio <= self.instance.allowed + SIGMAS * error


def deviation(values: F64) -> float:
    """The standard error of a mean."""
    return float(np.std(values, ddof=1)) / math.sqrt(values.size)


def finding(curves: Sequence[Curve]) -> str:
    """The outcome in words: which slopes and ratios are as expected, and which are not."""

    def others(name: str) -> str:
        missed = [f"{c.instance.title}, d = {c.dim:,}" for c in curves if not getattr(c, name)]
        return f"; not for {'; '.join(missed)}" if missed else ""

    slopes, ratios = (sum(getattr(c, name) for c in curves) for name in ("keeps_slope", "keeps_ratio"))
    return (
        f"Quantized and not, gaps fall like T^(-1/2): within error, slopes are -0.5 ± {TOLERANCE} in {slopes} of "
        f"{len(curves)} settings{others('keeps_slope')}. Few bits cost at most sqrt 2 (from p = 2 on) or sqrt 12 "
        f"(below) times the gap in {ratios} of {len(curves)}{others('keeps_ratio')}."
    )


def _dims(results: Sequence[Measured]) -> list[int]:
    return sorted({row.params["dim"] for row in results})


def _chart(dim: int, curves: Sequence[Curve]) -> Chart:
    series = []
    for curve in (each for each in curves if each.dim == dim):
        for scheme, style in ((FEW_BITS, "line"), (ALL_BITS, DASHED)):
            y = curve.gaps(scheme).mean(axis=1).tolist()
            series.append(Series(f"{curve.instance.title}, {scheme}", curve.rounds.tolist(), y, style=style))
    return Chart(
        f"f(mean iterate) - min f, d = {dim:,}", "rounds T", "gap", series, log_x=True, log_y=True,
        note="A new run for each T, whose step is chosen for it. Dashed: float32.",
    )  # fmt: skip


def _table(curves: Sequence[Curve]) -> Table:
    columns = [
        "instance",
        "d",
        "codec",
        "bits",
        "points fitted",
        "slope, quantized",
        "±",
        "slope, float32",
        "±",
    ]
    columns += ["quantized / float32", "±", "at most", "gap / guarantee"]

    def cells(curve: Curve) -> list[Cell]:
        last = curve.results[FEW_BITS][-1]
        slopes = [cell for scheme in (FEW_BITS, ALL_BITS) for cell in curve.slope(scheme) or (None, None)]
        first = [curve.instance.title, curve.dim, last["codec"], last["bits"], int(curve.fitted.sum())]
        return [*first, *slopes, *curve.ratio(), curve.instance.allowed, curve.of_guarantee()]

    return Table("Slopes and ratios", columns, [cells(curve) for curve in curves], note=COLUMNS)


COLUMNS = (
    "Slopes over the T at which both gaps are below half of that of x = 0; the ratio is at the largest T. Guarantee: "
    "R alpha_0 / sqrt T."
)
NOTE = (
    "Theorem 2.3 compares guarantees, and the limits are their ratios. A ratio of gaps can be above its limit where "
    "float32 does better than its own guarantee: under the product law with p above 2 a gradient's l2 norm is "
    "d^(1/p - 1/2) B and not B, so float32 pays for the way to the corner alone, half of the guarantee. SimQ+'s "
    "output has length B, and pays as much again for the noise around the corner. Slopes are above -0.5 while the "
    "walk along an axis, which one round in d takes a step of, has not come to rest. Delta is 1/4 for all T: with "
    "the proof's T^(-1/2) the gap of x = 0 itself has slope -1/2."
)
