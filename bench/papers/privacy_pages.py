"""What ``privacy-error`` shows: a chart and a table for each dimension, cpSGD's table, and the findings in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from gradwire.bench.private_rows import FIXED
from gradwire.bench.private_schemes import privunit
from gradwire.deploy.report.document import DASHED, POINTS, Chart, Part, Section, Series, Table
from gradwire.deploy.units import short

Row = dict[str, Any]
SHOWN = (1.0, 4.0, 8.0, 16.0)  # epsilons in the tables; the charts have all
NOMINAL = "cross-polytope, rr, nominal epsilon (vqSGD)"
EXACT = "cross-polytope, rr, exact epsilon"
EXACT_REPORTS = "cross-polytope, rr, exact epsilon, best number of draws"
RAPPOR = "cross-polytope, RAPPOR (vqSGD)"
SUBSET = "cross-polytope, subset selection, exact epsilon"
HADAMARD = "Hadamard set, kappa = coth(epsilon / 2)"
HYPERPLANE = "random hyperplane, one bit"
TOP = "rotated cross-polytope, private top"
TOP_REPORTS = "rotated cross-polytope, private top, best number of reports"
FIXED_TITLES = tuple(mechanism.title for mechanism in FIXED)
CURVES = (NOMINAL, RAPPOR, HADAMARD, EXACT, SUBSET, HYPERPLANE, TOP_REPORTS)


def curves(rows: Sequence[Row], dim: int, delta: float) -> Chart:
    """Error by epsilon of the mechanisms that differ, with the optimum and cpSGD dashed."""
    own = [row for row in rows if row["dim"] == dim]
    series = [_series(title, [row for row in own if row["mechanism"] == title]) for title in CURVES]
    epsilons = sorted({row["asked"] for row in own if row["mechanism"] == TOP})
    best = [privunit(dim, epsilon) for epsilon in epsilons]
    series.append(Series("PrivUnit, the optimum (formula)", epsilons, best, style=DASHED))
    for workers in sorted({row["workers"] for row in own if "workers" in row}):
        name = "cpSGD, one payload" if workers == 1 else f"cpSGD, sum of {workers:,} alone is seen"
        each = [row for row in own if row.get("workers") == workers]
        series.append(_series(f"{name}, delta {delta:g}", each, DASHED))
    fixed = [row for row in own if row["mechanism"] in FIXED_TITLES]
    series.append(_series("sets private by themselves (vqSGD)", fixed, POINTS))
    return Chart(
        f"Error by epsilon, {dim:,} coordinates",
        "epsilon that a payload is asked for",
        "E|Q(x) - x|², |x| = 1",
        [each for each in series if each.x],
        log_x=True,
        log_y=True,
        note="Measured where payloads were drawn, else stated. The nominal epsilon is the paper's; the "
        "exact one is smaller.",
    )


def _series(name: str, rows: Iterable[Row], style: str = "line") -> Series:
    points = sorted((row["asked"], _error(row)) for row in rows if row["stated"] is not None)
    return Series(name, [x for x, _ in points], [y for _, y in points], style=style)


def _error(row: Row) -> float:
    found = row["stated"] if row["measured"] is None else row["measured"]
    return float(found)


def mechanism_table(rows: Sequence[Row], dim: int) -> Table:
    """All mechanisms at one dimension."""
    own = [row for row in rows if row["dim"] == dim and _is_shown(row, rows)]
    cells = [
        [
            row["asked"],
            row["mechanism"],
            row["bits"],
            row["epsilon"],
            row["stated"],
            row["measured"],
            row["standard_error"],
            row["formula"],
            row["printed"],
            row["stated"] / row["printed"] if row["printed"] else None,
        ]
        for row in sorted(own, key=lambda row: float(row["asked"]))
    ]
    columns = [
        "epsilon",
        "mechanism",
        "bits",
        "exact epsilon",
        "stated",
        "measured",
        "±",
        "formula",
        "printed",
        "true / printed",
    ]
    return Table(
        f"{dim:,} coordinates",
        columns,
        cells,
        note="Formula: computed apart from the codec, with the errata. Printed: the proof's |C| R², R² or "
        "d, without the factor that it drops; the papers print no variance for the other mechanisms.",
    )


def _is_shown(row: Row, rows: Sequence[Row]) -> bool:
    """Whether the table has it: a number of reports that is best is left out where it is one."""
    single = {EXACT_REPORTS: EXACT, TOP_REPORTS: TOP}.get(row["mechanism"])
    if single is not None and row["stated"] == at(rows, single, row["dim"], row["asked"])["stated"]:
        return False
    return row["asked"] in SHOWN or row["mechanism"] in FIXED_TITLES


def cpsgd_section(rows: Sequence[Row], local: Sequence[Row], delta: float) -> Section:
    """The section on cpSGD: beside private top, with what its epsilon means."""
    cells = []
    for row in rows:
        if row["asked"] in SHOWN:
            top = at(local, TOP_REPORTS, row["dim"], row["asked"])
            cells.append(
                [
                    row["dim"],
                    row["asked"],
                    row["workers"],
                    row["codec"],
                    row["bits"],
                    row["stated"],
                    row["measured"],
                    row["standard_error"],
                    top["bits"],
                    top["stated"],
                    row["stated"] / top["stated"] if row["stated"] else None,
                ]
            )
    columns = [
        "coordinates",
        "epsilon",
        "workers added up",
        "codec",
        "bits",
        "stated",
        "measured",
        "±",
        "bits of private top",
        "its error",
        "cpSGD / it",
    ]
    return Section(
        "cpSGD",
        [_accounting(delta), Table("cpSGD beside private top", columns, cells), _against(rows, local)],
    )


def _accounting(delta: float) -> str:
    return (
        f"cpSGD's epsilon is of another kind. It holds with delta = {delta:g}, by Theorem 1 of its paper "
        "(binomial mechanism; half of delta pays for the mechanism, half for the chance that rounding "
        "makes the sensitivity larger), and for the sum over the named number of payloads: for 1,000 "
        "workers the server must see nothing but that sum (secure aggregation), and all 1,000 must add "
        "their noise. One payload of it hides almost nothing. For one worker it is local privacy, as for "
        "all mechanisms above, though at that delta. Errors are those of one payload; the mean of N "
        "workers has an N-th for cpSGD as for the others. Levels and trials are those with the least "
        "error, at most 2^18 trials."
    )


def _against(rows: Sequence[Row], local: Sequence[Row]) -> str:
    words = []
    for workers in sorted({row["workers"] for row in rows}):
        own = [row for row in rows if row["workers"] == workers and row["stated"] and row["asked"] in SHOWN]
        ratios = [row["stated"] / at(local, TOP_REPORTS, row["dim"], row["asked"])["stated"] for row in own]
        if ratios:
            words.append(
                f"{short(min(ratios))} to {short(max(ratios))} times (workers added up: {workers:,})"
            )
    alone = [row for row in rows if row["workers"] == 1 and row["stated"]]
    below = sum(at(local, EXACT, row["dim"], row["asked"])["stated"] < row["stated"] for row in alone)
    return (
        f"cpSGD's error is {' and '.join(words)} that of private top at the same epsilon, in hundreds to "
        "tens of thousands of times the bits. Against readers of single payloads private top is better at "
        "every epsilon; [V]'s own randomized response, with the exact epsilon, is better than cpSGD at "
        f"{below} of {len(alone)} points, worse at the others. Where only sums are seen, noise "
        "that all workers share is far smaller than noise that hides each of them. [V] Table 3 prints O(d "
        "/ N) for cpSGD: its factor is at least 8 ln(2.5 / delta) / (epsilon² N'), N' the workers added "
        "up."
    )


def at(rows: Sequence[Row], title: str, dim: int, epsilon: float) -> Row:
    """The row of a mechanism."""
    return next(r for r in rows if (r["mechanism"], r["dim"], r["asked"]) == (title, dim, epsilon))


def finding(local: Sequence[Row], cpsgd: Sequence[Row], dims: Sequence[int]) -> list[Part]:
    """The result in a paragraph, then each disagreement with the papers in a sentence."""
    dim = dims[len(dims) // 2]
    four = {title: at(local, title, dim, 4.0) for title in (NOMINAL, EXACT, RAPPOR, TOP)}
    drawn = [row for row in local if row["standard_error"] is not None]
    agree = sum(map(_agrees, drawn))
    best = (
        f"At epsilon 4 and {dim:,} coordinates a payload of private top has the squared error "
        f"{short(four[TOP]['stated'])} in {four[TOP]['bits']} bits, "
        f"{four[TOP]['stated'] / privunit(dim, 4.0):.3f} times the optimum (PrivUnit); vqSGD's "
        f"cross-polytope with randomized response has {short(four[NOMINAL]['stated'])} as the paper counts "
        f"epsilon and {short(four[EXACT]['stated'])} with the exact epsilon, RAPPOR "
        f"{short(four[RAPPOR]['stated'])} in {four[RAPPOR]['bits']:,} bits. In {agree} of {len(drawn)} "
        "rows the measured error is the stated one to three standard errors or a thousandth; such an "
        "estimate misses what few payloads do not show, as opposite axes within one subset."
    )
    return [best, *errata(local, dim)]


def _agrees(row: Row) -> bool:
    away = abs(row["measured"] - row["stated"])
    return bool(away <= max(3 * row["standard_error"], 1e-3 * row["stated"]))


def errata(local: Sequence[Row], dim: int) -> list[str]:
    """Where the printed numbers are not ours, and why."""
    nominal, exact, rappor = (at(local, title, dim, 1.0) for title in (NOMINAL, EXACT, RAPPOR))
    by_title = {
        row["mechanism"]: row for row in local if row["dim"] == dim and row["mechanism"] in FIXED_TITLES
    }
    simplex, hadamard, scaled = (by_title[title] for title in FIXED_TITLES)
    return [
        f"V3, Theorem 16 (randomized response): printed |C| R² = {short(nominal['printed'])}, true "
        f"{short(nominal['stated'])} at epsilon 1 and {dim:,} coordinates: the proof drops the factor 1 / "
        "(p - q)². The paper also overstates what is spent: the true epsilon of that payload is "
        f"{nominal['epsilon']:.3f}, because no gradient makes a vertex certain. A payload that truly has "
        f"epsilon 1 has {short(exact['stated'])}, and that is of the printed order d².",
        f"V4, Theorem 17 (RAPPOR): printed {short(rappor['printed'])}, true {short(rappor['stated'])} at "
        "epsilon 1: bits of a one-hot vector are not independent, and the factor 1 / (4 sinh²(epsilon / "
        "4)) is omitted; its epsilon is right.",
        "V1, Proposition 14 (Hadamard): printed epsilon ln(1 + sqrt 2) = 0.881 (Table 3: ln 2.5 = 0.916), "
        f"true {hadamard['epsilon']:.4f} = ln 3: two gradients can be opposite, at distance 2 and not sqrt "
        f"2. Its variance {short(hadamard['stated'])} is as printed.",
        "V2, Proposition 15 (cross-polytope): Tables 1 and 3 give the variance d and epsilon > O(ln d) to "
        f"the same set, and none has both. The set times 2 has the epsilon {scaled['epsilon']:.4f} (below "
        f"ln d = {math.log(dim):.4f} from d = 7 on) and the variance {short(scaled['stated'])} = 4d - 1; "
        "the set itself has the variance d - 1 and epsilon infinity.",
        f"V5, Proposition 13 (simplex): the epsilon {simplex['epsilon']:.5f} is below ln 7 = 1.94591 as "
        "printed, though by another proof (the printed ratio (7d - 2) / (d + 2) is not the largest). Its "
        f"variance {short(simplex['stated'])} is about 8 d² / 3, below R² = 4d², since a third of the "
        "draws are -4·1.",
        "V13, Remark 3: d + 1 points are not enough for privacy, the ball must lie inside their hull: the "
        "Hadamard set with kappa = 1, whose hull touches it, has the epsilon infinity.",
    ]
