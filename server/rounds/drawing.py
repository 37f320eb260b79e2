"""Who takes part in a round: the cohort that the run's seed draws among the live workers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from heapq import nsmallest

from gradwire.common.randomness import cohort_place


@dataclass(frozen=True)
class Draw:
    """How rounds draw their workers, in a run with a cohort or whose workers join late and leave.

    Attributes:
        seed: of the run.
        cohort: workers of a round; 0: all that are live when it opens.
        least: live workers without whom no round opens; at least as many as a round needs pushes.
    """

    seed: int
    cohort: int
    least: int

    def take(self, round_: int, live: Collection[int], pushed: Collection[int]) -> frozenset[int]:
        """The workers of a round that opens, or is drawn again.

        Args:
            round_: the round.
            live: connected workers.
            pushed: those whose payload is here already: they stay, connected or not.
        """
        others = frozenset(live).difference(pushed)
        if self.cohort:
            free = max(self.cohort - len(pushed), 0)
            others = frozenset(nsmallest(free, others, key=lambda worker: self._place(round_, worker)))
        return others.union(pushed)

    def _place(self, round_: int, worker: int) -> tuple[int, int]:
        return cohort_place(self.seed, round_, worker), worker
