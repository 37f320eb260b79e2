"""Families of codecs at equal bits, and the variances that theory states for them: the rows of its section 5."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.codecs import AnyCodec
from gradwire.deploy.planning.fitting import largest_within

DIM = 65_536
BUDGETS = (100, 1_000, 10_000, 100_000)  # bits, 32 of them a norm where there is one
VECTORS = ("gaussian", "gradient")


@dataclass(frozen=True)
class Stated:
    """A number that was printed with a few digits: 870 stands for 865 to 875, .865 for .8645 to .8655."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text)

    @property
    def half_unit(self) -> float:
        """Half a unit of the last digit that is not a zero at the end of a whole number."""
        whole, _, decimals = self.text.partition(".")
        places = -len(decimals) if decimals else len(whole) - len(whole.rstrip("0"))
        return 0.5 * 10.0**places


@dataclass(frozen=True)
class Scheme:
    """A family of codecs that grows with a number.

    Attributes:
        spec: with a place for the number, see ``gradwire.deploy.planning.fitting``.
        theory: the variances that theory states for the four budgets, separated by bars; each for the Gaussian vector
            and, after a slash, for a network's gradient, where that differs. Empty where theory has none.
        most: the largest number tried.
    """

    title: str
    spec: str
    theory: str = ""
    most: int = 1 << 24

    def within(self, bits: int, dim: int) -> AnyCodec | None:
        """The largest codec whose payload has at most that many bits."""
        return largest_within(self.spec, dim, bits, max_size=self.most)

    def stated(self, bits: int) -> dict[str, Stated]:
        """Theory's numbers by vector; none where it has none."""
        if not self.theory or bits not in BUDGETS:
            return {}
        cell = self.theory.split(" | ")[BUDGETS.index(bits)]
        return {name: Stated(text) for name, text in zip(VECTORS, cell.split("/"), strict=False)}


SCHEMES = (
    Scheme("cross-polytope, tuple code (vqSGD)", "cross_polytope({n})", "16384 | 1170 | 112 | 11.2"),
    Scheme(
        "cross-polytope, multiset code", "cross_polytope({n}, coding=multiset)", "16384 | 819 | 53.9 | 2.59"
    ),
    Scheme(
        "SimQ+ (its paper's code)",
        "simq_plus({n}, coding=type_signs)",
        "13070/5258 | 653/263 | 43.0/17.3 | 2.15/.865",
    ),
    Scheme(
        "L1-scaled, systematic draws", "l1_systematic({n})", "10420/1686 | 520/83 | 33.3/4.55 | .643/.058"
    ),
    Scheme("SimQ+, shortest code", "simq_plus({n}, coding=l1_ball)"),
    Scheme("random k, float32", "rand_k({n})", "21840 | 2113 | 209 | 20.0"),
    Scheme("RATQ on random coordinates", "ratq(count={n})", "5370 | 361 | 34 | 2.49"),
    Scheme("rotated 1 bit, a part (EDEN)", "eden({share})", "1520 | 106 | 9.3 | .305", 4 * DIM),
    Scheme("rotated, largest of each block", "nearest({n})", "870 | 64 | 6.2 | .57", DIM),
    Scheme("rotated, signs of the largest", "top_signs({n})", "935 | 66 | 6.5 | .234", 35_000),
    Scheme("the best of 8 such rotations", "top_signs({n}, rotations=8)", most=35_000),
)
