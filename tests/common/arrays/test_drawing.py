"""Coordinates drawn in proportion to magnitude, against their exact probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.common.arrays.blocks import CHUNK, LANES, block_sums
from gradwire.common.arrays.sampling import FEW, SLAB, Drawn, draw_coordinates
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import ReplayCoins, coins
from tests.common.codecs.vectors import heavy, ramp

DRAWS = 300_000


class GivenUniforms:
    """Coins that say what they are told to."""

    secret = False

    def __init__(self, blocks: list[float], heights: list[float]) -> None:
        self._uniforms = np.array(blocks + heights)

    def uniforms(self, count: int) -> np.ndarray:
        assert count == self._uniforms.size
        return self._uniforms


def draw(x: np.ndarray, spare: float, count: int, source: object) -> Drawn:
    """Draws whose total is the sums' own times ``spare``."""
    sums = block_sums(x)
    return draw_coordinates(x, sums, spare * sums.total, count, source)


def check_support(x: np.ndarray, support: dict[int, float], chance: Chance, spare: float = 1.5) -> None:
    """A vector that is zero but at the support: the law has few outcomes, however large the vector."""
    for index, value in support.items():
        x[index] = value
    total = spare * block_sums(x).total
    drawn = draw(x, spare, DRAWS, coins(chance.rng))
    places = np.array(sorted(support))
    assert np.isin(drawn.coordinate, [*places, -1]).all(), "a zero coordinate was drawn"
    counts = [(drawn.coordinate == i).sum() for i in (*places, -1)]
    shares = [abs(float(x[i])) / total for i in places]
    check_counts(np.array(counts), np.array([*shares, 1 - sum(shares)]), chance, f"coordinates {places}")
    hit = drawn.coordinate >= 0
    assert (drawn.negative[hit] == (x[drawn.coordinate[hit]] < 0)).all() and not drawn.negative[~hit].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_coordinates_of_many(dtype: type, chance: Chance) -> None:
    """In one block, in neighbouring blocks, at the ends of chunks, and in the tail."""
    dim = 2 * CHUNK + 5 * LANES + 3
    places = [
        0,
        LANES,
        2 * LANES,
        127 * LANES,
        1,
        CHUNK - 1,
        CHUNK,
        2 * CHUNK - 1,
        2 * CHUNK,
        2 * CHUNK + LANES,
        dim - 1,
    ]
    support = {i: (-1.0) ** k * (1 + k % 4) for k, i in enumerate(places)}
    check_support(np.zeros(dim, dtype), support, chance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("small", [2.0**-10, 2.0**-30, 2.0**-100])
def test_huge_dynamic_range(small: float, dtype: type, chance: Chance) -> None:
    """In a block with a coordinate that dwarfs it, and in a block of its own."""
    support = {3: 1.0, 3 + LANES: small, 3 + 2 * LANES: -small, 3 + 3 * LANES: 1.0, 4: small, CHUNK + 4: -0.5}
    check_support(np.zeros(2 * CHUNK, dtype), support, chance)


def test_no_room_for_the_rest(chance: Chance) -> None:
    check_support(np.zeros(10), {2: 3.0, 7: -1.0}, chance, spare=1.0)


@pytest.mark.parametrize("dim", [5, LANES + 1, CHUNK + 1])
def test_zero_vector_leaves_all_to_the_rest(dim: int) -> None:
    sums = block_sums(np.zeros(dim, np.float32))
    for total in (0.0, 1.0):
        drawn = draw_coordinates(np.zeros(dim, np.float32), sums, total, 1000, coins(1))
        assert (drawn.coordinate == -1).all() and not drawn.negative.any()


def test_all_coordinates_of_many_chunks(chance: Chance) -> None:
    """Every coordinate in its place: sums of the law over 97 residues, which no block or lane aligns with."""
    x = heavy(3 * CHUNK + 1234).astype(np.float32)
    drawn = draw(x, 2.0, DRAWS, coins(chance.rng))
    shares = np.abs(x.astype(np.float64)) / (2.0 * block_sums(x).total)
    law = np.append(np.bincount(np.arange(x.size) % 97, shares), 1 - shares.sum())
    counts = np.bincount(np.where(drawn.coordinate < 0, 97, drawn.coordinate % 97), minlength=98)
    check_counts(counts, law, chance, "residues modulo 97")


def test_many_blocks_at_once(chance: Chance) -> None:
    """More distinct blocks than are looked into at a time."""
    x = np.ones(160 * CHUNK // 8, np.float32)
    blocks = x.size // 128
    assert blocks > 2 * SLAB
    drawn = draw(x, 1.0, 200_000, coins(chance.rng))
    assert np.unique(drawn.coordinate[drawn.coordinate >= 0] % LANES).size == LANES
    law = np.full(40, 1 / 40)
    inside = drawn.coordinate[drawn.coordinate >= 0]
    check_counts(np.bincount(inside * 40 // x.size, minlength=40), law, chance, "fortieths of a flat vector")


def test_uniforms_at_their_ends() -> None:
    """The smallest finds the first coordinate that is not zero; the largest fall on the rest, not off the array."""
    x = np.zeros(CHUNK + 9)
    x[[5, 5 + LANES, CHUNK + 2]] = [1.0, -1.0, 2.0]
    last = 1 - 2.0**-53
    drawn = draw(x, 1.0, 5, GivenUniforms([0.0, 0.0, 1 - 1e-9, last, last], [0.0, last, 0.0, 0.0, last]))
    assert drawn.coordinate.tolist() == [5, -1, CHUNK + 2, -1, -1]
    assert not drawn.negative.any()


def test_boundaries_between_coordinates() -> None:
    """A height equal to a cumulative sum belongs to the next coordinate: > where >= would draw a zero coordinate."""
    x = np.zeros(4 * LANES)
    x[[LANES, 3 * LANES]] = [1.0, -1.0]  # lane 0: 0, 1, 0, -1
    slack = block_sums(x).slack
    heights = [0.0, 0.25, 0.5 / slack, 0.75, (1 - 2.0**-53) / slack**2]
    drawn = draw(x, 1.0, 5, GivenUniforms([0.1] * 5, heights))
    assert drawn.coordinate.tolist() == [LANES, LANES, 3 * LANES, 3 * LANES, 3 * LANES]
    assert drawn.negative.tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("few", [0, FEW])
@pytest.mark.parametrize("dim", [3, LANES, CHUNK - 1, CHUNK, 2 * CHUNK + 77])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_backends_draw_the_same(dim: int, dtype: type, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether blocks are fetched or looked into where they are."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("gradwire.common.arrays.sampling.FEW", few)
    monkeypatch.setattr("gradwire.common.arrays.sampling.FEW_SHARE", 1)
    x = ramp(dim).astype(dtype)
    sums = block_sums(x)
    for count in (0, 1, 1000, 50_000):
        ours = draw_coordinates(x, sums, 1.2 * sums.total, count, ReplayCoins())
        theirs = draw_coordinates(torch.from_numpy(x), sums, 1.2 * sums.total, count, ReplayCoins())
        assert ours.coordinate.tolist() == theirs.coordinate.tolist() and ours.coordinate.dtype == np.int64
        assert ours.negative.tolist() == theirs.negative.tolist()
