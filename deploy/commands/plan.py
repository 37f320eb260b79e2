"""Choose a codec: those that fit, best first.

Examples:
    gradwire plan --dim 795010 --bits 2060
    gradwire plan --task 'logistic(a9a)' --bits 1000 --epsilon 8 --rounds 200 --delta 1e-5
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer

from gradwire.common.codecs import AnyCodec, codecs
from gradwire.common.errors import ConfigError, GradwireError
from gradwire.common.privacy.accounting import check_delta, check_epsilon, epsilon_for, pure, tightest
from gradwire.common.randomness import SystemCoins
from gradwire.common.spec import Spec
from gradwire.common.system.results import to_json
from gradwire.common.training.config import MAX_ROUNDS
from gradwire.deploy.flags import AsJson
from gradwire.deploy.planning.bounds import variance_lower_bound
from gradwire.deploy.planning.fitting import fitted
from gradwire.deploy.planning.spelling import shortest_spec
from gradwire.deploy.tables import plain_table, print_plain, wide_console
from gradwire.deploy.units import counted
from gradwire.worker.tasks import parse_task

TIMED = 3  # encodings and decodings of which the fastest counts
PATIENCE = 0.5  # seconds: one that takes longer is not repeated


@dataclass(frozen=True)
class Wanted:
    """What is planned for.

    Attributes:
        task: for the command line; its coordinates are ``dim``.
        epsilon: what a worker may spend in the run; None where payloads need not be private.
    """

    task: str
    dim: int
    bits: int
    rounds: int
    epsilon: float | None
    delta: float

    @property
    def epsilon_per_push(self) -> float | None:
        """The largest epsilon of a push with which the rounds stay within the budget."""
        return None if self.epsilon is None else epsilon_for(self.epsilon, self.rounds, self.delta)


def plan(
    bits: Annotated[int, typer.Option(help="Payload bits at most, a worker and round.", min=1)],
    dim: Annotated[int | None, typer.Option(help="Coordinates of the gradient.", min=1)] = None,
    task: Annotated[
        str | None, typer.Option(help="Plan for this task's coordinates, e.g. 'logistic(a9a)'.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Privacy budget of a worker for all rounds; lists private codecs.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of the run that shares it.", min=1, max=MAX_ROUNDS)] = 1,
    delta: Annotated[float | None, typer.Option(help="Account for the rounds at this delta.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the codecs that fit, best first: bits, variance, epsilon, what encoding costs, and how to use them.

    Each family stands with the largest parameters that fit. The variance is the largest expected squared error for a
    gradient of length 1, or as long as the bound that it is clipped to; "x bound" compares it with what no unbiased
    code of so many bits can beat. Times are measured here, on a random gradient. With --epsilon, each push gets the
    largest epsilon with which --rounds pushes stay within it.
    """
    wanted = _wanted(bits, dim, task, epsilon, rounds, delta)
    rows = sorted(_rows(wanted), key=_rank)
    if not rows:
        raise ConfigError(_nothing(wanted))
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
        hint = "" if task is None or dim is not None else f"; {task} does not tell its coordinates"
        raise ConfigError(f"expected one of --dim and --task{hint}")
    size = known or dim or 0
    return Wanted(task or f"synthetic(dim={size})", size, bits, rounds, epsilon, delta or 0.0)


