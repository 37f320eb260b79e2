"""The networks of [V] Figure 1: one hidden ReLU layer, 100 workers, one run of one scheme at one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradwire.bench.papers.curves import curve
from gradwire.common.codecs import parse
from gradwire.common.errors import ConfigError
from gradwire.deploy.planning.fitting import largest_within
from gradwire.worker.data.catalog import entry_of

VQSGD = "vqSGD, s = 100"
QSGD = "QSGD, 1 level"
FLOAT32 = "float32"
SYSTEMATIC = "L1-scaled, systematic draws"
TOP_SIGNS = "rotated, signs of the largest"
WORKERS, MEASURED_FOR = 100, 50  # rounds that are printed
FLAT = 0.01  # of the test error in that many rounds: no more are made
# float32's mean gradient is the same with fewer workers and larger shards, and 100 payloads of 3 to 49 MB would fill
# this process's memory. Cost is counted per worker.
FEW_WORKERS, LARGE = 10, 500_000


@dataclass(frozen=True)
class Scheme:
    """How gradients are sent.

    Attributes:
        codec: its spec; ``{n}`` is the largest number whose payload is no longer than vqSGD's.
        relayed: whether workers receive the payloads of the round (``log``), which are fewer bytes than the model.
        cheap: whether a replica adds payloads up at little cost. Where it does not, the run itself broadcasts the
            model, so that payloads are decoded once and not twice; relayed they are one payload for each worker.
    """

    codec: str
    relayed: bool = True
    cheap: bool = False

    @property
    def downlink(self) -> str:
        """Of the run."""
        return "log" if self.relayed and self.cheap else "model"

    def spec(self, dim: int) -> str:
        """The codec's spec for that dimension."""
        if "{n}" not in self.codec:
            return self.codec
        found = largest_within(self.codec, dim, parse(SCHEMES[VQSGD].codec, dim).nbits)
        assert found is not None
        return found.spec


SCHEMES = {
    VQSGD: Scheme("cross_polytope(repeats=100)", cheap=True),
    QSGD: Scheme("qsgd(levels=1)"),
    FLOAT32: Scheme("float32", relayed=False),
    SYSTEMATIC: Scheme("l1_systematic({n})"),
    TOP_SIGNS: Scheme("top_signs({n})"),
}


def dimension(dataset: str, hidden: int) -> int:
    """Parameters of the network."""
    entry = entry_of(dataset)
    return hidden * (entry.dim + 1) + entry.classes * (hidden + 1)


def measure(
    dataset: str, hidden: int, batch: int, scheme: str, step: float, rounds: int, most_rounds: int
) -> dict[str, Any] | None:
    """Test error by round; None if the run diverged.

    Args:
        dataset: of the catalogue.
        hidden: units.
        batch: rows that a worker's gradient is over; 0 for all that it has.
        scheme: of ``SCHEMES``.
        step: of the server's plain gradient descent.
        rounds: at first.
        most_rounds: while the error falls by a point in the last 50 rounds, the run is made again for twice as many
            rounds, up to that.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"there is no scheme {scheme!r}, expected one of {', '.join(SCHEMES)}")
    chosen, dim = SCHEMES[scheme], dimension(dataset, hidden)
    few = scheme == FLOAT32 and dim > LARGE
    workers, batch = (FEW_WORKERS, batch * WORKERS // FEW_WORKERS) if few else (WORKERS, batch)
    while True:
        found = curve(
            "test_error",
            task=f"mlp({dataset}, hidden={hidden}, batch={batch})",
            codec=chosen.spec(dim),
            optimizer=f"sgd(lr={step})",
            workers=workers,
            rounds=rounds,
            downlink=chosen.downlink,
        )
        if found is None or rounds >= most_rounds or is_flat(found["values"]):
            down = found and (workers * found["up"] if chosen.relayed else found["down"])
            return found and {**found, "codec": chosen.spec(dim), "down": down}
        rounds = min(2 * rounds, most_rounds)


def is_flat(errors: Sequence[float]) -> bool:
    """Whether the error fell by less than a point in the last 50 rounds, the first 50 not counted.

    >>> is_flat([0.9 / (1 + t) for t in range(51)]), is_flat([0.9 / (1 + t) for t in range(101)])
    (False, True)
    """
    return len(errors) > 2 * MEASURED_FOR and errors[-1 - MEASURED_FOR] - errors[-1] < FLAT
