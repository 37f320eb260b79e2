"""``simq-hard-instances``: runs by the paper's rules at a tiny scale, and what is concluded from known gaps."""

import math

import numpy as np
import pytest

from gradwire.bench.papers.experiment import Measured
from gradwire.bench.papers.experiments.simq_hard_instances import Curve, SimqHardInstances, finding
from gradwire.bench.papers.hard_instances import ALL_BITS, BY_TITLE, FEW_BITS, INSTANCES, Instance
from gradwire.common.codecs import parse
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.deploy.report.document import Chart, Table

RNG = np.random.default_rng(0)


def rows(title: str, slope: float, ratio: float, most: int = 12, at_zero: float = 1e9) -> list[Measured]:
    """Gaps that follow a power of T, with noise of one percent."""
    return [
        Measured(
            {"instance": title, "scheme": scheme, "dim": 64, "rounds": 1 << e, "seeds": 5},
            {
                "codec": scheme, "bits": 1.0, "at_zero": at_zero, "guarantee": 3.0,
                "gaps": ((1 << e) ** slope * factor * (1 + 0.01 * RNG.normal(size=5))).tolist(),
            },
        )
        for e in range(8, most + 1)
        for scheme, factor in ((FEW_BITS, ratio), (ALL_BITS, 1.0))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("slope", "ratio", "keeps"),
    [(-0.5, 1.3, (True, True)), (-0.4, 1.3, (False, True)), (-0.5, 1.6, (True, False))],
)
def test_limits_are_applied(slope: float, ratio: float, keeps: tuple[bool, bool]) -> None:
    curve = Curve("p = 2, product", 64, rows("p = 2, product", slope, ratio))
    fit = curve.slope(FEW_BITS)
    assert fit is not None and fit[0] == pytest.approx(slope, abs=0.02) and 0 < fit[1] < 0.02
    assert curve.ratio()[0] == pytest.approx(ratio, rel=0.03)
    assert (curve.keeps_slope, curve.keeps_ratio) == keeps
    assert ("p = 2, product, d = 64" in finding([curve])) == (keeps != (True, True))


def test_only_gaps_below_half_are_fitted() -> None:
    curve = Curve("p = 2, product", 64, rows("p = 2, product", -0.5, 1.0, at_zero=2 * 2.0**-5.2))
    assert curve.fitted.tolist() == [False, False, False, True, True]
    none = Curve("p = 2, product", 64, rows("p = 2, product", -0.5, 1.0, at_zero=1e-9))
    assert none.slope(FEW_BITS) is None and not none.keeps_slope


def test_the_document_has_every_instance() -> None:
    results = [row for title in BY_TITLE for row in rows(title, -0.5, 1.2)]
    document = SimqHardInstances().document(results, full=False)
    parts = [part for section in document.sections for part in section.parts]
    (chart,), (table,) = ([p for p in parts if isinstance(p, kind)] for kind in (Chart, Table))
    assert isinstance(chart, Chart) and len(chart.series) == 2 * len(INSTANCES)
    assert isinstance(table, Table) and len(table.rows) == len(INSTANCES)
    assert "6 of 6 settings." in document.about and "in 6 of 6." in document.about


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda instance: instance.title)
def test_runs_keep_their_guarantee(instance: Instance) -> None:
    for scheme in (FEW_BITS, ALL_BITS):
        result = SimqHardInstances().measure(
            instance=instance.title, scheme=scheme, dim=16, rounds=256, seeds=2
        )
        assert 0 < np.mean(result["gaps"]) <= 1.2 * result["guarantee"]
        sent = parse(instance.codec(scheme, 16), 16)
        assert (result["codec"], result["bits"]) == (sent.spec, sent.nbits)


def test_steps_are_the_papers() -> None:
    """R / (alpha sqrt T): for p = 2, d = 64, R = 1; SimQ+ has alpha = sqrt 2."""
    optimizer = Instance(2.0, "product").optimizer(FEW_BITS, 64, 256)
    assert f"lr={1 / math.sqrt(2 * 256)!r}"[:16] in optimizer
    parse_optimizer(optimizer)
    for p in (1.0, 1.5):
        lr = float(Instance(p, "product").optimizer(ALL_BITS, 64, 256).split("lr=")[1].split(",")[0])
        convexity = max(p, 1 + 1 / math.log(64)) - 1
        # R alpha is 1 in every pair of dual norms, and the step (R alpha) / (alpha^2 sqrt((p' - 1) T)).
        alpha = 64 ** (1 / p - 1 / (1 + convexity))
        assert lr == pytest.approx(1 / (alpha**2 * math.sqrt(convexity * 256)))
