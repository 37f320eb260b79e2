"""Charts and documents of every kind, with names that a page has to escape."""

from __future__ import annotations

import math

from gradwire.deploy.report.document import (
    BARS,
    DASHED,
    LINE,
    POINTS,
    Chart,
    Document,
    Highlight,
    Highlights,
    Section,
    Series,
    Table,
)

NASTY = "<script>alert('1')</script> & \"quoted\" \x1b[31mred\x00 </title></style>"
LONG = "private(mechanism=rr(epsilon=4.0, nominal=false), codec=cross_polytope(repeats=100, coding=l1_ball))"
ROUNDS = range(501)


def _decay(rate: float) -> list[float]:
    return [2.3 * math.exp(-rate * r) + 0.02 + 0.01 * math.sin(r) for r in ROUNDS]


CURVES = Chart(
    "Loss by round",
    "round",
    "loss",
    [Series(f"run {i}", ROUNDS, _decay(0.01 * (i + 1)), style=DASHED if i == 2 else LINE) for i in range(10)],
    log_y=True,
    note="A note.",
)
BANDS = Chart(
    "Error by bytes",
    "message bytes",
    "test error",
    [
        Series(
            *("band", [1e3, 1e4, 1e5, 1e6], [0.9, 0.5, 0.3, 0.2]),
            low=[0.8, 0.4, 0.25, 0.18],
            high=[1.0, 0.6, 0.35, 0.22],
        ),
        Series(
            *("whiskers", [2e3, 2e4, 2e5], [0.8, None, 0.25]),
            low=[0.7, None, 0.2],
            high=[0.9, None, 0.3],
            style=POINTS,
        ),
    ],
    log_x=True,
)
UPRIGHT = Chart(
    "Bytes",
    "",
    "bytes",
    [
        Series("predicted", range(3), [1000.0, 1200.0, None], style=BARS),
        Series("measured", range(3), [1e3, 1210.0, 1500.0], low=[900, 1200, 1400], high=[1100, 1220, 1600], style=BARS),
    ],
    categories=["payload", "message", "TCP"],
)  # fmt: skip
LYING = Chart(
    "Variance",
    "",
    "variance",
    [
        Series("stated", range(3), [1e2, 1e4, 1e6], style=BARS),
        Series("printed", range(3), [5e1, 2e4, 1e5], low=[20, 1e4, 5e4], high=[90, 4e4, 2e5], style=POINTS),
    ],
    log_y=True,
    categories=[LONG, "qsgd(levels=16)", "float32"],
)
HOLES = Chart(
    "Values without a place",
    "round",
    "loss",
    [
        Series("gaps", [0, 1, 2, 3, 4], [1.0, 0.9, None, 0.7, 0.6]),
        Series("diverges", [0, 1, 2], [1.0, math.inf, math.nan]),
        Series("empty", [], []),
        Series("alone", [2], [0.5]),
    ],
)
NEGATIVE = Chart(
    "Positive alone", "x", "y", [Series("some", [0, 1, 2], [-1.0, 0.0, 10.0])], log_x=True, log_y=True
)
NAMED = Chart(NASTY, NASTY, NASTY, [Series(NASTY, [0, 1], [1.0, 2.0])], note=NASTY)
NOTHING = Chart("Nothing", "x", "y", [])
CHARTS = {
    "curves": CURVES, "bands": BANDS, "upright": UPRIGHT, "lying": LYING, "holes": HOLES, "negative": NEGATIVE,
    "named": NAMED, "nothing": NOTHING,
}  # fmt: skip

DOCUMENT = Document(
    NASTY,
    f"About `code` and {NASTY}",
    [
        Section(
            NASTY,
            [Highlights([Highlight(NASTY, LONG, NASTY), Highlight("loss", "0.5")]), f"One.\n\nTwo {NASTY}"],
        ),
        Section("Charts", list(CHARTS.values())),
        Section(
            "Tables",
            [
                Table(
                    NASTY,
                    [NASTY, *(f"column {i} of many that are wide" for i in range(12))],
                    [[NASTY, 1, 2.5, None, LONG, *range(8)], ["b", 2, 3.5, 4, "x", *range(8)]],
                    note=NASTY,
                ),
                "Text between.",
                CURVES,
            ],
        ),
    ],
    {NASTY: NASTY, "gradwire": "0.5"},
    {"any": ["json", 1, None]},
)
