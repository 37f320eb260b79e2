"""Variances at equal bits: what codecs make of the same payload length, against theory and the lower bound."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gradwire.bench.timing import machine
from gradwire.common.bounds import variance_lower_bound
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import SpecError
from gradwire.worker.tasks import build_spec

DIM = 65_536
BUDGETS = (100, 1_000, 10_000, 100_000)  # bits, 32 of them a norm where there is one
Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Scheme:
    """One row: a family of codecs that grows with a number, and theory's variances at the four budgets.

    ``theory``: for the Gaussian vector and, where it differs, for a network's gradient.
    """

    title: str
    spec: str
    theory: tuple[str, str, str, str]
    most: int = 1 << 24

    def within(self, bits: int, dim: int) -> AnyCodec | None:
        """The largest codec whose payload has at most that many bits."""
        low, high = 0, self.most
        while low < high:
            middle = (low + high + 1) // 2
            codec = self._codec(middle, dim)
            low, high = (middle, high) if codec and codec.nbits <= bits else (low, middle - 1)
        return self._codec(low, dim) if low else None

    def _codec(self, size: int, dim: int) -> AnyCodec | None:
        try:
            return parse(self.spec.format(n=size, share=size / dim), dim)
        except SpecError:
            return None


SCHEMES = (
    Scheme(
        "cross-polytope, tuple code (vqSGD)",
        "cross_polytope({n})",
        ("16384", "1170", "112", "11.2"),
    ),
    Scheme(
        "cross-polytope, multiset code",
        "cross_polytope({n}, coding=multiset)",
        ("16384", "819", "53.9", "2.59"),
    ),
    Scheme(
        "SimQ+ (its paper's code)",
        "simq_plus({n}, coding=type_signs)",
        ("13070 / 5258", "653 / 263", "43.0 / 17.3", "2.15 / .865"),
    ),
    Scheme(
        "L1-scaled, systematic draws",
        "l1_systematic({n})",
        ("10420 / 1686", "520 / 83", "33.3 / 4.55", ".643 / .058"),
    ),
    Scheme("SimQ+, shortest code", "simq_plus({n}, coding=l1_ball)", ("", "", "", "")),
    Scheme("random k, float32", "rand_k({n})", ("21840", "2113", "209", "20.0")),
    Scheme("RATQ on random coordinates", "ratq(count={n})", ("5370", "361", "34", "2.49")),
    Scheme("rotated 1 bit, a part (EDEN)", "eden({share})", ("1520", "106", "9.3", ".305"), 4 * DIM),
    Scheme("rotated, largest of each block", "nearest({n})", ("870", "64", "6.2", ".57"), DIM),
    Scheme("rotated, signs of the largest", "top_signs({n})", ("935", "66", "6.5", ".234"), 35_000),
)
BOUNDS = ("728 / 489", "48.6 / 47.0", "4.26", ".137")


def variance(
    bits: Annotated[
        list[int] | None, typer.Option(help="Payload bits; default: 100 to 100,000.", min=33)
    ] = None,
    task: Annotated[
        str, typer.Option(help="Whose gradient is the second vector.")
    ] = "mlp(digits, hidden=874)",
    samples: Annotated[int, typer.Option(help="Encodings of each.", min=2)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Measure E|decode(encode(x)) - x|^2 / |x|^2 at 65,536 coordinates for equal payload bits, beside theory's numbers.

    The vectors are a Gaussian one and the first coordinates of a network's gradient at its initial parameters. The
    lower bound is for b - 32 and b bits: a norm may or may not be counted as information.
    """
    budgets = tuple(bits or BUDGETS)
    vectors = {"gaussian": _gaussian(), "gradient": _gradient(task)}
    rows = [measure(scheme, b, vectors, samples) for b in budgets for scheme in SCHEMES]
    bounds = [
        {"bits": b, "b-32": variance_lower_bound(DIM, b - 32), "b": variance_lower_bound(DIM, b)}
        for b in budgets
    ]
    if as_json:
        about = {"machine": machine(), "dim": DIM, "task": task, "samples": samples}
        print(json.dumps(about | {"rows": rows, "bounds": bounds}, indent=2))
        return
    for bound in bounds:
        _print_table(bound, [row for row in rows if row["bits"] == bound["bits"]])


def measure(scheme: Scheme, bits: int, vectors: Vectors, samples: int) -> dict[str, Any]:
    """The relative variance of one scheme's largest codec within a budget, for each vector, with standard errors."""
    codec = scheme.within(bits, DIM)
    theory = scheme.theory[BUDGETS.index(bits)] if bits in BUDGETS else None
    row: dict[str, Any] = {"scheme": scheme.title, "bits": bits, "theory": theory, "codec": None}
    if codec is None:
        return row
    measured = {name: _relative_errors(codec, x, samples) for name, x in vectors.items()}
    return row | {
        "codec": codec.spec,
        "nbits": codec.nbits,
        "worst": codec.variance(),
        "measured": {name: float(e.mean()) for name, e in measured.items()},
        "standard_error": {name: float(e.std(ddof=1)) / math.sqrt(samples) for name, e in measured.items()},
    }


def _relative_errors(codec: AnyCodec, x: NDArray[np.float32], samples: int) -> NDArray[np.float64]:
    """|decode(encode(x)) - x|^2 / |x|^2 of independent encodings, each with a public seed of its own."""
    rng, errors = np.random.default_rng(1), np.empty(samples)
    for k in range(samples):
        shared = int(rng.integers(1 << 62))
        difference = codec.decode(codec.encode(x, rng, shared=shared), shared=shared) - x
        errors[k] = (difference * difference).sum() / (x.astype(np.float64) ** 2).sum()
    return errors


def _gaussian() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(DIM, dtype=np.float32)


def _gradient(task: str) -> NDArray[np.float32]:
    """The first DIM coordinates of worker 0's gradient in round 0.

    Raises:
        SpecError: the model is smaller.
    """
    built = build_spec(task, workers=1, seed=0)
    if built.dim < DIM:
        raise SpecError(
            f"{task} has {built.dim} parameters, expected at least {DIM}: give it more hidden units"
        )
    value: NDArray[np.float32] = np.asarray(built.gradient(built.initial(), round=0, worker=0).value)[:DIM]
    return value


def _print_table(bound: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    print(
        f"\n{bound['bits']:,} bits, {DIM:,} coordinates; lower bound {_short(bound['b-32'])} for b - 32 bits, ",
        end="",
    )
    print(f"{_short(bound['b'])} for b")
    print(f"{'scheme':36}{'codec':44}{'bits':>8}{'Gaussian':>10}{'gradient':>10}   theory")
    for row in rows:
        if row["codec"] is None:
            print(f"{row['scheme']:36}none is so short")
            continue
        measured = [_short(row["measured"][name]) for name in ("gaussian", "gradient")]
        spec = _spelling(row["codec"])
        print(
            f"{row['scheme']:36}{spec:44}{row['nbits']:>8,}{measured[0]:>10}{measured[1]:>10}   {row['theory'] or ''}"
        )


def _spelling(spec: str) -> str:
    """The canonical spec without what is the same in every row."""
    for same in (", gain=exact", ", scale=1.0", ", coding=tuple", ", p=2.0", ", rounds=1", ", budget=none"):
        spec = spec.replace(same, "")
    return spec


def _short(value: float) -> str:
    """Three digits or more."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
