"""``simq-theorem-3-1``: bits at the classic rate, and the statements of [S] sections 4, 5 and 7, one by one."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.simq_bounds import (
    constants,
    draws,
    lower_bits,
    ranges_bits,
    simq_plus_bits,
    upper_bits,
)
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.simq.split_constants import SplitConstants
from gradwire.deploy.report.document import DASHED, Cell, Chart, Document, Section, Series, Table

PS = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0, math.inf)
DIM = 1024  # of what is drawn
SPLIT_DIM = 4096  # of the split quantizer: there its RATQ has 682 coordinates and more
INPUTS = ("flat", "one", "decaying")  # on the unit l_q sphere
BOUNDED = "gain=bound(1.0)"
Floats = NDArray[np.float64]


@register
class SimqTheorem31(Experiment):
    """Arithmetic for [S] Theorem 3.1; draws for [S] Theorems 4.1 and 4.2, Lemmas 5.1 and 5.2 and Remark 8."""

    name = "simq-theorem-3-1"
    title = "Bits at the classic rate by p and d, and the quantizers of [S] against what is stated of them"
    source = "[S] Theorems 3.1, 4.1, 4.2, Lemmas 5.1, 5.2, Remark 8, section 7"

    def cases(self, *, full: bool) -> Sequence[Params]:
        samples = 20_000 if full else 2_000
        statements = [
            {"kind": "statement", "of": of, "p": _json(p), "at": at, "samples": samples}
            for of, ps in STATEMENTS.items()
            for p in ps
            for at in INPUTS
        ]
        fixed = [
            {"kind": "remark 8", "bits": bits, "samples": samples // 10} for bits in (1024, 512, 256, 128)
        ]
        exponents = range(4, 17) if full else range(4, 17, 4)
        bits = [{"kind": "bits", "p": _json(p), "dim": 1 << e} for p in PS for e in exponents]
        return [*statements, *fixed, {"kind": "aguq"}, *bits]

    def measure(self, *, kind: str, **params: Any) -> Any:
        if kind == "bits":
            return bits_at(params["dim"], float(params["p"]))
        if kind == "aguq":
            return [aguq(horizon) for horizon in (10, 1000, 10**6)]
        if kind == "remark 8":
            return fixed_precision(params["bits"], params["samples"])
        return statement(params["of"], float(params["p"]), params["at"], params["samples"])

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        def of(kind: str) -> list[Measured]:
            return [each for each in results if each.params["kind"] == kind]

        return Document(
            self.title,
            "Every quantizer keeps its statement: no bias beyond chance, second moments below the bounds. From p = 2 "
            "on ours is never longer than Theorem 3.1 prints; below 2 a code for the set of large coordinates saves "
            "one to two bits per coordinate of the printed ones.",
            [
                Section("Theorem 3.1", [_bits_chart(of("bits")), _bits_table(of("bits")), _constants()]),
                Section("Theorems 4.1 and 4.2, Lemmas 5.1 and 5.2", [_statements(of("statement")), MOMENTS]),
                Section("Remark 8: fixed precision below d bits", [_remark_8(of("remark 8")), REMARK]),
                Section("Section 7: AGUQ", [_aguq(of("aguq")), BIAS]),
            ],
        )


MOMENTS = (
    "alpha_0(Q; p)² is the largest E|Q|_2² (p from 2 on) or E|Q|_q² (below 2) over the unit l_q ball; Theorem 2.3 "
    "then gives the gap c_1 d^(1/2 - 1/p) D alpha_0 / sqrt T or c_1 sqrt(log d) D alpha_0 / sqrt T. Printed proofs of "
    "both lemmas have slips (S2, S3) that do not change the bounds. The bounds 3 and 12 are far from tight: what is "
    "measured is near the input's own norm, 1."
)
REMARK = (
    "Remark 8 calls SimQ+ much worse than RATQ below d bits. On a Gaussian vector it is not at these budgets: both "
    "errors fall as one over the number of draws or of sampled coordinates; the columns show how far they are apart. "
    "Draws that are not independent are better where several fall on a coordinate (S8)."
)
BIAS = (
    "Over norms with two values, 0 and g, and E g² = 1: norms beyond the reach are sent as 0, which is all the bias. "
    "Theory states at most B / sqrt T for it; a biased oracle adds D times the bias to the gap (section 7)."
)


def _json(p: float) -> str | float:
    return "inf" if math.isinf(p) else p


def _q(p: float) -> float:
    return math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)


# ---- [S] Theorem 3.1 -------------------------------------------------------------------------------------------------


def bits_at(dim: int, p: float) -> dict[str, Any]:
    """Bits of our quantizer for p and of the paper's code, and the bounds."""
    if p >= 2:
        k = draws(dim, p)
        ours = parse(f"simq_plus(p={p}, coding=l1_ball, {BOUNDED})", dim)
        paper = parse(f"simq_plus(p={p}, coding=type_signs, {BOUNDED})", dim)
        moment = 1 + dim ** (2 / p) / k
    else:
        codes = [parse(f"lq_split(p={p}, positions={code}, {BOUNDED})", dim) for code in ("set", "mask")]
        ours, paper, moment = min(codes, key=lambda codec: codec.nbits), codes[1], 12.0
    return {
        "codec": ours.spec,
        "bits": ours.nbits,
        "paper_code": paper.nbits,
        "upper": upper_bits(dim, p),
        "lower": lower_bits(dim, p),
        "moment": moment,
    }


