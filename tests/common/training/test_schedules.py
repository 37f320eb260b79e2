"""Step sizes by round: their formulas, what follows what, and how they are spelled."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from gradwire.common.errors import SpecError
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.optimizers.schedules import parse_schedule, schedules
from gradwire.common.training.optimizers.sgd import SGD

FORMULAS: dict[str, Callable[[int], float]] = {
    "constant": lambda t: 1.0,
    "inverse_sqrt": lambda t: 1 / math.sqrt(t + 1),
    "step": lambda t: 0.5 ** (t // 100),
    "step(every=3, factor=0.7)": lambda t: 0.7 ** (t // 3),
    "linear(10)": lambda t: max(0.0, 1 - t / 10),
    "linear(40, final=0.25)": lambda t: 1 - 0.75 * min(t, 40) / 40,
    "cosine(10)": lambda t: (1 + math.cos(math.pi * min(t, 10) / 10)) / 2,
    "cosine(rounds=40, final=0.1)": lambda t: 0.1 + 0.9 * (1 + math.cos(math.pi * min(t, 40) / 40)) / 2,
    "cosine(1)": lambda t: float(t == 0),
    "warmup(4)": lambda t: min(1.0, (t + 1) / 5),
    "warmup(4, cosine(20, 0.1))": lambda t: (
        (t + 1) / 5 if t < 4 else 0.1 + 0.45 * (1 + math.cos(math.pi * min(t - 4, 20) / 20))
    ),
    "warmup(1, linear(8))": lambda t: 0.5 if t < 1 else max(0.0, 1 - (t - 1) / 8),
    "warmup(rounds=7, then=step(every=5))": lambda t: (t + 1) / 8 if t < 7 else 0.5 ** ((t - 7) // 5),
    "warmup(2, warmup(3))": lambda t: (t + 1) / 3 if t < 2 else min(1.0, (t - 1) / 4),
}


def test_every_schedule_is_tested() -> None:
    assert {spec.partition("(")[0] for spec in FORMULAS} == set(schedules())


@pytest.mark.parametrize("spec", FORMULAS)
def test_rates_follow_their_formulas(spec: str) -> None:
    schedule = parse_schedule(spec)
    for t in [*range(120), 1000, 1 << 20]:
        assert schedule.rate(0.3, t) == pytest.approx(0.3 * FORMULAS[spec](t), rel=2e-15, abs=1e-16), t


@pytest.mark.parametrize(
    "spec", ["cosine(100)", "linear(100)", "cosine(7, final=0.5)", "linear(7, final=0.5)"]
)
def test_decay_falls_all_the_way_and_stays(spec: str) -> None:
    schedule = parse_schedule(spec)
    rates = [schedule.rate(1.0, t) for t in range(200)]
    last = rates.index(rates[-1])
    assert rates[0] == 1 and all(a > b for a, b in pairwise(rates[: last + 1]))
    assert set(rates[last:]) == {rates[-1]} and last in (7, 100) and rates[-1] in (0.0, 0.5)


def test_warmup_rises_to_the_rate_that_comes_after_it() -> None:
    schedule = parse_schedule("warmup(9, cosine(100))")
    rates = [schedule.rate(1.0, t) for t in range(11)]
    assert rates == sorted(rates[:10]) + rates[10:] and rates[0] == 0.1 and rates[9] == 1 > rates[10]


def test_every_optimizer_with_a_rate_takes_every_schedule() -> None:
    for optimizer in (
        "sgd",
        "projected_sgd",
        "mirror_descent",
        "nesterov",
        "adam",
        "adamw",
        "yogi",
        "adagrad",
    ):
        for spec in FORMULAS:
            built = parse_optimizer(f"{optimizer}(schedule={spec})")
            assert parse_optimizer(built.spec) == built


def test_old_spellings_are_still_canonical() -> None:
    """Logs hold them: an optimizer that is spelled otherwise would refuse to continue its run."""
    assert parse_optimizer("sgd(schedule=step, every=3)").spec == (
        "sgd(lr=0.1, schedule=step, momentum=0.0, every=3, factor=0.5)"
    )
    assert parse_optimizer('sgd(schedule="inverse_sqrt")') == SGD(schedule="inverse_sqrt")
    assert parse_optimizer("mirror_descent").spec == (
        "mirror_descent(lr=0.1, radius=1.0, p=1.0, schedule=constant, every=100, factor=0.5)"
    )
    assert parse_optimizer("projected_sgd(0.2, 3.0, 1.5)").spec == (
        "projected_sgd(lr=0.2, radius=3.0, p=1.5, schedule=constant, every=100, factor=0.5)"
    )


def test_step_takes_its_arguments_from_either_place() -> None:
    fields, nested = (
        parse_optimizer(f"sgd(schedule={s})")
        for s in ("step, every=3, factor=0.7", "step(every=3, factor=0.7)")
    )
    assert isinstance(fields, SGD) and isinstance(nested, SGD)
    assert [fields.rate(t) for t in range(20)] == [nested.rate(t) for t in range(20)]
    assert (
        parse_optimizer("adam(schedule=step)").spec == parse_optimizer("adam(schedule=step(100, 0.5))").spec
    )


def test_restarted_optimizer_is_ahead_by_its_start() -> None:
    optimizer = parse_optimizer("adam(lr=0.5, schedule=cosine(100))")
    whole = [optimizer.rate(t) for t in range(60)]  # type: ignore[attr-defined]
    assert [optimizer.restarted(20).rate(t) for t in range(40)] == whole[20:]  # type: ignore[attr-defined]
    assert optimizer.restarted(20).restarted(30) == optimizer.restarted(30)


@pytest.mark.parametrize(
    ("spec", "says"),
    [("cosine", "cosine needs rounds: write cosine"), ("warmup(0)", "rounds is 0, expected at least 1"),
     ("linear(0)", "rounds is 0, expected at least 1"), ("cosine(9, final=1.5)", "final is 1.5, expected a fraction"),
     ("linear(9, final=nan)", "final is nan"), ("step(every=0)", "every is 0"), ("step(factor=0)", "factor is 0.0"),
     ("cosin(9)", "did you mean cosine"), ("warmup(9, adam)", "unknown schedule 'adam'"),
     ("warmup(9, cosine)", "cosine needs rounds"), ("cosine(total=9)", "has no argument 'total'"),
     ("inverse_sqrt(3)", "takes 0 arguments")],
)  # fmt: skip
def test_bad_schedules(spec: str, says: str) -> None:
    with pytest.raises(SpecError, match=r"^[^\n]+$") as caught:
        parse_optimizer(f"nesterov(schedule={spec})")
    assert says in str(caught.value)


def test_step_ends_where_further_products_change_nothing() -> None:
    """Local steps count to 2^60: not as many products."""
    for factor, expected in ((0.5, 0.0), (1.0, 0.3)):
        schedule = parse_schedule(f"step(every=1, factor={factor})")
        assert schedule.rate(0.3, 1 << 60) == expected
    schedule = parse_schedule("step(every=1, factor=0.9)")
    rate = 0.3
    for t in range(9_000):  # down to the smallest numbers
        assert schedule.rate(0.3, t) == rate if t % 1_000 == 0 else True
        rate *= 0.9


@pytest.mark.parametrize(
    "spec",
    ["sgd(lr=1e-300)", "sgd(lr=1e300)", "adam(eps=1e-320)", "clipped(1e-50, sgd)", "nesterov(lr=1e39)"],
)
def test_sizes_that_float32_does_not_have_are_refused(spec: str) -> None:
    with pytest.raises(SpecError, match=r"expected a positive finite number, 1.2e-38 to 3.4e\+38"):
        parse_optimizer(spec)
