"""``simq-tradeoff``: the steps and bounds by formula, AGUQ within and beyond its reach, and the document."""

import math

import numpy as np
import pytest

from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.experiments.simq_tradeoff import Tradeoff
from gradwire.bench.papers.simq_alpha import rows_at
from gradwire.bench.papers.simq_bounds import axes_constant, constants, lower_gap, shape_of_lower_gap
from gradwire.bench.papers.simq_descent import (
    descend,
    guaranteed_gap,
    nbits,
    optimizer,
    shortest_code,
    step_size,
)
from gradwire.common.codecs import parse
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.deploy.report.document import Chart, Table

DIM = 16


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0, math.inf])
@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_the_step_minimises_the_bound(p: float, alpha: float) -> None:
    """R^2 / (2 h T (p' - 1)) + h alpha'^2 / 2 with alpha' in l_q': least, and equal to what is guaranteed, at h."""
    exponent = 2.0 if p >= 2 else max(p, 1 + 1 / math.log(DIM))
    radius = DIM ** (1 / exponent - 1 / p)
    longer = alpha * (DIM ** (1 / p - 1 / exponent) if p < 2 else 1.0)

    def bound(h: float) -> float:
        return radius**2 / (2 * h * 900 * (exponent - 1)) + h * longer**2 / 2

    h = step_size(DIM, p, alpha, 900)
    assert bound(h) == pytest.approx(guaranteed_gap(DIM, p, alpha, 900))
    assert min(bound(0.9 * h), bound(1.1 * h)) > bound(h)
    parse_optimizer(optimizer(DIM, p, alpha, 900))


@pytest.mark.parametrize(
    ("p", "codec", "moment"),
    [
        (2.0, "simq_plus(2, p=2.0, gain=bound(1.0))", 1 + 16 / 2),
        (4.0, "simq_plus(1, p=4.0, gain=bound(1.0))", 1 + 4.0),
        (1.5, "subsample(inner=lq_split(p=1.5, gain=exact), count=8)", 12 * 2 ** (2 / 1.5)),
        (1.0, "float32", 1.0),
    ],
)
def test_gaps_keep_their_bound(p: float, codec: str, moment: float) -> None:
    alpha = math.sqrt(moment)
    result = descend(f"hard_instance({DIM}, p={p})", codec, DIM, p, alpha=alpha, rounds=300, seeds=[0, 1])
    assert 0 < np.mean(result["gaps"]) <= guaranteed_gap(DIM, p, alpha, 300)
    assert result["bits"] == nbits(codec, DIM)


def test_the_shortest_code_has_the_same_estimates() -> None:
    codec = "simq_plus(4, p=2.0, gain=bound(1.0))"
    gaps = [
        descend(f"hard_instance({DIM}, p=2.0)", spec, DIM, 2.0, alpha=2.0, rounds=50, seeds=[3])["gaps"]
        for spec in (codec, shortest_code(codec))
    ]
    assert gaps[0] == gaps[1] and nbits(shortest_code(codec), DIM) < nbits(codec, DIM)


def test_sampling_flat_vectors_has_the_stated_second_moment() -> None:
    """(d / m)^(2/p) |x|_q^2 of what is kept, exactly, for every subset."""
    p, dim, count = 1.5, 64, 16
    x = np.full(dim, dim ** (1 / p - 1))
    codec = parse(f"subsample(inner=float32, count={count})", dim)
    q = p / (p - 1)
    decoded = codec.decode(codec.encode(x, np.random.default_rng(0), shared=1), shared=1)
    assert np.linalg.norm(decoded, q) ** 2 == pytest.approx((dim / count) ** (2 / p), rel=1e-6)


def test_beyond_its_reach_aguq_leaves_the_whole_gap() -> None:
    cases = [case for case in Tradeoff().cases(full=False) if case["kind"] == "biased"]
    gaps = {}
    for case in cases:
        result = Tradeoff().measure(**{**case, "dim": DIM, "rounds": 800, "seeds": [0]})
        gaps[case["horizon"], case["tail"]] = result["gaps"][0]
    assert gaps[16, 4.5] == pytest.approx(0.5 / 4.5, rel=1e-5)
    assert gaps[16, 4.0] < 0.9 * 0.5 / 4 and gaps[4096, 4.5] < 0.9 * 0.5 / 4.5


def test_lower_bounds_are_below_upper_ones_and_largest_for_few_bits() -> None:
    for p in (1.0, 1.5, 2.0, 4.0, math.inf):
        gaps = [lower_gap(1024, p, bits, 4096) for bits in (1, 8, 64, 1024, 4096)]
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[-1] < guaranteed_gap(1024, p, 1.0, 4096)
        assert shape_of_lower_gap(1024, p, 1024) == shape_of_lower_gap(1024, p, 4096) == 1
    assert lower_gap(1024, 2, 2000, 100) == pytest.approx(2 * axes_constant(1024) / 10)
    assert lower_gap(1024, 1, 256, 100) == pytest.approx(2 * constants(1024)[0] * 2 / 10)


@pytest.mark.parametrize("law", ["product", "axes"])
def test_constants_are_those_of_the_proofs_best_delta(law: str) -> None:
    """Over DB / sqrt T, and DB d^(1/2 - 1/p) / sqrt T for the axes, at so many bits that all coordinates count."""
    dim, rounds = 1024, 10**6
    c2 = math.log(2) * (1 + 0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    shared, stated = (
        (360 * dim, constants(dim)[0]) if law == "product" else (4, axes_constant(dim) * math.sqrt(dim))
    )
    deltas = np.geomspace(1e-6, 0.5, 400_001)
    errors = deltas / 4 * (1 - (rounds * shared * deltas**2 + math.log(2)) / (c2 * dim))
    assert errors.max() * math.sqrt(rounds) == pytest.approx(stated, rel=1e-6)


def test_the_document_has_every_point() -> None:
    rng = np.random.default_rng(0)
    results = [
        Measured(case, {"gaps": (0.1 + 0.001 * rng.random(len(case["seeds"]))).tolist(), "bits": 1.0})
        for case in Tradeoff().cases(full=False)
    ]
    document = Tradeoff().document(results, full=False)
    parts = [part for section in document.sections for part in section.parts]
    charts = [part for part in parts if isinstance(part, Chart)]
    gaps, alphas, biased = (part for part in parts if isinstance(part, Table))
    assert len(charts) == 4 and all(len(chart.series) >= 5 for chart in charts)
    assert len(gaps.rows) + len(biased.rows) == len(results) and len(alphas.rows) == len(rows_at(64))
    assert "float32" in document.about


def test_cases_of_both_scales_are_distinct() -> None:
    for full in (False, True):
        cases = [repr(case) for case in Tradeoff().cases(full=full)]
        assert len(cases) == len(set(cases))
