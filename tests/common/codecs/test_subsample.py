"""Public random subsets in front of codecs: averages over all subsets, budgets, and what is inherited."""

import itertools
import math

import numpy as np
import pytest

from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import parse
from gradwire.common.codecs.wrappers import subsample as subsample_module
from gradwire.common.errors import SpecError
from tests.common.codecs import checks
from tests.common.codecs.vectors import SHAPES, heavy, ramp


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize(
    ("inner", "count"), [("cuq(levels=3)", 2), ("cuq(levels=2)", 3), ("simq", 2), ("float32", 4)]
)
def test_averages_over_every_subset(
    inner: str, count: int, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E Q = x and E|Q - x|^2 = (1 / mu - 1) |x|^2 + E V(x_T) / mu^2, by all C(5, count) subsets and all payloads."""
    x, codec, alone = (
        SHAPES[shape](5),
        parse(f"subsample(inner={inner}, count={count})", 5),
        parse(inner, count),
    )
    mu, means, errors, noise = count / 5, [], [], []
    for subset in itertools.combinations(range(5), count):
        monkeypatch.setattr(subsample_module, "random_subset", lambda *_, s=subset: np.array(s))
        law = codec.law(x, shared=3)
        points = np.array([codec.decode(p, shared=3) for p in law])
        probabilities = np.array(list(law.values()))
        assert (points[:, [i for i in range(5) if i not in subset]] == 0).all()
        means.append(probabilities @ points)
        errors.append(probabilities @ ((points - x) ** 2).sum(axis=1))
        noise.append(alone.variance_at(x[list(subset)]))
    stated = (1 / mu - 1) * (x @ x) + np.mean(noise) / mu**2
    assert np.mean(means, axis=0) == pytest.approx(x, abs=1e-11)
    assert np.mean(errors) == pytest.approx(stated, rel=1e-5)  # gains are float32, a little above the norms
    assert stated <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9)


def test_payload_is_that_of_the_inner_codec() -> None:
    """The bits are the inner codec's, and decoding scales by dim / |T| exactly."""
    codec, alone, x = parse("subsample(0.3, cuq)", 10), parse("cuq", 3), ramp(10)
    subset = codec._subset(7)
    payload = checks.encode(codec, x)
    assert payload == checks.encode(alone, x[subset])
    estimate = checks.decode(codec, payload)
    assert (estimate[subset] == alone.decode(payload) * (10 / 3)).all()
    assert np.flatnonzero(estimate).size <= 3


def test_subsets_differ_per_round_and_layer() -> None:
    codec = parse("subsample(0.5, subsample(0.5, float32))", 1000)
    x = np.arange(1.0, 1001.0)
    sent = {
        tuple(np.flatnonzero(codec.decode(codec.encode(x, np.random.default_rng(0), shared=s), shared=s)))
        for s in range(5)
    }
    assert len(sent) == 5 and {len(s) for s in sent} == {250}
    outer, inner = codec._subset(1), codec._inner._subset(codec._inner_seed(1))
    assert not np.array_equal(outer[: inner.size], inner)


@pytest.mark.parametrize("dim", [3, 128, 1000, 795_010, 12_332_010])
@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
def test_bits_of_subsample(dim: int, fraction: float) -> None:
    count = max(1, round(fraction * dim))
    codec = parse(f"subsample({fraction}, cuq(levels=7))", dim)
    assert codec.count == count and codec.nbits == 32 + 3 * count
    assert parse(f"subsample({fraction}, float32)", dim).nbits == 32 * count


@pytest.mark.parametrize(
    ("inner", "budget"),
    [("cuq", 1000), ("float32", 999), ("ratq", 5000), ("simq_plus(gain=bound(1.0))", 700)],
)
def test_budgets(inner: str, budget: int) -> None:
    """As many coordinates as the budget pays for; the canonical spelling says how many, so it builds an equal codec."""
    codec = parse(f"subsample(inner={inner}, budget={budget})", 100_000)
    assert codec.nbits <= budget < parse(inner, codec.count + 1).nbits
    assert "budget=none" in codec.spec and f"count={codec.count}" in codec.spec
    assert parse(codec.spec, 100_000) == codec
    assert parse("subsample(inner=cuq, budget=1000000)", 70).count == 70


def test_one_codec_has_one_spelling() -> None:
    one = parse("subsample(0.1, cuq)", 1000)
    for text in (
        "subsample(count=100)",
        "subsample(inner=cuq(7), fraction=0.1)",
        "subsample(budget=332, inner=cuq)",
    ):
        assert parse(text, 1000) == one and parse(text, 1000).fingerprint == one.fingerprint


def test_index_domain() -> None:
    """Terms of the inner codec stay terms, and few coordinates of a dense one become terms."""
    for spec, sparse in (
        ("subsample(0.9, cross_polytope(repeats=3))", True),
        ("subsample(0.05, cuq)", True),
        ("subsample(0.9, cuq)", False),
        ("subsample(0.05, rotated(1, cuq))", True),
    ):
        codec = parse(spec, 1000)
        estimate = codec.partial_decode(checks.encode(codec, heavy(1000)), shared=7)
        assert codec.index_domain == isinstance(estimate, Terms) == sparse, spec


def test_inherited_guarantees() -> None:
    biased = parse("subsample(0.5, top_k(3))", 100)
    assert not biased.unbiased and biased.variance(1.0) >= 1.0
    assert (
        parse("subsample(0.5, cuq)", 10).unbiased
        and not parse("subsample(0.5, cuq)", 10).unbiased_given_shared
    )
    assert parse("subsample(1.0, cuq)", 10).unbiased_given_shared and math.isinf(
        parse("subsample(1.0, cuq)", 10).epsilon
    )
    assert parse("subsample(1.0, cuq)", 10).variance(2.0) == pytest.approx(parse("cuq", 10).variance(2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("0.5, cuq, 3", "fraction and count are given, expected one of them"),
        ("0.5, cuq, 3, 4", "fraction and count and budget are given"),
        ("0.0", "fraction is 0.0, expected above 0"),
        ("1.5", "fraction is 1.5"),
        ("nan", "fraction is nan"),
        ("count=0", "count is 0, expected 1 to 100"),
        ("count=101", "count is 101"),
        ("budget=34", "34 bits pay for no coordinate of cuq"),
    ],
)
def test_parameters_of_subsample(arguments: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^subsample: {message}"):
        parse(f"subsample({arguments})", 100)


def test_inner_codecs_are_checked() -> None:
    for inner in ("nothing", "cuq(levels=0)", "subsample(2.0)"):
        with pytest.raises(SpecError):
            parse(f"subsample(0.5, {inner})", 100)
