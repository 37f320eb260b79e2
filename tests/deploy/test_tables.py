"""`gradwire codecs` and `gradwire data`: the tables, and the same as JSON."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradwire.common.codecs import codecs, parse
from gradwire.common.codecs.baselines.float32 import Float32
from gradwire.common.errors import SpecError
from gradwire.deploy.cli import app
from gradwire.deploy.commands.codecs import describe

runner = CliRunner()


def rows(*words: str) -> Any:
    result = runner.invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.output, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))


def test_every_codec_has_a_row() -> None:
    table = rows("codecs")
    assert [row["name"] for row in table] == sorted(codecs())
    assert {row["dim"] for row in table} == {795_010}


@pytest.mark.parametrize("dim", [1, 7, 4096])
def test_rows_say_what_the_codec_says(dim: int) -> None:
    for row in rows("codecs", "--dim", str(dim)):
        if row["error"] is not None:
            assert row["source"]
            continue
        codec = parse(row["spec"], dim)
        assert (row["nbits"], row["nbytes"]) == (codec.nbits, codec.nbytes)
        assert row["bits_per_coordinate"] == codec.nbits / dim
        assert row["variance"] == pytest.approx(codec.variance(1.0))
        assert row["epsilon"] == (None if math.isinf(codec.epsilon) else codec.epsilon)
        assert (row["unbiased"], row["fixed_length"]) == (codec.unbiased, codec.fixed_length)


def test_the_table_names_every_codec_and_source() -> None:
    output = runner.invoke(app, ["codecs"]).output
    assert "795,010 coordinates" in output
    for row in rows("codecs"):
        assert row["spec"] in output and row["source"] in output


def test_a_codec_that_cannot_take_the_dimension_says_why() -> None:
    class Even(Float32):
        name = "even"

        def __post_init__(self) -> None:
            raise SpecError("even: dim is 3, expected an even number")

    row = describe(Even, 3)
    assert row["error"] == "even: dim is 3, expected an even number" and "nbits" not in row


def test_the_data_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADWIRE_DATA", str(tmp_path))
    table = {row["name"]: row for row in rows("data", "list")}
    assert table["digits"]["where"] == "embedded" and table["digits"]["samples"] == 1438
    output = runner.invoke(app, ["data", "list"]).output
    assert all(name in output for name in table) and "1,438" in output


def test_fetch_says_where_the_data_are() -> None:
    folders = rows("data", "fetch", "digits")
    assert Path(folders["digits"]).is_dir()
    assert runner.invoke(app, ["data", "fetch", "digits"]).output == f"digits  {folders['digits']}\n"


def test_the_page_of_codecs_is_what_the_command_writes() -> None:
    path = Path(__file__).parents[2] / "docs" / "codecs.md"
    written = runner.invoke(app, ["codecs", "--markdown"])
    assert written.exit_code == 0
    assert path.read_text(encoding="utf-8") == written.output, "docs/codecs.md is stale: make docs"
    assert all(f"[`{name}" in written.output for name in codecs())
