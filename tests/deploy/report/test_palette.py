"""The colours are told apart by people with every kind of colour vision, and from their background."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.deploy.report.palette import COLOURS, DARK, LIGHT, dash_of, marker

Rgb = NDArray[np.float64]
# The matrices of Machado, Oliveira and Fernandes for severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def linear(colour: str) -> Rgb:
    part = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: Rgb) -> Rgb:
    ratio = XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(a: str, b: str) -> float:
    first, second = (float(linear(colour) @ XYZ[1]) for colour in (a, b))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


@pytest.mark.parametrize(("colours", "paper"), [(LIGHT, "#ffffff"), (DARK, "#14181d")], ids=["light", "dark"])
def test_colours_stand_out_from_their_background(colours: tuple[str, ...], paper: str) -> None:
    assert len(colours) == COLOURS
    assert min(contrast(colour, paper) for colour in colours) >= 3.0  # WCAG 1.4.11


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_told_apart(colours: tuple[str, ...], vision: str) -> None:
    seen = [lab(VISION[vision] @ linear(colour)) for colour in colours]
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(range(COLOURS), 2)}
    assert min(apart.values()) >= 15, min(apart, key=apart.__getitem__)


def test_a_marker_and_a_dash_belong_to_one_colour_each() -> None:
    assert len({marker(i, 0, 0) for i in range(COLOURS)}) == COLOURS
    looks = {(i % COLOURS, dash_of(i, dashed=dashed)) for i in range(24) for dashed in (False, True)}
    assert len(looks) == 48, "24 series, solid and dashed, look different each"
