"""Differential privacy for any point set: a mechanism on the vertices that it draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.arrays.update import Terms, Vector, as_dense, concatenate
from gradwire.common.codecs import AnyCodec, Codec, Example, parse, register
from gradwire.common.codecs.forms.gain import BoundGain
from gradwire.common.codecs.forms.gain_codec import with_gain
from gradwire.common.codecs.forms.sphere import SphereCodec
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.wrappers.private_point_set import (
    check_packs_nothing,
    check_takes_both_signs,
    private_point_set,
)
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms import Mechanism, Moments, Response, build_mechanism
from gradwire.common.privacy.mechanisms.base import Reports
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


class BoundedReports(NamedTuple):
    """The symbols of a payload: the bound [] and one report per draw; a batch has a leading axis in both."""

    bound: F64 | np.float64
    reports: Reports


@register
@dataclass(frozen=True, kw_only=True)
class Private(Codec[BoundedReports]):
    """Vertices of the point set ``codec`` under the public ``bound``, each reported through ``mechanism``.

    A gradient is clipped to the bound, in the l2 norm or the norm of the point set, a vertex c is drawn by secret
    coins, and the mechanism reports on it. With p and q the probabilities that a report names the true vertex and a
    given other one, and S the sum of all vertices, a report decodes to bound (sum of the vertices named - q S) /
    (p - q) ([V] section 6; theory 1.2).

    Payload: ``repeats`` reports; of ``rr`` in the set's coding, else K bits each (K vertices), or ceil(log2 C(K, w)).
    Unbiased for the clipped gradient; variance that of a report (theory 1.2; errata V3 and V4) over ``repeats``, plus
    the square of what clipping removes. ``epsilon`` is ``repeats`` times that of a report, exactly: all of them may be
    equal.

    Args:
        mechanism: ``rr(epsilon)``, ``rappor(epsilon)``, ``oue(epsilon)`` or ``subset_selection(epsilon, w)``; epsilon
            is that of one report.
        codec: a point set with its parameters, without a gain: norms that depend on the data have no finite epsilon
            (theory 1.3), nor have systematic draws, nor payloads whose length depends on the data.
        bound: the norm to which gradients are clipped.

    Raises:
        SpecError: a codec that is no such point set, a mechanism that cannot have this epsilon on it, or a coding that
            cannot represent its reports: ``type_signs`` and ``l1_ball`` with several reports that name a vertex each,
            because a report may name the opposite of another, and any with ``rappor``, ``oue`` and
            ``subset_selection``, whose reports are not vertices.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("private(rr(epsilon=4), cross_polytope(repeats=10), bound=1.0)", dim=128)
    >>> codec.nbits, codec.epsilon, round(codec.variance(), 1)
    (80, 40.0, 26.4)
    """

    mechanism: Spec
    codec: Spec = field(default=Spec("cross_polytope"))
    bound: float = 1.0

    name = "private"
    source = "[V] 6.1, 6.2 (V3, V4); theory 1.2"
    plan_templates = (
        *(
            f"private(rr(epsilon={{epsilon/{k}}}), cross_polytope(repeats={k}))"
            for k in (1, 2, 4, 8, 16, 64, 256)
        ),
        "private(rr(epsilon={epsilon}), hadamard(kappa=1))",
        *(
            f"private({m}(epsilon={{epsilon}}), cross_polytope)"
            for m in ("rappor", "oue", "subset_selection")
        ),
    )
    index_domain = True

    def __post_init__(self) -> None:
        super().__post_init__()
        BoundGain(self.bound)
        self._settle(codec=private_point_set(self.codec, self.dim, self.bound))
        if self.dim > self._inner.private_dim:
            raise SpecError(
                f"{self.name}: dim is {self.dim}, at most {self._inner.private_dim} coordinates of {self._inner.name} "
                f"have a law that is as private as stated after rounding: choose private_top"
            )
        mechanism = build_mechanism(self.mechanism).resolved(self._inner.vertices)
        self._settle(mechanism=mechanism.spec)
        # Fitted now, so that a mechanism that does not match the point set is refused here.
        if self._response.names_one:
            check_takes_both_signs(self._inner, mechanism.name)
        else:
            check_packs_nothing(self._inner, mechanism.name)

    @cached_property
    def _inner(self) -> VertexCodec:
        inner = parse(with_gain(self.codec, BoundGain(self.bound).spec), self.dim)
        assert isinstance(inner, VertexCodec)
        return inner

    @property
    def _has_external_part(self) -> bool:
        return self.external or self._inner._has_external_part

    @cached_property
    def _response(self) -> Response:
        return self._fitted(build_mechanism(self.mechanism))

    def _fitted(self, mechanism: Mechanism) -> Response:
        return mechanism.fitted(self._inner.vertices, self._inner.masses)

    @property
    def draws(self) -> int:
        """The number of reports in a payload."""
        return self._inner.draws

    @cached_property
    def nbits(self) -> int:
        if self._response.names_one:
            return self._inner._coding.nbits
        return self.draws * self._response.nbits

    @property
    def batches(self) -> bool:
        return self._response.names_one and self._inner.batches

    @cached_property
    def epsilon(self) -> float:
        return self.draws * self._response.epsilon

    @property
    def epsilon_is_bound(self) -> bool:
        return self._response.epsilon_is_bound

    @property
    def index_size(self) -> int:
        return self._inner.index_size

    def synthesise(self, total: Vector) -> Vector:
        return self._inner.synthesise(total)

    # ---- variance ------------------------------------------------------------------------------------------

    @property
    def variance_is_bound(self) -> bool:
        return self._inner.variance_is_bound or self._inner.vertex_sum is not None

    def variance(self, norm: float = 1.0) -> float:
        """The variance of the point set, plus the mechanism's at the worst second moment and direction."""
        clipped = min(norm, self.bound) / self.bound
        most = self._inner.second_moment(clipped)
        least = most if isinstance(self._inner, SphereCodec) else clipped**2
        along = math.sqrt(self._squared_sum) * clipped
        added = (self._noise(vertex, sign * along, vertex) for vertex in (least, most) for sign in (1, -1))
        return self._inner.variance(norm) + max(added)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)
        vector = self._inner._prepare(GradientVector.of(v, self.dim))
        (outcome,) = self._inner._gain_outcomes(vector)
        unit = v * (outcome.scale / outcome.gain)
        square = float(unit @ unit)
        along = 0.0 if self._sum is None else float(self._sum @ unit)
        noise = self._noise(self._single_draw.variance_at(unit) + square, along, square)
        return noise + (1 - outcome.scale) ** 2 * float(v @ v)

    def _noise(self, vertex: float, along: float, square: float) -> float:
        """The variance of reports on vectors v, over ``draws``.

        Args:
            vertex: E|c|^2 of a drawn vertex c, for bound 1.
            along: v·S, S the sum of all vertices.
            square: |v|^2; with E|c|^2 in its place the result is what the mechanism adds to the set's own variance.
        """
        moments = Moments(vertex, self._inner.sum_of_squares, self._squared_sum, along, square)
        return self.bound**2 * self._response.variance(moments) / self.draws

    @cached_property
    def _single_draw(self) -> AnyCodec:
        """The point set with one draw and bound 1."""
        single = tuple((name, 1 if name == "repeats" else value) for name, value in self.codec.kwargs)
        return parse(with_gain(Spec(self.codec.name, (), single), BoundGain(1.0).spec), self.dim)

    @cached_property
    def _sum(self) -> NDArray[np.floating] | None:
        """The sum S of all vertices for bound 1, float64 [dim]; None where it is zero."""
        vertex_sum = self._inner.vertex_sum
        return None if vertex_sum is None else as_dense(self._inner.synthesise(vertex_sum.gather()))

    @cached_property
    def _squared_sum(self) -> float:
        """|S|^2."""
        return 0.0 if self._sum is None else float(self._sum @ self._sum)

    # ---- payloads ------------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> BoundedReports:
        drawn = self._inner._quantize(vector, coins, shared)
        return BoundedReports(drawn.gain, self._response.respond(drawn.vertices, coins))

    def _pack(self, symbols: BoundedReports, out: BitWriter) -> None:
        if self._response.names_one:
            self._inner._coding.write(self._response.named(symbols.reports), out)
        else:
            self._response.write(symbols.reports, out)

    def _unpack(self, bits: BitReader) -> BoundedReports:
        one = self._response.names_one
        reports = self._inner._coding.read(bits) if one else self._response.read(bits, self.draws)
        return BoundedReports(np.float64(self.bound), reports)

    def _apply_weights(self, symbols: BoundedReports, weights: F64) -> BoundedReports:
        return symbols._replace(bound=symbols.bound * weights)

    def _reconstruct(self, symbols: BoundedReports, shared: int) -> Terms:
        named = self._response.named(symbols.reports)
        share = symbols.bound / (self.draws * self._response.signal)
        weights = np.repeat(np.atleast_1d(share), named.size // np.size(share))
        terms = self._inner._terms(named, weights)
        vertex_sum = self._inner.vertex_sum
        if vertex_sum is None:
            return terms
        drift = -self._response.other / self._response.signal * float(np.sum(symbols.bound))
        return concatenate([terms, Terms(vertex_sum.size, vertex_sum.indices, vertex_sum.weights * drift)])

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[BoundedReports, float]]:
        vector = self._inner._prepare(vector)
        (outcome,) = self._inner._gain_outcomes(vector)
        vertex_law = self._inner._probabilities(outcome.into_ball(vector).on_host)
        one = list(self._response.law(vertex_law))
        for several in itertools.product(one, repeat=self.draws):
            reports = np.array([report for report, _ in several])
            yield BoundedReports(np.float64(outcome.gain), reports), math.prod(p for _, p in several)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("private(rr(1.0))", 3, enumerable=True),
            Example("private(rr(epsilon=4), cross_polytope(repeats=2), bound=2.0)", 2, enumerable=True),
            Example(
                "private(rr(0.5), cross_polytope(scale=1.5, repeats=2, coding=multiset))", 2, enumerable=True
            ),
            Example("private(rr(2.0, nominal=true), reed_muller)", 4, enumerable=True),
            Example("private(rr(1.0), simplex(repeats=2))", 3, enumerable=True),
            Example("private(rr(0.5), hadamard, bound=0.5)", 3, enumerable=True),
            Example("private(rr(1.0), simq(repeats=2), bound=2.5)", 2, enumerable=True),
            Example("private(rr(1.0), gaussian(5))", 2, enumerable=True),
            Example("private(rr(2.0), epsilon_net)", 2, enumerable=True),
            Example("private(rappor(1.0))", 2, enumerable=True),
            Example("private(rappor(1.0), simplex)", 2, enumerable=True),
            Example("private(oue(2.0), simq_plus(1))", 2, enumerable=True),
            Example("private(oue(1.0), cross_polytope(repeats=2), bound=2.0)", 1, enumerable=True),
            Example("private(subset_selection(1.0), cross_polytope)", 3, enumerable=True),
            Example("private(subset_selection(1.0, 5, nominal=true))", 3, enumerable=True),
            Example("private(subset_selection(0.5, 2), simplex)", 3, enumerable=True),
            Example("private(rr(4.0), cross_polytope(repeats=100))", 70_001),
            Example("private(rr(1.5), simplex(repeats=10))", 129),
            Example("private(oue(4.0), cross_polytope(repeats=2), bound=1.5)", 300),
            Example("private(rappor(4.0), hadamard)", 200),
            Example("private(subset_selection(4.0), cross_polytope(repeats=3))", 300),
        )
