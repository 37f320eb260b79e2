"""Colours and markers of series, and the style sheet of charts, for light and dark screens and for paper."""

from __future__ import annotations

from collections.abc import Sequence

# Seven hues and a grey, which differ in lightness too: told apart with every kind of colour blindness, and at least 3:1
# against the background. Eight series have one marker each; further ones have the same colours with another dash.
LIGHT = ("#1f5fb4", "#a83400", "#14905f", "#5c1c66", "#ad9000", "#4098e2", "#23272c", "#e0609f")
DARK = ("#5f9df0", "#f08a45", "#35d68f", "#d05fa8", "#f0d64a", "#b9dcf7", "#fffbe6", "#8f62f5")
COLOURS = len(LIGHT)
DASHED = "7 4"
DASHES = ("", "2 3", "9 3 2 3")  # of the first eight series, of the next eight, and so on

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_LIGHT_INK = {"ink": "#1b2127", "muted": "#59626d", "grid": "#e3e7eb", "axis": "#9aa4af", "paper": "#ffffff"}
_DARK_INK = {"ink": "#e8ebee", "muted": "#a3adb8", "grid": "#2c333b", "axis": "#69737e", "paper": "#14181d"}

_RULES = f"""\
.chart {{ font-family: {FONT}; font-variant-numeric: tabular-nums; }}
.chart .line {{ fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }}
.chart .whisker {{ fill: none; stroke: currentColor; stroke-width: 1.5; }}
.chart .over-bar {{ fill: none; stroke-width: 1.5; }}
.chart .band {{ fill: currentColor; opacity: 0.16; }}
.chart .bar {{ fill: currentColor; }}
.chart .grid {{ fill: none; stroke-width: 1; }}
.chart .minor {{ fill: none; stroke-width: 1; opacity: 0.5; }}
.chart .axis {{ fill: none; stroke-width: 1; }}
.chart .heading {{ font-weight: 600; }}
"""


def style_sheet() -> str:
    """CSS for any number of charts: dark where the reader prefers it, light otherwise and on paper."""
    dark = "".join(f"  {rule}\n" for rule in _colours(DARK, _DARK_INK))
    light = "".join(f"{rule}\n" for rule in _colours(LIGHT, _LIGHT_INK))
    return f"{_RULES}{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _colours(colours: Sequence[str], ink: dict[str, str]) -> list[str]:
    return [
        *(f".chart .c{i} {{ color: {colour}; }}" for i, colour in enumerate(colours)),
        f".chart .ink {{ fill: {ink['ink']}; }}",
        f".chart .muted {{ fill: {ink['muted']}; }}",
        f".chart .grid, .chart .minor {{ stroke: {ink['grid']}; }}",
        f".chart .axis {{ stroke: {ink['axis']}; }}",
        f".chart .over-bar {{ stroke: {ink['ink']}; }}",
        f".chart .marker {{ fill: {ink['paper']}; stroke: currentColor; stroke-width: 1.75; }}",
        f".chart .paper {{ fill: {ink['paper']}; }}",
    ]


def colour_class(index: int) -> str:
    """The class of a series' colour, by its place in the chart."""
    return f"c{index % COLOURS}"


def dash_of(index: int, *, dashed: bool) -> str:
    """The dash pattern of a series, by its place in the chart; empty for a solid line."""
    pattern = DASHES[index // COLOURS % len(DASHES)]
    return f"{DASHED} {pattern}".strip() if dashed else pattern


def n(value: float) -> str:
    """A coordinate with one decimal at most."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def marker(index: int, x: float, y: float, size: float = 3.6) -> str:
    """Path data of a series' marker: one shape for each colour.

    Args:
        index: the series' place in the chart.
        x, y: its centre, in the picture's units.
        size: half of its width.
    """
    shape = _SHAPES[index % COLOURS]
    if not shape:
        half = f"a{n(size)} {n(size)} 0 1 0 "
        return f"M{n(x - size)} {n(y)}{half}{n(2 * size)} 0{half}{n(-2 * size)} 0z"
    first, *others = [f"{n(x + size * dx)} {n(y + size * dy)}" for dx, dy in shape]
    return f"M{first}{''.join(f'L{point}' for point in others)}z"


_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),  # a circle
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.2), (1.15, 0.8), (-1.15, 0.8)),
    ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    ((0, 1.2), (1.15, -0.8), (-1.15, -0.8)),
    ((-1.3, -0.45), (1.3, -0.45), (1.3, 0.45), (-1.3, 0.45)),
    ((-0.45, -1.3), (0.45, -1.3), (0.45, 1.3), (-0.45, 1.3)),
    ((-1.2, 0), (0.8, -1.15), (0.8, 1.15)),
)