def _bits_chart(rows: Sequence[Measured]) -> Chart:
    largest = max(row.params["dim"] for row in rows)
    own = [row for row in rows if row.params["dim"] == largest]
    x = [1 / float(row.params["p"]) for row in own]
    names = (
        ("our quantizer", "bits", "line"),
        ("upper bound, as printed", "upper", DASHED),
        ("lower bound up to constants", "lower", DASHED),
    )
    return Chart(
        f"Bits that keep the classic rate, d = {largest:,}",
        "1/p",
        "bits per gradient",
        [Series(name, x, [row.result[key] for row in own], style=style) for name, key, style in names],
        log_y=True,
    )


def _bits_table(rows: Sequence[Measured]) -> Table:
    columns = [
        "p",
        "d",
        "codec",
        "bits",
        "per coordinate",
        "paper's code",
        "upper bound",
        "bits / upper",
        "lower, up to constants",
        "alpha_0² / B² at most",
    ]
    return Table(
        "Theorem 3.1",
        columns,
        [
            [
                float(row.params["p"]), row.params["dim"], row.result["codec"], row.result["bits"],
                row.result["bits"] / row.params["dim"], row.result["paper_code"], row.result["upper"],
                row.result["bits"] / row.result["upper"], row.result["lower"], row.result["moment"],
            ]
            for row in rows
        ],
        note="The lower bound is for c_0 = 4 c_1. The classic rate allows alpha_0² = 16 B². k is rounded down (S7).",
    )  # fmt: skip


def _constants() -> str:
    (c0, c1), dim = constants(1 << 16), 1 << 16
    ratio = c0 / (4 * c1)
    return (
        f"The paper does not give its constants. From its proof of Theorem 6.1 follow c_0 = {c0:.2g}, c_1 = {c1:g}: "
        f"the lower bound for p = 2 and d = {dim:,} is then {lower_bits(dim, 2, ratio):.2g} bits, and exceeds one bit "
        f"from d = {ratio**-2:.1e} on. It is a statement about growth."
    )


# ---- [S] Theorems 4.1 and 4.2, Lemmas 5.1 and 5.2 --------------------------------------------------------------------

STATEMENTS = {
    "Theorem 4.1": (math.inf,),
    "Theorem 4.2": (2.0, 3.0, 4.0, 8.0),
    "Lemma 5.1": (1.0, 4 / 3, 1.5),
    "Lemma 5.2": (4 / 3, 1.5),
    "Section 5, both parts": (4 / 3, 1.5),
}


