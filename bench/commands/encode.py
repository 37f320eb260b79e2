"""Speed of encoding beside numpy.copyto.

Examples:
    gradwire bench encode --dim 12332010
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
import typer

from gradwire.bench.networks import CIFAR, MNIST
from gradwire.bench.timing import against, machine
from gradwire.common.codecs import parse
from gradwire.common.system.memory import require_fits
from gradwire.deploy.flags import AsJson

CODECS = ("cross_polytope(repeats=100)", "simq(repeats=100)", "simq_plus(repeats=100)", "float32")


def encode(
    codec: Annotated[
        list[str] | None, typer.Option(help="Codec to time; may be repeated [a selection]")
    ] = None,
    dim: Annotated[
        list[int] | None,
        typer.Option(help="Coordinates of the gradient; may be repeated [795010, 12332010]", min=1),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each.", min=3)] = 15,
    as_json: AsJson = False,
) -> None:
    """Time encode and decode against numpy.copyto of the same float32 gradient, in the same process."""
    rows = [measure(spec, d, repeats) for d in dim or (MNIST, CIFAR) for spec in codec or CODECS]
    if as_json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    print(machine())
    print(f"{'codec':32}{'dim':>12}{'encode':>12}{'/copy':>8}{'decode':>12}{'/copy':>8}")
    for row in rows:
        print(
            f"{row['codec']:32}{row['dim']:>12,}{row['encode_ms']:>9.2f} ms{row['encode_copies']:>8.2f}"
            f"{row['decode_ms']:>9.2f} ms{row['decode_copies']:>8.2f}"
        )


def measure(spec: str, dim: int, repeats: int) -> dict[str, Any]:
    """One codec at one dimension: milliseconds, and as a multiple of a copy of the gradient."""
    require_fits(dim, "a gradient")
    x = np.random.default_rng(0).standard_normal(dim, dtype=np.float32)
    target, codec, rng = np.empty_like(x), parse(spec, dim), np.random.default_rng(1)
    payload = codec.encode(x, rng)

    def copy() -> None:
        np.copyto(target, x)

    def read() -> None:
        total = codec.accumulator()
        total.add(payload)
        total.mean()

    encoding = against(copy, lambda: codec.encode(x, rng), repeats)
    decoding = against(copy, read, repeats)
    return {"codec": spec, "dim": dim, **encoding.medians("encode_"), **decoding.medians("decode_")}
