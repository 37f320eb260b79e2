"""Point sets that are private by themselves: their epsilons against closed forms, and who has none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.common.arrays.decisions import ROUNDING
from gradwire.common.arrays.hadamard import hadamard_transform
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.privacy.mechanisms import Masses
from tests.grids import looped

DIMS = [1, 2, 3, 7, 128, 795_010, 12_332_010]


def simplex(d: int) -> float:
    r = math.sqrt(9 - 8 / d)
    return math.log((4 + r) / (4 - r))


def check(spec: str, dim: int, meant: float) -> None:
    """Never below the closed form, above it by what is added for rounding."""
    codec = parse(spec, dim)
    assert codec.private and codec.secret_coins
    assert meant <= codec.epsilon <= meant + codec.draws * 1.01 * ROUNDING


@looped("dim", DIMS)
@looped("repeats", [1, 10])
def test_simplex(dim: int, repeats: int) -> None:
    """Theory 1.1: ln (4 + r)/(4 - r), ln 3 for d = 1, below ln 7."""
    meant = math.log(3) if dim == 1 else simplex(dim)
    check(f"simplex(gain=bound(2), repeats={repeats})", dim, repeats * meant)
    assert meant < math.log(7)


@looped("dim", DIMS)
def test_hadamard(dim: int) -> None:
    """Erratum V1: ln 3 for kappa = 2, for every d; kappa = coth(epsilon / 2) gives any."""
    check("hadamard(gain=bound(0.1))", dim, math.log(3))
    for epsilon in (0.1, 1.0, 4.0, 8.0):
        kappa = 1 / math.tanh(epsilon / 2)
        check(f"hadamard({kappa!r}, gain=bound(0.1), repeats=3)", dim, 3 * epsilon)


@looped("dim", DIMS)
def test_scaled_cross_polytope(dim: int) -> None:
    """Erratum V2: ln(2 sqrt d + 2 - 1/sqrt d) for scale 2; ln(1 + 2dA / (scale - 1)) for any."""
    check(
        "cross_polytope(scale=2, gain=bound(1))", dim, math.log(2 * math.sqrt(dim) + 2 - 1 / math.sqrt(dim))
    )
    a = (1 - 1 / (2 * dim)) / math.sqrt(dim) + 1 / (2 * dim)
    for scale in (1.001, 1.5, 100.0):
        check(f"cross_polytope(scale={scale}, gain=bound(1))", dim, math.log(1 + 2 * dim * a / (scale - 1)))


@pytest.mark.parametrize(
    "spec",
    [
        "simplex",
        "hadamard",
        "cross_polytope(scale=2)",
        "simplex(gain=aguq(1.0, 10))",
        "hadamard(1, gain=bound(1))",
        "cross_polytope(gain=bound(1))",
        "reed_muller(gain=bound(1))",
        "simq(gain=bound(1))",
        "simq_plus(gain=bound(1))",
        "l1_systematic(gain=bound(1))",
        "gaussian(6, gain=bound(1))",
        "epsilon_net(gain=bound(1))",
        "cuq(gain=bound(1))",
    ],
)
def test_codecs_without_privacy(spec: str) -> None:
    """A length that depends on the gradient, or a vertex that some gradient makes impossible."""
    assert parse(spec, 3).epsilon == math.inf and not parse(spec, 3).private


def test_dimensions_beyond_float64() -> None:
    """Where rounding of the law would be noticed, nothing is promised."""
    for spec, last in (
        ("hadamard(gain=bound(1))", 1 << 24),
        ("cross_polytope(scale=2, gain=bound(1))", 1 << 32),
        ("simplex(gain=bound(1))", 1 << 32),
    ):
        assert parse(spec, last).private and not parse(spec, last + 1).private


def test_wrappers_inherit_privacy() -> None:
    inner = "hadamard(gain=bound(1))"
    for outer in (f"rotated(3, {inner})", f"subsample(0.5, {inner})", "gain_shape(bound(1), hadamard)"):
        codec = parse(outer, 6)
        assert codec.private and codec.secret_coins and codec.epsilon == parse(inner, 6).epsilon
    assert (
        parse(f"rotated(3, {inner})", 6).epsilon_is_bound
        and not parse(f"rotated(3, {inner})", 8).epsilon_is_bound
    )


SETS = [
    "cross_polytope",
    "cross_polytope(scale=1.5)",
    "simq",
    "simq_plus(1)",
    "hadamard",
    "hadamard(1)",
    "simplex",
]


@pytest.mark.parametrize("spec", [*SETS, "reed_muller", "linear_code"])
@looped("dim", [1, 2, 3, 4])
def test_masses(spec: str, dim: int) -> None:
    """No set of vertices leaves its range at any of many vectors; where tight, some sets reach both ends."""
    codec = parse(spec, dim)
    assert isinstance(codec, VertexCodec)
    rng = np.random.default_rng(3)
    vectors = [v / np.linalg.norm(v, getattr(codec, "q", 2)) for v in rng.normal(size=(60, dim))]
    signs = [np.array([1.0 - 2 * (k >> i & 1) for i in range(dim)]) for k in range(2**dim)]
    for part in range(1, dim + 1):
        flat = [np.where(np.arange(dim) < part, s, 0.0) for s in signs]
        vectors += [v / np.linalg.norm(v, getattr(codec, "q", 2)) for v in flat]
    if spec == "simplex":
        steep = np.full(dim, -1 / (3 * dim**2)) + np.eye(dim)[0] / (2 * dim)
        vectors += [steep / np.linalg.norm(steep), -steep / np.linalg.norm(steep)]
    if spec in ("reed_muller", "linear_code") and dim & (dim - 1) == 0:
        vectors += [hadamard_transform(v) / math.sqrt(dim) for v in vectors]  # flat in the basis of rows
    vectors.append(np.zeros(dim))
    laws = np.array([codec._probabilities(codec._prepare(vector_of(v, codec)).on_host) for v in vectors])
    for size in range(1, codec.vertices):
        check_range(codec.masses(size), laws, size)


def vector_of(v: np.ndarray, codec: VertexCodec) -> GradientVector:
    return GradientVector.of(v * (1 - 1e-13), codec.dim)


def check_range(masses: Masses, laws: np.ndarray, size: int) -> None:
    least = min(low for low, _ in masses.ranges)
    most = max(high for _, high in masses.ranges)
    ordered = np.sort(laws, axis=1)
    assert ordered[:, :size].sum(axis=1).min() >= least - 1e-12
    assert ordered[:, -size:].sum(axis=1).max() <= most + 1e-12
    if masses.tight and len(masses.ranges) == 1:
        assert ordered[:, :size].sum(axis=1).min() <= least + 1e-9
        assert ordered[:, -size:].sum(axis=1).max() >= most - 1e-9
