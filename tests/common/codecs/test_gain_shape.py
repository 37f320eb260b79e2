"""AGUQ and gain-shape quantizers: theory 2.3, by exact laws over all lengths of a grid."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.forms.gain import GAINS, ExactGain, NormEstimate, build_gain, register_gain
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.spec import Spec, parse_spec
from tests.common.codecs import checks
from tests.common.codecs.coins import coins
from tests.common.codecs.law_checks import law_of
from tests.common.codecs.vectors import heavy, ramp
from tests.grids import rest_slow

HORIZONS = [1, 2, 3, 16, 17, 1000, 10**6]


def law(gain: AguqGain, length: float) -> list[tuple[float, float]]:
    """(sent gain, probability)."""
    return [(c.gain, c.probability) for c in gain.law(NormEstimate(length, length))]


# ---- the gain ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("horizon", "bits"), [(1000, 7), (10**6, 8), (1, 2), (2, 3), (1024, 7), (1025, 7)])
def test_bits(horizon: int, bits: int) -> None:
    """ceil log2 h + log2(k + 1), h = 1 + ceil log_2 T, log2(k + 1) = ceil log2(2 + sqrt(1 + 2 (h - 1)) / 2)."""
    h = 1 + math.ceil(math.log2(horizon))
    assert math.ceil(math.log2(h)) + math.ceil(math.log2(2 + math.sqrt(1 + 2 * (h - 1)) / 2)) == bits
    assert AguqGain(1.0, horizon).nbits == bits
    assert parse(f"gain_shape(aguq(1.0, {horizon}), simq)", 10).nbits == bits + 5


@given(length=st.floats(0, 40), horizon=st.sampled_from(HORIZONS), bound=st.sampled_from([1.0, 0.3, 7.0]))
def test_law(length: float, horizon: int, bound: float) -> None:
    """The least M_j = B 2^(j/2) that holds the length, and the two of its levels around the length."""
    gain, h = AguqGain(bound, horizon), 1 + math.ceil(math.log2(horizon))
    k = 2 ** math.ceil(math.log2(2 + math.sqrt(1 + 2 * (h - 1)) / 2)) - 1
    seen = law(gain, length)
    assert math.fsum(p for _, p in seen) == pytest.approx(1, abs=1e-12)
    reach = next(
        (bound * 2 ** (j / 2) for j in range(h) if bound * 2 ** (j / 2) >= length * (1 - 1e-15)), None
    )
    if reach is None:
        assert seen == [(0.0, 1.0)]
        return
    assert math.fsum(p * g for g, p in seen) == pytest.approx(length, rel=1e-12, abs=1e-50)
    for g, _ in seen:
        level = g / reach * (k - 1)
        assert abs(g - length) <= reach / (k - 1) * (1 + 1e-9)
        assert level == pytest.approx(round(level), abs=1e-9) or length > reach * (1 - 1e-12)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_moments(horizon: int) -> None:
    """For E g^2 <= B^2: E Q^2 <= B^2 (1 + (1 + a (h - 1)) / (4 (k - 1)^2)) <= 2 B^2 and bias <= B / sqrt(T).

    Over two-point laws, which are extreme: at zero, and at a length with probability B^2 / g^2 at most.
    """
    gain = AguqGain(1.0, horizon)
    h = 1 + math.ceil(math.log2(horizon))
    k = 2 ** math.ceil(math.log2(2 + math.sqrt(1 + 2 * (h - 1)) / 2)) - 1
    bound = 1 + (1 + 2 * (h - 1)) / (4 * (k - 1) ** 2)
    squares, biases = [], []
    for length in np.geomspace(1e-3, 10 * math.sqrt(horizon), 4001):
        share = min(1.0, 1 / length**2)
        squares.append(share * sum(p * g**2 for g, p in law(gain, length)))
        biases.append(share * abs(length - sum(p * g for g, p in law(gain, length))))
    assert max(squares) <= bound <= 2
    assert max(biases) <= 1 / math.sqrt(horizon)
    assert horizon != 1000 or max(squares) == pytest.approx(1.01, abs=0.02)  # as theory 2.3 has it


@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_code_is_read_or_refused(horizon: int) -> None:
    """Codes that the law gives come back as the same gain; all others are refused, also in a batch."""
    gain = AguqGain(0.7, horizon)
    sent = {g for length in np.geomspace(1e-4, 2 * gain.reach, 20_000) for g, _ in law(gain, float(length))}
    sent |= {g for length in gain._table[:, -1] for g, _ in law(gain, float(length))}
    written = {}
    for g in sent:
        out = BitWriter()
        gain.write(g, out)
        assert out.nbits == gain.nbits
        written[out.tobytes()] = g
    assert len(written) == len(sent)
    batch = np.frombuffer(b"".join(written), np.uint8).reshape(len(written), -1)
    assert gain.read(BitReader(batch)).tolist() == list(written.values())
    for word in range(1 << gain.nbits):
        payload = word.to_bytes((gain.nbits + 7) // 8, "little")
        if payload in written:
            assert gain.read(BitReader(payload)) == written[payload]
            continue
        with pytest.raises(PayloadError):
            gain.read(BitReader(payload))
        with pytest.raises(PayloadError):
            gain.read(BitReader(np.concatenate([batch, np.frombuffer(payload, np.uint8)[None]])))


def test_zero_and_beyond() -> None:
    gain = AguqGain(1.0, 16)
    assert gain.reach == 4.0
    assert law(gain, 0.0) == [(0.0, 1.0)] == law(gain, 4.0003) == law(gain, 1e300) == law(gain, 1e-320)
    assert law(gain, 4.0) == [(4.0, 1.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aguq(1.0, 0)", "horizon is 0, expected 1"),
        ("aguq(1.0, -5)", "horizon is -5"),
        ("aguq(0.0, 5)", "the bound is 0.0"),
        ("aguq(-1.0, 5)", "the bound is -1.0"),
        ("aguq(nan, 5)", "the bound is nan"),
        ("aguq(inf, 5)", "the bound is inf"),
        ("aguq(3e38, 1000)", "the bound is 3e"),
        ("aguq(1.0)", "aguq needs horizon"),
        ("aguqs(1.0, 5)", "unknown gain 'aguqs': did you mean aguq"),
    ],
)
def test_parameters_of_aguq(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_gain(parse_spec(text))


def test_gains_are_registered_once() -> None:
    with pytest.raises(SpecError, match="two gains are called 'exact'"):
        register_gain(ExactGain)
    assert set(GAINS) >= {"exact", "bound", "aguq"}
    assert build_gain(parse_spec("aguq(2, 10)")).spec == Spec("aguq", (), (("bound", 2.0), ("horizon", 10)))


# ---- gain and shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["simq_plus(repeats=2)", "cuq(levels=3)", "ratq", "cross_polytope"])
@pytest.mark.parametrize("gain", ["exact", "bound(1.5)", "aguq(1.0, 100)"])
def test_payloads_are_those_of_the_codec_with_that_gain(shape: str, gain: str) -> None:
    codec = parse(f"gain_shape({gain}, {shape})", 4)
    base = f"{shape[:-1]}, gain={gain})" if "(" in shape else f"{shape}(gain={gain})"
    alone, x = parse(base, 4), heavy(4)
    payload = checks.encode(codec, x)
    assert payload == checks.encode(alone, x) and codec.nbits == alone.nbits
    assert (checks.decode(codec, payload) == checks.decode(alone, payload)).all()
    assert parse(codec.spec, 4) == codec and codec.fingerprint != alone.fingerprint
    for promise in ("index_domain", "batches", "index_size", "shared_randomness", "epsilon", "domain"):
        assert getattr(codec, promise) == getattr(alone, promise)


def test_gain_and_shape_are_independent() -> None:
    """E|Q|^2 = E Q_g^2 E|Q_s|^2, and the error that is stated is that of the exact law."""
    x = ramp(3)
    codec = parse("gain_shape(aguq(1.0, 100), simq_plus(repeats=2))", 3)
    unit = parse("simq_plus(repeats=2, gain=bound(1.0))", 3)
    seen, length = law_of(codec, x), float(np.linalg.norm(x))
    gains = sum(p * g**2 for g, p in law(AguqGain(1.0, 100), length))
    shape = law_of(unit, x / length * (1 - 1e-12))
    shapes = shape.probabilities @ (shape.points**2).sum(axis=1)
    assert seen.probabilities @ (seen.points**2).sum(axis=1) == pytest.approx(gains * shapes, rel=1e-9)
    assert seen.error(x) == pytest.approx(codec.variance_at(x), rel=1e-9)


@pytest.mark.parametrize(
    "shape", rest_slow(["simq", "cuq(levels=3)", "lq_split(p=1.0)", "simq_plus(p=4.0, repeats=1)", "ratq"], 4)
)
def test_variance_holds_for_every_ball(shape: str) -> None:
    """Where lengths are not l2 norms, ``variance`` is the largest over the lengths that an l2 norm allows."""
    rng = np.random.default_rng(8)
    for dim, bound in itertools.product((1, 3, 10), (0.1, 1.0, 10.0)):
        codec = parse(f"gain_shape(aguq({bound}, 50), {shape})", dim)
        stated = codec.variance(1.0)
        for _ in range(20):
            x = rng.standard_normal(dim) ** rng.integers(1, 5)
            x /= np.linalg.norm(x)
            try:
                seen = codec.variance_at(x)
            except NotImplementedError:
                seen = np.mean([codec._inner.variance_given(x, s) for s in range(200)])
            assert seen <= stated * 1.001


def test_bias_of_long_gradients() -> None:
    """Beyond the range nothing is sent but a zero: decoded to zero, not refused."""
    codec = parse("gain_shape(aguq(1.0, 16), ratq)", 10)
    x = ramp(10) / np.linalg.norm(ramp(10)) * 4.01
    payload = codec.encode(x, coins(1), shared=3)
    assert (codec.decode(payload, shared=3) == 0).all()
    assert codec.variance(4.01) == pytest.approx(4.01**2) == codec._inner.variance_given(x, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain_shape(exact, float32)", "float32 has no gain to set, expected a codec that has"),
        ("gain_shape(exact, gain_shape(exact, simq))", "gain_shape has no gain to set"),
        ("gain_shape(exact, rotated(1, simq))", "rotated has no gain to set"),
        ("gain_shape(nothing, simq)", "unknown gain"),
        ("gain_shape(exact, nothing)", "unknown codec"),
        ("gain_shape(exact)", "gain_shape needs shape"),
    ],
)
def test_parameters_of_gain_shape(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(text, 5)
