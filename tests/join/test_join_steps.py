"""Steps and exchanges: when an update leaves, what it is, and what goes with it."""

from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, NotFiniteError
from tests.join.fake_run import Update, joined


def zeros(size: int = 3) -> dict[str, Any]:
    return {"w": np.zeros(size, np.float32)}


def test_the_update_is_what_the_model_was_set_to_minus_what_it_is() -> None:
    model = zeros()
    other = np.array([1.5, -2.0, 0.25], np.float32)
    with joined(model, others=lambda round_: [other]) as (run, link):
        for step in range(1, 4):
            before = model["w"].copy()
            model["w"] += np.float32(0.1) * step
            after = model["w"].copy()
            run.step()
            np.testing.assert_array_equal(link.updates[-1], before - after)
            expected = before - ((before - after) + other) / np.float32(2)
            np.testing.assert_array_equal(model["w"], expected)


@pytest.mark.parametrize("every", [1, 2, 5, np.int64(3)])
def test_every_so_many_steps_are_one_exchange(every: int) -> None:
    model = zeros()
    with joined(model, every=every) as (run, link):
        for step in range(1, 31):
            model["w"] += 1
            run.step()
            assert len(link.updates) == step // every
    assert all((update == -every).all() for update in link.updates)


def test_loss_is_the_mean_weighted_by_examples() -> None:
    with joined(zeros(), every=3) as (run, link):
        for loss, examples in ((1.0, 1), (None, 7), (4.0, 2)):
            run.step(loss=loss, examples=examples)
        run.step()
        assert link.messages[-1] == {"update": True, "loss": 3.0, "examples": 10, "finite": True}
        assert run.summary["loss"] == 3.0
        run.step()
        run.step()
    assert link.messages[-1] == {"update": True, "loss": None, "examples": 3, "finite": True}


@pytest.mark.parametrize("loss", [np.float32(2), np.array(2.0), np.array([[2.0]]), 2])
def test_a_loss_is_anything_with_one_number(loss: Any) -> None:
    with joined(zeros()) as (run, link):
        run.step(loss=loss)
    assert link.messages[-1]["loss"] == 2.0


@pytest.mark.parametrize("loss", ["high", np.zeros(2), [], object()])
def test_a_loss_that_is_no_number(loss: Any) -> None:
    with joined(zeros()) as (run, link):
        with pytest.raises(
            ConfigError, match=r"a loss cannot be read as a number: .*pass the loss of a batch"
        ):
            run.step(loss=loss)
        assert not link.updates
        run.step(loss=1.0)  # the site has not left
    assert len(link.updates) == 1


@pytest.mark.parametrize("examples", [0, -1, 1.5, "x", None, np.float32(2)])
def test_examples_that_are_no_count(examples: Any) -> None:
    says = r"examples is .*, expected how many samples this step trained on"
    with joined(zeros(), every=2) as (run, _), pytest.raises(ConfigError, match=says):
        run.step(examples=examples)


@pytest.mark.parametrize("examples", [np.int64(4), np.uint8(4), np.array(4)])
def test_examples_of_any_whole_type(examples: Any) -> None:
    with joined(zeros()) as (run, link):
        run.step(examples=examples)
    assert link.messages[-1]["examples"] == 4 and type(link.messages[-1]["examples"]) is int


def test_size_goes_with_every_message() -> None:
    with joined(zeros(), size=12) as (run, link):
        run.step()
    assert [message["size"] for message in link.messages] == [12, 12]


# ---- numbers that are not finite -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_is_not_sent(bad: float) -> None:
    model = {"v": np.zeros(2, np.float32), "w": np.zeros(3, np.float32)}
    with joined(model) as (run, link):
        model["w"][1] = bad
        with pytest.raises(NotFiniteError, match="the array w holds numbers that are not finite: lower the"):
            run.step()
        assert not link.updates


def test_an_update_beyond_float32() -> None:
    model = {"w": np.full(1, -3e38, np.float32)}
    with joined(model) as (run, _):
        model["w"][0] = 3e38
        with pytest.raises(NotFiniteError, match="the update of w holds numbers that are not finite"):
            run.step()


def test_a_mean_loss_that_is_not_finite() -> None:
    with joined(zeros(), every=2) as (run, link):
        run.step(loss=1.0)
        with pytest.raises(
            NotFiniteError, match="the mean loss of the last 2 steps is nan: lower the learning"
        ):
            run.step(loss=float("nan"))
        assert not link.updates


@pytest.mark.parametrize("bad", ["model", "loss"])
def test_a_private_run_learns_nothing_of_it(bad: str) -> None:
    """The wire process encodes zero: a site that stops would reveal something of its data."""
    model = zeros()
    with joined(model) as (run, link):
        link.private = True
        run.step()
        if bad == "model":
            model["w"][:] = np.nan
        run.step(loss=float("nan") if bad == "loss" else 1.0)
    assert link.messages[-1] == {"update": True, "loss": None, "examples": 1, "finite": False}


# ---- what the user asks --------------------------------------------------------------------------------------


def test_round_name_summary_and_model() -> None:
    model = {**zeros(), "n": np.arange(2)}
    with joined(model, rounds=3) as (run, _):
        assert (run.name, run.round, run.rounds, run.finished) == ("alice", 0, 3, False)
        model["w"] += 1
        run.step(loss=0.5)
        model["w"] += 7  # not the run's yet
        found = run.model()
        assert run.round == 1
        assert run.summary.items() >= {"process": "alice", "round": 1, "loss": 0.5, "finished": False}.items()
    for held in (found, run.model()):  # after it has left, too
        np.testing.assert_array_equal(held["w"], np.ones(3, np.float32))
        np.testing.assert_array_equal(held["n"], [0, 1])
    assert not run.finished and not run.summary["finished"]
    found["w"][:] = 5  # copies
    np.testing.assert_array_equal(run.model()["w"], np.ones(3))


def test_a_late_update_moves_the_model_by_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    model, other = zeros(), np.ones(3, np.float32)

    def others(round_: int) -> list[Update]:
        return [other]

    with joined(model, others=others) as (run, link), caplog.at_level("INFO", "gradwire"):
        link.late_at = {0}
        model["w"] += 10
        run.step()
        np.testing.assert_array_equal(model["w"], -other)
    assert "round 0 was committed before this site's update came: it is not counted" in caplog.messages