def statement(of: str, p: float, at: str, samples: int) -> dict[str, Any]:
    """A quantizer on one input: bits, bias, and the second moment that its statement bounds."""
    dim = DIM if p >= 2 else SPLIT_DIM
    x = unit(at, dim, _q(p))
    codec, x, printed, bound = quantizer(of, p, x)
    order = 2.0 if p >= 2 else _q(p)
    mean, moments, errors = np.zeros(x.size), np.empty(samples), np.empty(samples)
    rng = np.random.default_rng(1)
    for n, estimate in enumerate(estimates(codec, x, samples, rng)):
        mean += estimate
        moments[n], errors[n] = np.linalg.norm(estimate, order) ** 2, ((estimate - x) ** 2).sum()
    noise = float(errors.mean())
    return {
        "bits": codec.nbits,
        "printed": printed,
        "bias": float(np.linalg.norm(mean / samples - x)),
        "by_chance": math.sqrt(noise / samples),
        "moment": float(moments.mean()),
        "error": float(moments.std(ddof=1)) / math.sqrt(samples),
        "exact": float((x**2).sum()) + codec.variance_at(x) if p >= 2 else None,
        "bound": bound,
    }


def unit(at: str, dim: int, q: float) -> Floats:
    """A vector of l_q norm 1, to be held by float32 within it."""
    values = {"flat": np.ones(dim), "one": np.eye(1, dim)[0], "decaying": 1 / np.arange(1.0, dim + 1)}[at]
    scaled: Floats = (values / np.linalg.norm(values, q) * (1 - 1e-6)).astype(np.float32).astype(np.float64)
    return scaled


def quantizer(of: str, p: float, x: Floats) -> tuple[AnyCodec, Floats, float, float]:
    """The quantizer, the part of x that it is for, its printed bits, and the bound on the second moment."""
    dim = x.size
    if p >= 2:
        k = draws(dim, p)
        spec = (
            f"simq({BOUNDED})" if of == "Theorem 4.1" else f"simq_plus(p={p}, coding=type_signs, {BOUNDED})"
        )
        printed = math.log2(2 * dim + 1) if of == "Theorem 4.1" else simq_plus_bits(dim, k)
        return parse(spec, dim), x, printed, 1.0 if of == "Theorem 4.1" else 1 + dim ** (2 / p) / k
    at = SplitConstants(dim, p)
    large = np.abs(x) > at.threshold
    if of == "Lemma 5.1":
        levels, printed = (1 << at.small_bits) - 1, dim * at.small_bits
        return (
            parse(f"cuq(levels={levels}, gain=bound({at.threshold}))", dim),
            np.where(large, 0, x),
            printed,
            3.0,
        )
    if of == "Lemma 5.2":
        part = np.zeros(at.max_large)
        part[: large.sum()] = x[large]
        spec = f"ratq(levels={(1 << at.large_bits) - 1}, gain=bound({at.large_norm}))"
        return parse(spec, at.max_large), part, 2.0 * dim + ranges_bits(dim), 3.0
    return parse(f"lq_split(p={p}, positions=set, {BOUNDED})", dim), x, upper_bits(dim, p), 12.0


