"""What encoders really draw, against the exact law where there is one and against stated moments where there is not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from tests.common.codecs.chance import Chance, Vote, check_counts
from tests.common.codecs.coins import CountedCoins, coins
from tests.common.codecs.examples import shared_seeds
from tests.common.codecs.privacy_checks import public_bound

F64 = NDArray[np.float64]
CELLS = 64  # groups of likely and of unlikely outcomes that a large law is summed up in, beside its likeliest

WITHOUT_COINS = (
    20  # encodings of one that has looked at no coin: as many as may show state that was left behind
)

# ---- whole payloads ----------------------------------------------------------------------------------------


def check_payloads(codec: AnyCodec, x: F64, chance: Chance, samples: int = 1500) -> None:
    """Independent encodings follow ``law``: payload by payload.

    Few will do of an encoder that looks at no coin: they are one payload all, and so they are where the law has one.
    """
    seeds = shared_seeds(codec)
    for k, shared in enumerate(seeds):
        law = codec.law(x, shared=shared)
        row = {payload: i for i, payload in enumerate(law)}
        private, counts = CountedCoins(chance.part(k, len(seeds)).rng), np.zeros(len(law), np.int64)
        for done in range(samples):
            if done >= WITHOUT_COINS and private.drawn == 0 and len(law) == 1:
                break
            payload = codec.encode(x, private, shared=shared)
            assert payload in row, f"{codec} sent {payload.hex()}, which is impossible for {x}"
            counts[row[payload]] += 1
        what = f"{codec} at {x}, payloads {[p.hex() for p in law][:8]}…"
        check_counts(counts, np.array(list(law.values())), chance.part(k, len(seeds)), what)


# ---- single draws of codecs that send vertices, many in one encoding ---------------------------------------


def vertex_law(codec: VertexCodec, x: F64) -> F64:
    """The law of one draw, which the tests of exact laws have checked at small dimensions."""
    vector = codec._prepare(GradientVector.of(x, codec.dim))
    return np.sum(
        [
            outcome.probability * codec._probabilities(outcome.into_ball(vector).on_host)
            for outcome in codec._gain_outcomes(vector)
        ],
        axis=0,
    )


def draw_vertices(codec: VertexCodec, x: F64, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Vertices of one encoding with ``count`` repeats, read back without the package's bit reader."""
    many = dataclasses.replace(codec, repeats=count, coding="tuple")
    bits = np.unpackbits(np.frombuffer(many.encode(x, coins(rng)), np.uint8), bitorder="little")
    fields = bits[many.nbits - count * many.width : many.nbits].reshape(count, many.width)
    return fields @ (1 << np.arange(many.width, dtype=np.int64))


def cells_of(law: F64) -> NDArray[np.int64]:
    """A table from vertex to cell: the likeliest vertices have their own, the others share by a fixed hash.

    Vertices above and below the average keep apart: a wrong sign moves mass between them, and between nothing else.
    """
    vertex = np.arange(law.size, dtype=np.uint64)
    cell = (vertex * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(58)).astype(np.int64)
    cell += CELLS * (law > law.mean())
    likeliest = np.argsort(-law, kind="stable")[:CELLS]
    cell[likeliest] = 2 * CELLS + np.arange(likeliest.size)
    return cell


def check_draws(codec: VertexCodec, x: F64, chance: Chance, count: int = 400_000) -> None:
    """Draws follow the law of one draw, no vertex of probability zero is drawn, and draws are independent."""
    law = vertex_law(codec, x)
    drawn = draw_vertices(codec, x, count, chance.rng)
    assert (law[drawn] > 0).all(), f"{codec} drew vertex {drawn[law[drawn] == 0][0]}, which is impossible"
    cell = cells_of(law)
    mass = np.bincount(cell, law, minlength=cell.max() + 1)
    seen = cell[drawn]
    check_counts(
        np.bincount(seen, minlength=mass.size), mass, chance.part(0, 2), f"{codec}: cells of vertices"
    )
    pairs, joint = paired(seen, mass)
    check_counts(pairs, joint, chance.part(1, 2), f"{codec}: consecutive draws")


def paired(seen: NDArray[np.int64], mass: F64) -> tuple[NDArray[np.int64], F64]:
    """Counts of (one draw, the next) over disjoint pairs, and the law if they are independent; few cells, so coarse."""
    order = np.argsort(-mass, kind="stable")
    coarse = np.empty(mass.size, np.int64)
    coarse[order] = np.minimum(np.arange(mass.size), 7)
    share = np.bincount(coarse, mass, minlength=8)
    first, second = coarse[seen[0 : seen.size - 1 : 2]], coarse[seen[1::2]]
    return np.bincount(8 * first + second, minlength=64), np.outer(share, share).ravel()


# ---- moments -----------------------------------------------------------------------------------------------


def check_moments(codec: AnyCodec, x: F64, chance: Chance, each: int = 16) -> None:
    """Unbiased, and no noisier than stated, by two votes of independent groups of ``each`` encodings.

    Markov's inequality on |mean error|^2, whose mean is variance / each, and on the mean of |error|^2: no assumption on
    the law. A fresh public seed every time, so this holds for codecs that are unbiased over shared randomness only.
    Where the codec clips to a public bound, x is first scaled inside it: clipping is no error of the sampler.
    """
    bound, norm = public_bound(codec), float(np.linalg.norm(x))
    if bound is not None and norm > bound:
        x = x * x.dtype.type(0.999 * bound / norm)
    half = dataclasses.replace(chance, rate=chance.rate / 2)
    stated = stated_variance(codec, x)
    noise = Vote(stated, half, f"{codec}: |error|^2")
    bias = Vote(stated / each, half, f"{codec}: |mean error|^2 of {each}") if codec.unbiased else None
    while not noise.is_over or (bias is not None and not bias.is_over):
        errors = np.array([sample_error(codec, x, chance.rng) for _ in range(each)])
        noise.hear(float((errors**2).sum(axis=1).mean()))
        if bias is not None:
            bias.hear(float((errors.mean(axis=0) ** 2).sum()))


def stated_variance(codec: AnyCodec, x: F64) -> float:
    """What the codec states; sums in float32 may put a gain 6e-5 off, so a thousandth is added."""
    try:
        stated = codec.variance_at(x)
    except NotImplementedError:
        stated = codec.variance(float(np.linalg.norm(x)))
    assert math.isfinite(stated) and stated >= 0, f"{codec} states a variance of {stated}"
    return 1.001 * stated


def sample_error(codec: AnyCodec, x: F64, rng: np.random.Generator) -> F64:
    shared = int(rng.integers(2**63)) if codec.shared_randomness else None
    return codec.decode(codec.encode(x, coins(rng), shared=shared), shared=shared) - x
