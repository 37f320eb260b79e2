"""Local steps: how far SCAFFOLD's control variates follow payloads."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import SpecError
from gradwire.common.training.local import control_damping, parse_local

SCAFFOLD = parse_local("local(steps=3, optimizer=sgd(lr=0.1), scaffold=true)")


@dataclass(frozen=True)
class OfVariance:
    """A codec, as far as its variance is concerned."""

    omega: float
    spec = "toy"

    def variance(self, norm: float) -> float:
        return self.omega * norm**2


def damping(omega: float, **options: Any) -> float:
    codec: Any = OfVariance(omega)
    return control_damping(SCAFFOLD, codec, **{"feedback": False, **options})


@pytest.mark.parametrize(
    ("omega", "alpha"),
    [(0, 1), (1e-9, 1), (0.1, 1 / 2), (1, 1 / 2), (1.1, 1 / 4), (3, 1 / 4), (1000, 2**-10)],
)
def test_damping_is_a_power_of_two_of_at_most_about_1_in_1_plus_omega(omega: float, alpha: float) -> None:
    assert damping(omega) == alpha <= (1 + 1e-6) / (1 + omega)
    assert damping(math.nextafter(omega, math.inf)) == damping(math.nextafter(omega, -math.inf)) == alpha


def test_exact_payloads_and_error_feedback_are_followed_in_full() -> None:
    assert control_damping(SCAFFOLD, parse("float32", 9), feedback=False) == 1
    assert damping(0.9, feedback=True) == 1


def test_runs_without_scaffold_need_no_variance() -> None:
    codec: Any = OfVariance(math.inf)
    for local in (None, parse_local("local(steps=3)")):
        assert control_damping(local, codec, feedback=False) == 1


def test_codec_without_a_bound_is_refused() -> None:
    with pytest.raises(SpecError, match="scaffold with toy, whose variance has no bound"):
        damping(math.inf)
