"""What ``privacy-accuracy`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradwire.bench.private_training import BOUND, GRADIENT, LOCAL_RATE, NONE, RR, TOP
from gradwire.deploy.report.document import DASHED, Chart, Series, Table

Row = dict[str, Any]
CONSTANT, GOAL = 0.236, 0.20
TRIED = {
    False: "0 and 3 local steps, radius 2 and 4; radius 4 alone where a run has more than 4,000 payloads",
    True: (
        "0, 3 and 10 local steps, radius 2, 4 and 8, with 10,000 workers 8, 16 and 32 (three rows say little of the "
        "mean's direction, so the workers' directions cancel and their mean is short); with 100,000 payloads 0 and 3 "
        "steps, radius 2 and 4; with a million 3 steps, radius 8, and no choice is made"
    ),
}  # by whether the scale is full


def keys(rows: Sequence[Row]) -> list[tuple[float, int, str, float]]:
    """Budget, rounds, mechanism and delta of the private rows, in order."""
    return list(
        dict.fromkeys(
            (r["budget"], r["rounds"], r["mechanism"], r["delta"]) for r in rows if r["mechanism"] != NONE
        )
    )


def cells(rows: Sequence[Row], key: tuple[float, int, str, float]) -> list[Row]:
    """The rows of one of them, by workers."""
    own = [r for r in rows if (r["budget"], r["rounds"], r["mechanism"], r["delta"]) == key]
    return sorted(own, key=lambda row: int(row["workers"]))


def least_workers(rows: Sequence[Row]) -> int | None:
    """The smallest number of workers whose mean error is below the goal."""
    return next((int(row["workers"]) for row in rows if row["error"] < GOAL), None)


def accounting(delta: float) -> str:
    """How rounds are composed."""
    return f"tightest at delta {delta:g}" if delta else "sum of epsilons"


def smallest(rows: Sequence[Row]) -> Table:
    """The answer: the smallest number of workers."""
    body = []
    for key in keys(rows):
        budget, rounds, mechanism, delta = key
        own = cells(rows, key)
        found = least_workers(own)
        row = next((r for r in own if r["workers"] == found), own[-1])
        more = f"more than {own[-1]['workers']:,}" if found is None else f"{found:,}"
        body.append(
            [
                budget,
                rounds,
                mechanism,
                accounting(delta),
                row["epsilon"],
                more,
                row["error"],
                row["deviation"],
                _way(row),
            ]
        )
    return Table(
        f"The smallest number of workers with an error below {GOAL}",
        [
            "epsilon",
            "rounds",
            "mechanism",
            "accounting",
            "epsilon per payload",
            "workers",
            "error there",
            "±",
            "what is sent",
        ],
        body,
        note="Of 20, 100, 1,000 and 10,000; 'more than' names the largest number that was measured. ± is the "
        "standard deviation over runs.",
    )


def _way(row: Row) -> str:
    return "gradient" if row["steps"] == GRADIENT else f"update of {row['steps']} local steps"


def chart(rows: Sequence[Row], budget: float) -> Chart:
    """Error by workers at one budget."""
    series = []
    for key in keys(rows):
        if key[0] == budget:
            own = cells(rows, key)
            x = [float(row["workers"]) for row in own]
            y = [row["error"] for row in own]
            spread = [row["deviation"] or 0.0 for row in own]
            low = [a - b for a, b in zip(y, spread, strict=True)]
            high = [a + b for a, b in zip(y, spread, strict=True)]
            added = "" if key[3] else ", epsilons added up"
            series.append(Series(f"{key[2]}, {key[1]} rounds{added}", x, y, low, high))
    ends = [20.0, 10_000.0]
    series += [
        Series("always the larger class", ends, [CONSTANT] * 2, style=DASHED),
        Series("goal", ends, [GOAL] * 2, style=DASHED),
    ]
    return Chart(
        f"Test error at a total epsilon of {budget:g}",
        "workers",
        "test error",
        series,
        log_x=True,
        note="Bands: one standard deviation over runs.",
    )


def table(rows: Sequence[Row]) -> Table:
    """Every cell."""
    columns = ["epsilon", "rounds", "workers", "mechanism", "bits", "epsilon per payload", "sum", "tightest"]
    columns += ["variance / workers", "what is sent", "radius", "rate", "runs", "error", "±"]
    body = []
    for row in rows:
        spent = row["spent"] or {}
        private = row["mechanism"] != NONE
        body.append(
            [
                row["budget"] if private else None,
                row["rounds"],
                row["workers"],
                row["mechanism"],
                row["bits"],
                row["epsilon"],
                spent.get("pure"),
                spent.get("tightest"),
                row["variance"] / row["workers"],
                _way(row),
                row["radius"],
                row["rate"],
                len(row["errors"]),
                row["error"],
                row["deviation"],
            ]
        )
    return Table(
        "Test errors",
        columns,
        body,
        note="Sum and tightest: what a worker's run costs by adding epsilons up, and by the tightest "
        "accountant.",
    )


def finding(rows: Sequence[Row], *, full: bool) -> list[str]:
    """The answer in words, and why."""
    said = []
    for key in keys(rows):
        budget, rounds, mechanism, delta = key
        own = cells(rows, key)
        found = least_workers(own)
        where = f"{mechanism}, epsilon {budget:g}, {rounds} rounds" + (
            "" if delta else " (epsilons added up)"
        )
        if found is None:
            least = min(own, key=lambda row: float(row["error"]))
            said.append(f"{where}: more than {own[-1]['workers']:,} (least error {least['error']:.3f})")
        else:
            at = next(row for row in own if row["workers"] == found)
            said.append(f"{where}: {found:,} (error {at['error']:.3f} ± {at['deviation'] or 0:.3f})")
    plain = {row["rounds"]: row["error"] for row in rows if row["mechanism"] == NONE}
    without = " and ".join(f"{error:.3f} after {rounds} rounds" for rounds, error in sorted(plain.items()))
    left = "" if full else " What takes longer than minutes, 10,000 workers among it, is in --full."
    return [
        f"The smallest number of workers with a mean test error below {GOAL}. {'; '.join(said)}. Without "
        f"privacy and clipped alike 20 workers reach {without}.{left}",
        f"Why few rounds: with 25 times the rounds a payload of private top has {_growth(rows)} times the "
        "variance, and only 25 times as many are averaged. So four rounds leave less noise than a hundred, "
        "and the run must make its way in four steps: workers that send the update of a few local steps, "
        "which cost no privacy, get further in them.",
        "[V] has no experiment under privacy. With its own mechanism, randomized response on the "
        "cross-polytope, even at the exact epsilon, which has far less variance than the nominal one of "
        f"Theorem 16 (V3), a payload has {_ratio(rows)} times the variance of private top, and the "
        "same noise takes as many times the workers.",
    ]


def _growth(rows: Sequence[Row]) -> str:
    """The variance of a payload of 100 rounds over that of 4, at each budget."""
    found = []
    for budget, rounds, mechanism, delta in keys(rows):
        if mechanism == TOP and delta and rounds == 100:
            few = cells(rows, (budget, 4, mechanism, delta))
            found += [cells(rows, (budget, rounds, mechanism, delta))[0]["variance"] / few[0]["variance"]]
    return f"{min(found):.0f} to {max(found):.0f}" if found else "more than 25"


def _ratio(rows: Sequence[Row]) -> str:
    ratios = []
    for row in rows:
        if row["mechanism"] == RR:
            place = (row["budget"], row["rounds"], TOP, row["delta"])
            ratios += [row["variance"] / other["variance"] for other in cells(rows, place)[:1]]
    return f"{min(ratios):.0f} to {max(ratios):.0f}" if ratios else "many"


def how(*, full: bool) -> list[str]:
    """The method, and what a reader must not overlook."""
    return [
        "Accounting: a run's budget is divided equally among its rounds. With delta = 1e-5 the epsilon per "
        "payload is the largest with which the tightest accountant (the privacy loss distribution of "
        "randomised response) stays within the budget; with delta = 0 it is the budget over the rounds. "
        "For four rounds both are the same.",
        f"Each payload is clipped to the l2 norm {BOUND}, which is below nearly all of them: workers send "
        "directions, so that small gradients of later rounds are not drowned by noise that is scaled to "
        "large ones. A worker's input is the mean gradient over its rows (3 or 4 rows at 10,000 workers, "
        "1,628 at 20), or the update w - w_i of some local steps of gradient descent on them with the rate "
        f"{LOCAL_RATE}. Rows are dealt by the seed, as they are: features are not scaled, the last model "
        "counts.",
        "The rate at round t is radius / (bound sqrt(T (1 + variance / workers))) / sqrt(t + 1), without "
        "the last factor at 100 rounds. Radius and local steps are chosen by one run each with a seed of "
        "its own, by its test error; the runs that count come after that, with other seeds. This choice is "
        "not private, and is made on the test set: a user has to choose beforehand, or to pay for it. "
        f"Tried: {TRIED[full]}.",
        "Private codecs draw from the operating system, so a rerun gives other numbers within ±. Metrics "
        "are computed in the clear, for the data are public.",
    ]
