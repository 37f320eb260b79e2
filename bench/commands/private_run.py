"""Test errors under one privacy budget.

Examples:
    gradwire bench private-run --epsilon 8 --epsilon 2
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Annotated, Any

import typer
from rich.console import Console

from gradwire.bench.local_runs import trained
from gradwire.bench.timing import machine
from gradwire.common.codecs import parse
from gradwire.common.privacy.accounting import check_delta, check_epsilon, epsilon_for
from gradwire.common.system.results import to_json
from gradwire.deploy.flags import AsJson
from gradwire.deploy.tables import print_plain
from gradwire.worker.tasks import build_task


@dataclass(frozen=True)
class Scheme:
    """A row: a codec's spec with a place for the epsilon of a push."""

    title: str
    spec: str

    @property
    def private(self) -> bool:
        """Whether the budget applies to it."""
        return "{epsilon}" in self.spec


SCHEMES = (
    Scheme("none", "cross_polytope(repeats=64, gain=bound({bound}))"),
    Scheme("none, uncompressed", "float32"),
    Scheme("private_top", "private_top(epsilon={epsilon}, bound={bound})"),
    Scheme("rr, exact epsilon", "private(rr(epsilon={epsilon}), cross_polytope, bound={bound})"),
    Scheme("rr (vqSGD)", "private(rr(epsilon={epsilon}, nominal=true), cross_polytope, bound={bound})"),
    Scheme("rappor (vqSGD)", "private(rappor(epsilon={epsilon}), cross_polytope, bound={bound})"),
    Scheme("oue", "private(oue(epsilon={epsilon}), cross_polytope, bound={bound})"),
    Scheme("subset selection", "private(subset_selection(epsilon={epsilon}), cross_polytope, bound={bound})"),
    Scheme("hadamard (vqSGD)", "private(rr(epsilon={epsilon}), hadamard(kappa=1), bound={bound})"),
)


def private_run(
    epsilon: Annotated[
        list[float] | None, typer.Option(help="Privacy budget of a run; may be repeated [8, 2]")
    ] = None,
    delta: Annotated[float, typer.Option(help="Delta at which the rounds are accounted for.")] = 1e-5,
    task: Annotated[str, typer.Option(help="Task to train.")] = "logistic(a9a)",
    workers: Annotated[int, typer.Option(help="Logical workers.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(help="Rounds of every run.", min=1)] = 100,
    runs: Annotated[int, typer.Option(help="Runs of each scheme, each with its own coins.", min=1)] = 3,
    bound: Annotated[float, typer.Option(help="Public bound that gradients are clipped to.")] = 0.5,
    radius: Annotated[float, typer.Option(help="Public guess of the solution's length, for the rate.")] = 4.0,
    as_json: AsJson = False,
) -> None:
    """Train with every mechanism at the same budget and rounds, and without privacy, and compare the test errors.

    Each run is a server and two worker processes with ledgers that enforce the budget. All average their iterates and
    take the rate that theory gives for their variance, radius / (bound sqrt(rounds (1 + variance / workers))), so
    nothing is tuned on data. Metrics are sent in the clear here (--report-metrics), for the data are public.
    """
    check_delta(delta)
    budgets = [check_epsilon(e) for e in epsilon or (8.0, 2.0)]
    dim = build_task(task, workers=workers, seed=0).dim
    notes = Console(stderr=True)
    rows = []
    for scheme, budget in _cases(budgets):
        each = None if budget is None else epsilon_for(budget, rounds, delta)
        spec = scheme.spec.format(epsilon=repr(each), bound=bound)
        variance = parse(spec, dim).variance(bound) / bound**2
        rate = radius / (bound * math.sqrt(rounds * (1 + variance / workers)))
        flags = {
            "task": task, "codec": spec, "workers": workers, "rounds": rounds, "evaluate_every": 0,
            "optimizer": f"averaged(sgd(lr={rate!r}))", "report_metrics": True,
        } | ({} if budget is None else {"max_epsilon": budget, "delta": delta})  # fmt: skip
        print_plain(notes, f"{scheme.title}, {budget or 'no budget'}: {spec}")
        summaries = [trained({**flags, "seed": seed}, min(2, workers)) for seed in range(runs)]
        rows.append(_row(scheme, budget, spec, variance, rate, summaries))
    about = {"machine": machine(), "task": task, "dim": dim, "workers": workers, "rounds": rounds}
    about |= {"runs": runs, "delta": delta, "bound": bound, "radius": radius}
    if as_json:
        print(to_json({**about, "rows": rows}, indent=2))
    else:
        _print(about, rows)


def _cases(budgets: list[float]) -> Iterator[tuple[Scheme, float | None]]:
    yield from ((scheme, None) for scheme in SCHEMES if not scheme.private)
    yield from ((scheme, budget) for budget in budgets for scheme in SCHEMES if scheme.private)


def _row(
    scheme: Scheme, budget: float | None, spec: str, variance: float, rate: float, runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The results of a scheme's runs; the epsilons are those that the runs report."""
    errors = [summary["metrics"]["test_error"] for summary in runs]
    losses = [summary["metrics"]["test_loss"] for summary in runs]
    privacy = runs[0]["privacy"]
    return {
        "scheme": scheme.title,
        "budget": budget,
        "codec": spec,
        "payload_bits": runs[0]["payload_bits_per_push"],
        "epsilon_per_push": privacy["epsilon_per_push"] if privacy else None,
        "epsilon_spent": privacy["spent"] if privacy else None,
        "variance": variance,
        "lr": rate,
        "test_error": fmean(errors),
        "test_error_std": stdev(errors) if len(errors) > 1 else None,
        "test_loss": fmean(losses),
        "test_errors": errors,
    }


def _print(about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print(
        f"{about['task']}, {about['dim']} coordinates, {about['workers']} workers, {about['rounds']} rounds,",
        end=" ",
    )
    print(f"{about['runs']} runs each, delta {about['delta']:g}, gradients clipped to {about['bound']:g}")
    print(
        f"{'budget':>7}  {'mechanism':20}{'bits':>6}{'per push':>9}{'spent':>7}{'variance':>11}{'rate':>10}"
        "   test error"
    )
    for row in rows:
        budget = "—" if row["budget"] is None else f"{row['budget']:g}"
        each = "—" if row["budget"] is None else f"{row['epsilon_per_push']:.3g}"
        spent = "—" if row["budget"] is None else f"{row['epsilon_spent']['tightest']:.3g}"
        spread = "" if row["test_error_std"] is None else f" ± {row['test_error_std']:.4f}"
        print(
            f"{budget:>7}  {row['scheme']:20}{row['payload_bits']:>6,}{each:>9}{spent:>7}{row['variance']:>11,.4g}"
            f"{row['lr']:>10.3g}   {row['test_error']:.4f}{spread}"
        )
