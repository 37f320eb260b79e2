"""The variances of families of codecs at equal bits: measured, in closed form, and as theory states them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.bench.schemes import DIM, Scheme
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError
from gradwire.deploy.planning.bounds import variance_lower_bound
from gradwire.worker.tasks import build_task

# A row agrees with theory within rounding, this many standard errors and this relative difference together: theory's
# Gaussian vector, and its rotations, were drawn with another seed.
SIGMAS, ANOTHER_VECTOR = 4.0, 0.01
# Encodings from which the spread is judged: with fewer, draws that rarely coincide look as if they never did.
ENOUGH = 100

Vectors = dict[str, NDArray[np.float32]]


def measure(
    scheme: Scheme, bits: int, vectors: Vectors, samples: tuple[int, int], error: float = 0.0
) -> dict[str, Any]:
    """One scheme's largest codec within a budget: measured relative variances, beside the stated ones.

    Args:
        scheme: of the row.
        bits: the budget.
        vectors: float32 [DIM] by name; ``gaussian`` is judged by theory's number.
        samples: encodings of each vector, at least and at most.
        error: the relative standard error that is enough.

    Returns:
        For each vector: ``measured``, ``standard_error``, ``samples``, ``exact`` (the codec's closed form at this
        vector, null where it has none), ``theory``, ``bound_ratio`` and ``z``, the distance from the closed form in
        standard errors, null for fewer than 100 encodings; ``deviation`` of the Gaussian from theory, relative, and
        ``reproduced``.
    """
    codec = scheme.within(bits, DIM)
    stated = scheme.stated(bits)
    row: dict[str, Any] = {
        "scheme": scheme.title,
        "bits": bits,
        "theory": {name: s.value for name, s in stated.items()},
        "codec": None,
    }
    if codec is None:
        return row
    errors = {name: relative_errors(codec, x, samples, error) for name, x in vectors.items()}
    mean = {name: float(e.mean()) for name, e in errors.items()}
    deviation = {name: float(e.std(ddof=1)) / math.sqrt(e.size) for name, e in errors.items()}
    exact = {name: _exact(codec, x) for name, x in vectors.items()}
    bound = variance_lower_bound(DIM, bits)
    row |= {
        "codec": codec.spec,
        "nbits": codec.nbits,
        "worst": codec.variance(),
        "measured": mean,
        "standard_error": deviation,
        "samples": {name: e.size for name, e in errors.items()},
        "exact": exact,
        "bound_ratio": {name: value / bound for name, value in mean.items()},
        "z": {
            name: _z(mean[name], exact[name], deviation[name]) if errors[name].size >= ENOUGH else None
            for name in vectors
        },
        "deviation": None,
        "reproduced": None,
    }
    if "gaussian" in stated and "gaussian" in mean:
        theory = stated["gaussian"]
        off = mean["gaussian"] - theory.value
        allowed = theory.half_unit + SIGMAS * deviation["gaussian"] + ANOTHER_VECTOR * theory.value
        row |= {"deviation": off / theory.value, "reproduced": abs(off) <= allowed}
    return row


def relative_errors(
    codec: AnyCodec, x: NDArray[np.float32], samples: tuple[int, int], error: float
) -> NDArray[np.float64]:
    """|decode(encode(x)) - x|^2 / |x|^2 of independent encodings, each with its own public seed.

    Args:
        codec: to measure.
        x: the vector.
        samples: encodings at least and at most.
        error: the relative standard error that is enough.
    """
    rng, errors = np.random.default_rng(1), np.empty(samples[1])
    square = float((x.astype(np.float64) ** 2).sum())
    for k in range(samples[1]):
        shared = int(rng.integers(1 << 62))
        difference = codec.decode(codec.encode(x, rng, shared=shared), shared=shared) - x
        errors[k] = (difference * difference).sum() / square
        done = errors[: k + 1]
        if done.size >= samples[0] and done.std(ddof=1) <= error * done.mean() * math.sqrt(done.size):
            break
    return errors[: k + 1]


def _exact(codec: AnyCodec, x: NDArray[np.float32]) -> float | None:
    try:
        return codec.variance_at(x) / float((x.astype(np.float64) ** 2).sum())
    except NotImplementedError:
        return None


def _z(measured: float, exact: float | None, standard_error: float) -> float | None:
    """The distance in standard errors; of at least a thousandth, as few payloads may hold no repeated draws."""
    return None if exact is None else (measured - exact) / max(standard_error, 1e-3 * exact)


def gaussian() -> NDArray[np.float32]:
    """The first vector, float32 [DIM]: N(0, 1) entries."""
    return np.random.default_rng(0).standard_normal(DIM, dtype=np.float32)


def gradient(task: str) -> NDArray[np.float32]:
    """The first DIM coordinates of worker 0's gradient in round 0.

    Raises:
        SpecError: the model is smaller.
    """
    built = build_task(task, workers=1, seed=0)
    if built.dim < DIM:
        raise SpecError(
            f"{task} has {built.dim} parameters, expected at least {DIM}: give it more hidden units"
        )
    value: NDArray[np.float32] = np.asarray(built.gradient(built.initial(), round=0, worker=0).value)[:DIM]
    return value
