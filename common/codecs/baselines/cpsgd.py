"""cpSGD: levels of an interval plus binomial noise, private once enough workers' payloads are added up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.binomial import fair_binomials
from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64, Array, like, namespace
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import BoundGain, NormEstimate, build_gain
from gradwire.common.codecs.forms.stochastic_rounding import GridLevels, StochasticRoundingCodec, from_steps
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.lossless.fixed_width import read_levels
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_LEVELS = 1 << 16
MAX_TRIALS = 1 << 20


@register
@dataclass(frozen=True, kw_only=True)
class CpSGD(StochasticRoundingCodec[float]):
    """Coordinates rounded without bias to k levels of [-B, B], plus Binomial(m, 1/2) noise in steps.

    pi_sk(Bin(m, 1/2)) of [cpSGD] section 4; theory 11. Gradients are clipped to the public l2 norm B, so every
    coordinate lies in [-B, B] (X_max there is B).

    Payload: level plus noise, 0 to k - 1 + m, in ceil(log2(k + m)) bits per coordinate; no header.
    Unbiased for the clipped gradient (to B 2^-52); variance step^2 (d m / 4 + sum f_i (1 - f_i)), step = 2B / (k - 1),
    f_i the fraction of a step above the level below, plus the square of what clipping removes.
    One payload has no pure epsilon, because extreme symbols occur for extreme levels only. The sum of many payloads has
    an (epsilon, delta), see ``central_epsilon``; that needs coins from the operating system, and a server that sees
    only the sum.

    Args:
        levels: k, 2 to 2**16.
        trials: m, 1 to 2**20.
        gain: ``bound(B)``.

    Raises:
        SpecError: a parameter outside these bounds, or another gain.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("cpsgd(levels=16, trials=240)", dim=1000)
    >>> codec.nbits, round(codec.central_epsilon(1e-6, workers=100_000), 3)
    (8000, 0.075)
    """

    levels: int = 16
    trials: int = 64
    gain: Spec = field(default=Spec("bound", (1.0,)))

    name = "cpsgd"
    source = "[cpSGD] section 4, Theorem 1"
    variance_is_bound = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("levels", 2, MAX_LEVELS)
        self._check_range("trials", 1, MAX_TRIALS)
        self._settle(gain=self._bound.spec)

    @cached_property
    def _bound(self) -> BoundGain:
        gain = build_gain(self.gain)
        if not isinstance(gain, BoundGain):
            raise SpecError(
                f"cpsgd: gain is {self.gain}, expected bound(B): the noise is relative to a public bound"
            )
        return gain

    @property
    def symbol_count(self) -> int:
        """The number of symbols of a coordinate: k + m."""
        return self.levels + self.trials

    @property
    def nbits(self) -> int:
        return self.dim * (self.symbol_count - 1).bit_length()

    def variance(self, norm: float = 1.0) -> float:
        kept = min(norm, self._bound.bound)
        return self._step(1.0) ** 2 * self.dim * (self.trials + 1) / 4 + (norm - kept) ** 2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        vector = GradientVector.of(x, self.dim)
        clip = self._grid(vector, vector.values)
        noise = super().variance_at(x) + self._step(clip) ** 2 * self.dim * self.trials / 4
        return noise + ((1 - clip) * vector.with_exact_sums().norm) ** 2

    @property
    def secret_coins(self) -> bool:
        """True: ``central_epsilon`` holds only for coins from the operating system."""
        return True

    # ---- privacy -------------------------------------------------------------------------------------------

    def central_epsilon(self, delta: float, workers: int) -> float:
        """The epsilon at which the sum of ``workers`` payloads is (epsilon, delta)-differentially private, or infinity.

        Neighbours differ in one worker's gradient. [cpSGD] Theorem 1 with N = workers * m trials, p = 1/2, s = 1 (a
        step), b = 1/3, c = 7 sqrt(2) / 4 and d = 2/3:

            epsilon = D2 sqrt(2 ln(1.25/delta)) / (sqrt(N) / 2)
                      + (D2 c sqrt(ln(10/delta)) + D1 b) / (N/4 (1 - delta/10))
                      + (2/3 Doo ln(1.25/delta) + Doo d ln(20 dim/delta) ln(10/delta)) / (N/4),

        for N / 4 >= max(23 ln(10 dim/delta), 2 Doo), else infinity is returned. Half of ``delta`` is spent there, half
        on the sensitivities D1, D2, Doo of rounded levels (``_sensitivities``). It holds for a server that sees only
        the sum (secure aggregation, or a trusted server), if all ``workers`` take part with coins of their own, and
        for one round; rounds compose.

        Args:
            delta: above 0 and below 1.
            workers: at least 1.

        Raises:
            ValueError: an argument outside these bounds.
        """
        if not 0 < delta < 1 or workers < 1:
            raise ValueError(
                f"delta is {delta} and workers {workers}, expected 0 < delta < 1 and at least one worker"
            )
        part = delta / 2
        l1, l2, linf = self._sensitivities(part)
        variance = workers * self.trials / 4
        if variance < max(23 * math.log(10 * self.dim / part), 2 * linf):
            return math.inf
        gaussian = l2 * math.sqrt(2 * math.log(1.25 / part) / variance)
        skew = (1.75 * math.sqrt(2) * l2 * math.sqrt(math.log(10 / part)) + l1 / 3) / (1 - part / 10)
        tail = 2 / 3 * linf * (math.log(1.25 / part) + math.log(20 * self.dim / part) * math.log(10 / part))
        return gaussian + (skew + tail) / variance

    def _sensitivities(self, delta: float) -> tuple[float, float, float]:
        """The l1, l2 and l_inf distance of two gradients' levels; the first two except with probability ``delta``.

        Rounded with the same uniforms, coordinates a steps apart come out floor(a) or ceil(a) apart, with mean a, and
        the a_i have l2 norm at most A = k - 1 and l1 norm at most sqrt(d) A. Bernstein's inequality for both sums of
        rounding errors, whose variance is at most v = min(sqrt(d) A, d / 4), each with L = ln(2 / delta). [cpSGD]
        Theorem 3 is the same with larger constants.
        """
        apart = self.levels - 1
        total = math.sqrt(self.dim) * apart
        noise, rare = min(total, self.dim / 4), math.log(2 / delta)
        excess = math.sqrt(2 * noise * rare) + rare / 3
        return total + excess, apart + math.sqrt(noise + excess), float(apart)

    # ---- levels --------------------------------------------------------------------------------------------

    def _grid(self, vector: GradientVector, values: Array) -> float:
        """The factor of clipping, which is not sent."""
        (outcome,) = self._bound.law(NormEstimate(vector.norm, vector.norm_bound))
        return outcome.scale

    def _to_steps(self, values: Array, grid: float) -> Array:
        middle = (self.levels - 1) / 2
        return namespace(values).clip(values * (grid / self._step(grid)) + middle, 0.0, 2 * middle)

    def _step(self, grid: float) -> float:
        return 2 * self._bound.bound / (self.levels - 1)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> GridLevels:
        clip, levels = super()._quantize(vector, coins, shared)
        levels += like(fair_binomials(self.trials, self.dim, coins).astype(np.int32), levels)
        return GridLevels(clip, levels)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[GridLevels, float]]:
        y = self._to_steps(vector.on_host, self._grid(vector, vector.values))
        laws = [_law_of_symbol(value, self.levels, self.trials) for value in y.tolist()]
        for symbols in itertools.product(*(np.flatnonzero(law) for law in laws)):
            yield (
                GridLevels(None, np.array(symbols)),
                math.prod(law[s] for law, s in zip(laws, symbols, strict=True)),
            )

    def _pack(self, symbols: GridLevels, out: BitWriter) -> None:
        out.write(symbols.levels, (self.symbol_count - 1).bit_length())

    def _unpack(self, bits: BitReader) -> GridLevels:
        return GridLevels(None, read_levels(bits, self.dim, self.symbol_count))

    def _reconstruct(self, symbols: GridLevels, shared: int) -> F64:
        # Half steps are exact, so that 0 decodes to 0.
        half_steps: I64 = 2 * symbols.levels - (self.levels - 1 + self.trials)
        return from_steps(half_steps, self._step(1.0) / 2)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cpsgd(levels=3, trials=2, gain=bound(2.0))", 2, enumerable=True),
            Example("cpsgd(levels=2, trials=1)", 3, enumerable=True),
            Example("cpsgd(levels=5, trials=70, gain=bound(0.5))", 1, enumerable=True),
            Example("cpsgd(levels=16, trials=48)", 1001),
        )


def _law_of_symbol(y: float, levels: int, trials: int) -> F64:
    """The law of one symbol: floor(y) or the next level, plus Binomial(trials, 1/2)."""
    binomial = np.array([math.comb(trials, k) / 2**trials for k in range(trials + 1)])
    low = math.floor(y)
    law = np.zeros(levels + trials + 1)
    law[low : low + trials + 1] += (1 - (y - low)) * binomial
    law[low + 1 : low + trials + 2] += (y - low) * binomial
    return law[:-1]
