"""Statements of [S] sections 4, 5 and 7 about its quantizers, measured."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradwire.bench.papers.sampling import BELOW_ONE, coins, unit_vector
from gradwire.bench.papers.simq_bounds import draws, ranges_bits, simq_plus_bits, upper_bits
from gradwire.common.arrays.compat import F64
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.simq.split_constants import SplitConstants

DIM = 1024  # of the draws for p from 2 on
SPLIT_DIM = 4096  # for p below 2: there the split quantizer's RATQ has more than 500 coordinates
FIXED_DIM = 65_536  # of [S] Remark 8
INPUTS = ("flat", "one", "decaying")  # on the unit l_q sphere
BOUNDED = "gain=bound(1.0)"

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
    x = unit(at, dim, dual(p))
    codec, x, printed, bound = quantizer(of, p, x)
    order = 2.0 if p >= 2 else dual(p)
    mean, moments, errors = np.zeros(x.size), np.empty(samples), np.empty(samples)
    for n, estimate in enumerate(estimates(codec, x, samples)):
        mean += estimate
        moments[n], errors[n] = np.linalg.norm(estimate, order) ** 2, ((estimate - x) ** 2).sum()
    try:  # errors that are rare may not be among the samples
        exact = codec.variance_at(x)
    except NotImplementedError:
        exact = None
    noise = float(errors.mean()) if exact is None else exact
    return {
        "bits": codec.nbits,
        "printed": printed,
        "bias": float(np.linalg.norm(mean / samples - x)),
        "by_chance": math.sqrt(noise / samples),
        "moment": float(moments.mean()),
        "error": float(moments.std(ddof=1)) / math.sqrt(samples),
        "exact": float((x**2).sum()) + noise if p >= 2 else None,
        "bound": bound,
    }


def unit(at: str, dim: int, q: float) -> F64:
    """A vector of l_q norm 1, to be held by float32 within it."""
    values = {"flat": np.ones(dim), "one": np.eye(1, dim)[0], "decaying": 1 / np.arange(1.0, dim + 1)}[at]
    shortened: F64 = (values * (BELOW_ONE / np.linalg.norm(values, q))).astype(np.float32).astype(np.float64)
    return shortened


def quantizer(of: str, p: float, x: F64) -> tuple[AnyCodec, F64, float, float]:
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


def estimates(codec: AnyCodec, x: F64, samples: int) -> Iterator[F64]:
    """Independent encodings of x, decoded, each with its own public seed."""
    source = coins(codec.dim, samples)
    for k in range(samples):
        yield codec.decode(codec.encode(x, source, shared=k), shared=k)


def dual(p: float) -> float:
    """Q with 1/p + 1/q = 1."""
    return math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)


def fixed_precision(bits: int, samples: int) -> dict[str, Any]:
    """Errors of RATQ on sampled coordinates and of the most draws that fit, for one random unit vector."""
    x = unit_vector(FIXED_DIM).astype(np.float64)
    found = {
        "ratq": parse(f"ratq(budget={bits}, {BOUNDED})", FIXED_DIM),
        "simq_plus": largest(
            lambda k: parse(f"simq_plus({k}, coding=type_signs, {BOUNDED})", FIXED_DIM), bits
        ),
        "systematic": largest(
            lambda k: parse(f"l1_systematic({k}, gain=bound({math.sqrt(FIXED_DIM)}))", FIXED_DIM), bits
        ),
    }
    return {name: _error(codec, x, samples) for name, codec in found.items()}


def largest(codec_of: Callable[[int], AnyCodec], bits: int) -> AnyCodec:
    """The codec with the most draws within so many bits."""
    count = bisect.bisect_right(range(1, bits), bits, key=lambda k: codec_of(k).nbits)
    return codec_of(max(1, count))


def _error(codec: AnyCodec, x: F64, samples: int) -> dict[str, Any]:
    errors = np.array([((estimate - x) ** 2).sum() for estimate in estimates(codec, x, samples)])
    deviation = float(errors.std(ddof=1)) / math.sqrt(samples)
    return {"codec": codec.spec, "bits": codec.nbits, "error": float(errors.mean()), "deviation": deviation}


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
