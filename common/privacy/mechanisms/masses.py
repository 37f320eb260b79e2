"""The range of vertex probabilities over the ball: all that privacy depends on in a point set."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Masses:
    """The least and the largest total probability of a set of vertices of one size, over the whole unit ball.

    Attributes:
        ranges: (least, most) for each kind of set that matters: the worst set of a kind attains both.
        tight: both are attained, up to rounding; otherwise an epsilon that follows from them is an upper bound.
    """

    ranges: tuple[tuple[float, float], ...]
    tight: bool = True

    def log_odds(self, weight: float = math.inf) -> float:
        """The largest ln of P(set, given v) / P(set, given v'), over all v and v' in the ball: an epsilon.

        Args:
            weight: for reports that have probability proportional to 1 + (weight - 1) a, a the mass of a set; infinite
                for the bare vertex.
        """
        return max(self._log_odds(least, most, weight) for least, most in self.ranges)

    @staticmethod
    def _log_odds(least: float, most: float, weight: float) -> float:
        if math.isinf(weight):
            return math.log(most / least) if least > 0 else math.inf
        return math.log1p((weight - 1) * (most - least) / (1 + (weight - 1) * least))


UNKNOWN = Masses(((0.0, 1.0),), tight=False)
