"""The split quantizer: constants, bits, laws and the bound on the l_q norm, written out from theory 2.4."""

import itertools
import math

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.position_code import POSITION_CODES
from tests.common.codecs import checks
from tests.common.codecs.law_checks import law_of
from tests.common.codecs.refusal_checks import check_refuses_payload, with_field
from tests.common.codecs.vectors import heavy, ramp
from tests.grids import rest_slow

DIMS = [3, 128, 1000, 795_010, 12_332_010]
CODES = sorted(POSITION_CODES)


def iterated_log(x: float) -> int:
    return 0 if x <= 1 else 1 + iterated_log(math.log(x))


class Constants:
    """Delta_1, Delta_2, c / B, d', small bits and B' / B of theory 2.4."""

    def __init__(self, dim: int, p: float) -> None:
        self.q = math.inf if p == 1 else p / (p - 1)
        self.delta2 = max(1, math.ceil(math.log2(1 + iterated_log(dim / 3))))
        self.delta1 = math.ceil(
            math.log2(2 + math.sqrt(18 + 6 * math.log(self.delta2)) * dim ** (0.5 - 1 / self.q))
        )
        self.c = min(1.0, (self.delta1 / dim) ** (1 / self.q))
        self.most = 0 if p == 1 else math.ceil(dim / self.delta1) - 1
        self.small = math.ceil(math.log2(2 * math.sqrt(2) * self.delta1 ** (1 / self.q) + 2))
        self.norm = self.most ** (0.5 - 1 / self.q)


def norm(x: np.ndarray, q: float) -> float:
    top = np.abs(x).max()
    return float(top) if math.isinf(q) or top == 0 else float(top * ((np.abs(x) / top) ** q).sum() ** (1 / q))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("p", [1.0, 1.125, 4 / 3, 1.5, 1.9])
def test_bits(dim: int, p: float) -> None:
    """d bits of mask, the small symbols, and RATQ in dimension d' padded to D; 3 bits per coordinate for q = inf."""
    at = Constants(dim, p)
    nbits = 32 + at.small * dim
    if at.most:
        size = 2 ** math.ceil(math.log2(at.most))
        h = math.ceil(math.log2(1 + iterated_log(size / 3)))
        nbits += dim + math.ceil(size / max(1, h)) * h + size * at.delta1
    codec = parse(f"lq_split(p={p!r}, positions=mask)", dim)
    assert codec.nbits == nbits and codec.shared_randomness == (at.most > 0) and at.small == 3
    assert codec._constants.threshold == pytest.approx(at.c, rel=1e-7)
    assert codec._constants.large_norm == pytest.approx(at.norm, rel=1e-7)


@pytest.mark.parametrize("code", ["set", "elias_fano"])
@pytest.mark.parametrize("dim", [128, 1000, 100_000])
def test_positions_in_fewer_bits(code: str, dim: int) -> None:
    """ceil log2 C(d, d') bits of positions, and no small symbols there."""
    at, codec = Constants(dim, 1.25), parse(f"lq_split(p=1.25, positions={code})", dim)
    saved = parse("lq_split(p=1.25, positions=mask)", dim).nbits - codec.nbits
    exact = (math.lgamma(dim + 1) - math.lgamma(at.most + 1) - math.lgamma(dim - at.most + 1)) / math.log(2)
    allowed = 1.3 * exact if code == "elias_fano" else exact + 2
    assert dim + at.small * at.most - allowed <= saved <= dim + at.small * at.most - exact


GRID = [1 + i / 40 for i in range(40)] + [1.05, 4 / 3, 1.99]


@pytest.mark.parametrize(
    "dim", [*range(1, 40), *(2**t + s for t in range(6, 17) for s in (-1, 0, 1)), 10**6, 2**20]
)
def test_default_has_the_bits_of_the_theorem(dim: int) -> None:
    """[S] Theorem 3.1: d (ceil log2(2 sqrt 2 Delta_1^(1/q) + 2) + 3) + Delta_2 bits, here of the shape alone."""
    for p in GRID:
        at = Constants(dim, p)
        codec = parse(f"lq_split(p={p!r})", dim)
        assert codec.shape_nbits <= dim * (at.small + 3) + at.delta2, p
        others = [parse(f"lq_split(p={p!r}, positions={code})", dim).nbits for code in CODES]
        assert codec.nbits == min(others), p


