"""``vqsgd-table-2``: QSGD, DME and vqSGD without privacy, at the same tuning parameter s."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.sampling import flat_vector, sampled_errors, stated, unit_vector
from gradwire.common.codecs import parse
from gradwire.deploy.planning.bounds import variance_lower_bound
from gradwire.deploy.report.document import DASHED, POINTS, Chart, Document, Section, Series, Table

DIMS, STEPS = (128, 1024, 65_536), (1, 4, 16)
INDEX_BITS = 10  # c of the Gaussian set
GAUSSIAN_DIMS = (32, 128)  # beyond, a set of 2^10 points is too small for the hull, or the program too slow
Formula = Callable[[int, float], float]


def _dme_error(d: int, s: float) -> float:
    return min(1 / s, math.log(d) / (s - 1) ** 2 if s > 1 else math.inf)


@dataclass(frozen=True)
class Method:
    """A row: the codec for (d, s), and the table's formulas at N = 1."""

    title: str
    codec: Callable[[int, int], str]
    error: Formula
    bits: Formula
    dims: tuple[int, ...] = DIMS
    steps: tuple[int, ...] = STEPS


METHODS = (
    Method(
        "QSGD, s levels, Elias",
        lambda d, s: f"qsgd(levels={s})",
        lambda d, s: min(d / s**2, math.sqrt(d) / s),
        lambda d, s: s * (s + math.sqrt(d)),
    ),
    Method(
        "DME, s bits (s = 1: stochastic binary)",
        lambda d, s: f"dme(levels={1 << s})",
        _dme_error,
        lambda d, s: float(s * d),
    ),
    Method(
        "DME, s bits, rotated",
        lambda d, s: f"dme(levels={1 << s}, rotate=true)",
        _dme_error,
        lambda d, s: float(s * d),
    ),
    Method(
        "DME, √d + 1 levels, Huffman",
        lambda d, s: f"dme(levels={math.isqrt(d) + 1}, entropy_coded=true, span=norm)",
        lambda d, s: 1.0,
        lambda d, s: float(d),
        steps=(1,),
    ),
    Method(
        "vqSGD, cross-polytope, s draws",
        lambda d, s: f"cross_polytope(repeats={s})",
        lambda d, s: d / s,
        lambda d, s: s * math.log2(d),
    ),
    Method(
        f"vqSGD, Gaussian, c = {INDEX_BITS}, s draws",
        lambda d, s: f"gaussian({INDEX_BITS}, repeats={s})",
        lambda d, s: d / (s * INDEX_BITS),
        lambda d, s: float(s * INDEX_BITS),
        dims=GAUSSIAN_DIMS,
    ),
)
BY_TITLE = {method.title: method for method in METHODS}
COLUMNS = (
    "method",
    "s",
    "bits",
    "measured",
    "printed",
    "error, worst",
    "random vector",
    "±",
    "flat vector",
    "printed",
    "lower bound",
)


@register
class VqsgdTable2(Experiment):
    """One payload of each method for a random and for a flat vector of length 1."""

    name = "vqsgd-table-2"
    title = "Quantizers without privacy: bits and error at the same s"
    source = "[V] Table 2 (captioned Table 3 in its text, V11)"

    def cases(self, *, full: bool) -> Sequence[Params]:
        return [
            {"method": method.title, "dim": dim, "s": s, "samples": _samples(dim, full=full)}
            for dim in sorted({*DIMS, *GAUSSIAN_DIMS}, reverse=True)
            for method in METHODS
            for s in method.steps
            if dim in method.dims
        ]

    def measure(self, *, method: str, dim: int, s: int, samples: int) -> Any:
        codec, x = parse(BY_TITLE[method].codec(dim, s), dim), unit_vector(dim)
        flat = sampled_errors(codec, flat_vector(dim), samples)
        return {**stated(codec, x), **sampled_errors(codec, x, samples).result(), "flat": flat.mean}

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        by_dim = {dim: [r for r in results if r.params["dim"] == dim] for dim in sorted(_dims(results))}
        tables = [Table(f"d = {dim:,}", COLUMNS, [_row(r) for r in rows]) for dim, rows in by_dim.items()]
        return Document(
            self.title,
            "One payload of one worker (N = 1) on vectors of length 1. vqSGD and QSGD are as printed up to the bits "
            "of their norm and of Elias codes. DME at s bits per coordinate has an error that grows with d, or with "
            "log d after a rotation: the printed 1 / (N s) belongs to its entropy-coded variant alone.",
            [
                Section("Error against bits", [_chart(results, dim) for dim in DIMS if dim in by_dim]),
                Section(
                    "Stated, measured, printed",
                    [
                        "Bits stated: exact, or a proven maximum where the length depends on the vector (QSGD, "
                        "Huffman); with the float32 norm, or DME's two float32 ends, which the table leaves out "
                        "(V12). Measured: the mean payload for the random vector, whole bytes. Error stated: the "
                        "worst over vectors of length 1. Measured: the mean for a random and for a flat vector. "
                        "Printed: the table's formula with the constant 1. Lower bound: of every unbiased quantizer "
                        "with the measured bits.",
                        *tables,
                    ],
                ),
                Section("Where table and measurement disagree", [_disagreements(results)]),
            ],
        )


