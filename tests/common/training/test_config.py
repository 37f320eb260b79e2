"""Settings: the file first, flags over it, and nothing dropped in silence."""

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
