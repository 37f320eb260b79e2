"""``vqsgd-table-1-efficiency``: the time of an encoder by the dimension, and by the bits of the Gaussian set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.point_sets import BY_TITLE, COVERING, POINT_SETS
from gradwire.bench.papers.sampling import coins, unit_vector
from gradwire.bench.timing import against
from gradwire.common.codecs import parse
from gradwire.deploy.report.document import Chart, Document, Section, Series, Table

GAUSSIAN, NET = "Gaussian", "epsilon-net"
QUICK = tuple(1 << p for p in (10, 14, 18, 20, 22))
FULL = (*QUICK, 1 << 24)
GAUSSIAN_DIM, GAUSSIAN_BITS = 16, (6, 7, 8, 9, 10, 11, 12)
NET_DIMS = (2, 4, 8, 16)
LARGE = 1 << 18  # the exponent of d is fitted from there on: below it, a call costs more than its coordinates
REPEATS, SECONDS = 9, 1.0  # timed calls, and seconds for them, about


@register
class VqsgdTable1Efficiency(Experiment):
    """Encoding, each call timed beside a copy of the gradient."""

    name = "vqsgd-table-1-efficiency"
    title = "Point sets of vqSGD: time of an encoder"
    source = "[V] Table 1, column Efficiency"
    alone = True
    repeatable = False

    def cases(self, *, full: bool) -> Sequence[Params]:
        large = [
            {"scheme": row.title, "spec": row.codec, "dim": dim}
            for dim in reversed(FULL if full else QUICK)
            for row in POINT_SETS
            if row.title not in (GAUSSIAN, NET)
        ]
        gaussian = [
            {"scheme": GAUSSIAN, "spec": f"gaussian({bits})", "dim": GAUSSIAN_DIM}
            for bits in reversed(GAUSSIAN_BITS)
            if 1 << bits >= 4 * GAUSSIAN_DIM
        ]
        net = [{"scheme": NET, "spec": BY_TITLE[NET].codec, "dim": dim} for dim in NET_DIMS]
        return [*large, *gaussian, *net]

    def measure(self, *, scheme: str, spec: str, dim: int) -> Any:
        codec, source = parse(spec, dim), coins(dim)
        # Linear programs of recent gradients are cached, so the Gaussian set is timed on new ones.
        gradients = itertools.cycle([unit_vector(dim, k) for k in range(64 if scheme == GAUSSIAN else 1)])
        gradient, target = unit_vector(dim), np.empty(dim, np.float32)

        def encode() -> None:
            codec.encode(next(gradients), source, shared=1)

        timing = against(partial(np.copyto, target, gradient), encode, REPEATS, SECONDS)
        return timing.fastest()

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        gaussian = [r for r in results if r.params["scheme"] == GAUSSIAN]
        net = [r for r in results if r.params["scheme"] == NET]
        large = [r for r in results if r not in gaussian and r not in net]
        return Document(
            self.title,
            "The fastest of some calls of an encoder, on one core, also as a multiple of a copy of the gradient. All "
            "sets with O(d) in the table have encoders of about that order: from "
            f"{LARGE:,} coordinates on their times grow nearly like d, below it a call costs a fraction of a "
            "millisecond whatever d is. Randomized response adds nothing that depends on d, RAPPOR draws and sends "
            "2d bits. The Gaussian set's linear program grows exponentially with c.",
            [
                Section(
                    "Time by dimension",
                    [_chart(large), _table(large), _exponents(large)],
                ),
                Section("Sets of small dimensions", [_gaussian_table(gaussian), _net_table(net)]),
            ],
        )


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float | None:
    """The exponent of the power law that fits times by least squares of logarithms; None for a single time."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def _own(results: Sequence[Measured], scheme: str) -> list[Measured]:
    return sorted((r for r in results if r.params["scheme"] == scheme), key=lambda r: r.params["dim"])


def _schemes(results: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(r.params["scheme"] for r in results))


def _chart(results: Sequence[Measured]) -> Chart:
    series = []
    for scheme in _schemes(results):
        own = _own(results, scheme)
        series.append(Series(scheme, [r.params["dim"] for r in own], [r.result["ms"] for r in own]))
    return Chart("Time of an encoder", "d", "milliseconds", series, log_x=True, log_y=True)


def _table(results: Sequence[Measured]) -> Table:
    dims = sorted({r.params["dim"] for r in results})
    rows = []
    for scheme in _schemes(results):
        own = {r.params["dim"]: r.result for r in _own(results, scheme)}
        rows.append([scheme, *(own[d]["ms"] if d in own else None for d in dims)])
    return Table("Milliseconds", ["point set", *(f"d = {d:,}" for d in dims)], rows)


def _exponents(results: Sequence[Measured]) -> Table:
    rows = []
    for scheme in _schemes(results):
        own = [r for r in _own(results, scheme) if r.params["dim"] >= LARGE]
        fitted = exponent([r.params["dim"] for r in own], [r.result["ms"] for r in own])
        copies = own[-1].result["copies"] if own else None
        rows.append([scheme, fitted, f"O({BY_TITLE[scheme].efficiency})", copies])
    return Table(
        f"Growth with d, from {LARGE:,} on",
        ["point set", "exponent of d", "printed", "copies of the gradient, largest d"],
        rows,
        note="The Reed-Muller set costs a Hadamard transform, O(d log d), where the table has O(d). Large gradients do "
        "not fit into caches, which raises exponents.",
    )


def _gaussian_table(results: Sequence[Measured]) -> Table:
    own = sorted(results, key=lambda r: int(r.params["spec"][9:-1]))
    bits = [int(r.params["spec"][9:-1]) for r in own]
    fitted = exponent([2.0**b for b in bits], [r.result["ms"] for r in own])
    text = "not fitted" if fitted is None else f"2^({fitted:.2f} c)"
    return Table(
        f"Gaussian set, d = {GAUSSIAN_DIM}: a linear program per gradient",
        ["c, bits", "points", "milliseconds"],
        [[b, 1 << b, r.result["ms"]] for b, r in zip(bits, own, strict=True)],
        note=f"Printed O(exp(c)); fitted {text}.",
    )


def _net_table(results: Sequence[Measured]) -> Table:
    own = _own(results, NET)
    return Table(
        f"Epsilon-net of covering {COVERING}",
        ["d", "milliseconds", "printed, (1 / e)^d"],
        [[r.params["dim"], r.result["ms"], (1 / COVERING) ** r.params["dim"]] for r in own],
        note="The table's (1 / e)^d is a linear program over the whole net. This net is made of cells of a cube: "
        "finding the cell and its d corners takes O(d²), whatever the number of points.",
    )