def _samples(dim: int, *, full: bool) -> int:
    return (10 if full else 1) * (40 if dim > 1 << 12 else 200)


def _dims(results: Sequence[Measured]) -> set[int]:
    return {r.params["dim"] for r in results}


def _row(each: Measured) -> list[Any]:
    method, dim, s, result = (
        BY_TITLE[each.params["method"]],
        each.params["dim"],
        each.params["s"],
        each.result,
    )
    return [
        method.title,
        s,
        result["bits"],
        result["payload_bits"],
        method.bits(dim, s),
        result["worst"],
        result["measured"],
        result["deviation"],
        result["flat"],
        method.error(dim, s),
        variance_lower_bound(dim, result["payload_bits"]),
    ]


def _chart(results: Sequence[Measured], dim: int) -> Chart:
    series = []
    for method in METHODS:
        own = [r for r in results if r.params["method"] == method.title and r.params["dim"] == dim]
        if own:
            points = sorted((r.result["payload_bits"], r.result["measured"]) for r in own)
            style = POINTS if len(own) == 1 else "line"
            series.append(Series(method.title, [x for x, _ in points], [y for _, y in points], style=style))
    bits = [32 * 2 ** (k / 2) for k in range(40) if 32 * 2 ** (k / 2) <= 8 * dim]
    bound = [variance_lower_bound(dim, b) for b in bits]
    return Chart(
        f"Error against bits, d = {dim:,}, random vector",
        "measured payload, bits",
        "E|Q(x) - x|², |x| = 1",
        [*series, Series("lower bound", bits, bound, style=DASHED)],
        log_x=True,
        log_y=True,
    )


def _disagreements(results: Sequence[Measured]) -> Table:
    return Table("Where and why", ["method", "printed", "found", "reason"], list(_reasons(results)))


def _reasons(results: Sequence[Measured]) -> Iterator[list[str]]:
    at = {(r.params["method"], r.params["dim"], r.params["s"]): r.result for r in results}
    qsgd, binary, rotated, huffman, polytope, gaussian = (method.title for method in METHODS)
    d, ours = 1024, "at d = 1,024"
    one = at[qsgd, d, 1]
    yield [
        qsgd,
        f"s (s + √d) = {1 + math.sqrt(d):.0f} bits {ours}, s = 1; error √d = {math.sqrt(d):.0f}",
        f"{one['payload_bits']:.0f} bits; error {one['measured']:.3g} (random), {one['flat']:.3g} (flat)",
        "The formula counts nonzero levels, at most s (s + √d) on average; each costs a distance, a sign and a "
        "level in Elias codes, and the norm 32 bits.",
    ]
    one = at[binary, d, 1]
    yield [
        binary,
        f"error 1 / s = 1 {ours}, s = 1",
        f"{one['measured']:.3g} (random), at most {one['worst']:.4g}",
        "[DME] Lemma 3 has d / 2 (k - 1)² for k levels without rotation; for a random vector the range is about "
        "2 √(2 ln d / d). A flat vector has the range 0 and no error.",
    ]
    one = at[rotated, d, 4]
    yield [
        rotated,
        f"error min(1 / s, log d / (s - 1)²) = {_dme_error(d, 4):.3g} {ours}, s = 4",
        f"{one['measured']:.3g}, at most {one['worst']:.3g}",
        "[DME] Theorem 3 has log d / (k - 1)² for k levels, so s stands for levels in the error and for bits in the "
        "length; k = 2^s is far better than printed, s = 1 far worse.",
    ]
    one = at[huffman, d, 1]
    yield [
        huffman,
        "error 1 / s at s d bits",
        f"error {one['measured']:.3g} at {one['payload_bits'] / d:.3g} bits per coordinate",
        "[DME] Theorem 4: O(1) error at O(1) bits per coordinate, for an entropy code at √d + 1 levels; so 1 / (N s) "
        "holds up to constants for this variant. A histogram of √d counts is sent with it.",
    ]
    one = at[polytope, d, 1]
    yield [
        polytope,
        f"s log d = {math.log2(d):.0f} bits {ours}, s = 1; error d / s = {d}",
        f"{one['bits']} bits; error {one['measured']:.4g}",
        "log2 2d bits rounded up per draw, and a float32 norm (V12). The error is (d - 1) / s for every vector.",
    ]
    for dim in GAUSSIAN_DIMS:
        one = at[gaussian, dim, 1]
        yield [
            gaussian,
            f"error d / (s c) = {dim / INDEX_BITS:.3g} at d = {dim}, s = 1",
            f"{one['measured']:.3g} (random), {one['flat']:.3g} (flat), at most {one['worst']:.4g}",
            "An order, whose proof has the constant 29 (V10); each payload takes a linear program in 2^c unknowns, "
            "so c is at most 12 and d at most 256 here.",
        ]
