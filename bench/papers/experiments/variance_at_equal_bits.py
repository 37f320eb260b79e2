"""``variance-at-equal-bits``: the papers' quantizers, their baselines and this project's, and the lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.schemes import BUDGETS, DIM, SCHEMES
from gradwire.bench.variances import Vectors, gaussian, gradient, measure
from gradwire.common.errors import ConfigError
from gradwire.deploy.planning.bounds import radius_lower_bound, variance_lower_bound
from gradwire.deploy.report.document import DASHED, Chart, Document, Section, Series, Table

TASK = "mlp(digits, hidden=874)"  # its gradient at the initial parameters is the second vector
QUICK, FULL = (10, 100, 0.01), (100, 10_000, 0.005)  # encodings at least and at most, relative standard error
BY_TITLE = {scheme.title: scheme for scheme in SCHEMES}


@register
class VarianceAtEqualBits(Experiment):
    """Relative variance of each family's longest code within a budget of bits."""

    name = "variance-at-equal-bits"
    title = "Relative variance at 100 to 100,000 bits, d = 65,536, beside the lower bound"
    source = "theory 5"

    def cases(self, *, full: bool) -> Sequence[Params]:
        least, most, error = FULL if full else QUICK
        return [
            {"scheme": scheme.title, "bits": bits, "least": least, "most": most, "error": error}
            for bits in reversed(BUDGETS)
            for scheme in SCHEMES
        ]

    def measure(self, *, scheme: str, bits: int, least: int, most: int, error: float) -> Any:
        if scheme not in BY_TITLE:
            raise ConfigError(f"there is no scheme {scheme!r}")
        vectors: Vectors = {"gaussian": gaussian(), "gradient": gradient(TASK)}
        return measure(BY_TITLE[scheme], bits, vectors, (least, most), error)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = [each.result for each in results if each.result["codec"] is not None]
        tables = [_table(rows, bits) for bits in BUDGETS]
        return Document(
            self.title,
            "E|Q(x) - x|² / |x|² of a Gaussian vector and of a network's gradient; the bits count a float32 norm. The "
            "lower bound holds for all unbiased quantizers of that many bits, for the average over the sphere.",
            [
                Section("Variance and bound", [_chart(rows), _finding(rows)]),
                Section("Numbers", tables),
            ],
        )


def _chart(rows: Sequence[dict[str, Any]]) -> Chart:
    series = []
    for scheme in BY_TITLE:
        own = sorted((r["nbits"], r["measured"]["gaussian"]) for r in rows if r["scheme"] == scheme)
        series.append(Series(scheme, [x for x, _ in own], [y for _, y in own]))
    grid = [100 * 10 ** (k / 10) for k in range(31)]
    bound = [variance_lower_bound(DIM, bits) for bits in grid]
    return Chart(
        f"Variance of unbiased quantizers, {DIM:,} coordinates",
        "payload, bits",
        "E|Q(x) - x|² / |x|²",
        [*series, Series("lower bound", grid, bound, style=DASHED)],
        log_x=True,
        log_y=True,
        note="A Gaussian vector.",
    )


def _finding(rows: Sequence[dict[str, Any]]) -> str:
    words = []
    for bits in BUDGETS:
        own = [row for row in rows if row["bits"] == bits]
        best = min(own, key=lambda row: row["measured"]["gaussian"])
        paper = next(row for row in own if row["scheme"] == SCHEMES[0].title)
        words.append(
            f"{bits:,} bits: {best['scheme']} at {best['bound_ratio']['gaussian']:.2f} times the bound, "
            f"vqSGD's cross-polytope at {paper['bound_ratio']['gaussian']:.1f}"
        )
    return f"Nearest to the bound at {'; '.join(words)}."


def _table(rows: Sequence[dict[str, Any]], bits: int) -> Table:
    columns = ["scheme", "codec", "bits", "Gaussian", "±", "/ bound", "theory", "gradient", "/ bound"]
    own = [row for row in rows if row["bits"] == bits]
    radius = radius_lower_bound(DIM, bits)
    return Table(
        f"{bits:,} bits; lower bound {variance_lower_bound(DIM, bits):.3g}; of R² - 1, R the longest decoded vector, "
        f"{radius.cap:.3g} ([V] Theorem 5, exact; as printed {radius.printed:.3g})",
        columns,
        [
            [
                row["scheme"],
                row["codec"],
                row["nbits"],
                row["measured"]["gaussian"],
                row["standard_error"]["gaussian"],
                row["bound_ratio"]["gaussian"],
                row["theory"].get("gaussian"),
                row["measured"]["gradient"],
                row["bound_ratio"]["gradient"],
            ]
            for row in own
        ],
    )
