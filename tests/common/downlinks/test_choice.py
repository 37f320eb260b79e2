"""Which downlink a run has: named by its spec, chosen by ``auto``, and what a worker is told of it."""

from dataclasses import replace

import pytest

from gradwire.common.codecs import parse
from gradwire.common.downlinks import (
    announced,
    check_downlink,
    check_replicas,
    downlinks,
    entry_readers,
    resolve_downlink,
)
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec
from gradwire.common.training.config import RunConfig
from gradwire.deploy.preflight import check_names
from gradwire.proto import wire_pb2
from tests.common.downlinks.toy import registered

CONFIG = RunConfig(task="synthetic(dim=100)")


@pytest.mark.parametrize(
    ("codec", "dim", "workers", "optimizer", "chosen"),
    [
        ("cross_polytope(repeats=10)", 1000, 4, "sgd", "log"),  # payloads of 18 bytes
        ("cross_polytope(repeats=10)", 900, 200, "sgd", "log"),  # 200 * 18 = 4 * 900: a tie
        ("cross_polytope(repeats=10)", 899, 200, "sgd", "sum"),
        ("cross_polytope(repeats=10)", 900, 201, "sgd", "sum"),
        ("eden", 4000, 4, "sgd", "log"),
        ("eden", 4000, 5, "sgd", "sum"),  # a fifth dense reconstruction is too much work
        ("float32", 10, 1, "sgd", "log"),
        ("float32", 10, 2, "sgd", "sum"),
        ("cross_polytope(repeats=10)", 1000, 4, "mirror_descent", "model"),
        ("float32", 10, 5, "averaged(mirror_descent)", "model"),
    ],
)
def test_auto(codec: str, dim: int, workers: int, optimizer: str, chosen: str) -> None:
    config = replace(CONFIG, codec=codec, workers=workers, optimizer=optimizer)
    downlink = resolve_downlink(config, parse(codec, dim))
    assert downlink.spec == chosen
    assert (downlink.codec.dim, downlink.workers) == (dim, workers)


def test_a_named_downlink_is_taken_whatever_its_size() -> None:
    for name in downlinks():
        config = replace(CONFIG, downlink=f" {name}( ) ", workers=1000, codec="eden")
        assert resolve_downlink(config, parse("eden", 100)).spec == name


def test_auto_takes_no_downlink_that_must_be_announced_or_loses_something() -> None:
    with registered():
        config = replace(CONFIG, codec="float32", workers=9)
        assert resolve_downlink(config, parse("float32", 1000)).spec == "sum"
        assert (
            resolve_downlink(replace(config, downlink="remembered(2)"), parse("float32", 9)).spec
            == "remembered(keep=2)"
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sums", "unknown downlink 'sums': did you mean sum?"),
        ("autp", "did you mean auto?"),
        ("nothing", "known: auto, log, model, remembered, sum"),
        ("log(3)", "log takes 0 arguments"),
        ("log(workers=3)", "log has no argument 'workers'"),
        ("auto(3)", "unknown downlink 'auto"),
        ("log(", "a closing ) is missing"),
        ("remembered(keep=x)", "remembered: keep is x, expected int"),
    ],
)
def test_a_downlink_that_does_not_exist_is_one_clear_line(text: str, words: str) -> None:
    with registered(), pytest.raises(SpecError) as caught:
        check_downlink(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_known_passes() -> None:
    with registered():
        for text in ("auto", "log", "sum", "model", "remembered", "remembered(keep=2)"):
            check_downlink(text)


def test_two_downlinks_of_one_name_are_refused() -> None:
    with registered(), pytest.raises(SpecError, match="two downlinks are called 'remembered'"), registered():
        pass


def test_a_worker_knows_a_downlink_by_its_body_or_by_its_name() -> None:
    codec = parse("float32", 9)
    plain = entry_readers(None, codec=codec, seed=1, workers=2)
    assert {body: downlink.name for body, downlink in plain.items()} == {
        "payloads": "log",
        "sum": "sum",
        "model": "model",
    }
    assert all(announced(name) is None for name in ("auto", *downlinks()))
    with registered():
        assert entry_readers(None, codec=codec, seed=1, workers=2) == plain
        spec = announced("remembered(5)")
        assert spec == Spec("remembered", (5,))
        ((body, downlink),) = entry_readers(spec, codec=codec, seed=1, workers=2).items()
        assert (body, downlink.spec) == ("encoded", "remembered(keep=5)")
    with pytest.raises(SpecError, match="unknown downlink 'remembered'"):
        entry_readers(spec, codec=codec, seed=1, workers=2)


def test_every_body_is_a_field_of_the_entry_and_no_two_unannounced_downlinks_share_one() -> None:
    fields = {field.name for field in wire_pb2.Entry.DESCRIPTOR.oneofs_by_name["body"].fields}
    bodies = [cls.body for cls in downlinks().values() if not cls.announced]
    assert set(bodies) <= fields and len(set(bodies)) == len(bodies)


def test_parameters_of_the_run_are_no_arguments_of_a_spec() -> None:
    with pytest.raises(SpecError, match="no argument 'seed'"):
        parse_downlink("sum(seed=3)", codec=parse("float32", 9), seed=1, workers=2)


def test_scaffold_needs_a_downlink_with_the_mean_update() -> None:
    local = "local(steps=2, optimizer=sgd(lr=0.1), scaffold=true)"
    codec = parse("float32", 10)
    assert resolve_downlink(replace(CONFIG, codec="float32", local=local), codec).spec == "sum"
    with pytest.raises(SpecError, match=r"downlink model with scaffold: .* use log or sum"):
        resolve_downlink(replace(CONFIG, codec="float32", local=local, downlink="model"), codec)
    with pytest.raises(SpecError, match="mirror_descent with scaffold: its bits differ between machines"):
        resolve_downlink(replace(CONFIG, codec="float32", local=local, optimizer="mirror_descent"), codec)


@pytest.mark.parametrize(
    ("downlink", "optimizer", "words"),
    [
        ("model", "sgd", "downlink model with scaffold: a replica needs the mean update"),
        ("auto", "mirror_descent", "mirror_descent with scaffold: its bits differ between machines"),
        ("log", "averaged(projected_sgd)", "with scaffold: its bits differ between machines"),
    ],
)
def test_scaffold_needs_replicas_that_step(downlink: str, optimizer: str, words: str) -> None:
    """Checked before the run begins, whether its dimension is known or not."""
    scaffold = "local(steps=2, scaffold=true)"
    config = replace(CONFIG, codec="float32", local=scaffold, downlink=downlink, optimizer=optimizer)
    with pytest.raises(SpecError, match=words):
        resolve_downlink(config, parse("float32", 9))
    with pytest.raises(SpecError, match=words):
        check_names(replace(config, task="custom(package.module:factory)"))
    check_replicas(replace(config, local=None))
    check_replicas(replace(config, downlink="auto", optimizer="adam"))


def test_scaffold_finds_a_downlink_with_every_portable_optimizer() -> None:
    for codec, workers in (("float32", 1), ("float32", 9), ("eden", 5), ("top_k(3)", 40)):
        config = replace(CONFIG, codec=codec, workers=workers, local="local(steps=2, scaffold=true)")
        assert resolve_downlink(config, parse(codec, 4000)).spec in ("log", "sum")
