"""Errors at equal epsilon, beside theory.

Examples:
    gradwire bench privacy --dim 128 --epsilon 4
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gradwire.bench.private_schemes import DIMS, EPSILONS, ROWS, Row
from gradwire.bench.timing import machine
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.randomness import SystemCoins
from gradwire.deploy.flags import AsJson
from gradwire.deploy.units import short


def privacy(
    dim: Annotated[
        list[int] | None, typer.Option(help="Coordinates; may be repeated [128, 1024]", min=2)
    ] = None,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="Epsilon of a payload; may be repeated [1, 4, 8]", min=0.01, max=20),
    ] = None,
    samples: Annotated[int, typer.Option(help="Payloads of each.", min=2)] = 400,
    as_json: AsJson = False,
) -> None:
    """Measure E|decode(encode(x)) - x|^2 for |x| = 1 under pure local differential privacy, beside theory's formulas.

    x is a random unit vector; every payload has private coins from the operating system and its own public seed.
    ``exact`` is the payload's true epsilon. Formulas are those of the papers, errata applied, computed independently
    of the codecs.
    """
    cells = [(d, e) for d in dim or DIMS for e in epsilon or EPSILONS]
    rows = [measure(row, d, e, samples) for d, e in cells for row in ROWS]
    if as_json:
        print(json.dumps({"machine": machine(), "samples": samples, "rows": rows}, indent=2))
        return
    for d, e in cells:
        _print_table(d, e, [row for row in rows if (row["dim"], row["nominal"]) == (d, e)])


def measure(row: Row, dim: int, epsilon: float, samples: int) -> dict[str, Any]:
    """One row at one dimension and epsilon: bits, epsilons, and variances measured, stated and by formula.

    Args:
        row: the scheme.
        dim: coordinates.
        epsilon: nominal, of a payload.
        samples: payloads that are measured.
    """
    found: dict[str, Any] = {"scheme": row.title, "dim": dim, "nominal": epsilon, "codec": None}
    found["formula"] = row.formula(dim, epsilon)
    found["theory"] = _theory(row, dim, epsilon)
    if row.spec is None:
        return found
    codec = parse(row.spec.format(e=epsilon), dim)
    errors = squared_errors(codec, samples)
    return found | {
        "codec": row.spec.format(e=f"{epsilon:g}"),
        "spec": codec.spec,
        "nbits": codec.nbits,
        "nbytes": codec.nbytes,
        "epsilon": codec.epsilon,
        "stated": codec.variance(),
        "measured": float(errors.mean()),
        "standard_error": float(errors.std(ddof=1)) / math.sqrt(samples),
    }


def squared_errors(codec: AnyCodec, samples: int) -> NDArray[np.float64]:
    """|decode(encode(x)) - x|^2 of real payloads [samples] of one random unit vector x."""
    rng, coins, errors = np.random.default_rng(1), SystemCoins(), np.empty(samples)
    x = rng.standard_normal(codec.dim)
    x /= np.linalg.norm(x)
    for k in range(samples):
        shared = int(rng.integers(1 << 62))
        payload = codec.encode(x, coins, shared=shared)
        if len(payload) != codec.nbytes:
            raise AssertionError(f"{codec} sent {len(payload)} bytes, its spec says {codec.nbytes}")
        errors[k] = ((codec.decode(payload, shared=shared) - x) ** 2).sum()
    return errors


def _theory(row: Row, dim: int, epsilon: float) -> str | None:
    if dim not in DIMS or epsilon not in EPSILONS:
        return None
    return row.theory[DIMS.index(dim)].split(" / ")[EPSILONS.index(epsilon)]


def _print_table(dim: int, epsilon: float, rows: list[dict[str, Any]]) -> None:
    print(f"\n{dim:,} coordinates, epsilon {epsilon:g}")
    print(
        f"{'scheme':44}{'bits':>6}{'exact':>8}{'measured':>11}{'± ':>9}{'stated':>11}{'formula':>11}   theory"
    )
    for row in rows:
        formula = short(row["formula"])
        if row["codec"] is None:
            print(
                f"{row['scheme']:44}{'':>6}{'':>8}{'':>11}{'':>9}{'':>11}{formula:>11}   {row['theory'] or ''}"
            )
            continue
        numbers = [short(row[key]) for key in ("measured", "standard_error", "stated")]
        print(
            f"{row['scheme']:44}{row['nbits']:>6,}{row['epsilon']:>8.3f}{numbers[0]:>11}{numbers[1]:>9}{numbers[2]:>11}"
            f"{formula:>11}   {row['theory'] or ''}"
        )
