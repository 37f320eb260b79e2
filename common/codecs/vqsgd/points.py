"""A user's own point set, by the digest of a file that each process has."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.affine_weights import AffineWeights
from gradwire.common.codecs.forms.hull_codec import HullCodec
from gradwire.common.codecs.forms.known_points import (
    KnownPoints,
    known_points,
    register_example,
    registered_points,
)
from gradwire.common.codecs.forms.point_set import PointSet
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms import UNKNOWN, Masses

MOST_SETS = 4096  # of vertices whose masses are listed one by one
CAP_MARGIN, CAP_GRID = 1e-9, 2.0**20  # above a weight's cap, for rounding; caps are multiples of 1 / CAP_GRID
# A relative error of a mass below which its range counts as attained.
TIGHT = 1e-10

TRIANGLE = register_example([[4, 0], [-2, 4], [-2, -4]])
RHOMBIC = register_example(
    [*itertools.product((-1, 1), repeat=3), *(np.eye(3) * 2).tolist(), *(np.eye(3) * -2).tolist()]
)
SEGMENT = register_example([[-1], [3], [0.5]])
# Neither proven nor refuted to hold the ball: more than six coordinates, no symmetry.
SCATTERED = register_example(
    [
        [((7919 * (i * i + 3 * i) + 104729 * (j + 1) * (i + 2)) % 2003 - 1001) / 250 for j in range(7)]
        for i in range(64)
    ]
)
TETRAHEDRON = register_example([[3, 3, 3], [3, -3, -3], [-3, 3, -3], [-3, -3, 3]])


@register
@dataclass(frozen=True, kw_only=True)
class Points(HullCodec):
    """The points of a file that the user gives to each process; the spec names them by their digest.

    [V] section 4 in full generality: any point set C whose hull holds the unit ball. Theorem 6, max_c <c, u> >= 1 for
    every unit u, is decided exactly for dim + 1 points and up to 6 dimensions (by the facets of the hull). Beyond, a
    set is refused where a direction is found in which it fails; where none is found and second moments prove nothing,
    a gradient is sent with its gauge where that is above its norm, so the law is exact for every gradient all the
    same. A set that float32 has rounded to just below the ball is taken, and norms are raised by as much.

    The weights a_i solve the linear program min sum a_i |c_i|^2, which has the least variance (theory 1), on the host:
    at most half a second. For dim + 1 points they are affine in the vector, a_i = b_i + <w_i, v>, one matrix product
    ([V] Remark 3). They add up to 1 within 2^-50, and their mean is v within 1e-12 of the longest point. One vector has
    one law: where several have the least variance, up to 2^-24 of R^2, the order of the points decides.

    Payload: gain, then ``repeats`` indices of ceil(log2 K) bits for K points. For dim above that of the points put it
    into ``subsample``.
    Unbiased; variance (gain^2 sum a_i |c_i|^2 - |x|^2) / repeats, exact in ``variance_at``; ``variance`` is exact for
    dim + 1 points and points of one length, otherwise a bound through the longest point.
    Under a public bound a draw has epsilon = ln max_i (b_i + |w_i|) / (b_i - |w_i|) for dim + 1 points around the ball
    ([V] section 6; V13: the ball must be inside the interior), exactly. With more points weights vanish, and it is
    infinite: ``private(rr(epsilon), points(…))`` has one. Both are for any two gradients in the ball, as [V] Remark 5
    says: gradients of neighbouring data sets may be closer, and no assumption on data makes the stated epsilon smaller.

    Args:
        digest: what ``gradwire points FILE`` prints and ``register_points`` returns.

    Raises:
        SpecError: this process was not given the points, they have other coordinates, or a hull without the unit ball.

    >>> from gradwire import parse, register_points
    >>> digest = register_points([[4, 0], [-2, 4], [-2, -4]])
    >>> codec = parse(f"points({digest}, gain=bound(1.0))", dim=2)
    >>> codec.nbits, round(codec.variance(), 3), round(codec.epsilon, 3)
    (2, 18.333, 1.099)
    """

    digest: str = field(metadata={"first": True})

    name = "points"
    source = "[V] 4, Theorem 6, 6 (V13)"

    def __post_init__(self) -> None:
        super().__post_init__()
        dim = self._known.points.shape[1]
        if dim != self.dim:
            raise SpecError(
                f"points: dim is {self.dim:,}, the points of {self.digest} have {dim:,} coordinates: give points of "
                f"that many, or send a part of the gradient, subsample(inner=points({self.digest}), count={dim})"
            )
        _ = self._set  # refuses a set whose hull is too small

    @property
    def _known(self) -> KnownPoints:
        return known_points(self.digest)

    @cached_property
    def _set(self) -> PointSet:
        return self._known.usable

    @property
    def _affine(self) -> AffineWeights | None:
        return self._set.affine

    @property
    def variance_is_bound(self) -> bool:
        one_length = self._set.squares.min() == self._set.squares.max()
        return self._set.largest_gauge > 1 or (self._affine is None and not one_length)

    def second_moment(self, norm: float) -> float:
        return (
            super().second_moment(norm)
            if self._affine is None
            else self._affine.second_moment(self._set.squares, norm)
        )

    @cached_property
    def vertex_sum(self) -> Terms | None:
        # Rounded once: decoders of private reports need equal bits.
        total = np.array([math.fsum(column) for column in self._set.points.T.tolist()])
        return Terms(self.dim, np.arange(self.dim), total) if total.any() else None

    def masses(self, size: int) -> Masses:
        """Of dim + 1 points exactly, where their sets are few; of more, a single weight has at most ``_weight_cap``."""
        if self._affine is None:
            return Masses(((0.0, self._weight_cap),), tight=False) if size == 1 else UNKNOWN
        if math.comb(self.vertices, size) > MOST_SETS:
            return UNKNOWN
        ranges = self._affine.ranges(size)
        off, least = size * self._affine.rounding, min(low for low, _ in ranges)
        return Masses(tuple(ranges), tight=off <= TIGHT * least)

    @cached_property
    def _weight_cap(self) -> float:
        """A bound on every weight over the ball, 1 at most.

        With v = a c + (1 - a) z, z in the hull, and u = c / |c|, h = max_c' <c', -u>: 1 >= <v, u> >= a |c| - (1 - a) h,
        so a <= (1 + h) / (|c| + h). Rounded up so far that machines whose sums differ have equal caps.
        """
        points, most = self._set.points, 0.0
        lengths = np.sqrt(self._set.squares)
        for part in np.array_split(np.arange(len(points)), -(-points.size // (1 << 12))):
            against = -(points[part] @ points.T).min(axis=1) / np.maximum(lengths[part], 1e-300)
            most = max(most, float(((1 + against) / (np.maximum(lengths[part], 1.0) + against)).max()))
        return min(1.0, math.ceil((most + CAP_MARGIN) * CAP_GRID) / CAP_GRID)

    @classmethod
    def planned(cls) -> tuple[str, ...]:
        return tuple(
            template
            for digest in registered_points()
            for template in (
                f"points({digest})",
                f"points({digest}, repeats={{n}})",
                f"points({digest}, repeats={{n}}, gain=bound(1.0))",
                f"private(rr(epsilon={{epsilon}}), points({digest}))",
            )
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(f"points({RHOMBIC})", 3, enumerable=True),
            Example(f"points({TRIANGLE}, repeats=2, gain=bound(1.0))", 2, enumerable=True),
            Example(f"points({TRIANGLE})", 2, enumerable=True),
            Example(f"points({TETRAHEDRON}, gain=bound(2.0))", 3, enumerable=True),
            Example(f"points({RHOMBIC}, repeats=2, gain=bound(2.0))", 3, enumerable=True),
            Example(f"points({SEGMENT})", 1, enumerable=True),
            Example(f"points({SCATTERED})", 7, enumerable=True),
            Example(f"points({SCATTERED}, gain=bound(2.0), repeats=5)", 7),
        )