def test_mask_exceeds_the_bits_of_the_theorem() -> None:
    """The padding of RATQ to a power of two, which [S] ignores (erratum S4)."""
    over = [
        (p, dim)
        for dim in (16, 64, 256, 1000, 1024, 4096, 10_000, 65_536)
        for p in GRID
        if parse(f"lq_split(p={p!r}, positions=mask)", dim).shape_nbits
        > dim * (Constants(dim, p).small + 3) + Constants(dim, p).delta2
    ]
    assert over and {dim for _, dim in over} <= {1000, 1024, 4096, 10_000, 65_536}


def test_default_beyond_a_million_coordinates_is_fast() -> None:
    assert parse("lq_split(p=1.4)", 2**20).positions == "set"
    assert parse("lq_split(p=1.4)", 2**20 + 1).positions == "elias_fano"
    assert parse("lq_split(p=1.0)", 100).positions == parse("lq_split(p=1.5)", 1).positions == "mask"


def spikes(dim: int, count: int) -> np.ndarray:
    """So many equal coordinates, which are then all large, or none."""
    x = ramp(dim) * 1e-3
    x[:: dim // count][:count] = 1.0
    return x[:dim]


@pytest.mark.parametrize("code", rest_slow(CODES, 2))
@pytest.mark.parametrize("p", rest_slow([1.125, 4 / 3, 1.5], 2))
def test_norm_of_the_estimate(p: float, code: str) -> None:
    """E|Q|_q^2 <= 12 B^2 ([S] Lemmas 5.1 and 5.2): measured .99 to 1.1 B^2 at d = 4096."""
    dim, at = 4096, Constants(4096, p)
    codec, rng = parse(f"lq_split(p={p!r}, positions={code})", dim), np.random.default_rng(2)
    vectors = [
        rng.standard_normal(dim),
        rng.standard_t(2, dim),
        heavy(dim),
        np.eye(dim)[7],
        np.full(dim, 0.3),
    ]
    for x in (*vectors, *(spikes(dim, count) for count in (1, 30, at.most))):
        squares = [norm(codec.decode(codec.encode(x, rng, shared=s), shared=s), at.q) ** 2 for s in range(20)]
        ratio = np.mean(squares) / norm(x, at.q) ** 2
        assert ratio < 1.5 < 12, ratio


@pytest.mark.parametrize("code", CODES)
def test_variance_is_never_exceeded(code: str) -> None:
    """The l2 variance, over rotations, at vectors of all kinds."""
    dim, rng = 500, np.random.default_rng(3)
    codec = parse(f"lq_split(p=1.25, positions={code})", dim)
    for x in (
        rng.standard_normal(dim),
        rng.standard_t(2, dim),
        heavy(dim),
        np.eye(dim)[7],
        np.full(dim, 0.3),
    ):
        errors = [
            np.sum((codec.decode(codec.encode(x, rng, shared=s), shared=s) - x) ** 2) for s in range(40)
        ]
        assert np.mean(errors) <= codec.variance(float(np.linalg.norm(x)))


def test_large_coordinates_are_few() -> None:
    """Whatever the vector, rounding included: also where exactly d / Delta_1 of them stand on the threshold."""
    for p, dim in ((1.5, 600), (1.25, 96), (1.2, 6)):
        at, codec = Constants(dim, p), parse(f"lq_split(p={p})", dim)
        for count in {1, at.most, at.most + 1, dim // at.delta1, dim}:
            x = np.zeros(dim)
            x[-count:] = 1 / 3
            for start in range(20):
                payload = checks.encode(codec, x, start)
                assert unpack_checked(codec, payload).shape.positions.size <= at.most
                assert np.abs(checks.decode(codec, payload)).max() < 1


def test_without_large_coordinates_it_is_cuq() -> None:
    """q = inf: c = B, nothing is beyond it, and 3 bits per coordinate do ([S] Theorem 3.1 has 3 more)."""
    split, cuq, x = parse("lq_split(p=1.0)", 50), parse("cuq(levels=7)", 50), heavy(50)
    assert checks.encode(split, x) == checks.encode(cuq, x) and split.nbits == cuq.nbits
    assert (checks.decode(split, checks.encode(split, x)) == cuq.decode(checks.encode(cuq, x))).all()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("x", [ramp(5), np.array([0.0, 2.0, 0.0, 0.0, -0.1]), np.full(5, 0.3), np.zeros(5)])
def test_law(code: str, x: np.ndarray) -> None:
    """d = 5, q = 3: one coordinate may be large. Its value is one of two of 7 levels, the others' one of two of 7."""
    codec, at = parse(f"lq_split(p=1.5, positions={code}, gain=bound(4.0))", 5), Constants(5, 1.5)
    assert (at.most, at.delta1, at.small) == (1, 3, 3)
    law = law_of(codec, x, 5)
    assert law.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert law.mean == pytest.approx(x, abs=1e-12)
    beyond = np.flatnonzero(np.abs(x) > 4 * at.c)
    chosen = beyond[0] if beyond.size else (None if code == "mask" else 0)
    steps = np.full(5, 8 * at.c / 6)
    if chosen is not None:
        steps[chosen] = 8 / 6
    f = (x / steps) - np.floor(x / steps)
    assert law.error(x) == pytest.approx((steps**2 * f * (1 - f)).sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("p=2.0", "lq_split: p is 2.0, expected 1 to below 2"),
        ("p=0.9", "lq_split: p is 0.9"),
        ("p=nan", "lq_split: p is nan"),
        ("positions=bits", "unknown code of positions 'bits'; known: elias_fano, mask, set"),
        ("positions=masks", "did you mean mask"),
        ("gain=nothing", "unknown gain"),
    ],
)
def test_parameters(arguments: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(f"lq_split({arguments})", 100)


def test_non_canonical_payloads_are_refused() -> None:
    codec = parse("lq_split(p=1.5, positions=mask)", 60)
    most = codec.max_large
    payload = checks.encode(codec, np.where(np.arange(60) < 3, 1.0, 0.001))
    positions = unpack_checked(codec, payload).shape.positions
    assert positions.tolist() == [0, 1, 2]
    check_refuses_payload(codec, with_field(payload, 32, 60, (1 << (most + 1)) - 1))  # too many
    check_refuses_payload(codec, with_field(payload, 32 + 60 + 3, 3, 5))  # a small part of a large coordinate
    with pytest.raises(PayloadError, match="has a small part too"):
        codec.validate(with_field(payload, 32 + 60 + 3, 3, 5))


@pytest.mark.parametrize("code", CODES)
def test_codes_of_positions(code: str) -> None:
    """Every subset of a small size comes back, and no two are alike."""
    from gradwire.common.arrays.bits import BitReader, BitWriter

    made = POSITION_CODES[code](7, 3)
    seen = set()
    for positions in itertools.combinations(range(7), 3):
        out = BitWriter()
        made.write(np.array(positions), out)
        assert out.nbits == made.nbits
        assert made.read(BitReader(out.tobytes())).tolist() == list(positions)
        seen.add(out.tobytes())
    assert len(seen) == math.comb(7, 3)
    refused = 0
    for word in range(1 << made.nbits):
        try:
            found = made.read(BitReader(word.to_bytes((made.nbits + 7) // 8, "little")))
        except PayloadError:
            refused += 1
            continue
        assert (np.diff(found) > 0).all() and found.size <= 3 and (found.size == 3 or code == "mask")
    meant = sum(math.comb(7, n) for n in range(4)) if code == "mask" else math.comb(7, 3)
    assert refused == (1 << made.nbits) - meant
