"""``privacy-error``: squared error against epsilon of every private mechanism, cpSGD beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradwire.bench.commands.privacy import squared_errors
from gradwire.bench.cpsgd_trials import least_noise, measured_payloads
from gradwire.bench.papers.experiment import Experiment, Measured, Params, register
from gradwire.bench.papers.privacy_pages import cpsgd_section, curves, finding, mechanism_table
from gradwire.bench.private_rows import BY_TITLE, CHOSEN, FIXED, Mechanism
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import SpecError
from gradwire.deploy.report.document import Document, Section

DIMS = (128, 1024, 65_536)
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
WORKERS = (1, 1000)  # of cpSGD: local privacy, and the sum of a round
DELTA = 1e-5
CPSGD = "cpSGD"
QUICK = {128: (400, 2.0**30), 1024: (200, 2.0**30), 65_536: (30, 2.0**30)}  # payloads; coins of cpSGD
FULL = {128: (4000, 2.0**33), 1024: (2000, 2.0**33), 65_536: (200, 2.0**35)}


@register
class PrivacyError(Experiment):
    """Relative variance by epsilon: stated, measured, by formula and as printed."""

    name = "privacy-error"
    title = "Squared error of private mechanisms by epsilon, at 128, 1,024 and 65,536 coordinates"
    source = "[V] section 6, Tables 1 and 3, Theorems 16 and 17"
    repeatable = False  # private codecs take coins from the operating system

    def cases(self, *, full: bool) -> Sequence[Params]:
        titles = [CPSGD, *(mechanism.title for mechanism in (*CHOSEN, *FIXED))]
        scale = FULL if full else QUICK
        return [
            {"dim": dim, "mechanism": title, "samples": scale[dim][0], "coins": scale[dim][1]}
            for dim in reversed(DIMS)
            for title in titles
        ]

    def measure(self, *, dim: int, mechanism: str, samples: int, coins: float) -> Any:
        if mechanism == CPSGD:
            return [cpsgd_row(dim, epsilon, workers, coins) for workers in WORKERS for epsilon in EPSILONS]
        row = BY_TITLE[mechanism]
        epsilons = EPSILONS if row.own is None else (row.own(dim),)
        found = [mechanism_row(row, dim, epsilon, samples) for epsilon in epsilons]
        return [each for each in found if each is not None]

    def document(self, results: Sequence[Measured], *, full: bool) -> Document:
        rows = [row for each in results for row in each.result]
        local = [row for row in rows if row["mechanism"] != CPSGD]
        cpsgd = [row for row in rows if row["mechanism"] == CPSGD]
        dims = sorted({row["dim"] for row in rows}, key=DIMS.index)
        sections = [Section("What it says", finding(local, cpsgd, dims))]
        for dim in dims:
            title = f"{dim:,} coordinates"
            sections.append(Section(title, [curves(rows, dim, DELTA), mechanism_table(local, dim)]))
        sections.append(cpsgd_section(cpsgd, local, DELTA))
        return Document(
            self.title,
            "E|Q(x) - x|² for a random x with |x| = 1, of payloads of the real codecs, against the epsilon "
            "that one payload is asked for. Every reader of a payload is the adversary and any two "
            "gradients are neighbours (pure local differential privacy), for cpSGD see the end.",
            sections,
        )


def mechanism_row(row: Mechanism, dim: int, epsilon: float, samples: int) -> dict[str, Any] | None:
    """Stated, measured, computed and printed numbers; None where the point set has a smaller epsilon by itself.

    Args:
        row: the mechanism.
        dim: coordinates.
        epsilon: that is asked for.
        samples: payloads that are measured.
    """
    try:
        codec = row.codec(dim, epsilon)
    except SpecError:
        if row.title.startswith("simplex, rr") and epsilon > math.log(7) - 0.1:
            return None
        raise
    return {
        "mechanism": row.title,
        "dim": dim,
        "asked": epsilon,
        "codec": codec.spec,
        "bits": codec.nbits,
        "epsilon": codec.epsilon,
        "formula": row.formula(dim, epsilon) if row.formula else None,
        "printed": row.printed.variance(dim) if row.printed else None,
        **measured(codec, samples),
    }


def cpsgd_row(dim: int, epsilon: float, workers: int, coins: float) -> dict[str, Any]:
    """The numbers of cpSGD with the least noise for that epsilon of the sum over ``workers`` payloads."""
    codec = least_noise(dim, epsilon, DELTA, workers)
    found: dict[str, Any] = {"mechanism": CPSGD, "dim": dim, "asked": epsilon, "workers": workers}
    if codec is None:
        return found | {"codec": None, "bits": None, "stated": None, "measured": None, "standard_error": None}
    return found | {
        "codec": codec.spec,
        "bits": codec.nbits,
        "epsilon": codec.central_epsilon(DELTA, workers),
        **measured(codec, measured_payloads(codec, coins)),
    }


def measured(codec: AnyCodec, samples: int) -> dict[str, Any]:
    """The stated variance, and the mean error of that many payloads with its standard error."""
    if not samples:
        return {"stated": codec.variance(), "measured": None, "standard_error": None}
    errors = squared_errors(codec, samples)
    return {
        "stated": codec.variance(),
        "measured": float(errors.mean()),
        "standard_error": float(errors.std(ddof=1)) / math.sqrt(samples),
    }
