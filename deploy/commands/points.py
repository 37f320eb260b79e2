"""Print the digest of a point set in a file, and what codecs it makes.

Examples:
    gradwire points mine.npy
    gradwire points mine.npy --json
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.known_points import KnownPoints, known_points
from gradwire.common.system.results import to_json
from gradwire.common.training.point_files import read_points
from gradwire.deploy.exit_codes import FAILED
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.bounds import point_set_bits, radius_lower_bound, variance_lower_bound
from gradwire.deploy.tables import plain_table, print_plain


def points(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=".npy file of an array [points, coordinates].")
    ],
    as_json: AsJson = False,
) -> int:
    """Print the digest of a point set, by which specs name it, and what it can do.

    The hull of the points must contain the unit ball ([V] Theorem 6). That is decided exactly for one point more
    than coordinates and up to 6 coordinates; beyond, by a search for a direction in which it fails. Shown are the bits
    of an index, the variance, the epsilon under a public bound, and the bounds of [V] Theorem 5. The exit code is 1 for
    a set that cannot be used.
    """
    row = describe(known_points(read_points(file)))
    if as_json:
        print(to_json(row, indent=2))
    else:
        _print(row)
    return 0 if row["usable"] else FAILED


def describe(known: KnownPoints) -> dict[str, Any]:
    """What a point set can do; codecs of it are null where it is refused."""
    count, dim = known.points.shape
    low, high, direction = known.reach
    radius = math.sqrt(float((known.points**2).sum(axis=1).max()))
    bits = max(1, (count - 1).bit_length())
    row = {
        "digest": known.digest,
        "points": count,
        "dim": dim,
        "index_bits": (count - 1).bit_length(),
        "radius": radius,
        "reach": low if low == high else None,
        "reach_at_least": low,
        "reach_at_most": high,
        "direction": direction.tolist(),
        "contains_unit_ball": True if known.proven else False if known.refuted else None,
        "usable": not known.refuted,
        "why_not": known.why_refuted if known.refuted else None,
        "lower_bound": variance_lower_bound(dim, bits),
        "radius_bound": radius_lower_bound(dim, bits).cap,
        "radius_bound_printed": radius_lower_bound(dim, bits).printed,
        "least_bits": point_set_bits(dim, radius) if radius >= 1 else None,
    }
    return row | (_codecs(known) if not known.refuted else dict.fromkeys(CODECS))


CODECS = (
    "codec",
    "variance",
    "variance_is_bound",
    "largest_gauge",
    "epsilon",
    "private_codec",
    "private_variance",
)


def _codecs(known: KnownPoints) -> dict[str, Any]:
    """The codec under a public bound, which sends the index alone, and how it becomes private."""
    dim = known.points.shape[1]
    codec = parse(f"points({known.digest}, gain=bound(1.0))", dim)
    private = parse(f"private(rr(epsilon=1.0), points({known.digest}))", dim)
    return {
        "codec": f"points({known.digest})",
        "variance": codec.variance(),
        "variance_is_bound": codec.variance_is_bound,
        "largest_gauge": known.usable.largest_gauge,
        "epsilon": codec.epsilon if codec.private else None,
        "private_codec": f"private(rr(epsilon=1.0), points({known.digest}))",
        "private_variance": private.variance(),
    }


def _print(row: dict[str, Any]) -> None:
    table = plain_table("")
    table.add_column("", overflow="fold")
    for title, text in _lines(row):
        table.add_row(title, text)
    print_plain(Console(), table)


def _lines(row: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("digest", row["digest"]),
        (
            "points",
            f"{row['points']:,} of {row['dim']:,} coordinates, {row['index_bits']} bits; "
            f"the longest has {row['radius']:.4g}",
        ),
        (
            "least bits",
            "—"
            if row["least_bits"] is None
            else f"{row['least_bits']:.3g} for points of that length ([V] Theorem 5, V9)",
        ),
        ("unit ball", _ball(row)),
    ]
    if not row["usable"]:
        return lines
    lower = (
        f"any unbiased code of these bits has ≥ {row['lower_bound']:.4g}, R² - 1 ≥ {row['radius_bound']:.4g}"
    )
    epsilon = row["epsilon"]
    return [
        *lines,
        (
            "variance",
            f"{'≤ ' * row['variance_is_bound']}{row['variance']:.4g} for a gradient of length 1; {lower}",
        ),
        (
            "epsilon",
            "none: a weight can vanish"
            if epsilon is None
            else f"{epsilon:.4g} per draw under a public bound, gain=bound(B)",
        ),
        ("codec", row["codec"]),
        ("private", f"{row['private_codec']}, variance ≤ {row['private_variance']:.4g}"),
    ]


def _ball(row: dict[str, Any]) -> str:
    contained = row["contains_unit_ball"]
    if contained:
        return f"inside the hull, which reaches {row['reach_at_least']:.6g} in its shortest direction" + (
            "" if row["reach"] is not None else " at least"
        )
    if contained is False:
        return f"not inside: {row['why_not']}"
    return (
        f"not refuted: it ends at {row['reach_at_most']:.6g} in the shortest direction found; proven is "
        f"{row['reach_at_least']:.3g}, so a gradient outside is sent with its gauge"
    )
