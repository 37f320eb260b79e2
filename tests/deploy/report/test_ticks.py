"""Ticks lie on their axis, in order, at values that their labels state."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.deploy.report.ticks import Ticks, linear_ticks, log_ticks, power_label

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def value_of(label: str) -> float:
    """What a reader takes a label for."""
    text = label.replace(",", "")
    if "10" in text and any(c in text for c in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
        mantissa, _, power = text.rpartition("10")
        return float(mantissa.rstrip("×") or 1) * 10.0 ** int(power.translate(SUPERSCRIPTS))
    if text and text[-1] in UNITS:
        return float(text[:-1]) * UNITS[text[-1]]
    return float(text)


def check(ticks: Ticks, low: float, high: float, most: int) -> None:
    span = high - low
    assert 1 <= len(ticks.values) <= most + 1
    assert list(ticks.values) == sorted(set(ticks.values))
    assert all(low - 1e-6 * span <= v <= high + 1e-6 * span for v in (*ticks.values, *ticks.minor))
    assert len(set(ticks.labels)) == len(ticks.labels) == len(ticks.values)
    assert not set(ticks.minor) & set(ticks.values)


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0.0, 100.0, 5, ["0", "20", "40", "60", "80", "100"]),
        (0.0, 1.0, 4, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (0.0, 1.0, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-1.0, 1.0, 4, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        (0.0, 75_000.0, 4, ["0", "20k", "40k", "60k"]),
        (0.0, 2.6e6, 5, ["0", "1M", "2M"]),
        (0.0, 9_000.0, 3, ["0", "5,000"]),
        (0.0, 3e-5, 3, ["0", "1×10⁻⁵", "2×10⁻⁵", "3×10⁻⁵"]),
        (1_000_001.0, 1_000_003.0, 2, ["1,000,001", "1,000,002", "1,000,003"]),
    ],
)
def test_linear_ticks_as_a_reader_expects(low: float, high: float, most: int, labels: list[str]) -> None:
    assert list(linear_ticks(low, high, most).labels) == labels


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (1.0, 1e6, 8, ["1", "10", "100", "1,000", "10⁴", "10⁵", "10⁶"]),
        (1.0, 1e6, 4, ["1", "100", "10⁴", "10⁶"]),
        (1e-9, 1.0, 4, ["10⁻⁹", "10⁻⁶", "0.001", "1"]),
        (0.02, 2.3, 8, ["0.1", "1"]),
        (0.4, 3.0, 8, ["0.5", "1", "2"]),
        (2.0, 4.1, 8, ["2", "3", "4"]),
        (2e6, 4.1e6, 8, ["2×10⁶", "3×10⁶", "4×10⁶"]),
    ],
)
def test_logarithmic_ticks_as_a_reader_expects(low: float, high: float, most: int, labels: list[str]) -> None:
    found = list(log_ticks(low, high, most).labels)
    assert set(labels) <= set(found) and len(found) <= most + 1, found


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 12), st.booleans())
def test_linear_ticks_lie_on_the_axis(low: float, span: float, most: int, whole: bool) -> None:
    high = low + span
    if high - low <= 1e-7 * max(abs(low), abs(high)):
        return
    ticks = linear_ticks(low, high, most, whole=whole)
    if not ticks.values:
        assert whole and math.floor(high) - math.ceil(low) < most, "an axis without an integer has no tick"
        return
    check(ticks, low, high, most)
    step = max(map(abs, ticks.values)) * 1e-3 + span * 1e-2
    for value, label in zip(ticks.values, ticks.labels, strict=True):
        assert abs(value_of(label) - value) <= step, (value, label)
        assert not whole or float(value).is_integer()


@given(st.floats(-200, 200), st.floats(0.001, 300), st.integers(2, 12))
def test_logarithmic_ticks_lie_on_the_axis(exponent: float, decades: float, most: int) -> None:
    low, high = 10.0**exponent, 10.0 ** min(exponent + decades, 300)
    ticks = log_ticks(low, high, most)
    check(ticks, low, high, most)
    assert all(value > 0 for value in ticks.values)


@given(st.floats(1e-300, 1e300))
def test_a_power_says_its_value(value: float) -> None:
    assert value_of(power_label(value)) == pytest.approx(value, rel=0.006)
