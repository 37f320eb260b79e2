"""What several sites measured of one model, as one: the mean weighted by size, the smallest and the largest value."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self


@dataclass(frozen=True)
class SiteMetrics:
    """What one process measured on held-out data of its own.

    Attributes:
        metrics: by name; empty where only the name of the process was kept.
        examples: held-out samples that they are means over; 0 where it is not known.
    """

    metrics: Mapping[str, float]
    examples: int = 0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {"examples": self.examples or None, "metrics": dict(self.metrics)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(dict(kept.get("metrics", {})), int(kept.get("examples") or 0))


@dataclass(frozen=True)
class Measures:
    """Metrics by name over all sites that reported them.

    Attributes:
        mean: weighted by the sites' held-out samples, or alike.
        least: the smallest of the sites' values; empty where single sites are not shown.
        most: the largest one.
        sites: how many there are; 0 for data that all processes share.
        by_size: whether the mean is weighted by size; None where there is nothing to weigh.
    """

    mean: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    sites: int = 0
    by_size: bool | None = None

    @classmethod
    def common(cls, metrics: Mapping[str, float]) -> Self:
        """What one process measured for all of them."""
        return cls(metrics, metrics, metrics)

    @classmethod
    def over(cls, sites: Collection[SiteMetrics]) -> Self:
        """Mean, smallest and largest value of each metric over the sites that report it.

        The mean is the float nearest to the exact one: the order of the sites does not matter. Sites weigh alike if one
        of them does not know its size. A value that is not a number makes all three NaN.
        """
        by_size = all(site.examples for site in sites)
        found: dict[str, list[tuple[float, int]]] = {}
        for site in sites:
            for name, value in site.metrics.items():
                found.setdefault(name, []).append((value, site.examples if by_size else 1))
        return cls(
            {name: _mean(pairs) for name, pairs in found.items()},
            {name: _extreme(min, pairs) for name, pairs in found.items()},
            {name: _extreme(max, pairs) for name, pairs in found.items()},
            len(sites),
            by_size if len(sites) > 1 else None,
        )

    def without_single_sites(self) -> Measures:
        """The mean alone: the smallest and the largest value are those of single sites."""
        return Measures(self.mean, sites=self.sites, by_size=self.by_size)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON, without the sites themselves."""
        return {
            "metrics": dict(self.mean),
            "metrics_min": dict(self.least),
            "metrics_max": dict(self.most),
        }


def _mean(pairs: Collection[tuple[float, int]]) -> float:
    if not all(math.isfinite(value) for value, _ in pairs):
        return sum(value for value, _ in pairs)  # infinite, or not a number: weights do not matter
    total = sum(weight for _, weight in pairs)
    return float(sum(Fraction(value) * weight for value, weight in pairs) / total)


def _extreme(of: Callable[[list[float]], float], pairs: Collection[tuple[float, int]]) -> float:
    values = [value for value, _ in pairs]
    return math.nan if any(map(math.isnan, values)) else of(values)


# ---- in words ------------------------------------------------------------------------------------------------


def by_name(found: Mapping[str, Any]) -> dict[str, str]:
    """Metrics of a summary or an event, each with its range where several sites measured it.

    >>> by_name({"metrics": {"accuracy": 0.9}, "metrics_min": {"accuracy": 0.8}, "metrics_max": {"accuracy": 0.95}})
    {'accuracy': '0.9 (0.8 to 0.95)'}
    >>> by_name({"metrics": {"accuracy": 0.9}})
    {'accuracy': '0.9'}
    """
    least, most = found.get("metrics_min") or {}, found.get("metrics_max") or {}
    words = {}
    for name, value in found["metrics"].items():
        low, high = (number(side.get(name, value)) for side in (least, most))
        words[name] = number(value) + (f" ({low} to {high})" if low != high else "")
    return words


def in_words(found: Mapping[str, Any]) -> list[str]:
    """The same, each with its name."""
    return [f"{name} {words}" for name, words in by_name(found).items()]


def sites_in_words(found: Mapping[str, Any]) -> list[str]:
    """How many sites measured it, of how many that evaluate, where there are several.

    >>> sites_in_words({"sites_evaluated": 2, "sites_evaluating": 3})
    ['2 of 3 sites']
    """
    done, sites = found.get("sites_evaluated", 0), found.get("sites_evaluating", 0)
    if sites < 2:
        return []
    return [f"{done} of {sites} sites" if done < sites else f"{sites} sites"]


def outcome_in_words(summary: Mapping[str, Any]) -> list[str]:
    """What is known of the final model, and of which model it is known if not of that.

    >>> outcome_in_words({"metrics": {"accuracy": 0.9}, "sites_evaluated": 2, "sites_evaluating": 3})
    ['accuracy 0.9', '2 of 3 sites']
    >>> outcome_in_words({"rounds": 150, "metrics": {}, "metrics_round": 10, "last_metrics": {"accuracy": 0.5}})
    ['last evaluated after round 10 of 150: accuracy 0.5']
    """
    if summary["metrics"]:
        return [*in_words(summary), *sites_in_words(summary)]
    if not summary.get("last_metrics"):
        return []
    last = ", ".join(in_words({"metrics": summary["last_metrics"]}))
    return [f"last evaluated after round {summary['metrics_round']} of {summary['rounds']}: {last}"]


def number(value: float | None) -> str:
    """Four significant digits; a dash for none, which JSON has in place of what is not a number."""
    return "—" if value is None else f"{value:.4g}"
