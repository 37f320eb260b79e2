"""The scales of nearest vertices: against integrals done otherwise, and pinned to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special

from gradwire.common.arrays.largest import largest_normals, largest_on_sphere, mean_length
from tests.common.codecs.chance import Chance


def mean_of_sum(count: int, among: int) -> float:
    """E of the sum of the largest is the integral over t of E min(count, how many are above t), by scipy."""

    def expected(t: float) -> float:
        tail = special.erfc(t / math.sqrt(2))
        ranks = np.arange(1, count + 1)
        return float(special.betainc(ranks, among - ranks + 1, tail).sum())

    split = [0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6]
    return float(integrate.quad(expected, 0, 12, points=split, limit=600, epsabs=1e-12, epsrel=1e-12)[0])


@pytest.mark.parametrize(
    ("count", "among"),
    [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 3),
        (5, 6),
        (1, 128),
        (3, 100),
        (99, 100),
        (1, 1024),
        (1216, 65_536),
        (1, 2**24),
        (7, 2**24),
    ],
)
def test_largest_normals(count: int, among: int) -> None:
    expected = mean_of_sum(count, among) if count < among else count * math.sqrt(2 / math.pi)
    assert largest_normals(count, among) == pytest.approx(expected, rel=1e-12)


def test_closed_forms() -> None:
    """E max of two |N| is 2 / sqrt(pi); all of them are sqrt(2 / pi) each."""
    assert largest_normals(1, 2) == pytest.approx(2 / math.sqrt(math.pi), rel=1e-15)
    assert largest_normals(50, 50) == pytest.approx(50 * math.sqrt(2 / math.pi), rel=1e-15)
    assert largest_on_sphere(1, 1, 1) == 1.0  # the sphere of R^1 is ±1


@pytest.mark.parametrize("dim", [*range(1, 10), 63, 64, 65, 100, 1024])
def test_mean_lengths(dim: int) -> None:
    expected = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
    assert mean_length(dim) == pytest.approx(expected, rel=1e-12)


def test_mean_lengths_of_many_coordinates() -> None:
    """E|G|^2 = d and Var|G| -> 1/2: sqrt(d - 1/2) to second order."""
    for dim in (2**16, 2**24, 2**40):
        assert mean_length(dim) == pytest.approx(math.sqrt(dim - 0.5), rel=1 / dim**2 + 1e-15)


# What every machine must compute, to the last bit.
PINNED = [
    (1, 1, 64, "0x1.9a1d9fd17ef9ap-4"),
    (1, 720, 65_536, "0x1.ac228dc7b20a8p-7"),
    (1, 16_384, 65_536, "0x1.089521f81f940p-6"),
    (1220, 65_536, 65_536, "0x1.9a1dc9d0782f1p+3"),
    (32_768, 65_536, 65_536, "0x1.456725735ba94p+7"),
    (1, 2**24, 2**24, "0x1.61284532ee531p-10"),
    (100_000, 2**24, 2**24, "0x1.2a051c5adc001p+6"),
]


@pytest.mark.parametrize(("count", "among", "dim", "bits"), PINNED)
def test_values_are_pinned(count: int, among: int, dim: int, bits: str) -> None:
    assert largest_on_sphere(count, among, dim).hex() == bits


def test_on_the_sphere(chance: Chance) -> None:
    """The mean over random directions, by Hoeffding's bound: sums of ``count`` coordinates are at most sqrt(count)."""
    samples, dim = 20_000, 16
    u = chance.rng.standard_normal((samples, dim))
    u = np.sort(np.abs(u / np.linalg.norm(u, axis=1, keepdims=True)), axis=1)
    for count in (1, 4, 16):
        seen = float(u[:, dim - count :].sum(axis=1).mean())
        allowed = math.sqrt(count * math.log(6 / chance.rate) / (2 * samples))
        assert abs(seen - largest_on_sphere(count, dim, dim)) <= allowed, chance
