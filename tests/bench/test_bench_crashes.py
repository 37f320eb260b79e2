"""Random kills of joined programs and the server: the real command, with few of them."""

import json

import pytest
from typer.testing import CliRunner

from gradwire.deploy.cli import app


@pytest.mark.slow
@pytest.mark.parametrize("cohort", [0, 2])
def test_a_few_kills(cohort: int) -> None:
    words = ["bench", "crashes", "--kills=6", "--sites=3", f"--cohort={cohort}", f"--seed={cohort}", "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    outcome = json.loads(done.stdout)
    assert sum(outcome["kills"].values()) == 6 and outcome["journaled"] > outcome["rounds"] > 0
    assert outcome["summary"]["predicted_equals_measured"]
