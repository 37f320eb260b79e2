"""Speed of every codec, on NumPy and torch.

Examples:
    gradwire bench codecs --codec 'cuq(levels=15)' --dim 1000000
"""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer

from gradwire.bench.backends import BackendOption, Placed, chosen, place
from gradwire.bench.networks import CIFAR
from gradwire.bench.timing import Timing, against, conditions
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs import codecs as registered
from gradwire.common.errors import SpecError
from gradwire.common.randomness import SeededCoins
from gradwire.deploy.external import AllowCodec, PointFiles, import_allowed
from gradwire.deploy.flags import AsJson
from gradwire.deploy.units import short

DIMS = (1 << 20, CIFAR)


def codecs(
    codec: Annotated[
        list[str] | None, typer.Option(help="Spec to time; may be repeated [one of each family]")
    ] = None,
    dim: Annotated[
        list[int] | None,
        typer.Option(help="Coordinates of the gradient; may be repeated [1048576, 12332010]", min=1),
    ] = None,
    backend: BackendOption = None,
    repeats: Annotated[int, typer.Option(help="Timed calls of each, at most.", min=1)] = 9,
    seconds: Annotated[float, typer.Option(help="Seconds for each, about.", min=0.0)] = 2.0,
    allow_codec: AllowCodec = None,
    points: PointFiles = None,
    as_json: AsJson = False,
) -> None:
    """Time encode and decode of every codec, on NumPy and torch, in copies of the same float32 gradient.

    Each call is timed right after such a copy on the same device, in the same process; the fastest calls are compared,
    because those were not interrupted. Encoding starts from a gradient on the device and ends with bytes; decoding ends
    with float64 coordinates on the host.
    """
    import_allowed(allow_codec, points=points)
    backends = chosen(backend)
    about = conditions() | {"backends": backends}
    rows = []
    if not as_json:
        print(f"{about['machine']}, load {about['load'][0]}")
        print(_head(backends))
    for d in dim or DIMS:
        for spec in codec or _specs():
            rows.append(measure(spec, d, backends, repeats, seconds))
            if not as_json:
                print(_line(rows[-1], backends), flush=True)
    if as_json:
        print(json.dumps(about | {"rows": rows}, indent=2))


def measure(spec: str, dim: int, backends: list[str], repeats: int, seconds: float) -> dict[str, Any]:
    """One codec at one dimension: milliseconds per call, and as a multiple of a copy of the gradient.

    Args:
        spec: of the codec.
        dim: coordinates.
        backends: to encode on.
        repeats: timed calls of each, at most.
        seconds: for each, about.

    Returns:
        ``why`` it does not exist at this dimension, else ``nbits``; ``encode`` by backend and ``decode``, each with
        ``ms`` and ``copies``; ``slow``, the largest of these copies.
    """
    row: dict[str, Any] = {"codec": spec, "dim": dim}
    try:
        codec = parse(spec, dim)
    except SpecError as error:
        return row | {"why": str(error)}
    gradient = np.random.default_rng(0).standard_normal(dim, dtype=np.float32)
    coins, shared = _Coins(np.random.default_rng(1)), 7 if codec.shared_randomness else None
    payload = codec.encode(gradient, coins, shared=shared)
    encode = {
        name: _timed(codec, place(gradient, name), coins, shared, repeats, seconds) for name in backends
    }
    target = np.empty_like(gradient)
    decode = against(
        partial(np.copyto, target, gradient), lambda: codec.decode(payload, shared=shared), repeats, seconds
    )
    times = {"encode": {name: _written(t) for name, t in encode.items()}, "decode": _written(decode)}
    slow = max(t.least_ratio for t in (*encode.values(), decode))
    return row | {"nbits": codec.nbits, "payload_bytes": len(payload), **times, "slow": slow}


class _Coins(SeededCoins):
    """Seeded coins that private codecs accept: only their speed is measured here."""

    secret = True


def _timed(
    codec: AnyCodec, gradient: Placed, coins: SeededCoins, shared: int | None, repeats: int, seconds: float
) -> Timing:
    def encode() -> None:
        codec.encode(gradient.values, coins, shared=shared)

    return against(gradient.copy_and_wait, encode, repeats, seconds)


def _specs() -> list[str]:
    """Of every family the example with the most coordinates."""
    return [max(cls.examples(), key=lambda e: e.dim).spec for _, cls in sorted(registered().items())]


def _written(timing: Timing) -> dict[str, float]:
    return {**timing.fastest(), "median_ms": timing.medians()["ms"]}


def _head(backends: list[str]) -> str:
    columns = [f"{name + ' ms':>12}{'copies':>8}" for name in (*backends, "decode")]
    return f"{'codec':62}{'dim':>12}{'bits':>13}" + "".join(columns)


def _line(row: dict[str, Any], backends: list[str]) -> str:
    start = f"{row['codec']:62}{row['dim']:>12,}"
    if "why" in row:
        return f"{start}  not at this dimension"
    cells = [row["encode"][name] for name in backends] + [row["decode"]]
    return f"{start}{row['nbits']:>13,}" + "".join(
        f"{short(cell['ms']):>12}{short(cell['copies']):>8}" for cell in cells
    )
