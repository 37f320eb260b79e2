"""``simq-theorem-3-1``: bits at the classic rate, and the statements of [S] sections 4, 5 and 7, one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.simq_bounds import constants, draws, lower_bits, upper_bits
from gradwire.bench.papers.simq_statements import (
    BOUNDED,
    DIM,
    FIXED_DIM,
    INPUTS,
    SPLIT_DIM,
    STATEMENTS,
    aguq,
    fixed_precision,
    statement,
)
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import DASHED, LINE, Cell, Chart, Document, Section, Series, Table

PS = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0, math.inf)
FIXED_BITS = (65_536, 16_384, 1024, 128)


@register
class SimqTheorem31(Experiment):
    """Arithmetic for [S] Theorem 3.1; draws for [S] Theorems 4.1 and 4.2, Lemmas 5.1 and 5.2 and Remark 8."""

    name = "simq-theorem-3-1"
    title = "Bits at the classic rate by p and d, and the quantizers of [S] against what is stated of them"
    source = "[S] Theorems 3.1, 4.1, 4.2, Lemmas 5.1, 5.2, Remark 8, section 7"

    def cases(self, *, full: bool) -> Sequence[Params]:
        samples = 20_000 if full else 1_000
        statements = [
            {"kind": "statement", "of": of, "p": _json(p), "at": at, "samples": samples}
            for of, ps in STATEMENTS.items()
            for p in ps
            for at in INPUTS
        ]
        fixed = [{"kind": "remark 8", "bits": bits, "samples": samples // 20} for bits in FIXED_BITS]
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
            "Every quantizer keeps what is stated of it: no bias beyond chance, second moments below the bounds, and "
            "from p = 2 on at most Theorem 3.1's bits. Below 2 a code for the set of large coordinates saves one to "
            "three of its six bits per coordinate.",
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
    "Remark 8 calls SimQ+ much worse here. Measured, it loses no more than the logarithm in its bits: a draw takes "
    "log2(d / k) + 2.4 bits, a coordinate of RATQ 5 whatever the rate. So its error is the smaller one near d bits, "
    "and at most (log2(d / k) + 2.4) / 5 times as large below; less for vectors that are not flat. Systematic draws of "
    "the same vertices have less error from d / 4 bits on (S8)."
)
BIAS = (
    "Over norms with two values, 0 and g, and E g² = 1: norms beyond the reach are sent as 0, which is all the bias. "
    "Theory states at most B / sqrt T for it; a biased oracle adds D times the bias to the gap (section 7)."
)


def _json(p: float) -> str | float:
    return "inf" if math.isinf(p) else p


# ---- [S] Theorem 3.1 -------------------------------------------------------------------------------------------------


def bits_at(dim: int, p: float) -> dict[str, Any]:
    """Bits of our quantizer for p and of the paper's code, and the bounds as printed."""
    if p >= 2:
        k = draws(dim, p)
        ours = parse(f"simq_plus(p={p}, coding=l1_ball, {BOUNDED})", dim)
        paper = parse(f"simq_plus(p={p}, coding=type_signs, {BOUNDED})", dim)
        moment = 1 + dim ** (2 / p) / k
    else:
        ours = parse(f"lq_split(p={p}, {BOUNDED})", dim)
        paper, moment = parse(f"lq_split(p={p}, positions=mask, {BOUNDED})", dim), 12.0
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
        ("our quantizer", "bits", LINE),
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
        "alpha_0² / B² at most, printed",
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
        note="The lower bound is up to constants, for c_0 = 4 c_1. The classic rate allows alpha_0² = 16 B². k is "
        "rounded down (S7).",
    )  # fmt: skip


def _constants() -> str:
    (c0, c1), dim = constants(1 << 16), 1 << 16
    ratio = c0 / (4 * c1)
    return (
        f"The paper does not give its constants. From its proof of Theorem 6.1 follow c_0 = {c0:.2g} with c_1 = "
        f"{c1:g}: the lower bound for p = 2 and d = {dim:,} is then {lower_bits(dim, 2, ratio):.2g} bits, and exceeds "
        f"one bit from d = {ratio**-2:.1e} on. It is a statement about growth."
    )


# ---- measured rows ---------------------------------------------------------------------------------------------------


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

    return Table(
        f"E|Q - x|² of a Gaussian unit vector, d = {FIXED_DIM:,}", columns, [cells(row) for row in rows]
    )


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
