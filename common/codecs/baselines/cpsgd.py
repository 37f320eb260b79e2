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
from gradwire.common.codecs.forms.dithered import DitheredCodec, Levels, on_grid
from gradwire.common.codecs.forms.gain import Bound, Length, build_gain
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.lossless.fixed_width import read_levels
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec

MAX_LEVELS = 1 << 16
MAX_TRIALS = 1 << 20


@register
@dataclass(frozen=True, kw_only=True)
class CpSGD(DitheredCodec[float]):
    """k levels of [-B, B], the coordinate rounded to one of them without bias, plus Binomial(m, 1/2) noise in levels.

    Agarwal, Suresh, Yu, Kumar, McMahan, NeurIPS 2018: pi_sk(Bin(m, 1/2)), section 4. ``gain=bound(B)``: gradients are
    clipped to that public l2 norm, so every coordinate lies in [-B, B] (the paper's X_max is B). Payload: level plus
    noise, 0 to k - 1 + m, in ceil(log2(k + m)) bits a coordinate; no header.

    Unbiased for the clipped gradient (to B 2^-52). Variance step^2 (d m / 4 + sum f_i (1 - f_i)), step = 2B /
    (k - 1), and the square of what clipping took.

    One payload has no pure epsilon: extreme symbols betray extreme levels. The sum of many has an (epsilon, delta), see
    ``central_epsilon``, which needs private coins from the operating system and a server that sees the sum alone.

    >>> from gradwire.common.codecs import parse
    >>> codec = parse("cpsgd(levels=16, trials=240)", dim=1000)
    >>> codec.nbits, round(codec.central_epsilon(1e-6, workers=100_000), 3)
    (8000, 0.075)
    """

    levels: int = 16
    trials: int = 64
    gain: Spec = field(default=Spec("bound", (1.0,)))

    name = "cpsgd"
    source = "cpSGD (Agarwal et al. 2018), section 4, Thm 1"
    variance_is_bound = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.levels <= MAX_LEVELS:
            raise SpecError(f"cpsgd: levels is {self.levels}, expected 2 to {MAX_LEVELS}")
        if not 1 <= self.trials <= MAX_TRIALS:
            raise SpecError(f"cpsgd: trials is {self.trials}, expected 1 to {MAX_TRIALS}")
        object.__setattr__(self, "gain", self._bound.spec)

    @cached_property
    def _bound(self) -> Bound:
        gain = build_gain(self.gain)
        if not isinstance(gain, Bound):
            raise SpecError(
                f"cpsgd: gain is {self.gain}, expected bound(B): the noise is set against a public bound"
            )
        return gain

    @property
    def symbols(self) -> int:
        """The number of symbols of a coordinate: k + m."""
        return self.levels + self.trials

    @property
    def nbits(self) -> int:
        return self.dim * (self.symbols - 1).bit_length()

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
        """True: ``central_epsilon`` holds for coins from the operating system alone."""
        return True

    # ---- privacy -------------------------------------------------------------------------------------------

    def central_epsilon(self, delta: float, workers: int) -> float:
        """The epsilon at which the sum of ``workers`` payloads is (epsilon, delta)-differentially private, or infinity.

        One worker's gradient is replaced by any other. Theorem 1 with N = workers * m trials, p = 1/2, s = 1 (a level),
        b = 1/3, c = 7 sqrt(2) / 4 and d = 2/3:

            epsilon = D2 sqrt(2 ln(1.25/delta)) / (sqrt(N) / 2)
                      + (D2 c sqrt(ln(10/delta)) + D1 b) / (N/4 (1 - delta/10))
                      + (2/3 Doo ln(1.25/delta) + Doo d ln(20 dim/delta) ln(10/delta)) / (N/4),

        for N / 4 >= max(23 ln(10 dim/delta), 2 Doo), else infinity is returned. Half of ``delta`` is spent there, half
        on the sensitivities D1, D2, Doo of rounded levels (``_sensitivities``). Holds for a server that adds payloads
        up before it looks at them (secure aggregation, a trusted server), for all ``workers`` taking part with coins
        of their own, and for one round: rounds compose.

        Raises:
            ValueError: delta outside (0, 1), or no workers.
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
        """l1, l2 and l_inf distance of two clipped gradients' levels; the first two but for probability ``delta``.

        Rounded with the same uniforms, coordinates a levels apart come out floor(a) or ceil(a) apart, with mean
        a, and the a_i have l2 norm at most A = k - 1 and l1 norm at most sqrt(d) A. Bernstein's inequality for
        both sums of rounding errors, whose variance is at most v = min(sqrt(d) A, d / 4), each with L = ln(2 /
        delta). The paper's Theorem 3 is the same with rougher constants.
        """
        apart = self.levels - 1
        total = math.sqrt(self.dim) * apart
        noise, rare = min(total, self.dim / 4), math.log(2 / delta)
        excess = math.sqrt(2 * noise * rare) + rare / 3
        return total + excess, apart + math.sqrt(noise + excess), float(apart)

    # ---- levels --------------------------------------------------------------------------------------------

    def _grid(self, vector: GradientVector, values: Array) -> float:
        """The factor of clipping, which is not sent."""
        (choice,) = self._bound.law(Length(vector.norm, vector.norm_bound))
        return choice.scale

    def _onto(self, values: Array, grid: float) -> Array:
        middle = (self.levels - 1) / 2
        return namespace(values).clip(values * (grid / self._step(grid)) + middle, 0.0, 2 * middle)

    def _step(self, grid: float) -> float:
        return 2 * self._bound.bound / (self.levels - 1)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Levels:
        clip, levels = super()._quantize(vector, coins, shared)
        levels += like(fair_binomials(self.trials, self.dim, coins).astype(np.int32), levels)
        return Levels(clip, levels)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Levels, float]]:
        y = self._onto(vector.exact, self._grid(vector, vector.values))
        laws = [_convolved(value, self.levels, self.trials) for value in y.tolist()]
        for symbols in itertools.product(*(np.flatnonzero(law) for law in laws)):
            yield (
                Levels(None, np.array(symbols)),
                math.prod(law[s] for law, s in zip(laws, symbols, strict=True)),
            )

    def _pack(self, symbols: Levels, out: BitWriter) -> None:
        out.write(symbols.levels, (self.symbols - 1).bit_length())

    def _unpack(self, bits: BitReader) -> Levels:
        return Levels(None, read_levels(bits, self.dim, self.symbols))

    def _reconstruct(self, symbols: Levels, shared: int) -> F64:
        doubled: I64 = 2 * symbols.levels - (self.levels - 1 + self.trials)  # exact, so that 0 decodes to 0
        return on_grid(doubled, self._step(1.0) / 2)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("cpsgd(levels=3, trials=2, gain=bound(2.0))", 2, enumerable=True),
            Example("cpsgd(levels=2, trials=1)", 3, enumerable=True),
            Example("cpsgd(levels=5, trials=70, gain=bound(0.5))", 1, enumerable=True),
            Example("cpsgd(levels=16, trials=48)", 1001),
        )


def _convolved(y: float, levels: int, trials: int) -> F64:
    """The law of one symbol: floor(y) or the next level, plus Binomial(trials, 1/2)."""
    binomial = np.array([math.comb(trials, k) / 2**trials for k in range(trials + 1)])
    low = math.floor(y)
    law = np.zeros(levels + trials + 1)
    law[low : low + trials + 1] += (1 - (y - low)) * binomial
    law[low + 1 : low + trials + 2] += (y - low) * binomial
    return law[:-1]
