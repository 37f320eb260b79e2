"""List the codecs: bits, variance and privacy of each.

Examples:
    gradwire codecs --dim 795010
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING
from typing import Annotated, Any

import typer

from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs import codecs as registered
from gradwire.common.errors import GradwireError
from gradwire.common.spec import Spec, bind_arguments, parameter_fields, parse_spec
from gradwire.deploy.external import AllowCodec, PointFiles, import_allowed
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.bounds import bounds_of
from gradwire.deploy.tables import plain_table, print_plain, wide_console

BOUNDS = ("variance ≥", "R² - 1 ≥")  # lower bounds for as many bits
DIM = 795_010  # an MNIST network with one hidden layer of 1000 units


def codecs(
    dim: Annotated[int, typer.Option(help="Coordinates of the gradient.", min=1)] = DIM,
    allow_codec: AllowCodec = None,
    points: PointFiles = None,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Write docs/codecs.md.")] = False,
) -> None:
    """List the codecs: exact payload bits, variance and privacy of each.

    Each is listed with its default parameters, or with those of its first example where it has no defaults. The
    variance is the largest expected squared error for a gradient of length 1; epsilon is the local differential
    privacy of one payload. Beside the variance stand two lower bounds for unbiased codecs of as many bits: on the
    variance, and on R^2 - 1, R the length of the longest decoded vector ([V] Theorem 5 in its exact form).
    """
    import_allowed(allow_codec, points=points)
    rows = [describe(cls, dim) for _, cls in sorted(registered().items())]
    if as_markdown:
        print(page(rows, dim), end="")
    elif as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows, dim)


def describe(cls: type[AnyCodec], dim: int) -> dict[str, Any]:
    """One row; ``error`` is the reason where a codec cannot have this dimension."""
    spec = _shown_spec(cls)
    row = {"name": cls.name, "spec": str(spec), "dim": dim, "source": cls.source, "error": None}
    try:
        return {**row, **_guarantees(cls(dim=dim, **bind_arguments(spec, cls)))}
    except (GradwireError, NotImplementedError, OverflowError, MemoryError) as error:
        return {**row, "error": str(error) or type(error).__name__}


def _shown_spec(cls: type[AnyCodec]) -> Spec:
    """The bare name where every parameter has a default, else the family's first example."""
    needed = [f for f in parameter_fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    return parse_spec(cls.examples()[0].spec) if needed else Spec(cls.name)


def _guarantees(codec: AnyCodec) -> dict[str, Any]:
    return {
        "spec": codec.spec,
        "nbits": codec.nbits,
        "nbytes": codec.nbytes,
        "bits_per_coordinate": codec.nbits / codec.dim,
        "variance": _finite(codec.variance(1.0)),
        **bounds_of(codec),
        "unbiased": codec.unbiased,
        "epsilon": _finite(codec.epsilon),
        "fixed_length": codec.fixed_length,
        "domain": codec.domain,
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return float(value) if math.isfinite(value) else None


def _print(rows: list[dict[str, Any]], dim: int) -> None:
    table = plain_table("codec", "bits", "per coordinate", "variance", *BOUNDS, "epsilon", min_width=20)
    for title in ("unbiased", "length"):
        table.add_column(title, no_wrap=True)
    table.add_column("source", overflow="fold", min_width=16)
    for row in rows:
        table.add_row(*_cells(row))
    print_plain(wide_console(), f"{dim:,} coordinates", table)


PAGE = """# Every codec

Made by `gradwire codecs --dim {dim} --markdown`: each with its default parameters, or those of its first example, for
{dim:,} coordinates. `variance` is the largest E|Q(x) - x|² for |x| = 1, `epsilon` the local differential privacy of
one payload. Beside the variance stand two lower bounds for unbiased codecs of as many bits: `variance ≥`
([theory 4](theory.md#4)), and `R² - 1 ≥` with R the length of the longest decoded vector, [V] Theorem 5 in its exact
form (erratum V9). Formula, guarantees and source are in each codec's docstring. Lengths are tested against
[independent formulas](../tests/common/codecs/formulas.py); errors at equal lengths were
[measured](../bench/results/variance.md), and so was [speed](../bench/results/codecs.md).

"""


def page(rows: list[dict[str, Any]], dim: int) -> str:
    """The table as docs/codecs.md has it."""
    head = ("codec", "bits", "per coordinate", "variance", *BOUNDS, "epsilon", "unbiased", "length", "source")
    lines: list[tuple[str, ...]] = [
        head,
        ("---", "--:", "--:", "--:", "--:", "--:", "--:", "---", "---", "---"),
    ]
    for row in rows:
        name = f"[`{row['spec']}`](../{_module(row['name'])})"
        lines.append((name, *(cell.replace("|", "\\|") for cell in _cells(row)[1:])))
    return PAGE.format(dim=dim) + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _module(name: str) -> str:
    """The file of a codec, in the repository."""
    return registered()[name].__module__.removeprefix("gradwire.").replace(".", "/") + ".py"


def _cells(row: dict[str, Any]) -> list[str]:
    if row["error"] is not None:
        return [row["spec"], *["—"] * 8, f"{row['source']}: {row['error']}"]
    variance, epsilon = row["variance"], row["epsilon"]
    return [
        row["spec"],
        f"{row['nbits']:,}",
        f"{row['bits_per_coordinate']:.3g}",
        "∞" if variance is None else f"{variance:.4g}",
        *("—" if row[key] is None else f"{row[key]:.3g}" for key in ("lower_bound", "radius_bound")),
        "—" if epsilon is None else f"{epsilon:.3g}",
        "yes" if row["unbiased"] else "no",
        "fixed" if row["fixed_length"] else "varies",
        row["source"],
    ]