def estimates(codec: AnyCodec, x: Floats, samples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Independent encodings of x, decoded, each with its own public seed."""
    for _ in range(samples):
        shared = int(rng.integers(1 << 62))
        yield codec.decode(codec.encode(x, rng, shared=shared), shared=shared)


def _statements(rows: Sequence[Measured]) -> Table:
    columns = [
        "statement",
        "p",
        "input",
        "bits",
        "printed",
        "bias, measured",
        "by chance",
        "second moment",
        "±",
        "exact",
        "bound",
    ]

    def cells(row: Measured) -> list[Cell]:
        r = row.result
        first: list[Cell] = [row.params["of"], float(row.params["p"]), row.params["at"]]
        names = ("bits", "printed", "bias", "by_chance", "moment", "error", "exact", "bound")
        return [*first, *(r[name] for name in names)]

    return Table(
        f"On the unit l_q ball, d = {DIM:,} from p = 2 on, {SPLIT_DIM:,} below",
        columns,
        [cells(row) for row in rows],
        note="Second moment: E|Q|_2² from p = 2 on, E|Q|_q² below. By chance: the root mean square distance of as many "
        "unbiased estimates' mean. Lemma 5.2's input is the part that is beyond the threshold, 0 for a flat vector.",
    )


# ---- [S] Remark 8 and section 7 --------------------------------------------------------------------------------------


def fixed_precision(bits: int, samples: int) -> dict[str, Any]:
    """Relative errors of RATQ on sampled coordinates and of the most draws of SimQ+ that fit, on a Gaussian vector."""
    x = np.random.default_rng(2).standard_normal(DIM)
    x = (x / np.linalg.norm(x) * (1 - 1e-6)).astype(np.float32).astype(np.float64)
    found = {
        "ratq": parse(f"ratq(budget={bits}, {BOUNDED})", DIM),
        "simq_plus": largest(lambda k: parse(f"simq_plus({k}, coding=type_signs, {BOUNDED})", DIM), bits),
        "systematic": largest(
            lambda k: parse(f"l1_systematic({k}, gain=bound({math.sqrt(DIM)}))", DIM), bits
        ),
    }
    return {name: _error(codec, x, samples) for name, codec in found.items()}


def largest(codec_of: Callable[[int], AnyCodec], bits: int) -> AnyCodec:
    """The codec with the most draws within so many bits."""
    count = bisect.bisect_right(range(1, bits), bits, key=lambda k: codec_of(k).nbits)
    return codec_of(max(1, count))


def _error(codec: AnyCodec, x: Floats, samples: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    errors = np.array([((estimate - x) ** 2).sum() for estimate in estimates(codec, x, samples, rng)])
    deviation = float(errors.std(ddof=1)) / math.sqrt(samples)
    return {"codec": codec.spec, "bits": codec.nbits, "error": float(errors.mean()), "deviation": deviation}


def _remark_8(rows: Sequence[Measured]) -> Table:
    columns = [
        "bits at most",
        "RATQ on sampled coordinates",
        "±",
        "SimQ+",
        "±",
        "SimQ+ / RATQ",
        "draws systematically",
        "±",
    ]

    def cells(row: Measured) -> list[Cell]:
        ratq, plus, even = (row.result[name] for name in ("ratq", "simq_plus", "systematic"))
        pairs = [(each["error"], each["deviation"]) for each in (ratq, plus, even)]
        return [row.params["bits"], *pairs[0], *pairs[1], plus["error"] / ratq["error"], *pairs[2]]

    return Table(f"E|Q - x|² of a Gaussian unit vector, d = {DIM:,}", columns, [cells(row) for row in rows])


def aguq(horizon: int) -> dict[str, Any]:
    """The largest bias and second moment of AGUQ over norms with two values, from its exact law."""
    gain = AguqGain(1.0, horizon)
    biases, moments = [], []
    for g in (*np.geomspace(1, 4 * gain.reach, 4001).tolist(), gain.reach * (1 + 1e-9)):
        law = gain.law(NormEstimate(g, g))
        biases.append(abs(sum(each.gain * each.probability for each in law) - g) / g**2)
        moments.append(sum(each.gain**2 * each.probability for each in law) / g**2)
    return {
        "horizon": horizon, "bits": gain.nbits, "bias": max(biases), "stated": horizon**-0.5, "reach": gain.reach,
        "moment": max(moments),
        "bound": 1 + (1 + 2 * (gain.range_count - 1)) / (4 * (2**gain.level_bits - 2) ** 2),
    }  # fmt: skip


def _aguq(rows: Sequence[Measured]) -> Table:
    columns = [
        "rounds T",
        "bits",
        "largest bias",
        "stated, at most",
        "reach",
        "largest E gain²",
        "stated, at most",
    ]
    names = ("horizon", "bits", "bias", "stated", "reach", "moment", "bound")
    (row,) = rows
    return Table("AGUQ for E g² = 1", columns, [[each[name] for name in names] for each in row.result])
