"""Settings: the file first, flags over it, and nothing dropped in silence."""

import json
from pathlib import Path

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig, load_config
from gradwire.common.training.settings import read_toml

TASK = {"task": "synthetic(dim=3)"}

SCAFFOLD = {"local": "local(steps=2, optimizer=sgd(lr=0.1), scaffold=true)"}


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_override_the_file_whichever_way_the_rate_is_spelt(tmp_path: Path) -> None:
    file = read_toml(written(tmp_path, 'task = "synthetic(dim=3)"\nlr = 0.1\n'))
    assert load_config(file).optimizer == "sgd(lr=0.1)"
    assert load_config(file, {"optimizer": "sgd(lr=0.7)"}).optimizer == "sgd(lr=0.7)"
    assert load_config(file, {"lr": 2}).optimizer == "sgd(lr=2.0)"


@pytest.mark.parametrize(
    "flags", [{"weighting": "size"}, {"quorum": 2, "deadline": 1.0}, {"quorum": 3, "weighting": "examples"}]
)
def test_scaffold_goes_with_weights_or_with_missing_workers(flags: dict[str, object]) -> None:
    load_config({**TASK, **SCAFFOLD, "workers": 3, **flags})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({**TASK, "lr": 0.1, "optimizer": "sgd(momentum=0.9)"}, "lr and optimizer"),
        ({**TASK, "lr": "fast"}, "lr is 'fast', expected a number"),
        ({}, "no task"),
        ({**TASK, "rouns": 3}, "did you mean rounds"),
        ({"tsk": "synthetic(dim=3)"}, "did you mean task"),
        ({**TASK, "quorum": 2}, "set deadline"),
        ({**TASK, "seed": -1}, "seed is -1"),
        ({**TASK, "workers": "5..3"}, r"workers is 5..3, expected MIN..MAX with MIN at most MAX"),
        ({**TASK, "workers": "two..3"}, r"workers is 'two..3', expected a whole number or MIN..MAX"),
        ({**TASK, "workers": "1..2..3"}, r"expected a whole number or MIN..MAX"),
        ({**TASK, "workers": "-1..3"}, r"expected a whole number or MIN..MAX"),
        ({**TASK, "workers": "2..4", "min_workers": 3}, r"workers 2..4 and min_workers are both given"),
        ({**TASK, "workers": 3, "cohort": 4}, "cohort is 4, the run has 3 workers: draw at most those"),
        ({**TASK, "cohort": -1}, "cohort is -1, expected at least 0"),
        ({**TASK, "cohort": 2, "quorum": 3, "deadline": 1.0}, "quorum is 3, expected at most the cohort, 2"),
        ({**TASK, "workers": "2..4", "quorum": 3}, "quorum is 3, and rounds open with 2 workers"),
        (
            {**TASK, **SCAFFOLD, "cohort": 2, "weighting": "examples"},
            "needs all workers in every round, and rounds here commit with 2 of 4: leave out quorum, cohort and MIN",
        ),
        ({**TASK, **SCAFFOLD, "workers": "3..4", "weighting": "size"}, "rounds here commit with 3 of 4"),
        (
            {**TASK, **SCAFFOLD, "workers": 3, "quorum": 2, "deadline": 1.0, "weighting": "size"},
            "needs all workers in every round, and rounds here commit with 2 of 3: leave out quorum",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line(flags: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(flags)
    assert "\n" not in str(caught.value)


def test_the_stored_form_is_the_same_configuration() -> None:
    config = RunConfig(task="mlp(digits, hidden=8)", deadline=1.5, quorum=2)
    assert RunConfig.from_json(config.to_json()) == config


# (settings) -> pushes that a round needs, live workers with which the first opens, and without whom none does, and the
# most payloads of a round.
WHO = [
    ({}, (10, 10, 10, 10)),
    ({"quorum": 6, "deadline": 1.0}, (6, 10, 6, 10)),
    ({"cohort": 3}, (3, 10, 3, 3)),
    ({"cohort": 3, "quorum": 2}, (2, 10, 2, 3)),
    ({"workers": "4..10"}, (4, 4, 4, 10)),
    ({"workers": "4..10", "quorum": 2}, (2, 4, 4, 10)),
    ({"workers": "4..10", "cohort": 3}, (3, 4, 4, 3)),
    ({"workers": "2..10", "cohort": 3}, (2, 2, 2, 3)),
    ({"workers": "10..10"}, (10, 10, 10, 10)),
]


@pytest.mark.parametrize(("flags", "expected"), WHO, ids=str)
def test_who_takes_part(flags: dict[str, object], expected: tuple[int, ...]) -> None:
    config = load_config({**TASK, "workers": 10, **flags})
    assert (config.needed, config.opening, config.least, config.largest_round) == expected
    assert config.workers == 10 and RunConfig.from_json(config.to_json()) == config
    assert config.changing == bool({"cohort"} & flags.keys() or config.min_workers)


def test_a_range_in_the_file_gives_way_to_a_flag_as_a_whole(tmp_path: Path) -> None:
    file = read_toml(written(tmp_path, 'task = "synthetic(dim=3)"\nworkers = "2..10"\n'))
    assert (load_config(file).min_workers, load_config(file).workers) == (2, 10)
    plain = load_config(file, {"workers": "4"})
    assert (plain.min_workers, plain.workers) == (0, 4)
    other = load_config(file, {"workers": "3 .. 5"})
    assert (other.min_workers, other.workers) == (3, 5)


def test_logs_of_earlier_releases_have_all_workers_in_every_round() -> None:
    stored = json.loads(RunConfig(task="synthetic(dim=3)").to_json())
    for name in ("min_workers", "cohort"):
        del stored[name]
    config = RunConfig.from_json(json.dumps(stored))
    assert not config.changing and config.needed == config.opening == config.least == 4


def test_what_a_run_of_own_loops_has_unless_others_are_named() -> None:
    """A site's update goes into the model in one step: a bit or so per coordinate, and rate 1."""
    own = RunConfig(task="own")
    assert (own.codec, own.optimizer) == ("drive", "sgd(lr=1.0)")
    plain = RunConfig(task="softmax(digits)")
    assert (plain.codec, plain.optimizer) == ("cross_polytope(repeats=100)", "sgd(lr=0.1)")
    assert RunConfig(task="own", codec="float32", optimizer="adam(lr=0.1)").codec == "float32"
    assert RunConfig.from_json(own.to_json()) == own
