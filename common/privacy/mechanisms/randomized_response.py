"""Randomized response: a report is one vertex, the true one or any."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.privacy.mechanisms.base import MassesOf, Mechanism, Response, register_mechanism
from gradwire.common.privacy.mechanisms.subset_selection import subset_response


@register_mechanism
@dataclass(frozen=True)
class RandomizedResponse(Mechanism):
    """Randomized response on K vertices ([V] section 6.1, Theorem 16): the drawn one with probability k, else any.

    ``epsilon`` is exact over the unit ball. The vertex is drawn by secret coins, so no gradient makes one certain; for
    a cross-polytope the most likely has A = (1 - 1/2d) / sqrt(d) + 1/2d, and 1/k = lambda = 1 + 2dA / (e^epsilon - 1)
    (theory 1.2). ``nominal``: [V]'s k = (e^epsilon - 1) / (e^epsilon + K - 1), whose exact epsilon is ln(1 +
    (e^epsilon - 1) A), with up to a thousand times the variance of the exact one at equal ``epsilon`` (erratum V3).

    A report has the bits of a vertex. Variance for centred vertices of length R: R^2 / k^2 - |v|^2.
    """

    nominal: bool = False

    name = "rr"
    source = "[V] 6.1, Theorem 16 (V3)"

    def fitted(self, vertices: int, masses: MassesOf) -> Response:
        return subset_response(self, 1, vertices, masses, nominal=self.nominal)