def _rows(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """One row for each family, and mechanism, that has a codec which fits: the one of least variance."""
    for family, cls in sorted(codecs().items()):
        best: dict[str, tuple[float, AnyCodec]] = {}
        for codec in fitted(cls, wanted.dim, wanted.bits, wanted.epsilon_per_push):
            variance, kind = _variance(codec), getattr(codec, "mechanism", Spec(family)).name
            if variance is not None and variance < best.get(kind, (math.inf,))[0]:
                best[kind] = variance, codec
        for variance, codec in best.values():
            cost = _cost(codec)
            if cost is not None:
                yield {"family": family, **_row(codec, variance, cost, wanted)}


def _variance(codec: AnyCodec) -> float | None:
    try:
        return float(codec.variance(1.0))
    except (GradwireError, NotImplementedError, OverflowError, MemoryError):
        return None


def _row(codec: AnyCodec, variance: float, cost: tuple[float, float], wanted: Wanted) -> dict[str, Any]:
    bound = variance_lower_bound(codec.dim, codec.nbits)
    private = codec.private
    spec = shortest_spec(codec)
    return {
        "codec": spec,
        "nbits": codec.nbits,
        "fixed_length": codec.fixed_length,
        "unbiased": codec.unbiased,
        "variance": variance,
        "variance_is_bound": codec.variance_is_bound,
        "lower_bound": bound,
        "lower_bound_ratio": variance / bound if codec.unbiased and bound > 0 else None,
        "epsilon_per_push": codec.epsilon if private else None,
        "epsilon_per_run_pure": pure(codec.epsilon, wanted.rounds) if private else None,
        "epsilon_per_run": tightest(codec.epsilon, wanted.rounds, wanted.delta) if private else None,
        "encode_ms": 1e3 * cost[0],
        "decode_ms": 1e3 * cost[1],
        "cost": "measured",
        "source": codec.source,
        "command": _command(spec, codec, wanted),
    }


def _command(spec: str, codec: AnyCodec, wanted: Wanted) -> str:
    words = ["gradwire", "run", "--task", wanted.task, "--codec", spec]
    if not codec.unbiased and codec.variance(1.0) < 1:
        words += ["--feedback", "error"]
    if wanted.epsilon is not None:
        words += ["--rounds", str(wanted.rounds), "--max-epsilon", _exact(wanted.epsilon)]
        words += ["--delta", _exact(wanted.delta)] if wanted.delta else []
    return shlex.join(words)


def _exact(number: float) -> str:
    """All its digits: a budget that was rounded down does not pay for what was planned with it."""
    return repr(float(number)).removesuffix(".0")


def _cost(codec: AnyCodec) -> tuple[float, float] | None:
    """Seconds to encode a random gradient, and to decode its payload; None where this machine cannot."""
    try:
        x = np.random.default_rng(0).standard_normal(codec.dim, dtype=np.float32)
        x /= max(1.0, float(np.linalg.norm(x)))
        shared = 1 if codec.shared_randomness else None
        encoding, payload = _fastest(lambda: codec.encode(x, SystemCoins(), shared=shared))
        decoding, _ = _fastest(lambda: codec.decode(payload, shared=shared))
    except (GradwireError, NotImplementedError, MemoryError):
        return None
    return encoding, decoding


def _fastest(call: Any) -> tuple[float, Any]:
    best, result = math.inf, None
    for _ in range(TIMED):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
        if best > PATIENCE:
            break
    return best, result


def _rank(row: dict[str, Any]) -> tuple[bool, float, int]:
    """Unbiased before biased, whose variance is not all of their error's story; then the least variance."""
    return not row["unbiased"], row["variance"], row["nbits"]


def _nothing(wanted: Wanted) -> str:
    text = f"no codec has {wanted.dim:,} coordinates in {wanted.bits:,} bits"
    if wanted.epsilon is not None:
        text += f" with epsilon {wanted.epsilon_per_push:.4g} per push"
    return f"{text}: allow more bits" + (", a larger epsilon or fewer rounds" if wanted.epsilon else "")


def _print(rows: list[dict[str, Any]], wanted: Wanted) -> None:
    private = any(row["epsilon_per_push"] is not None for row in rows)
    titles = ["epsilon per push", f"in {counted(wanted.rounds, 'round')}"] if private else []
    table = plain_table("codec", "bits", "variance", "x bound", *titles, "encode", "decode", min_width=24)
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, private))
    print_plain(
        wide_console(),
        f"{wanted.dim:,} coordinates in at most {wanted.bits:,} bits, best first",
        table,
        "times are measured here; to use the first:",
        f"  {rows[0]['command']}",
    )


def _cells(row: dict[str, Any], private: bool) -> list[str]:
    ratio = row["lower_bound_ratio"]
    cells = [
        row["codec"],
        f"{row['nbits']:,}",
        ("≤ " if row["variance_is_bound"] else "") + f"{row['variance']:.4g}",
        "—" if ratio is None else f"{ratio:.3g}",
    ]
    if private:
        each, run = row["epsilon_per_push"], row["epsilon_per_run"]
        cells += ["—" if each is None else f"{each:.4g}", "—" if run is None else f"{run:.4g}"]
    cells += [f"{row['encode_ms']:.3g} ms", f"{row['decode_ms']:.3g} ms"]
    notes = ["biased"] if not row["unbiased"] else []
    return [*cells, ", ".join(notes + ([] if row["fixed_length"] else ["at most"]))]
