"""The draw of a cohort: a uniform permutation of all workers, which anybody can compute."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from gradwire.server.rounds.drawing import Draw
from tests.system.cohorts import permutation


@given(
    seed=st.integers(0, 2**63 - 1),
    round_=st.integers(0, 2**40),
    workers=st.integers(1, 9),
    cohort=st.integers(0, 9),
    data=st.data(),
)
def test_the_first_live_ones_of_the_permutation_are_drawn(
    seed: int, round_: int, workers: int, cohort: int, data: st.DataObject
) -> None:
    live = data.draw(st.sets(st.integers(0, workers - 1)))
    pushed = data.draw(st.sets(st.integers(0, workers - 1), max_size=cohort or None))
    drawn = Draw(seed, cohort, 1).take(round_, live, pushed)
    others = [w for w in permutation(seed, round_, workers) if w in live - pushed]
    assert drawn == pushed | set(others[: cohort - len(pushed)] if cohort else others)
    assert not cohort or len(drawn) == min(cohort, len(live | pushed))


def test_every_permutation_is_as_frequent_as_every_other() -> None:
    """A chi-square of 24 orders over 24,000 rounds, below its 1 - 10^-6 quantile for 23 degrees of freedom."""
    rounds = 24_000
    counts = Counter(tuple(permutation(5, round_, 4)) for round_ in range(rounds))
    assert counts.keys() == set(permutations(range(4)))
    expected = rounds / 24
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 75


def test_every_worker_is_drawn_in_its_share_of_the_rounds() -> None:
    draw, rounds = Draw(seed=1, cohort=10, least=10), 2_000
    counts = Counter(worker for round_ in range(rounds) for worker in draw.take(round_, range(100), ()))
    deviation = (rounds * 0.1 * 0.9) ** 0.5
    assert all(abs(counts[worker] - rounds / 10) < 5 * deviation for worker in range(100))


def test_the_draw_of_a_worker_does_not_depend_on_how_many_there_are() -> None:
    assert [w for w in permutation(3, 8, 50) if w < 20] == permutation(3, 8, 20)
