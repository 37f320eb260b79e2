"""Pictures and tables of gaps by the bits of a gradient."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gradwire.bench.papers.curves import mean_and_deviation
from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.simq_bounds import lower_gap, shape_of_lower_gap
from gradwire.bench.papers.simq_descent import FLOAT32, guaranteed_gap, nbits, shortest_code
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.deploy.report.document import DASHED, POINTS, Cell, Chart, Series, Table
from gradwire.worker.tasks.kinds.hard_instance import DELTA

# How the step for sampled coordinates is chosen, as names of curves.
DEFINITION, LOCAL = "split, step by alpha_0", "split, step by local norms"


@dataclass(frozen=True)
class Point:
    """One codec on one instance.

    Attributes:
        p, dim, rounds: of the run.
        series: in the legend.
        codec: its spec.
        alpha: the root of the second moment that sets its step.
        gaps: one per seed.
    """

    p: float
    dim: int
    rounds: int
    series: str
    codec: str
    alpha: float
    gaps: tuple[float, ...]

    @property
    def bits(self) -> int:
        """Of the shortest code of these estimates."""
        return nbits(shortest_code(self.codec), self.dim)

    @property
    def gap(self) -> float:
        """The mean."""
        return math.fsum(self.gaps) / len(self.gaps)

    @property
    def error(self) -> float | None:
        """The standard error of ``gap``."""
        _, deviation = mean_and_deviation(self.gaps)
        return None if deviation is None else deviation / math.sqrt(len(self.gaps))

    @property
    def guaranteed(self) -> float | None:
        """The upper bound; None where alpha is no bound of the second moment."""
        return None if self.series == LOCAL else guaranteed_gap(self.dim, self.p, self.alpha, self.rounds)


def points_of(rows: Sequence[Measured]) -> list[Point]:
    """Seeds put together, in the order of the cases."""
    gaps: dict[tuple[float, int, int, str, str, float], list[float]] = defaultdict(list)
    for row in rows:
        p, r = row.params, row.result
        gaps[p["p"], p["dim"], p["rounds"], p["series"], p["codec"], p["alpha"]] += r["gaps"]
    return [Point(*key, tuple(values)) for key, values in gaps.items()]


def plain_of(points: Sequence[Point], p: float) -> Point:
    """The unquantized one."""
    return next(point for point in points if point.p == p and point.codec == FLOAT32)


def gap_by_bits(rows: Sequence[Measured], p: float) -> Chart:
    """Measured gaps, the bounds that the steps have, and the lower bound with its constants and up to them."""
    points = [point for point in points_of(rows) if point.p == p]
    plain = plain_of(points, p)
    names = list(dict.fromkeys(point.series for point in points))
    series = [_series([point for point in points if point.series == name]) for name in names]
    upper = sorted((each for each in points if each.series == names[0]), key=lambda each: each.bits)
    bits = sorted({point.bits for point in points})
    shape = [plain.gap * shape_of_lower_gap(plain.dim, p, r) for r in bits]
    lower = [lower_gap(plain.dim, p, r, plain.rounds) for r in bits]
    return Chart(
        f"p = {p:g}, d = {plain.dim:,}, after {plain.rounds:,} rounds",
        "bits of a gradient",
        "f(x) - min f",
        [
            *series,
            Series(f"upper bound, {names[0]}", [u.bits for u in upper], [u.guaranteed for u in upper], style=DASHED),
            Series("lower bound's shape from float32 on", bits, shape, style=DASHED),
            Series("lower bound, constants of the proof", bits, lower, style=DASHED),
        ],
        log_x=True,
        log_y=True,
    )  # fmt: skip


def _series(points: Sequence[Point]) -> Series:
    points = sorted(points, key=lambda point: point.bits)
    x, y = [point.bits for point in points], [point.gap for point in points]
    low = [point.gap - (point.error or 0.0) for point in points]
    high = [point.gap + (point.error or 0.0) for point in points]
    return Series(points[0].series, x, y, low, high, POINTS if len(points) == 1 else "line")


def gaps_table(rows: Sequence[Measured]) -> Table:
    """Every point beside both bounds."""
    points = points_of(rows)
    columns = [
        "p", "scheme", "codec", "bits", "alpha", "gap", "±", "upper bound", "over float32's",
        "lower bound's shape", "lower bound",
    ]  # fmt: skip

    def cells(point: Point) -> list[Cell]:
        plain = plain_of(points, point.p)
        shape = shape_of_lower_gap(point.dim, point.p, point.bits)
        lower = lower_gap(point.dim, point.p, point.bits, point.rounds)
        return [
            point.p, point.series, point.codec, point.bits, point.alpha, point.gap, point.error, point.guaranteed,
            point.gap / plain.gap, shape, lower,
        ]  # fmt: skip

    note = f"The gap of x = 0 is {2 * DELTA:g}. The lower bound's shape is over what it is at unlimited precision."
    return Table("Gaps of the mean iterate", columns, [cells(point) for point in points], note=note)


def finding(rows: Sequence[Measured]) -> str:
    """What the numbers say."""
    points = points_of(rows)
    above = [point for point in points if point.gap > (point.guaranteed or 1.0) + 2 * (point.error or 0.0)]
    fewest = min((point for point in points if point.series == "SimQ+" and point.p == 2), key=_bits)
    plain = plain_of(points, 2.0)
    kept = (
        "No gap is above its upper bound" if not above else f"{len(above)} gaps are above their upper bounds"
    )
    return (
        f"{kept}. With fewer bits than coordinates the gap grows as section 7 says: at p = 2 one draw of SimQ+, "
        f"{fewest.bits} bits in place of {plain.bits:,}, has {fewest.gap / plain.gap:.2g} times the gap of float32, "
        f"where the lower bound's shape is {shape_of_lower_gap(fewest.dim, 2, fewest.bits):.2g} times its own. The "
        "sqrt log d between them is what section 7 concedes: a draw takes about log d bits. From d^(2/p) draws on more "
        "bits gain little."
    )


def _bits(point: Point) -> int:
    return point.bits


CONSTANTS = (
    "The paper does not give c_0. From its proofs follow 0.0018 for the second bound and 0.017 for the first (theory "
    "2.7); the information in a gradient of the first is 2 delta² nats and not delta² (S9). Such constants are far "
    "below what any algorithm reaches, so the shape is drawn too: the same bound, from the measured gap of float32 on."
)
ALPHA = (
    "The split quantizer's alpha_0² is at most 4 and for p = 1 it is 1, where [S] prints 12: errors of its two parts "
    "are on different coordinates, and for p = 1 no level is beyond B. SimQ+ has 1 / k less than Theorem 4.2 (theory "
    "2.7)."
)
SAMPLED = (
    "For p below 2 section 7 of [S] samples coordinates. Sampling m of d lengthens what is kept by d / m, so that "
    "alpha_0² by its definition is 12 (d / m)^(2/p) on flat gradients, and Theorem 2.3 gives a gap that grows like "
    "(d / m)^(1/p): faster than the sqrt(d / r) of the lower bound, by (d / m)^(1/p - 1/2) and not by logarithms. "
    "With the larger step of alpha² = 12 d / m, as an analysis in local norms would have it, gaps are smaller. That "
    "this holds on this function proves it for no other."
)
BIASED = (
    "Gradients are 0, or of the norm `tail` with probability 1 / tail²: their mean square is 1. Up to AGUQ's reach "
    "the run converges. Beyond it all gradients are sent as 0, x stays where it is, and the whole gap of x = 0 is "
    "left: the error D beta of the bias, which is within D (alpha / sqrt T + beta) (theory 2.3). A horizon of as many "
    "rounds as the run has reaches far enough."
)


def biased_table(rows: Sequence[Measured]) -> Table:
    """AGUQ's bias, exact, and the gap beside D (alpha / sqrt T + beta)."""
    columns = [
        "horizon",
        "bits",
        "reach",
        "tail",
        "beta",
        "beta, stated",
        "gap of x = 0",
        "gap",
        "±",
        "bound",
    ]

    def cells(row: Measured) -> list[Cell]:
        p = row.params
        (point,) = points_of([row])
        gain, tail = AguqGain(1.0, p["horizon"]), p["tail"]
        stated = p["horizon"] ** -0.5
        bias = 2 * DELTA / tail if tail > gain.reach else 0.0
        bound = 2 * (point.alpha / math.sqrt(point.rounds) + stated)
        return [
            p["horizon"], point.bits, gain.reach, tail, bias, stated, 2 * DELTA / tail, point.gap, point.error, bound,
        ]  # fmt: skip

    title = "Heavy-tailed gradients on the hard instance, p = 2"
    return Table(
        title, columns, [cells(row) for row in rows], note="Bound: D (alpha / sqrt T + beta, stated)."
    )
