"""docs/recipes.md: its recipes are specs that the library reads, and its tables name every optimizer and schedule."""

import re

import numpy as np
import pytest

from gradwire.common.training.config import OPTIMIZER_OF_LOCAL_STEPS
from gradwire.common.training.local import parse_local
from gradwire.common.training.optimizers import optimizers, parse_optimizer
from gradwire.common.training.optimizers.schedules import parse_schedule, schedules
from tests.common.training.plain_servers import SERVERS
from tests.docs.pages import table, text_of

RECIPES = {row[0]: row for row in table("recipes", "## Algorithms")}
SAME_SERVER = {"Local SGD", "FedProx", "SCAFFOLD"}  # as FedAvg


def code(cell: str) -> str:
    return cell.strip("`")


def test_every_recipe_has_a_plain_reimplementation() -> None:
    assert RECIPES.keys() == SERVERS.keys() | SAME_SERVER


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_is_read_and_is_the_one_that_is_tested(recipe: str) -> None:
    _, local, optimizer, _, _ = RECIPES[recipe]
    assert parse_optimizer(code(optimizer)) == parse_optimizer(
        SERVERS["FedAvg" if recipe in SAME_SERVER else recipe][0]
    )
    assert bool(local) != recipe.startswith("Synchronous") and (
        not local or parse_local(code(local)).steps > 1
    )


def test_recipes_without_an_optimizer_of_their_own_have_the_default() -> None:
    assert all(code(RECIPES[recipe][2]) == OPTIMIZER_OF_LOCAL_STEPS for recipe in SAME_SERVER | {"FedAvg"})


def test_tables_name_every_optimizer_and_its_parameters() -> None:
    rows = {re.split(r"\W", code(row[0]))[0]: row[0] for row in table("recipes", "## Optimizers")}
    assert rows.keys() == optimizers().keys()
    for name, spelling in rows.items():
        for parameter in re.findall(r"[(,] ?(\w+)", code(spelling)):
            assert hasattr(optimizers()[name](), parameter), (name, parameter)


def test_number_of_arrays() -> None:
    sizes = {
        "sgd(momentum=0.9)": 1,
        "sgd": 0,
        "adagrad(beta1=0.9)": 2,
        "averaged(adam)": 3,
        "clipped(1.0, adam)": 2,
    }
    stated = {code(row[0]).partition("(")[0]: row[2] for row in table("recipes", "## Optimizers")}
    for name, text in stated.items():
        if text[0].isdigit() and name not in ("averaged", "clipped"):
            sizes.setdefault(name, int(text[0]))
    for spec, count in sizes.items():
        assert len(parse_optimizer(spec).initial_state(np.zeros(1, np.float32))) == count, spec


def test_tables_name_every_schedule() -> None:
    specs = [code(row[0]) for row in table("recipes", "## Schedules")]
    assert {spec.partition("(")[0] for spec in specs} == schedules().keys()
    for spec in specs:
        filled = spec.replace("(rounds", "(rounds=9")
        assert parse_schedule(filled).rate(1.0, 0) <= 1


def test_specs_in_the_text_are_read() -> None:
    """Whatever else on the page is in backticks and looks like an optimizer or a schedule."""
    for spec in re.findall(r"`([a-z_]+\([^`…]*\))`", text_of("recipes").partition("## Optimizers")[0]):
        (parse_local if spec.startswith("local") else parse_optimizer)(spec)
    for spec in re.findall(r"`(adamw\([^`…]*\)|averaged\(c[^`]*\))`", text_of("recipes")):
        parse_optimizer(spec)
