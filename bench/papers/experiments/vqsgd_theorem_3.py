"""``vqsgd-theorem-3``: the error of the mean of N workers, with randomness of their own and with the same for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.sampling import coins, unit_vector
from gradwire.common.codecs import AnyCodec, parse
from gradwire.deploy.report.document import DASHED, Chart, Document, Section, Series, Table

DIM, MOST = 1024, 1000
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # N; all divide MOST
CODECS = {
    "cross-polytope, 10 draws": "cross_polytope(repeats=10)",
    "L1-scaled, 10 systematic draws": "l1_systematic(repeats=10)",
    "rotated, 10 largest signs": "top_signs(10)",
}
PRIVATE, SHARED = "own", "the same"
GRADIENTS = {
    "equal": 1.0,
    "correlation 0.5": 0.5,
    "independent": 0.0,
}  # the correlation of two workers' gradients


@register
class VqsgdTheorem3(Experiment):
    """The relative error of means of 1 to 1,000 workers."""

    name = "vqsgd-theorem-3"
    title = f"Error of the mean of N workers, own and shared randomness, d = {DIM:,}"
    source = "[V] Theorem 3 (V14)"

    def cases(self, *, full: bool) -> Sequence[Params]:
        return [
            {"codec": codec, "randomness": randomness, "gradients": gradients, "repeats": 40 if full else 6}
            for codec in reversed(CODECS)
            for randomness in (PRIVATE, SHARED)
            for gradients in GRADIENTS
        ]

    def measure(self, *, codec: str, randomness: str, gradients: str, repeats: int) -> Any:
        built, x = parse(CODECS[codec], DIM), workers_gradients(GRADIENTS[gradients])
        runs = [
            errors_of_means(round_errors(built, x, randomness == SHARED, repeat)) for repeat in range(repeats)
        ]
        means, deviations = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / math.sqrt(repeats)
        stated = float(np.mean([_stated(built, gradient) for gradient in x]))
        return {"mean": means.tolist(), "deviation": deviations.tolist(), "stated": stated}

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        return Document(
            self.title,
            "With randomness of their own the error of the mean of N workers falls like 1 / N, for every codec. With "
            "the same seed for all it does not where gradients agree: equal gradients have equal errors, which no "
            "averaging removes; at a correlation of 0.5 a part remains. Independent gradients average as well with "
            "one seed, but for the cross-polytope: draws of its spare probability g = 1 - |v|_1 / √d, a fifth "
            "here, are the same vertex for all.",
            [
                Section("The law and where it fails", [_chart(results, name) for name in GRADIENTS]),
                Section(
                    "Numbers",
                    [
                        "Gradients of length 1. Own: each worker's coins and rotations are its own. The same: all "
                        "workers of a round have one seed for their coins and one public seed for their rotations, "
                        "fresh in every round. N times the error is the error of one worker where the law holds. "
                        "The slope is fitted from N = 10 on: -1 where the law holds, 0 where averaging is useless.",
                        _table(results),
                        "Theorem 3 prints the bound R² / N · mean |g_i|² and assumes nothing of the workers' "
                        "randomness: V14. gradwire derives every worker's coins and public seed from run, round and "
                        "worker.",
                    ],
                ),
            ],
        )


def workers_gradients(correlation: float, workers: int = MOST, dim: int = DIM) -> NDArray[np.float32]:
    """Unit vectors, float32 [workers, dim], two of which have that inner product (on average)."""
    common = unit_vector(dim).astype(np.float64)
    own = np.random.default_rng([3, dim]).standard_normal((workers, dim))
    own /= np.linalg.norm(own, axis=1)[:, None]
    mixed = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    unit: NDArray[np.float32] = (mixed / np.linalg.norm(mixed, axis=1)[:, None]).astype(np.float32)
    return unit


def errors_of_means(errors: NDArray[np.float64], counts: Sequence[int] = COUNTS) -> list[float]:
    """|mean of the errors of N workers|^2 for each N, over all groups of N that follow each other.

    Args:
        errors: of each worker's payload, float64 [workers, dim].
        counts: of workers, divisors of the number of all.
    """
    groups = (errors.reshape(-1, n, errors.shape[1]).mean(axis=1) for n in counts)
    return [float((means**2).sum(axis=1).mean()) for means in groups]


def round_errors(codec: AnyCodec, x: NDArray[np.float32], shared: bool, repeat: int) -> NDArray[np.float64]:
    """decode(encode(x_i)) - x_i of every worker in one round, float64 [workers, dim]."""
    errors = np.empty(x.shape)
    for i, gradient in enumerate(x):
        seed = 0 if shared else i
        public = repeat * len(x) + seed
        payload = codec.encode(gradient, coins(repeat, seed), shared=public)
        errors[i] = codec.decode(payload, shared=public) - gradient
    return errors


def _stated(codec: AnyCodec, gradient: NDArray[np.float32]) -> float:
    """The codec's error for one gradient: exact where it has a closed form."""
    try:
        return codec.variance_at(gradient)
    except NotImplementedError:
        return codec.variance()


def slope(counts: Sequence[int], errors: Sequence[float]) -> float:
    """The exponent of N that fits the errors from N = 10 on."""
    points = [(math.log(n), math.log(e)) for n, e in zip(counts, errors, strict=True) if n >= 10]
    return float(np.polyfit([x for x, _ in points], [y for _, y in points], 1)[0])


def _chart(results: Sequence[Measured], gradients: str) -> Chart:
    own = [r for r in results if r.params["gradients"] == gradients]
    series = [
        Series(
            f"{r.params['codec']}; {r.params['randomness']}",
            COUNTS,
            r.result["mean"],
            style="line" if r.params["randomness"] == PRIVATE else "points",
        )
        for r in sorted(own, key=_order)
    ]
    first = next(r for r in own if r.params["codec"] == next(iter(CODECS)))
    law = Series("1 / N", COUNTS, [first.result["stated"] / n for n in COUNTS], style=DASHED)
    return Chart(
        f"Error of the mean, {gradients} gradients",
        "workers N",
        "E|mean of Q(g_i) - mean of g_i|²",
        [*series, law],
        log_x=True,
        log_y=True,
        note="Lines: randomness of each worker's own; points: the same for all.",
    )


def _table(results: Sequence[Measured]) -> Table:
    columns = ["codec", "gradients", "randomness", "one worker, stated (mean)", "N = 1", "±"]
    columns += ["N = 10", "N = 100", "N = 1,000", "±", "slope"]
    return Table("Errors of means", columns, [_row(r) for r in sorted(results, key=_order)])


def _order(each: Measured) -> tuple[int, int, int]:
    codec, gradients = (
        list(CODECS).index(each.params["codec"]),
        list(GRADIENTS).index(each.params["gradients"]),
    )
    return codec, gradients, (PRIVATE, SHARED).index(each.params["randomness"])


def _row(each: Measured) -> list[Any]:
    mean, deviation = each.result["mean"], each.result["deviation"]
    chosen = [mean[COUNTS.index(n)] for n in (10, 100, 1000)]
    return [
        each.params["codec"],
        each.params["gradients"],
        each.params["randomness"],
        each.result["stated"],
        mean[0],
        deviation[0],
        *chosen,
        deviation[-1],
        slope(COUNTS, mean),
    ]
