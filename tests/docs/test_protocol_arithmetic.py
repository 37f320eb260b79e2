"""Steps of the optimizers and sizes of messages follow from the words of docs/protocol.md, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import parse
from gradwire.common.downlinks import CommittedRound
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.training.local import control_damping, parse_local
from gradwire.common.training.model import CONTROL, Model
from gradwire.common.training.optimizers import optimizers, parse_optimizer
from gradwire.common.training.record import RoundRecord
from gradwire.common.transport import protocol
from gradwire.common.transport.framing import frames
from gradwire.proto import wire_pb2
from tests.docs import arithmetic
from tests.docs.canonical import canonical, parsed

OPTIMIZERS = [
    "sgd", "sgd(momentum=0.9)", "sgd(schedule=step, every=3, factor=0.7)", "sgd(schedule=inverse_sqrt)",
    "averaged(sgd(momentum=0.5))", "averaged(projected_sgd)", "projected_sgd(p=1.0)", "projected_sgd(p=1.5)",
    "projected_sgd(p=2.0)", "projected_sgd(p=3.0)", "projected_sgd(p=inf)", "mirror_descent(p=1.0)",
    "mirror_descent(p=1.7, radius=0.3)", "mirror_descent(radius=0.2, domain=box)",
    "mirror_descent(p=1.7, radius=0.1, domain=box)", "sgd(weight_decay=0.1)", "sgd(momentum=0.9, weight_decay=0.1)",
    "sgd(schedule=linear(5, final=0.3))", "sgd(schedule=cosine(6, final=0.1))", "sgd(schedule=cosine(4))",
    "sgd(schedule=warmup(3, cosine(11)))", "sgd(schedule=warmup(2, step(every=2, factor=0.7)))", "nesterov(lr=0.7)",
    "nesterov(weight_decay=0.1, schedule=warmup(3))", "adam", "adam(beta1=0)", "adam(weight_decay=0.3, beta2=0.9)",
    "adam(bias_correction=false, initial=1e-5)", "adamw(lr=0.1, schedule=warmup(2, linear(5)))", "yogi",
    "yogi(weight_decay=0.1, beta2=0.9, initial=4.0)", "adagrad", "adagrad(beta1=0.7, initial=0.1, weight_decay=0.1)",
    "clipped(2.0)", "clipped(3.0, adam)", "averaged(clipped(1.5, nesterov))", "clipped(4.0, averaged(yogi))",
    "clipped(2.0, mirror_descent)",
]  # fmt: skip


def test_every_optimizer_is_tried() -> None:
    assert {spec.partition("(")[0] for spec in OPTIMIZERS} == set(optimizers())


@pytest.mark.parametrize("dim", [1, 2, 37])
@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_steps_follow_the_page(spec: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    start = rng.standard_normal(dim).astype(np.float32)
    model, arrays = Model(start, parse_optimizer(spec)), {"params": start.copy()}
    for t in range(7):
        update = 3 * rng.standard_normal(dim).astype(np.float32)
        model.apply(update)
        arithmetic.step(canonical(parsed(spec), dim), arrays, update, t)
    own = [arrays[name] for name in sorted(arrays.keys() - {"params"})]
    assert model.snapshot() == b"".join(array.astype("<f4").tobytes() for array in (arrays["params"], *own))


@pytest.mark.parametrize("codec", ["float32", "rand_k(20)", "cross_polytope(repeats=9)", "qsgd", "top_k(3)"])
@pytest.mark.parametrize(("steps", "lr"), [(1, 0.1), (50, 0.05), (7, 0.3)])
def test_control_variate_follows_the_page(codec: str, steps: int, lr: float) -> None:
    built, feedback = parse(codec, 37), codec.startswith("top_k")
    local = parse_local(f"local(steps={steps}, optimizer=sgd(lr={lr}), scaffold=true)")
    alpha = control_damping(local, built, feedback=feedback)
    assert alpha == arithmetic.damping(built.variance(1.0), feedback=feedback)
    rng, c = np.random.default_rng(steps), np.zeros(37, np.float32)
    model = Model(c, parse_optimizer("sgd"), control_rate=local.control_rate, control_damping=alpha)
    for share in (1.0, 2 / 3, 1 / 3):
        update = rng.standard_normal(37).astype(np.float32)
        model.apply(update, share)
        c = arithmetic.control(c, update, steps, lr, alpha * share)
        assert model.state[CONTROL].tobytes() == c.tobytes()


# A message at the limit, one byte below and one above it, several pieces, and codecs of either kind of length.
CODECS = [
    ("float32", 3), ("cross_polytope(repeats=9)", 100), ("qsgd", 40), ("float32", 400_000), ("float32", 262_140),
    ("float32", 262_144),
]  # fmt: skip


def bytes_of(message: object) -> int:
    return sum(map(len, frames(message)))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("spec", "dim"), CODECS)
def test_pushes_are_as_long_as_the_page_says(spec: str, dim: int, workers: int) -> None:
    codec = parse(spec, dim)
    payloads = [codec.encode(np.full(dim, k + 1.0), np.random.default_rng(k)) for k in range(workers)]
    lengths = [len(payload) for payload in payloads]
    for losses in ((), (0.0,) * workers):
        for examples in ((), (1,) * workers):
            for round_, digest, named in (
                (0, 0, ()),
                (1, 5, (0, 1, 127)),
                (200, 0, (128, 70_000)),
                (70_000, 9, (0,)),
            ):
                push = protocol.push_message(
                    codec, round_, payloads, losses=losses, examples=examples, digest=digest, workers=named
                )
                assert bytes_of(push) == arithmetic.push(
                    round_, lengths, fixed=codec.fixed_length, losses=bool(losses), examples=bool(examples),
                    digest=bool(digest), workers=named,
                )  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("spec", "dim"), CODECS)
def test_log_entries_are_as_long_as_the_page_says(spec: str, dim: int, workers: int) -> None:
    codec = parse(spec, dim)
    payloads = tuple(codec.encode(np.full(dim, k + 1.0), np.random.default_rng(k)) for k in range(workers))
    lengths = [len(payload) for payload in payloads]
    for first, total in ((0, workers), (100, 200)):
        log = parse_downlink("log", codec=codec, seed=0, workers=total)
        cohort = tuple(range(first, first + workers))
        for round_, examples in ((0, ()), (300, (1,) * workers)):
            entry = log.build(CommittedRound(RoundRecord(round_, cohort, payloads, examples)))
            ids = cohort if workers < total else ()
            body = arithmetic.log_body(lengths, ids, fixed=codec.fixed_length, examples=bool(examples))
            assert bytes_of(wire_pb2.FromServer(entry=entry)) == arithmetic.entry(round_, body)
            entry.cohort.extend((0, 127, 128, 1 << 19))
            message = wire_pb2.FromServer(entry=entry)
            assert bytes_of(message) == arithmetic.entry(round_, body, (0, 127, 128, 1 << 19))


@pytest.mark.parametrize("dim", [3, 100, 400_000, 262_140, 262_144])
def test_other_entries_are_as_long_as_the_page_says(dim: int) -> None:
    codec, ones = parse("float32", dim), np.ones(dim, np.float32)
    downlinks = {name: parse_downlink(name, codec=codec, seed=0, workers=1) for name in ("sum", "model")}
    sparse = [Sparse(dim, np.arange(k), np.ones(k, np.float32)) for k in range(min(dim, 4))]
    for round_ in (0, 9):
        record = RoundRecord(round_, (0,), (b"",))
        for update in (ones, *sparse):
            entry = downlinks["sum"].build(CommittedRound(record, update, ones))
            body = arithmetic.sum_body(dim, update.indices.size if isinstance(update, Sparse) else None)
            assert bytes_of(wire_pb2.FromServer(entry=entry)) == arithmetic.entry(round_, body)
        entry = downlinks["model"].build(CommittedRound(record, ones, ones))
        assert bytes_of(wire_pb2.FromServer(entry=entry)) == arithmetic.entry(
            round_, arithmetic.field(4 * dim)
        )
