"""``vqsgd-figure-2``: least squares with vqSGD, DME, QSGD and SimQ, d = 100, 200, 500."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.least_squares import SAMPLES, WORKERS, measure, predicted_factor
from gradwire.bench.papers.least_squares_report import (
    VQSGD,
    Summary,
    law_rounds,
    merged,
    own_curves,
    own_table,
    ratio,
    shared_curves,
    tuning_table,
)
from gradwire.common.errors import ConfigError
from gradwire.deploy.report.document import Document, Section

SCHEMES = {VQSGD: "cross_polytope", "SimQ": "simq", "QSGD": "qsgd", "DME, 1 bit": "dme"}
DIMS = (500, 200, 100)
# By dimension: seeds at the own best step in each case, and seeds at the common one.
QUICK = {500: ([[0]], []), 200: ([[0, 1]], [0]), 100: ([[0, 1, 2]], [0])}
FULL = {
    500: ([[i, i + 1] for i in range(0, 10, 2)], [0]),
    200: ([list(range(5)), list(range(5, 10))], [0]),
    100: ([list(range(10))], [0]),
}


@register
class Figure2(Experiment):
    """|theta* - theta_t| by iteration and by bits."""

    name = "vqsgd-figure-2"
    title = "Least squares, 10,000 samples at 500 workers: distance to the optimum by iteration"
    source = "[V] Figure 2"

    def cases(self, *, full: bool) -> Sequence[Params]:
        plan = FULL if full else QUICK
        return [
            {"dim": dim, "scheme": scheme, "seeds": seeds, "common": plan[dim][1] if i == 0 else []}
            for dim in DIMS
            for i, seeds in enumerate(plan[dim][0])
            for scheme in SCHEMES
        ]

    def measure(self, *, dim: int, scheme: str, seeds: list[int], common: list[int]) -> Any:
        if scheme not in SCHEMES:
            raise ConfigError(f"there is no scheme {scheme!r}, expected one of {', '.join(SCHEMES)}")
        return measure(SCHEMES[scheme], dim, seeds, common)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = merged(results, lambda params: (params["dim"], params["scheme"]))
        sections = []
        for dim in sorted(DIMS):
            own = {scheme: rows[dim, scheme] for scheme in SCHEMES}
            shared = [shared_curves(own, f"d = {dim}: one step for all")] if own[VQSGD].shared else []
            sections.append(
                Section(
                    f"d = {dim}",
                    [
                        _finding(dim, own),
                        own_curves(own, f"d = {dim}: each scheme at its own best step"),
                        own_curves(own, f"d = {dim}: the same by bits", by_bits=True),
                        *shared,
                        own_table(dim, own, _predicted(dim)),
                    ],
                )
            )
        return Document(
            self.title,
            _about(rows),
            [*sections, Section("Steps and bits", [_BITS, tuning_table(rows)])],
        )


def _predicted(dim: int) -> dict[str, tuple[float, float]]:
    return {VQSGD: (dim - 1.0, 1.0)}


def _about(rows: dict[Any, Summary]) -> str:
    words = [
        f"d = {dim}: " + ", ".join(f"{name} {_cost(rows[dim, name])}" for name in SCHEMES)
        for dim in sorted(DIMS)
    ]
    return (
        "The paper finds that vqSGD converges at the rate of DME and QSGD. At one step that is small enough for "
        "vqSGD the curves are near each other; with a best step for each scheme vqSGD needs more iterations, the "
        "more the larger d is, and no longer fewer bits at every d. Iterations and kilobits of a worker to 1 % of "
        f"the first distance, each at its best step: {'; '.join(words)}."
    )


def _cost(row: Summary) -> str:
    bits = row.bits_to_target
    return f"{row.rounds} ({'—' if bits is None else f'{bits / 1000:.3g}'} kbit)"


def _finding(dim: int, own: dict[str, Summary]) -> str:
    vq = own[VQSGD]
    factor = predicted_factor(dim, dim - 1, vq.best, samples=SAMPLES, workers=WORKERS)
    predicted = f", which predicts {law_rounds(factor)} iterations" if factor < 1 else ""
    others = "; ".join(
        f"{name}: {ratio(other.mean_rounds, vq.mean_rounds)} the iterations and "
        f"{ratio(other.bits_to_target, vq.bits_to_target)} the bits"
        for name, other in own.items()
        if name != VQSGD
    )
    return (
        f"Beside vqSGD — {others}. A worker has {SAMPLES // WORKERS} rows, so its own gradient is "
        f"{(1 + (dim + 1) / (SAMPLES / WORKERS)) ** 0.5:.2g} times as long as the mean gradient, and vqSGD's "
        f"variance, (d - 1) times its square, is averaged over {WORKERS} workers only: at step {vq.best:g} a round "
        f"multiplies the expected squared distance by {factor:.3f}{predicted}; the law holds in the first round, and "
        "later the error is in the directions in which A is weak, which takes longer at large d."
    )


_BITS = (
    "The paper counts log2(2d) bits and one real for vqSGD: 8 to 10 bits and 32. It says that DME and QSGD send "
    "about sqrt(d) bits and one real: that is QSGD with one level in its sparse code, up to a factor of about log2 "
    "d. DME with one bit per coordinate sends d bits and two reals, d + 64, so beside it vqSGD saves more than is "
    "printed."
)
