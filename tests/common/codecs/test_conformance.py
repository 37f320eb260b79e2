"""The contract that every registered codec keeps; a new family is tested by being registered."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.errors import DomainError, SpecError
from tests.common.codecs import checks
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.examples import EXAMPLES, build, every_codec, every_codec_and_large, named_examples
from tests.common.codecs.vectors import flat, gradients, heavy, ramp


@every_codec
@settings(max_examples=15)
@given(data=st.data())
def test_length_is_exact_for_every_vector(codec: AnyCodec, data: st.DataObject) -> None:
    checks.check_length(codec, data.draw(gradients(codec.dim)))


@every_codec_and_large
def test_length_of_real_gradients(codec: AnyCodec) -> None:
    for x in (ramp(codec.dim), flat(codec.dim), heavy(codec.dim), np.zeros(codec.dim)):
        checks.check_length(codec, x.astype(np.float32))
        checks.check_length(codec, x)


@every_codec_and_large
def test_equal_coins_equal_bytes(codec: AnyCodec) -> None:
    checks.check_same_coins_same_bytes(codec, checks.typical(codec))


@every_codec
def test_other_coins_other_bytes(codec: AnyCodec) -> None:
    checks.check_other_coins_other_bytes(codec, checks.typical(codec))


@every_codec
def test_float32_and_float64_give_equal_bytes(codec: AnyCodec) -> None:
    """Below one chunk all sums are taken in float64, so equal values give equal bytes."""
    x = checks.typical(codec)
    if codec.dim < CHUNK:
        assert checks.encode(codec, x.astype(np.float32)) == checks.encode(codec, x)


@every_codec
def test_secret_coins_and_public_seed_are_required(codec: AnyCodec) -> None:
    """A generator serves for the private coins of a codec without privacy only."""
    x, shared = checks.typical(codec), checks.shared_of(codec)
    payload = checks.encode(codec, x)
    assert codec.private == np.isfinite(codec.epsilon)
    if not codec.secret_coins:
        codec.validate(codec.encode(x, np.random.default_rng(1), shared=shared))
    else:
        assert codec.epsilon > 0 and not (codec.private and not codec.secret_coins)
        with pytest.raises(DomainError, match="secret"):
            codec.encode(x, np.random.default_rng(1), shared=shared)
    if codec.shared_randomness:
        with pytest.raises(DomainError, match="shared"):
            codec.encode(x, ReplayCoins())
        with pytest.raises(DomainError, match="shared"):
            codec.decode(payload)


@every_codec
def test_spec_round_trip(codec: AnyCodec) -> None:
    checks.check_spec(codec)


def test_fingerprints_are_distinct() -> None:
    built = {build(e) for e in EXAMPLES}
    assert len({c.fingerprint for c in built}) == len(built)


@every_codec
def test_variance_is_stated(codec: AnyCodec) -> None:
    """Finite and non-negative at every norm, and never below the variance of a vector with that norm."""
    norms = (0.0, 0.5, 1.0, 4.0, 1e15) if codec.domain == checks.EVERYTHING else (0.0, 0.5, 1.0)
    stated = [codec.variance(norm) for norm in norms]
    assert np.isfinite(stated).all() and min(stated) >= 0
    try:
        x = checks.typical(codec)
        of_x = codec.variance_at(x)
    except NotImplementedError:
        return
    assert 0 <= of_x <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("name", sorted(codecs()))
def test_family_metadata_and_examples(name: str) -> None:
    cls = codecs()[name]
    examples = [e for n, e in named_examples() if n == name]
    assert cls.name == name and cls.source and inspect.getdoc(cls)
    assert any(e.dim <= 8 for e in examples), f"{name}.examples() has none with a small dim"
    assert any(e.enumerable for e in examples), (
        f"{name}.examples() has none with enumerable=True: its law goes unchecked"
    )
    assert all(build(e).name == name for e in examples)


@pytest.mark.parametrize("name", sorted(codecs()))
def test_bad_parameters(name: str) -> None:
    spec = next(e.spec for n, e in named_examples() if n == name)
    for dim in (0, -1, 2**40 + 1):
        with pytest.raises(SpecError, match="dim"):
            parse(spec, dim)
    with pytest.raises(SpecError, match="no argument 'colour'"):
        parse(f"{name}(colour=3)", 4)
    with pytest.raises(SpecError):
        parse(f"{name}(repeats=1.5)", 4)
    with pytest.raises(SpecError, match="did you mean"):
        parse(f"{name}z", 4)
