"""`gradwire plan`: what it lists fits, is the largest that fits, and is taken by `gradwire run` as printed."""

import json
import shlex
from typing import Any

import pytest

from gradwire.common.codecs import codecs, parse, registry
from gradwire.common.errors import SpecError
from gradwire.common.privacy.accounting import affordable, epsilon_for
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import RunConfig, load_config
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.deploy import cli
from gradwire.deploy.commands.plan import plan
from gradwire.deploy.options import RunOptions
from gradwire.deploy.planning.fitting import largest_within, templates
from gradwire.deploy.planning.spelling import shortest_spec
from gradwire.deploy.preflight import check
from gradwire.worker.encoder import Encoder
from gradwire.worker.tasks import build_task
from gradwire.worker.updates import TaskGradient
from tests.common.codecs.toys import PrivateToy
from tests.grids import rest_slow


def planned(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.call(["plan", *words, "--json"]) == 0, capsys.readouterr().err
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def runs(command: str, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """The configuration that a printed command line asks for, checked as it checks it; nothing is started."""
    asked: list[RunConfig] = []

    def only_check(settings: dict[str, Any], options: RunOptions) -> int:
        config = load_config(settings)
        check(config, options.allow_task)
        asked.append(config)
        return 0

    monkeypatch.setattr("gradwire.deploy.commands.run.launch", only_check)
    program, *words = shlex.split(command)
    assert program == "gradwire" and cli.call(words) == 0
    return asked[0]


@pytest.mark.parametrize(
    ("dim", "bits"), rest_slow([(24, 400), (25, 39), (1, 64), (3, 2000), (1000, 3000)], 2)
)
def test_every_row_fits_and_runs(
    dim: int, bits: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = planned("--dim", str(dim), "--bits", str(bits), capsys=capsys)["rows"]
    assert rows
    for row in rows:
        config = runs(row["command"], monkeypatch)
        codec = parse(config.codec, dim)
        assert codec.nbits == row["nbits"] <= bits and codec.variance(1.0) == row["variance"]
        assert config.feedback == ("error" if row["variance"] < 1 and not row["unbiased"] else "none")
        task = build_task(config.task, workers=1, seed=0)
        model = Model(task.initial(), parse_optimizer("sgd"))
        (payload,) = Encoder(TaskGradient(task), codec, 0, (0,)).encode(model, 0).payloads
        assert len(payload) <= codec.nbytes
    unbiased = [row for row in rows if row["unbiased"]]
    assert [r["variance"] for r in unbiased] == sorted(r["variance"] for r in unbiased)
    # Float32 numbers as they are count as exact: their rounding is no codec's business.
    lossy = [row for row in unbiased if row["variance"] > 0]
    assert all(row["variance"] >= row["lower_bound"] * (1 - 1e-9) for row in lossy)
    assert rows[: len(unbiased)] == unbiased


def test_every_family_is_planned_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        row["family"]
        for dim, bits in ((3, 3000), (16, 3000))
        for row in planned("--dim", str(dim), "--bits", str(bits), capsys=capsys)["rows"]
    }
    words = ("--dim", "16", "--bits", "3000", "--epsilon", "4")
    found |= {row["family"] for row in planned(*words, capsys=capsys)["rows"]}
    # A user's own points are planned for where a file of them is given: tests of the command see to it.
    assert {name for name, cls in codecs().items() if list(templates(cls))} - found <= {"points"}


@pytest.mark.parametrize("name", sorted(codecs()))
def test_the_largest_fits_and_the_next_does_not(name: str) -> None:
    dim, bits = 24, 100
    for template in templates(codecs()[name]):
        if "{epsilon" in template or "{" not in template:
            continue
        lengths = {n: _bits_at(template, n, dim) for n in range(1, 102)}
        codec = largest_within(template, dim, bits, max_size=100)
        ends = [n for n in range(1, 101) if _fits(lengths[n], bits) and not _fits(lengths[n + 1], bits)]
        assert (codec is None) is (not any(_fits(lengths[n], bits) for n in range(1, 101)))
        assert codec is None or codec.nbits in {lengths[n] for n in [*ends, 100]}


def _fits(length: int | None, bits: int) -> bool:
    return length is not None and length <= bits


def _bits_at(template: str, n: int, dim: int) -> int | None:
    try:
        return parse(template.format(n=n, odd=2 * n + 1, share=n / dim), dim).nbits
    except SpecError:
        return None


def test_a_new_codec_joins_without_another_edit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)
    words = ("--dim", "24", "--bits", "400", "--rounds", "50", "--delta", "1e-5")
    report = planned(*words, "--epsilon", "150", capsys=capsys)
    row = next(row for row in report["rows"] if row["family"] == "private_toy")
    assert row["epsilon_per_push"] <= report["epsilon_per_push"] == epsilon_for(150.0, 50, 1e-5)
    assert row["epsilon_per_run"] < row["epsilon_per_run_pure"] == 50 * row["epsilon_per_push"]
    config = runs(row["command"], monkeypatch)
    assert (config.rounds, config.max_epsilon, config.delta) == (50, 150.0, 1e-5)
    assert all(row["epsilon_per_push"] is not None for row in report["rows"])
    monkeypatch.setattr(PrivateToy, "plan_templates", ("private_toy(repeats=2)",))
    (row,) = [
        row
        for row in planned("--dim", "24", "--bits", "400", capsys=capsys)["rows"]
        if row["family"] == "private_toy"
    ]
    assert row["codec"] == "private_toy(repeats=2)"


def test_private_rows_run_and_the_budget_pays_for_every_round(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--dim", "31", "--bits", "500", "--epsilon", "8", "--rounds", "20", "--delta", "1e-5")
    rows = planned(*words, capsys=capsys)["rows"]
    assert {"rr", "rappor", "oue", "subset_selection"} <= {
        parse_spec(row["codec"]).kwargs[0][1].name for row in rows if row["family"] == "private"
    }
    for row in rows:
        config = runs(row["command"], monkeypatch)
        codec = parse(config.codec, 31)
        assert affordable(config.max_epsilon, codec.epsilon, config.delta) >= config.rounds == 20
        task = build_task(config.task, workers=1, seed=0)
        model = Model(task.initial(), parse_optimizer("sgd"))
        (payload,) = Encoder(TaskGradient(task), codec, 0, (0,)).encode(model, 0).payloads
        assert len(payload) == codec.nbytes


@pytest.mark.parametrize("epsilon", rest_slow(["2.3456749", "0.1234567891", "8", "1234.5674"]))
@pytest.mark.parametrize("delta", [None, "1.23456749e-5"])
def test_a_budget_of_many_digits_pays_for_every_round(
    epsilon: str, delta: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--dim", "64", "--bits", "64", "--rounds", "3", "--epsilon", epsilon]
    words += ["--delta", delta] if delta else []
    for row in planned(*words, capsys=capsys)["rows"]:
        config = runs(row["command"], monkeypatch)
        assert (config.max_epsilon, config.delta) == (float(epsilon), float(delta or 0))
        assert affordable(config.max_epsilon, parse(config.codec, 64).epsilon, config.delta) >= 3


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ("cuq(levels=7, gain=exact)", "cuq"),
        ("cuq(levels=9, gain=bound(1.0))", "cuq(levels=9, gain=bound(bound=1.0))"),
        ("rand_k(k=3)", "rand_k(k=3)"),
        ("subsample(inner=ratq, count=5)", "subsample(inner=ratq, count=5)"),
        (
            "private(rr(epsilon=2, nominal=true), simplex)",
            "private(mechanism=rr(epsilon=2.0, nominal=true), codec=simplex)",
        ),
    ],
)
def test_specs_are_printed_without_what_changes_nothing(spec: str, short: str) -> None:
    assert shortest_spec(parse(spec, 100)) == short
    assert parse(short, 100) == parse(spec, 100)


def test_it_plans_for_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    report = planned("--task", "mlp(digits, hidden=8)", "--bits", "500", capsys=capsys)
    assert report["dim"] == build_task("mlp(digits, hidden=8)", workers=1, seed=0).dim
    assert all("mlp(digits, hidden=8)" in row["command"] for row in report["rows"])


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    plan(bits=100, dim=1000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1,000 coordinates in at most 100 bits, best first"
    assert lines[-1].startswith("  gradwire run --task 'synthetic(dim=1000)' --codec ")
    assert any(line.startswith("nearest(blocks=") for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bits", "100"], "expected one of --dim and --task"),
        (["--bits", "100", "--dim", "5", "--task", "mlp(digits)"], "expected one of --dim and --task"),
        (
            ["--bits", "100", "--task", "custom(my.model:make)"],
            "custom(my.model:make) are not known in advance",
        ),
        (["--bits", "0", "--dim", "5"], "greater than or equal to 1"),
        (["--bits", "100", "--dim", "0"], "greater than or equal to 1"),
        (["--bits", "100", "--dim", "5", "--rounds", "0"], "greater than or equal to 1"),
        (["--bits", "2", "--dim", "1000"], "no codec has 1,000 coordinates in 2 bits"),
        (["--bits", "100", "--dim", "5", "--epsilon", "0"], "epsilon is 0, expected above 0"),
        (["--bits", "100", "--dim", "5", "--epsilon", "nan"], "epsilon is nan, expected above 0"),
        (["--bits", "100", "--dim", "5", "--epsilon", "1e9"], "at most 10000"),
        (["--bits", "100", "--dim", "5", "--delta", "1e-5"], "--delta without --epsilon"),
        (["--bits", "100", "--dim", "5", "--epsilon", "1", "--delta", "1"], "delta is 1, expected inside"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(["plan", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
