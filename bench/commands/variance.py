"""Errors at equal bits, beside theory.

Examples:
    gradwire bench variance --bits 1000
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gradwire.bench.outputs import PlotFile
from gradwire.bench.plotting import check_plot
from gradwire.bench.schemes import BUDGETS, DIM, SCHEMES
from gradwire.bench.timing import machine
from gradwire.bench.variance_report import plot_variances, print_tables
from gradwire.bench.variances import gaussian, gradient, measure
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.bounds import radius_lower_bound, variance_lower_bound


def variance(
    bits: Annotated[
        list[int] | None,
        typer.Option(help="Payload bits; may be repeated [100, 1000, 10000, 100000]", min=33),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Task whose gradient is the second vector.")
    ] = "mlp(digits, hidden=874)",
    samples: Annotated[int, typer.Option(help="Encodings of each, at least.", min=2)] = 10,
    most: Annotated[int, typer.Option(help="Encodings of each, at most.")] = 200,
    error: Annotated[
        float, typer.Option(help="Encode until the relative standard error is this small.", min=0.0)
    ] = 0.01,
    plot: PlotFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure E|decode(encode(x)) - x|^2 / |x|^2 at 65,536 coordinates for equal payload bits, beside theory's numbers.

    The vectors are a Gaussian one and the first coordinates of a network's gradient at its initial parameters. The
    lower bound is for b - 32 and b bits: a norm may or may not be counted as information; ratios are to the latter.
    R^2 - 1, R the length of the longest decoded vector, has a bound too: [V] Theorem 5 (vqSGD), exact and as printed.
    Each row says whether it agrees with theory: within rounding, 4 standard errors and 1 % together.
    """
    if plot is not None:
        check_plot(plot)
    budgets = tuple(bits or BUDGETS)
    vectors = {"gaussian": gaussian(), "gradient": gradient(task)}
    rows = [measure(s, b, vectors, (samples, max(samples, most)), error) for b in budgets for s in SCHEMES]
    bounds = [
        {
            "bits": b,
            "b-32": variance_lower_bound(DIM, b - 32),
            "b": variance_lower_bound(DIM, b),
            "radius": radius_lower_bound(DIM, b).cap,
            "radius_printed": radius_lower_bound(DIM, b).printed,
        }
        for b in budgets
    ]
    about = {"machine": machine(), "dim": DIM, "task": task, "samples": samples, "most": most, "error": error}
    report = about | {"rows": rows, "bounds": bounds}
    if plot is not None:
        plot_variances(report, plot)
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        print_tables(report)
