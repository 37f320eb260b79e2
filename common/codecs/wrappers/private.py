"""A mechanism on the vertices that a point set draws: differential privacy for any of them."""

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
from gradwire.common.codecs import AnyCodec, Codec, Example, codecs, parse, register
from gradwire.common.codecs.forms.gain import Bound
from gradwire.common.codecs.forms.sphere import SphereCodec
from gradwire.common.codecs.forms.vertex import VertexCodec, _shape
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.privacy.mechanisms import Mechanism, Moments, Response, build_mechanism
from gradwire.common.privacy.mechanisms.base import Reports
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec, parameter_fields, spelled


class Reported(NamedTuple):
    """What a payload says: one report a draw; ``weight`` [] is the bound, a batch puts an axis before both."""

    weight: F64 | np.float64
    reports: Reports


@register
@dataclass(frozen=True, kw_only=True)
class Private(Codec[Reported]):
    """Vertices of the point set ``codec``, drawn under the public ``bound``, through ``mechanism`` one by one.

    A gradient is clipped to the bound, in the l2 norm or the set's own, a vertex c is drawn by secret coins, and the
    mechanism reports on it. With p and q the probabilities that a report names the true vertex and another, and S the
    sum of all vertices, a report decodes to bound (sum of the vertices named - q S) / (p - q) (theory 1.2).

    Args:
        mechanism: ``rr(epsilon)``, ``rappor(epsilon)``, ``oue(epsilon)`` or ``subset_selection(epsilon, w)``; epsilon
            is that of one report.
        codec: a point set, with its parameters but for the gain: lengths that depend on data have no finite epsilon
            (theory 1.3), nor has systematic sampling, nor a payload whose length depends on data.
        bound: what gradients are clipped to.

    Payload: ``repeats`` reports; of ``rr`` in the set's coding, else K bits each (K vertices), or ceil(log2 C(K, w)).
        Unbiased for the clipped gradient. Variance that of a report, closed form, over ``repeats``, and the square of
        what clipping takes. ``epsilon`` is ``repeats`` times that of a report, exactly: all of them may say the same.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("private(rr(epsilon=4), cross_polytope(repeats=10), bound=1.0)", dim=128)
    >>> codec.nbits, codec.epsilon, round(codec.variance(), 1)
    (80, 40.0, 26.4)
    """

    mechanism: Spec
    codec: Spec = field(default=Spec("cross_polytope"))
    bound: float = 1.0

    name = "private"
    source = "vqSGD 6.1 and 6.2 (V3, V4); theory 1.2"
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
        Bound(self.bound)  # says what is wrong with it
        object.__setattr__(self, "codec", self._checked())
        if self.dim > self._inner.private_dim:
            raise SpecError(
                f"{self.name}: dim is {self.dim}, at most {self._inner.private_dim} coordinates of {self._inner.name} "
                f"have a law that rounding leaves as private as stated: take private_top"
            )
        mechanism = build_mechanism(self.mechanism).resolved(self._inner.vertices)
        self._settle(mechanism=mechanism.spec)
        _ = self._response  # refuses a mechanism that does not match the point set

    def _checked(self) -> Spec:
        """The canonical spec of the point set, without its gain.

        Raises:
            SpecError: no point set, or one whose payloads give their gradient away.
        """
        set_ = parse(self.codec, self.dim)
        if not set_.fixed_length:
            raise self._refusal(
                set_, "the length of its payload depends on the gradient, which gives it away"
            )
        if not isinstance(set_, VertexCodec):
            raise self._refusal(set_, "private by itself" if set_.private else "it draws no vertices")
        if not set_.independent_draws:
            raise self._refusal(set_, "systematic draws make some counts impossible, so no epsilon holds")
        positional = [f.name for f in parameter_fields(type(set_))]
        given = {*positional[: len(self.codec.args)], *(key for key, _ in self.codec.kwargs)}
        if "gain" in given and set_.gain != Bound(self.bound).spec:
            raise SpecError(
                f"{self.name}: gain={set_.gain} of {set_.name} has no place here, a length that depends on the "
                f"gradient gives it away: drop it, {self.name}(…, bound=B) clips to a public bound"
            )
        parameters = spelled(set_)
        del parameters["gain"]
        return Spec(set_.name, (), tuple(parameters.items()))

    def _refusal(self, found: AnyCodec, why: str) -> SpecError:
        known = sorted(n for n, c in codecs().items() if issubclass(c, VertexCodec) and c.independent_draws)
        return SpecError(
            f"{self.name}: {found.name} has no place here ({why}): expected one of {', '.join(known)}; "
            f"wrappers go outside, as in rotated(3, {self.name}(…))"
        )

    @cached_property
    def _inner(self) -> VertexCodec:
        gain = ("gain", Bound(self.bound).spec)
        inner = parse(Spec(self.codec.name, self.codec.args, (*self.codec.kwargs, gain)), self.dim)
        assert isinstance(inner, VertexCodec)
        return inner

    @cached_property
    def _response(self) -> Response:
        return self._fitted(build_mechanism(self.mechanism))

    def _fitted(self, mechanism: Mechanism) -> Response:
        return mechanism.fitted(self._inner.vertices, self._inner.masses)

    @property
    def draws(self) -> int:
        """How many reports a payload holds."""
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
        return self._inner.variance_is_bound or self._inner.centre is not None

    def variance(self, norm: float = 1.0) -> float:
        """That of the point set, and what the mechanism adds at the worst second moment and direction."""
        kept = min(norm, self.bound) / self.bound
        most = self._inner.second_moment(kept)
        least = most if isinstance(self._inner, SphereCodec) else kept**2
        along = math.sqrt(self._total) * kept
        added = (self._noise(vertex, sign * along, vertex) for vertex in (least, most) for sign in (1, -1))
        return self._inner.variance(norm) + max(added)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        v = x.astype(np.float64)
        vector = self._inner._prepare(GradientVector.of(v, self.dim))
        (choice,) = self._inner._gain.law(self._inner._length(vector))
        unit = v * (choice.scale / choice.gain)
        square = float(unit @ unit)
        along = 0.0 if self._sum is None else float(self._sum @ unit)
        noise = self._noise(self._one.variance_at(unit) + square, along, square)
        return noise + (1 - choice.scale) ** 2 * float(v @ v)

    def _noise(self, vertex: float, along: float, square: float) -> float:
        """Of reports on vectors with |v|^2 = ``square``; with E|c|^2 in its place, what is added to the set's own."""
        moments = Moments(vertex, self._inner.squares, self._total, along, square)
        return self.bound**2 * self._response.variance(moments) / self.draws

    @cached_property
    def _one(self) -> AnyCodec:
        """The point set with one draw and bound 1."""
        one = tuple((name, 1 if name == "repeats" else value) for name, value in self.codec.kwargs)
        return parse(Spec(self.codec.name, (), (*one, ("gain", Bound(1.0).spec))), self.dim)

    @cached_property
    def _sum(self) -> NDArray[np.floating] | None:
        """The sum S of all vertices for bound 1, float64 [dim]; None where it is zero."""
        centre = self._inner.centre
        return None if centre is None else as_dense(self._inner.synthesise(centre.gather()))

    @cached_property
    def _total(self) -> float:
        """|S|^2."""
        return 0.0 if self._sum is None else float(self._sum @ self._sum)

    # ---- payloads ------------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Reported:
        drawn = self._inner._quantize(vector, coins, shared)
        return Reported(drawn.gain, self._response.respond(drawn.vertices, coins))

    def _pack(self, symbols: Reported, out: BitWriter) -> None:
        if self._response.names_one:
            self._inner._coding.write(self._response.named(symbols.reports), out)
        else:
            self._response.write(symbols.reports, out)

    def _unpack(self, bits: BitReader) -> Reported:
        one = self._response.names_one
        reports = self._inner._coding.read(bits) if one else self._response.read(bits, self.draws)
        return Reported(np.float64(self.bound), reports)

    def _apply_weights(self, symbols: Reported, weights: F64) -> Reported:
        return symbols._replace(weight=symbols.weight * weights)

    def _reconstruct(self, symbols: Reported, shared: int) -> Terms:
        named = self._response.named(symbols.reports)
        share = symbols.weight / (self.draws * self._response.signal)
        weights = np.repeat(np.atleast_1d(share), named.size // np.size(share))
        terms = self._inner._terms(named, weights)
        centre = self._inner.centre
        if centre is None:
            return terms
        drift = -self._response.other / self._response.signal * float(np.sum(symbols.weight))
        return concatenate([terms, Terms(centre.size, centre.indices, centre.weights * drift)])

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Reported, float]]:
        vector = self._inner._prepare(vector)
        (choice,) = self._inner._gain.law(self._inner._length(vector))
        one = list(self._response.law(self._inner._probabilities(_shape(vector, choice).exact)))
        for several in itertools.product(one, repeat=self.draws):
            reports = np.array([report for report, _ in several])
            yield Reported(np.float64(choice.gain), reports), math.prod(p for _, p in several)

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
