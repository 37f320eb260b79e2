"""``simq-tradeoff``: the gap after a fixed number of rounds by the bits of a gradient, and with a biased oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.simq_alpha import alpha_table
from gradwire.bench.papers.simq_descent import BOUND, FLOAT32, SPLIT_MOMENT, descend
from gradwire.bench.papers.simq_tradeoff_report import (
    ALPHA,
    BIASED,
    CONSTANTS,
    DEFINITION,
    LOCAL,
    SAMPLED,
    biased_table,
    finding,
    gap_by_bits,
    gaps_table,
)
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.deploy.report.document import Document, Section

AGUQ_DIM = 64
PLUS = (2.0, 4.0)  # p of SimQ+
SPLIT = (1.5, 1.0)  # p of the split quantizer on sampled coordinates
AGUQ_CASES = ((16, 4.0), (16, 4.5), (4096, 4.5))  # horizon, tail


@register
class Tradeoff(Experiment):
    """SimQ+ by k, the split quantizer by the coordinates that are sampled; AGUQ within and beyond its reach."""

    name = "simq-tradeoff"
    title = "Gaps by the bits of a gradient, and what a biased oracle costs"
    source = "[S] section 7, Theorems 6.1 and 6.2"

    def cases(self, *, full: bool) -> Sequence[Params]:
        dim, rounds, seeds = (256, 1 << 14, list(range(5))) if full else (64, 1 << 10, [0, 1])
        groups = [[seed] for seed in seeds] if full else [seeds]
        counts = _powers(dim, 2 if full else 4)
        points = [
            *(_plus(p, dim, k) for p in PLUS for k in [*counts, 4 * dim]),
            *(_sampled(p, dim, m, DEFINITION) for p in SPLIT for m in counts),
            *(_sampled(p, dim, m, LOCAL) for p in SPLIT for m in counts[:-1]),
            *(_plain(p, dim) for p in (*PLUS, *SPLIT)),
        ]
        tradeoff = [
            {"kind": "tradeoff", "dim": dim, "rounds": rounds, **point, "seeds": group}
            for point in points
            for group in groups
        ]
        return [*(_biased(horizon, tail, 4 * rounds, seeds) for horizon, tail in AGUQ_CASES), *tradeoff]

    def measure(
        self, *, kind: str, dim: int, p: float, codec: str, alpha: float, rounds: int, seeds: list[int],
        **params: Any,
    ) -> Any:  # fmt: skip
        tail = params.get("tail", 1.0)
        task = f"hard_instance({dim}, p={p}, tail={tail})"
        return descend(task, codec, dim, p, alpha=alpha, rounds=rounds, seeds=seeds)

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = [row for row in results if row.params["kind"] == "tradeoff"]
        biased = [row for row in results if row.params["kind"] == "biased"]
        return Document(
            self.title,
            finding(rows),
            [
                Section("SimQ+ by k", [*(gap_by_bits(rows, p) for p in PLUS)]),
                Section(
                    "The split quantizer on sampled coordinates",
                    [*(gap_by_bits(rows, p) for p in SPLIT), SAMPLED],
                ),
                Section("Numbers", [gaps_table(rows), CONSTANTS]),
                Section("alpha_0 as stated", [alpha_table(rows[0].params["dim"]), ALPHA]),
                Section("Mean square bounded oracles: AGUQ", [biased_table(biased), BIASED]),
            ],
        )


def _powers(most: int, factor: int) -> list[int]:
    counts = [most]
    while counts[0] > 1:
        counts.insert(0, max(1, counts[0] // factor))
    return counts


def _plus(p: float, dim: int, k: int) -> dict[str, Any]:
    moment = 1 + dim ** (2 / p) / k
    return _point(p, f"simq_plus({k}, p={p!r}, {BOUND})", moment, "SimQ+")


def _sampled(p: float, dim: int, count: int, by: str) -> dict[str, Any]:
    """Sampling lengthens what is kept by d / m: E|Q|_q² is 12 (d / m)^(2/p) on flat vectors, theory 2.7."""
    gain = BOUND if p == 1 else "gain=exact"  # below the dimension, l_q norms of parts differ for finite q
    inner = f"lq_split(p={p!r}, {gain})"
    codec = inner if count == dim else f"subsample(inner={inner}, count={count})"
    moment = SPLIT_MOMENT * (dim / count) ** (2 / p if by == DEFINITION else 1)
    return _point(p, codec, moment, by)


def _plain(p: float, dim: int) -> dict[str, Any]:
    return _point(p, FLOAT32, 1.0, FLOAT32)


def _point(p: float, codec: str, moment: float, series: str) -> dict[str, Any]:
    return {"p": p, "codec": codec, "alpha": math.sqrt(moment), "series": series}


def _biased(horizon: int, tail: float, rounds: int, seeds: list[int]) -> dict[str, Any]:
    gain = AguqGain(1.0, horizon)
    codec = f"gain_shape(gain=aguq(bound=1.0, horizon={horizon}), shape=simq_plus(p=2.0))"
    point = _point(2.0, codec, 2 * gain.second_moment, "AGUQ")
    return {
        "kind": "biased", "dim": AGUQ_DIM, "rounds": rounds, **point, "horizon": horizon, "tail": tail, "seeds": seeds,
    }  # fmt: skip
