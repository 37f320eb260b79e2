"""Choose a codec: those that fit, best first.

Examples:
    gradwire plan --dim 795010 --bits 2060
    gradwire plan --task 'logistic(a9a)' --bits 1000 --epsilon 8 --rounds 200 --delta 1e-5
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from gradwire.common.errors import ConfigError
from gradwire.common.privacy.accounting import check_delta, check_epsilon
from gradwire.common.system.results import to_json
from gradwire.common.training.config import MAX_ROUNDS
from gradwire.deploy.external import AllowCodec, PointFiles, import_allowed
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.candidates import Wanted, candidates
from gradwire.deploy.tables import plain_table, print_plain, wide_console
from gradwire.deploy.units import counted
from gradwire.worker.tasks import parse_task


def plan(
    bits: Annotated[int, typer.Option(help="Payload bits at most, per worker and round.", min=1)],
    dim: Annotated[int | None, typer.Option(help="Coordinates of the gradient.", min=1)] = None,
    task: Annotated[
        str | None, typer.Option(help="Plan for this task's coordinates, e.g. 'logistic(a9a)'.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Privacy budget per worker, for all rounds; lists private codecs.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Rounds that share the privacy budget.", min=1, max=MAX_ROUNDS)
    ] = 1,
    delta: Annotated[float | None, typer.Option(help="Delta at which the rounds are accounted for.")] = None,
    allow_codec: AllowCodec = None,
    points: PointFiles = None,
    as_json: AsJson = False,
) -> None:
    """List the codecs that fit, best first: bits, variance, epsilon, what encoding costs, and how to use them.

    Each family is listed with the largest parameters that fit. The variance is the largest expected squared error for
    a gradient of length 1, or of the length that it is clipped to; "x bound" is its ratio to the lower bound for
    unbiased codes of as many bits, and "R² - 1 ≥" the bound for the longest decoded vector R ([V] Theorem 5 in its
    exact form). Times are measured on this machine, with a random gradient. With --epsilon, each
    push gets the largest epsilon with which --rounds pushes stay within the budget.
    """
    import_allowed(allow_codec, points=points)
    wanted = replace(_wanted(bits, dim, task, epsilon, rounds, delta), points=tuple(map(str, points or ())))
    rows = candidates(wanted)
    if not rows:
        raise ConfigError(_none_fits(wanted))
    if as_json:
        about = {"dim": wanted.dim, "bits": bits, "rounds": rounds, "epsilon": epsilon, "delta": delta}
        print(to_json({**about, "epsilon_per_push": wanted.epsilon_per_push, "rows": rows}, indent=2))
    else:
        _print(rows, wanted)


def _wanted(
    bits: int, dim: int | None, task: str | None, epsilon: float | None, rounds: int, delta: float | None
) -> Wanted:
    """Check what was asked for.

    Raises:
        ConfigError: not one of task and dim, an epsilon or delta without meaning.
    """
    if epsilon is not None:
        check_epsilon(epsilon)
    if delta is not None:
        check_delta(delta)
        if epsilon is None:
            raise ConfigError("--delta without --epsilon accounts for nothing: pass both")
    known = None if task is None else parse_task(task).known_dim
    if (known is None) == (dim is None):
        hint = (
            "" if task is None or dim is not None else f"; the coordinates of {task} are not known in advance"
        )
        raise ConfigError(f"expected one of --dim and --task{hint}")
    size = known or dim or 0
    return Wanted(task or f"synthetic(dim={size})", size, bits, rounds, epsilon, delta or 0.0)


def _none_fits(wanted: Wanted) -> str:
    text = f"no codec has {wanted.dim:,} coordinates in {wanted.bits:,} bits"
    if wanted.epsilon is not None:
        text += f" with epsilon {wanted.epsilon_per_push:.4g} per push"
    return f"{text}: allow more bits" + (", a larger epsilon or fewer rounds" if wanted.epsilon else "")


def _print(rows: list[dict[str, Any]], wanted: Wanted) -> None:
    private = any(row["epsilon_per_push"] is not None for row in rows)
    titles = ["epsilon per push", f"in {counted(wanted.rounds, 'round')}"] if private else []
    table = plain_table(
        "codec", "bits", "variance", "x bound", "R² - 1 ≥", *titles, "encode", "decode", min_width=24
    )
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, private))
    print_plain(
        wide_console(),
        f"{wanted.dim:,} coordinates in at most {wanted.bits:,} bits, best first",
        table,
        "times are measured on this machine; to use the first:",
        f"  {rows[0]['command']}",
    )


def _cells(row: dict[str, Any], private: bool) -> list[str]:
    ratio = row["lower_bound_ratio"]
    cells = [
        row["codec"],
        f"{row['nbits']:,}",
        ("≤ " if row["variance_is_bound"] else "") + f"{row['variance']:.4g}",
        "—" if ratio is None else f"{ratio:.3g}",
        "—" if row["radius_bound"] is None else f"{row['radius_bound']:.3g}",
    ]
    if private:
        each, run = row["epsilon_per_push"], row["epsilon_per_run"]
        cells += ["—" if each is None else f"{each:.4g}", "—" if run is None else f"{run:.4g}"]
    cells += [f"{row['encode_ms']:.3g} ms", f"{row['decode_ms']:.3g} ms"]
    notes = ["biased"] if not row["unbiased"] else []
    return [*cells, ", ".join(notes + ([] if row["fixed_length"] else ["at most"]))]
