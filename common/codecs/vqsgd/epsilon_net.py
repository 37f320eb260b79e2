"""The scaled epsilon-net of [V]: so many points on a sphere that its radius hardly exceeds 1."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.compat import F64, I64
from gradwire.common.arrays.sampling import draw_uniform
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.forms.sphere import SphereCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins

MAX_BITS = 40  # of an index, which stays exact in float64 and in int64


class Combination(NamedTuple):
    """Net points as places on the grid, int64 [d, d], with weights [d] of sum at most 1; the rest is spread evenly."""

    places: I64
    weights: F64


@register
@dataclass(frozen=True, kw_only=True)
class EpsilonNet(SphereCodec):
    """Vertices R u for the u of an e-net of the unit sphere, e at most ``covering``, 0 < e < 1.

    [V] section 5.3.2 admits any net, with R = 1 / (1 - e) (Lemma 11) and a linear program; by erratum V6, R = 1 / (1 -
    e^2 / 2) is enough. This net (theory 1.1) needs no program and a smaller R: cut every face of the cube [-1, 1]^d
    into m^(d-1) cells, and project their corners to the sphere. A cell's corners are within c = sqrt(d - 1) / m of its
    centre, so seen from the origin within 2 arctan(c / 2), and on the sphere within e = c / sqrt(1 + c^2 / 4); m is the
    least that makes this a net of ``covering``. R = sqrt(1 + c^2).

    y = v / |v|_inf, v = x / gain, lies in a cell; sorting its d - 1 fractions finds d corners g with y = sum l_g g
    ([Freudenthal]), and vertex R g / |g| has weight a_g = |v|_inf l_g |g| / R. These add up to at most 1, because
    sum l_g |g|^2 <= |y|^2 + c^2 (a coordinate that is rounded to one of two values 2 / m apart has variance at most
    1 / m^2), hence sum l_g |g| <= R |y|. The rest is spread evenly over the net, whose mean is zero.

    Payload: gain, then ``repeats`` indices of ceil(log2((m + 1)^d - (m - 1)^d)) bits, at most 40.
    Unbiased; variance (gain^2 R^2 - |x|^2) / repeats for every x, (d - 1) / m^2 for unit vectors.

    Args:
        covering: the largest e, 1e-12 to below 1; not called epsilon, which is the privacy of a payload.

    Raises:
        SpecError: a covering outside these bounds, or a net of more than 2**40 points.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("epsilon_net(0.5)", dim=8)
    >>> codec.vertices, codec.nbits, round(codec.variance(), 3)
    (5374176, 55, 0.194)
    """

    covering: float = field(default=0.75, metadata={"first": True})

    name = "epsilon_net"
    source = "[V] 5.3.2, Prop 12 (V6)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1e-12 <= self.covering < 1:
            raise SpecError(
                f"epsilon_net: covering is {self.covering}, expected a distance from 1e-12 to below 1"
            )
        # The first test keeps the integers of the second one small.
        if self.dim > MAX_BITS or self.cells > 1 << MAX_BITS or self.vertices > 1 << MAX_BITS:
            raise SpecError(
                f"epsilon_net: a net of dim {self.dim} with covering {self.covering} needs more than 2**{MAX_BITS} "
                f"points: raise covering, or choose reed_muller(repeats=…); covering=0.9 fits up to dim 17"
            )

    @cached_property
    def cells(self) -> int:
        """The number m of cells along an edge of the cube."""
        least_square = (self.dim - 1) * (1 / self.covering**2 - 0.25)
        cells = max(1, math.ceil(math.sqrt(min(least_square, 4.0**MAX_BITS))))
        # The root may have been rounded down.
        return cells if least_square <= cells**2 else cells + 1

    @property
    def radius(self) -> float:
        """The length R of the vertices, for gain 1."""
        return math.sqrt(self.squared_radius)

    @cached_property
    def vertices(self) -> int:
        inside, all_ = self.cells - 1, self.cells + 1
        return int(all_**self.dim - inside**self.dim)

    @property
    def squared_radius(self) -> float:
        return 1 + (self.dim - 1) / self.cells**2

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate.l2(vector, at_least=float(self._combination(vector.on_host).weights.sum()))

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> I64:
        places, weights = self._combination(vector.on_host)
        which = np.searchsorted(np.cumsum(weights), coins.uniforms(count), side="right")
        vertices = np.append(self._indices(places), -1)[which]
        return np.where(vertices < 0, draw_uniform(self.vertices, count, coins), vertices)

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        points = self._points(vertices) * (weights * self.radius)[:, None]
        return Terms(self.dim, np.tile(np.arange(self.dim), vertices.size), points.reshape(-1))

    def _probabilities(self, v: F64) -> F64:
        places, weights = self._combination(v)
        law = np.full(self.vertices, max(0.0, 1 - float(weights.sum())) / self.vertices)
        np.add.at(law, self._indices(places), weights)
        return law

    def _combination(self, v: F64) -> Combination:
        """The corners of the simplex around v's direction, with their weights; exact to a few roundings of float64."""
        axis = int(np.abs(v).argmax())
        top = abs(float(v[axis]))
        place = (v / (top or 1.0) + 1) * (self.cells / 2)
        place[axis] = self.cells if v[axis] > 0 else 0
        low = np.minimum(place.astype(np.int64), self.cells - 1)
        low[axis] = place[axis]
        fraction = place - low
        order = np.argsort(-fraction, kind="stable")
        order = order[order != axis]
        steps = np.concatenate([[1.0], fraction[order], [0.0]])
        places = np.tile(low, (self.dim, 1))
        for k, coordinate in enumerate(order):
            places[k + 1 :, coordinate] += 1
        lengths = np.sqrt(((2 * places - self.cells) ** 2).sum(axis=1)) / self.cells
        return Combination(places, top / self.radius * (steps[:-1] - steps[1:]) * lengths)

    # ---- indices -------------------------------------------------------------------------------------------
    #
    # The index of a corner depends first on which of its places is the first that is 0 or m. The places before that one
    # have m - 1 values each, it has two, and those after it have m + 1: a number of mixed radix.

    def _radices(self, first: I64) -> I64:
        """The number of values of each place, int64 [k, d], where place ``first`` [k] is the first at an end."""
        place = np.arange(self.dim)
        radices = np.where(place < first[:, None], self.cells - 1, self.cells + 1)
        return np.where(place == first[:, None], 2, radices)

    @cached_property
    def _starts(self) -> I64:
        """The least index of a corner for each ``first``: int64 [d]."""
        inside, all_ = self.cells - 1, self.cells + 1
        sizes = [2 * inside**j * all_ ** (self.dim - 1 - j) for j in range(self.dim)]
        return np.array([sum(sizes[:j]) for j in range(self.dim)])

    def _indices(self, places: I64) -> I64:
        """The vertices int64 [k] of corners [k, d]."""
        first = ((places == 0) | (places == self.cells)).argmax(axis=1)
        radices = self._radices(first)
        digits = places - (np.arange(self.dim) < first[:, None])
        digits[np.arange(first.size), first] //= self.cells
        number = np.zeros(first.size, np.int64)
        for j in range(self.dim):
            number = number * radices[:, j] + digits[:, j]
        vertices: I64 = self._starts[first] + number
        return vertices

    def _points(self, vertices: I64) -> F64:
        """The directions u of vertices [k]: float64 [k, d], by integers, one square root and one division."""
        first = np.searchsorted(self._starts, vertices, side="right") - 1
        radices, number = self._radices(first), vertices - self._starts[first]
        places = np.empty((vertices.size, self.dim), np.int64)
        for j in reversed(range(self.dim)):
            number, places[:, j] = np.divmod(number, np.maximum(1, radices[:, j]))
        places += np.arange(self.dim) < first[:, None]
        places[np.arange(first.size), first] *= self.cells
        corners = 2 * places - self.cells
        points: F64 = corners / np.sqrt((corners**2).sum(axis=1))[:, None]
        return points

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("epsilon_net", 3, enumerable=True),
            Example("epsilon_net(0.5)", 2, enumerable=True),
            Example("epsilon_net(0.9, repeats=2, gain=bound(2.0))", 2, enumerable=True),
            Example("epsilon_net", 1, enumerable=True),
            Example("epsilon_net(0.9)", 4, enumerable=True),
            Example("epsilon_net(0.5, repeats=10)", 8),
        )
