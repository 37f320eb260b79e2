"""Times to a loss: which round reaches it, what a lap is, and that every link must end in the same model."""

import io
import math
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from rich.console import Console

from gradwire.bench import race as racing
from gradwire.bench.hosts.base import Hosts
from gradwire.bench.hosts.rates import Rate
from gradwire.bench.hosts.training import Trained
from gradwire.bench.race import Lap, averaged, lap, losses_of, race, read_case, rounds_to
from gradwire.bench.race_report import draw, print_race
from gradwire.common.errors import DivergenceError, TaskError

CASE = racing.Case("float32, model", {"task": "fake", "codec": "float32", "downlink": "model"})


def trained(rounds: int, seconds: float = 10.0, digest: str = "00ff") -> Trained:
    """Losses 4, 2, 4/3, 1 …; the server told of every other round, and of the last."""
    summary = {
        "rounds": rounds, "seconds": seconds, "digest": digest, "uplink": {"interface_bytes": 100 * rounds},
        "downlink": {"interface_bytes": 200 * rounds},
        "history": [{"round": r, "loss": 4 / (r + 1)} for r in range(rounds)] + [{"round": rounds, "loss": None}],
    }  # fmt: skip
    told = {r: 3.0 + seconds * (r + 1) / rounds for r in range(rounds) if r % 2 == 0 or r + 1 == rounds}
    return Trained(summary, {}, told)


class NoNetwork:
    """Remembers its rate."""

    def __init__(self, rate: Rate | None) -> None:
        self.rate = rate

    def hosts(self, workers: int) -> AbstractContextManager[Hosts]:
        raise NotImplementedError


class FakeTrainer:
    """A slower link takes longer; the model is the digest that the test sets."""

    runs: list[tuple[Rate | None, int]]
    digests: dict[Rate | None, str]

    def __init__(self, network: NoNetwork, inbox: Any, plaintext: bool) -> None:
        self.rate = network.rate

    def run(self, settings: dict[str, Any], workers: int) -> Trained:
        assert settings["evaluate_every"] == 0 and workers == 4
        self.runs.append((self.rate, settings["rounds"]))
        seconds = 1.0 if self.rate is None else 1e7 / self.rate.bits
        return trained(settings["rounds"], seconds, self.digests.get(self.rate, "00ff"))


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeTrainer]:
    monkeypatch.setattr(racing, "Trainer", FakeTrainer)
    FakeTrainer.runs, FakeTrainer.digests = [], {}
    return FakeTrainer


def run(*rates: Rate | None, target: float = 0.1, max_rounds: int = 400) -> list[Lap]:
    return race(
        CASE, 4, rates, target=target, window=2, max_rounds=max_rounds, network=NoNetwork, inbox=SimpleQueue(),
        plaintext=False,
    )  # fmt: skip


def test_every_link_is_timed_over_the_rounds_that_the_loss_needs(fake: type[FakeTrainer]) -> None:
    slow = Rate(10**6)
    laps = run(slow, None)
    # 4/r + 4/(r-1) <= 0.2 first at r = 41
    assert fake.runs == [(None, 50), (slow, 41), (None, 41)]
    assert [(one.rate, one.rounds, one.seconds) for one in laps] == [(slow, 41, 10.0), (None, 41, 1.0)]
    assert laps[0].up_bytes == 4100 and laps[0].down_bytes == 8200


def test_the_search_doubles_up_to_its_limit(fake: type[FakeTrainer]) -> None:
    run(None, target=0.03)
    assert fake.runs == [(None, 50), (None, 100), (None, 200), (None, 134)]
    fake.runs.clear()
    with pytest.raises(TaskError, match=r"float32, model did not reach a loss of 0\.001 in 120 rounds"):
        run(None, target=0.001, max_rounds=120)
    assert fake.runs == [(None, 50), (None, 100), (None, 120)]


def test_another_model_over_another_link_is_an_error(fake: type[FakeTrainer]) -> None:
    fake.digests[Rate(10**6)] = "0100"
    with pytest.raises(DivergenceError, match="2 different models"):
        run(Rate(10**6), None)


def test_a_round_without_a_loss_reaches_nothing() -> None:
    losses = losses_of(trained(4))
    assert losses == [4.0, 2.0, 4 / 3, 1.0]
    silent = trained(4)
    silent.summary["history"][2]["loss"] = None
    assert losses_of(silent)[2] == math.inf
    assert rounds_to(5.0, losses_of(silent), 1) == 1 and rounds_to(1.2, losses, 2) == 4


def test_a_window_must_be_full() -> None:
    assert averaged([3.0, 1.0, 2.0], 3) == [3.0, 2.0, 2.0]
    assert rounds_to(3.0, [3.0, 1.0, 2.0], 3) == 3
    assert rounds_to(1.0, [3.0, 1.0, 2.0], 3) is None


def test_the_curve_keeps_the_servers_clock() -> None:
    """The harness hears of a round later than the server opened the first one; the last round ends at ``seconds``."""
    one = lap("a", None, trained(4, seconds=8.0), 1)
    assert [x for point in one.curve for x in point] == pytest.approx([2.0, 4.0, 6.0, 4 / 3, 8.0, 1.0])
    assert one.to_json()["rate_bits"] is None and one.to_json()["curve"][0] == pytest.approx([2.0, 4.0])


def test_a_file_is_a_case(tmp_path: Path) -> None:
    file = tmp_path / "slow.toml"
    file.write_text(
        'codec = "sign"\nlr = 0.1\nworkers = 9\nrounds = 3\njson = "out.json"\n', encoding="utf-8"
    )
    case = read_case(file, "mlp(digits)")
    assert case.name == "slow" and case.settings == {"task": "mlp(digits)", "codec": "sign", "lr": 0.1}


def test_the_table_and_the_picture(tmp_path: Path, fake: type[FakeTrainer]) -> None:
    pytest.importorskip("matplotlib")
    laps = run(Rate(10**6), None)
    laps += [Lap("other", one.rate, 7, 2 * one.seconds, 10, 20, ()) for one in laps]
    text = io.StringIO()
    print_race(Console(file=text, width=150), laps, 0.1)
    lines = text.getvalue().splitlines()
    assert lines[0].split() == ["case", "rounds", "up", "down", "1.00", "Mbit/s", "unshaped"]
    assert lines[1].split()[-6:] == ["10.0", "s", "(1×)", "1.0", "s", "(1×)"]
    assert lines[2].split()[-6:] == ["20.0", "s", "(2×)", "2.0", "s", "(2×)"]
    for name in ("race.png", "race.svg"):
        draw(tmp_path / name, laps, 0.1)
        assert (tmp_path / name).stat().st_size > 5000
