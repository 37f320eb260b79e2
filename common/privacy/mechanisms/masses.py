"""The range of vertex probabilities over the ball: all that privacy depends on in a point set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Masses:
    """The least and the largest total probability of a set of vertices of one size, over the whole unit ball.

    Attributes:
        ranges: (least, most) for each kind of set that matters: the worst set of a kind attains both.
        spreads: most - least of each range, without cancellation where the family knows that; else the floats'
            difference.
        tight: both are attained, up to rounding; otherwise an epsilon that follows from them is an upper bound.
    """

    ranges: tuple[tuple[float, float], ...]
    tight: bool = True
    spreads: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.spreads:
            object.__setattr__(self, "spreads", tuple(most - least for least, most in self.ranges))

    @property
    def complement(self) -> Masses:
        """The masses of the vertices that are left out."""
        return replace(self, ranges=tuple((1 - most, 1 - least) for least, most in self.ranges))

    def log_odds(self, excess: float = math.inf) -> float:
        """The largest ln of P(set, given v) / P(set, given v'), over all v and v' in the ball: an epsilon.

        Args:
            excess: for reports that have probability proportional to 1 + excess a, a the mass of a set; infinite for
                the bare vertex.
        """
        return max(
            self._log_odds(least, spread, excess)
            for (least, _), spread in zip(self.ranges, self.spreads, strict=True)
        )

    @staticmethod
    def _log_odds(least: float, spread: float, excess: float) -> float:
        if math.isinf(excess):
            return math.log1p(spread / least) if least > 0 else math.inf
        return math.log1p(excess * spread / (1 + excess * least))


UNKNOWN = Masses(((0.0, 1.0),), tight=False)
