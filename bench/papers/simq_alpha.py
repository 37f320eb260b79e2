"""alpha_0(Q; p) as the codecs state it, and the rate that [S] Theorem 2.3 gives with it."""

from __future__ import annotations

import math

from gradwire.bench.papers.simq_bounds import draws
from gradwire.bench.papers.simq_descent import FLOAT32, guaranteed_gap
from gradwire.common.codecs import parse
from gradwire.common.codecs.simq.oracle_moment import oracle_moment
from gradwire.deploy.report.document import Cell, Table

BOUND = "gain=bound(1.0)"
AGUQ = "gain=aguq(1.0, 1000000)"


def rows_at(dim: int) -> list[tuple[float, str, float | None]]:
    """P, a codec, and the alpha_0^2 that [S] prints of it for B = 1."""
    plus = [(p, f"simq_plus(p={p!r}, {BOUND})", 1 + dim ** (2 / p) / draws(dim, p)) for p in (2.0, 3.0, 4.0)]
    return [
        *((p, FLOAT32, 1.0) for p in (1.0, 2.0, math.inf)),
        (math.inf, f"simq({BOUND})", 1.0),
        *plus,
        (2.0, "cuq(levels=7)", None),
        (2.0, f"ratq({BOUND})", None),
        (1.5, f"cuq(levels=7, {BOUND})", None),
        (1.5, f"ratq({BOUND})", None),
        *((p, f"lq_split(p={p!r}, {BOUND})", 12.0) for p in (1.0, 1.2, 1.5, 1.9)),
        (math.inf, f"gain_shape({AGUQ}, shape=simq)", None),
        (2.0, f"gain_shape({AGUQ}, shape=simq_plus(p=2.0))", None),
        (1.5, f"gain_shape({AGUQ}, shape=lq_split(p=1.5))", None),
    ]


def alpha_table(dim: int) -> Table:
    """Stated beside printed, in closed form; tests enumerate payloads at small dimensions."""
    columns = ["p", "codec", "bits", "alpha_0²", "attained", "printed", "gap · sqrt T", "source"]

    def cells(p: float, spec: str, printed: float | None) -> list[Cell]:
        codec = parse(spec, dim)
        found = oracle_moment(codec, p)
        rate = guaranteed_gap(dim, p, found.alpha_0, 1)
        attained = "yes" if found.attained else "at most"
        return [p, spec, codec.nbits, found.squared, attained, printed, rate, found.source]

    return Table(
        f"The largest second moment over the unit l_q ball, d = {dim:,}",
        columns,
        [cells(*row) for row in rows_at(dim)],
        note=NOTE,
    )


NOTE = (
    "E|Q|_2² from p = 2 on, E|Q|_q² below; under aguq over gradients whose mean square is bounded, without its bias. "
    "Gap · sqrt T: Theorem 2.3 for the diameter 2, with the constants of projected and of mirror descent (theory 2.5)."
)
