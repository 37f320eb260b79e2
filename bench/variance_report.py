"""The tables and the picture of ``gradwire bench variance``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gradwire.bench.plotting import figure
from gradwire.deploy.planning.bounds import variance_lower_bound
from gradwire.deploy.units import short

HEAD = f"{'scheme':35}{'codec':46}{'bits':>8}{'Gaussian':>10}{'±':>9}{'/ bound':>9}{'theory':>8}{'off':>8}  theory's?"
HEAD += f"{'gradient':>10}{'/ bound':>9}{'theory':>8}{'z':>6}"


def print_tables(report: dict[str, Any]) -> None:
    """One table per budget.

    ± is the standard error; ``off`` the distance of the Gaussian from theory; ``z`` the distance from the codec's
    closed form for that very vector, in standard errors, the larger of the two vectors'.
    """
    print(report["machine"])
    for bound in report["bounds"]:
        print(
            f"\n{bound['bits']:,} bits, {report['dim']:,} coordinates; lower bound {short(bound['b-32'])} "
            f"for b - 32 bits, {short(bound['b'])} for b; R^2 - 1 at least {short(bound['radius'])} for b "
            f"(as printed in [V] Theorem 5: {short(bound['radius_printed'])})"
        )
        print(HEAD)
        for row in report["rows"]:
            if row["bits"] == bound["bits"]:
                print(_line(row))


def _line(row: dict[str, Any]) -> str:
    if row["codec"] is None:
        return f"{row['scheme']:36}none is so short"
    measured, ratio, theory = row["measured"], row["bound_ratio"], row["theory"]
    off = "" if row["deviation"] is None else f"{100 * row['deviation']:+.1f} %"
    verdict = _verdict(row)
    z = [abs(value) for value in row["z"].values() if value is not None]
    return (
        f"{row['scheme']:35}{_spelling(row['codec']):46}{row['nbits']:>8,}{short(measured['gaussian']):>10}"
        f"{row['standard_error']['gaussian']:>9.2g}{short(ratio['gaussian']):>9}{_theory(theory, 'gaussian'):>8}"
        f"{off:>8}  {verdict:9}{short(measured['gradient']):>10}{short(ratio['gradient']):>9}"
        f"{_theory(theory, 'gradient'):>8}{f'{max(z):.1f}' if z else '':>6}"
    )


def _verdict(row: dict[str, Any]) -> str:
    if row["reproduced"] is None:
        return ""
    return "yes" if row["reproduced"] else "higher" if row["deviation"] > 0 else "lower"


def _theory(theory: dict[str, float], name: str) -> str:
    return short(theory[name]) if name in theory else ""


def _spelling(spec: str) -> str:
    """The canonical spec without what is the same in every row."""
    for same in (", gain=exact", ", scale=1.0", ", coding=tuple", ", p=2.0", ", rounds=1", ", budget=none"):
        spec = spec.replace(same, "")
    return spec


def plot_variances(report: dict[str, Any], path: Path) -> None:
    """Relative variance of the Gaussian vector against bits, and the lower bound, on logarithmic axes."""
    budgets = [bound["bits"] for bound in report["bounds"]]
    with figure(path) as axes:
        for title in dict.fromkeys(row["scheme"] for row in report["rows"]):
            rows = [row for row in report["rows"] if row["scheme"] == title and row["codec"]]
            axes.loglog(
                [row["nbits"] for row in rows],
                [row["measured"]["gaussian"] for row in rows],
                "o-",
                label=title,
            )
        grid = np.geomspace(min(budgets), max(budgets), 100)
        bound = [variance_lower_bound(report["dim"], float(b)) for b in grid]
        axes.loglog(grid, bound, "k--", label="lower bound")
        axes.set_xlabel("payload bits")
        axes.set_ylabel("E|Q(x) - x|² / |x|²")
        axes.set_title(f"A Gaussian vector, {report['dim']:,} coordinates")
        axes.legend(fontsize="small")
        if math.isclose(min(budgets), max(budgets)):
            axes.margins(x=0.5)
