"""The arithmetic of what several sites measure: exact, whatever their order and however many samples they have."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.server.history import Point
from gradwire.server.measures import Measures, SiteMetrics, by_name, outcome_in_words

LARGEST = 1 << 53
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SITES = st.lists(st.tuples(FINITE, st.integers(1, LARGEST)), min_size=1, max_size=8)


def over(*sites: tuple[dict[str, float], int]) -> Measures:
    return Measures.over([SiteMetrics(metrics, examples) for metrics, examples in sites])


@given(SITES, st.integers())
def test_mean_is_the_float_nearest_to_the_exact_one_in_any_order(
    sites: list[tuple[float, int]], seed: int
) -> None:
    total = sum(examples for _, examples in sites)
    exact = sum(Fraction(value) * examples for value, examples in sites) / total
    random.Random(seed).shuffle(sites)
    found = over(*(({"a": value}, examples) for value, examples in sites))
    assert found.mean["a"] == float(exact)
    assert found.least["a"] == min(v for v, _ in sites) and found.most["a"] == max(v for v, _ in sites)
    assert found.least["a"] <= found.mean["a"] <= found.most["a"]
    assert found.sites == len(sites) and found.by_size is (True if len(sites) > 1 else None)


def test_sites_weigh_by_size_and_alike_where_one_does_not_know_it() -> None:
    assert over(({"a": 0.5}, 100), ({"a": 1.0}, 300)).mean == {"a": 0.875}
    alike = over(({"a": 0.5}, 100), ({"a": 1.0}, 0))
    assert alike.mean == {"a": 0.75} and alike.by_size is False


def test_each_metric_is_over_the_sites_that_report_it() -> None:
    found = over(({"a": 1.0, "b": 5.0}, 1), ({"a": 2.0}, 3), ({"c": -1.0}, 7))
    assert found.mean == {"a": 1.75, "b": 5.0, "c": -1.0}
    assert (found.least, found.most) == ({"a": 1.0, "b": 5.0, "c": -1.0}, {"a": 2.0, "b": 5.0, "c": -1.0})


def test_values_at_the_ends_of_the_range_of_floats() -> None:
    assert over(({"a": 1.7e308}, LARGEST), ({"a": 1.7e308}, 1)).mean == {"a": 1.7e308}
    assert over(({"a": 5e-324}, 1), ({"a": 5e-324}, LARGEST)).mean == {"a": 5e-324}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("wild", "mean", "least", "most"),
    [
        ((math.nan,), math.nan, math.nan, math.nan),
        ((math.inf,), math.inf, 0.5, math.inf),
        ((-math.inf,), -math.inf, -math.inf, 0.5),
        ((math.inf, -math.inf), math.nan, -math.inf, math.inf),
        ((math.inf, math.nan), math.nan, math.nan, math.nan),
    ],
)
def test_values_that_are_not_finite_show_in_any_order(
    wild: tuple[float, ...], mean: float, least: float, most: float, order: int
) -> None:
    found = over(*(({"a": value}, 9) for value in (0.5, *wild)[::order]))
    pairs = zip((found.mean["a"], found.least["a"], found.most["a"]), (mean, least, most), strict=True)
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


# ---- the history ---------------------------------------------------------------------------------------------

SITE_POINT = Point(4, 0.5, sites={"a": SiteMetrics({"x": 0.5}, 100), "b": SiteMetrics({"x": 1.0}, 300)})
NOTES = {
    "loss": 0.5, "metrics": {"x": 0.875},
    "sites": {"a": {"examples": 100, "metrics": {"x": 0.5}}, "b": {"examples": 300, "metrics": {"x": 1.0}}},
}  # fmt: skip


def test_notes_keep_the_sites() -> None:
    assert SITE_POINT.to_notes() == NOTES
    again = Point.from_notes(4, NOTES)
    assert again == SITE_POINT and again.measures() == SITE_POINT.measures()
    assert again.row() == {
        "round": 4, "loss": 0.5, "x": 0.875, "metrics_min": {"x": 0.5}, "metrics_max": {"x": 1.0},
        "sites": NOTES["sites"],
    }  # fmt: skip


def test_where_single_sites_are_not_kept_the_mean_is_with_their_names() -> None:
    notes = SITE_POINT.to_notes(single=False)
    assert notes == {"loss": 0.5, "metrics": {"x": 0.875}, "sites": {"a": {}, "b": {}}}
    again = Point.from_notes(4, notes)
    assert again.measures() == Measures({"x": 0.875}, sites=2)
    assert again.to_notes(single=False) == notes
    assert again.row() == SITE_POINT.row(single=False) == {"round": 4, "loss": 0.5, "x": 0.875}
    assert SITE_POINT.measures(single=False) == Measures({"x": 0.875}, sites=2, by_size=True)


def test_notes_of_earlier_releases_are_of_one_process() -> None:
    point = Point.from_notes(4, {"loss": None, "metrics": {"x": 0.5}})
    assert point.measures() == Measures.common({"x": 0.5}) and point.evaluated
    assert point.to_notes() == {"loss": None, "metrics": {"x": 0.5}}


def test_no_metric_takes_the_place_of_the_round() -> None:
    assert Point(4, 0.5, {"round": 9.0}).row()["round"] == 4


# ---- in words ------------------------------------------------------------------------------------------------

OUTCOME = {"rounds": 150, "metrics": {"a": 0.91234, "b": 1.0}, "metrics_min": {"a": 0.8, "b": 1.0},
           "metrics_max": {"a": 0.95, "b": 1.0}, "sites_evaluated": 3, "sites_evaluating": 3}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["a 0.9123 (0.8 to 0.95)", "b 1", "3 sites"]),
        ({"sites_evaluated": 2}, ["a 0.9123 (0.8 to 0.95)", "b 1", "2 of 3 sites"]),
        ({"metrics_min": {}, "metrics_max": {}}, ["a 0.9123", "b 1", "3 sites"]),
        ({"sites_evaluated": 0, "sites_evaluating": 0}, ["a 0.9123 (0.8 to 0.95)", "b 1"]),
        ({"metrics": {}, "metrics_round": 10, "last_metrics": {"a": 0.5}},
         ["last evaluated after round 10 of 150: a 0.5"]),
        ({"metrics": {}, "metrics_round": None, "last_metrics": {}}, []),
        ({"metrics": {"a": None}}, ["a — (0.8 to 0.95)", "3 sites"]),
    ],
)  # fmt: skip
def test_outcome_in_words(changes: dict[str, Any], words: list[str]) -> None:
    assert outcome_in_words({**OUTCOME, **changes}) == words


def test_summary_of_an_earlier_release_is_readable() -> None:
    assert outcome_in_words({"metrics": {"a": 0.5}}) == ["a 0.5"]
    assert by_name({"metrics": {"a": 0.5}}) == {"a": "0.5"}
