"""Errors at equal bits, beside theory.

Examples:
    gradwire bench variance --bits 1000
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gradwire.bench.outputs import PlotFile
from gradwire.bench.plotting import check as check_plot
from gradwire.bench.schemes import BUDGETS, DIM, SCHEMES, Scheme
from gradwire.bench.timing import machine
from gradwire.bench.variance_report import plot_variances, print_tables
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.bounds import variance_lower_bound
from gradwire.worker.tasks import build_task

SIGMAS = 4.0  # a row is theory's when it is no further off than so many standard errors
ENOUGH = (
    100  # encodings whose spread is judged: with few, draws that rarely coincide look as if they never did
)
ANOTHER_VECTOR = 0.01  # and this part: theory's Gaussian vector was another one, and so were its rotations

Vectors = dict[str, NDArray[np.float32]]


def variance(
    bits: Annotated[
        list[int] | None, typer.Option(help="Payload bits; default: 100 to 100,000.", min=33)
    ] = None,
    task: Annotated[
        str, typer.Option(help="Whose gradient is the second vector.")
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
    Each row says whether it is theory's: no further from it than rounding, 4 standard errors and 1 % together.
    """
    if plot is not None:
        check_plot(plot)
    budgets = tuple(bits or BUDGETS)
    vectors = {"gaussian": _gaussian(), "gradient": _gradient(task)}
    rows = [measure(s, b, vectors, (samples, max(samples, most)), error) for b in budgets for s in SCHEMES]
    bounds = [
        {"bits": b, "b-32": variance_lower_bound(DIM, b - 32), "b": variance_lower_bound(DIM, b)}
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


def measure(
    scheme: Scheme, bits: int, vectors: Vectors, samples: tuple[int, int], error: float = 0.0
) -> dict[str, Any]:
    """One scheme's largest codec within a budget: measured relative variances, beside what they should be.

    Args:
        scheme, bits: the row.
        vectors: float32 [DIM] by name; ``gaussian`` is judged by theory's number.
        samples: encodings of each vector, at least and at most.
        error: the relative standard error that is enough.

    Returns:
        For each vector: ``measured``, ``standard_error``, ``samples``, ``exact`` (the codec's closed form at this
        vector, null where it has none), ``theory``, ``bound_ratio`` and ``z``, the distance from the closed form in
        standard errors, null for fewer than 100 encodings; ``deviation`` of the Gaussian from theory, relative, and
        ``reproduced``.
    """
    codec = scheme.within(bits, DIM)
    stated = scheme.stated(bits)
    row: dict[str, Any] = {
        "scheme": scheme.title,
        "bits": bits,
        "theory": {name: s.value for name, s in stated.items()},
        "codec": None,
    }
    if codec is None:
        return row
    errors = {name: relative_errors(codec, x, samples, error) for name, x in vectors.items()}
    mean = {name: float(e.mean()) for name, e in errors.items()}
    deviation = {name: float(e.std(ddof=1)) / math.sqrt(e.size) for name, e in errors.items()}
    exact = {name: _exact(codec, x) for name, x in vectors.items()}
    bound = variance_lower_bound(DIM, bits)
    row |= {
        "codec": codec.spec,
        "nbits": codec.nbits,
        "worst": codec.variance(),
        "measured": mean,
        "standard_error": deviation,
        "samples": {name: e.size for name, e in errors.items()},
        "exact": exact,
        "bound_ratio": {name: value / bound for name, value in mean.items()},
        "z": {
            name: _z(mean[name], exact[name], deviation[name]) if errors[name].size >= ENOUGH else None
            for name in vectors
        },
        "deviation": None,
        "reproduced": None,
    }
    if "gaussian" in stated and "gaussian" in mean:
        theory = stated["gaussian"]
        off = mean["gaussian"] - theory.value
        allowed = theory.half_unit + SIGMAS * deviation["gaussian"] + ANOTHER_VECTOR * theory.value
        row |= {"deviation": off / theory.value, "reproduced": abs(off) <= allowed}
    return row


def relative_errors(
    codec: AnyCodec, x: NDArray[np.float32], samples: tuple[int, int], error: float
) -> NDArray[np.float64]:
    """|decode(encode(x)) - x|^2 / |x|^2 of independent encodings, each with a public seed of its own.

    As many as it takes for a relative standard error of ``error``, between the two numbers of ``samples``.
    """
    rng, errors = np.random.default_rng(1), np.empty(samples[1])
    square = float((x.astype(np.float64) ** 2).sum())
    for k in range(samples[1]):
        shared = int(rng.integers(1 << 62))
        difference = codec.decode(codec.encode(x, rng, shared=shared), shared=shared) - x
        errors[k] = (difference * difference).sum() / square
        done = errors[: k + 1]
        if done.size >= samples[0] and done.std(ddof=1) <= error * done.mean() * math.sqrt(done.size):
            break
    return errors[: k + 1]


def _exact(codec: AnyCodec, x: NDArray[np.float32]) -> float | None:
    try:
        return codec.variance_at(x) / float((x.astype(np.float64) ** 2).sum())
    except NotImplementedError:
        return None


def _z(measured: float, exact: float | None, standard_error: float) -> float | None:
    """The distance in standard errors, of a thousandth at least: few payloads may miss draws that coincide."""
    return None if exact is None else (measured - exact) / max(standard_error, 1e-3 * exact)


def _gaussian() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(DIM, dtype=np.float32)


def _gradient(task: str) -> NDArray[np.float32]:
    """The first DIM coordinates of worker 0's gradient in round 0.

    Raises:
        SpecError: the model is smaller.
    """
    built = build_task(task, workers=1, seed=0)
    if built.dim < DIM:
        raise SpecError(
            f"{task} has {built.dim} parameters, expected at least {DIM}: give it more hidden units"
        )
    value: NDArray[np.float32] = np.asarray(built.gradient(built.initial(), round=0, worker=0).value)[:DIM]
    return value
