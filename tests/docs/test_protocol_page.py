"""docs/protocol.md: its tables, code and worked examples are what the library does."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pytest

from gradwire.common import errors
from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.codecs.forms.gain import GAINS
from gradwire.common.downlinks import CommittedRound, downlinks, resolve_downlink
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.privacy.mechanisms import MECHANISMS
from gradwire.common.randomness import cohort_place, worker_coins
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import MAX_ROUNDS, MAX_WORKERS, RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.optimizers import optimizers, parse_optimizer
from gradwire.common.training.optimizers.schedules import schedules
from gradwire.common.training.record import RoundRecord
from gradwire.common.transport import limits, options, protocol
from gradwire.proto import wire_pb2
from gradwire.server import serving, shutdown
from gradwire.server.stream import joining, service, session
from gradwire.server.watching import describe, pending, watchers
from gradwire.worker.process import CONFIRM_FOR
from gradwire.worker.run_state import MAX_BROKEN_STREAMS
from tests.common.codecs.examples import EXAMPLES
from tests.docs.canonical import TABLE, canonical, parsed, spelled
from tests.docs.pages import blocks, examples, section, table, text_of

FINGERPRINT, DIGEST = blocks("protocol", "python")

# ---- specs -----------------------------------------------------------------------------------------------------------

# Settled counts, words in quotes, and numbers at the ends of their spellings.
MORE = [
    ("ratq(budget=700)", 1000), ("ratq(budget=9000)", 1000), ("ratq(budget=300, group=4)", 1000),
    ("ratq(group=7)", 4096), ("ratq(count=1024)", 1000), ("subsample(budget=1000, inner=ratq)", 900),
    ("private_top(4)", 1000), ("private_top(0.5, repeats=2)", 70), ("private_top(19.0)", 1000),
    ("simq_plus(p=3)", 1000), ("gain_shape(bound(2), ratq(count=9))", 100),
    ("private(subset_selection(2), cross_polytope(repeats=2))", 50),
    ("cross_polytope(scale=100000)", 9), ("cross_polytope(2, exact, joint, 1e5)", 9), ("lq_split(1)", 9),
    ("lq_split", 9), ("lq_split(1.4)", 1000), ("lq_split(1.2)", 4), ("lq_split(1.9)", 2_000_000),
    ('linear_code("5/3/1")', 4), ("linear_code(a8/64/1c)", 6), ("top_signs(3, 1)", 8), ("cpsgd(gain=bound(1e22))", 3),
    ("cpsgd(gain=bound(0.00001))", 3),
]  # fmt: skip
SPECS = dict.fromkeys([*((e.spec, e.dim) for e in EXAMPLES if e.dim <= 1001), *MORE])
OPTIMIZERS = [
    "sgd", "sgd(1)", "sgd(lr=0.00001, momentum=0.9, schedule=step)", "averaged", "averaged(projected_sgd(p=inf))",
    "mirror_descent(p=1.5)", "sgd(weight_decay=1e-4)", 'sgd(schedule="step")', "sgd(schedule=step(every=3))",
    "mirror_descent(schedule=warmup(9, cosine(100)))", "adam", "adam(0.01, step)", "adamw(schedule=linear(9, 0.5))",
    "yogi(schedule=warmup(9, step))", "adagrad(beta1=0.9)", "nesterov(lr=0.7)", "clipped", "clipped(2, adam(beta1=0))",
    "averaged(clipped(inner=nesterov(schedule=inverse_sqrt)))",
]  # fmt: skip


def test_tables_name_every_part() -> None:
    assert TABLE.keys() == {*codecs(), *GAINS, *MECHANISMS, *optimizers(), *schedules()}


@pytest.mark.parametrize(("spec", "dim"), SPECS)
def test_canonical_specs_and_fingerprints_follow_from_the_page(spec: str, dim: int) -> None:
    codec, mine = parse(spec, dim), spelled(canonical(parsed(spec), dim))
    assert mine == codec.spec
    assert eval(FINGERPRINT, {"hashlib": hashlib, "spec": mine, "dim": dim}) == codec.fingerprint


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_canonical_optimizers_follow_from_the_page(spec: str) -> None:
    assert spelled(canonical(parsed(spec), 1)) == parse_optimizer(spec).spec


@pytest.mark.parametrize("dim", [0, 1, 3, 1000])
def test_digest_of_the_page(dim: int) -> None:
    names: dict[str, Any] = {}
    exec(DIGEST, names)
    params = np.random.default_rng(dim).standard_normal(dim).astype(np.float32)
    assert names["digest"](params.view(np.uint32).tolist()) == digest_of(params)


# ---- downlinks -------------------------------------------------------------------------------------------------------


def test_page_names_every_downlink() -> None:
    entries = section("protocol", "## Entries")
    assert all(f"`{name}`" in entries and not cls.announced for name, cls in downlinks().items())
    bodies = {field.name for field in wire_pb2.Entry.DESCRIPTOR.oneofs_by_name["body"].fields}
    assert set(re.findall(r"^- \*\*`(\w+)`\*\*", entries, re.MULTILINE)) == bodies


def adds_up(codec: AnyCodec) -> bool:
    """Whether the page says that the codec adds up in its index domain."""
    point_sets = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in table("payloads", "## Point sets"))))
    name, found = canonical(parsed(codec.spec), codec.dim)
    if name == "subsample":
        return 16 * found["count"] <= codec.dim or adds_up(parse(spelled(found["inner"]), found["count"]))
    if name == "gain_shape":
        return found["shape"][0] in point_sets
    if name == "float32_tail":
        return adds_up(parse(spelled(found["codec"]), codec.dim - found["size"]))
    return name in {*point_sets, "private", "top_k", "rand_k"} or (
        name == "qsgd" and found["coding"] in ("gamma", "omega")
    )


def test_auto_downlink_follows_the_page() -> None:
    for spec, dim in SPECS:
        codec = parse(spec, dim)
        assert codec.index_domain == adds_up(codec), spec
        for workers in (1, 4, 5, 300):
            cheap = workers * codec.nbytes <= 4 * dim and (codec.index_domain or workers <= 4)
            config = RunConfig(task="synthetic(dim=1)", codec=spec, workers=workers)
            assert resolve_downlink(config, codec).spec == ("log" if cheap else "sum"), (spec, workers)


@pytest.mark.parametrize(
    "optimizer", ["projected_sgd", "averaged(mirror_descent)", "clipped(1.0, mirror_descent)"]
)
def test_auto_downlink_is_the_model_where_powers_may_differ(optimizer: str) -> None:
    config = RunConfig(task="synthetic(dim=1)", optimizer=optimizer, workers=1)
    assert resolve_downlink(config, parse(config.codec, 1000)).spec == "model"


# ---- numbers in tables ------------------------------------------------------------------------------------------


def number(value: float) -> str:
    return f"{value:,.0f}"


PINGS = (
    options.KEEPALIVE_MS // 1000,
    options.KEEPALIVE_TIMEOUT_MS // 1000,
    options.SERVER_KEEPALIVE_MS // 1000,
)
NUMBERS = [
    ("Limits", "a gRPC message", number(limits.FRAME_BYTES)),
    ("Limits", "Join, first Ready", number(limits.CONTROL_BYTES)),
    ("Limits", "Welcome", number(limits.CONTROL_BYTES)),
    ("Limits", "process name", f"to {limits.MAX_PROCESS_NAME} "),
    ("Limits", "samples of a Report", f"2^{limits.MAX_HELD_OUT.bit_length() - 1}"),
    ("Limits", "metrics in a Report", f"{limits.MAX_METRICS}, names of at most {limits.MAX_METRIC_NAME} "),
    ("Limits", "streams in Ready.earlier", f"keeps {MAX_BROKEN_STREAMS}"),
    ("Limits", "workers, rounds", f"2^{MAX_WORKERS.bit_length() - 1}, 2^{MAX_ROUNDS.bit_length() - 1}"),
    ("Limits", "what waits", f"{session.MAX_BACKLOG} messages, or {session.MAX_BACKLOG_BYTES >> 20} MiB"),
    ("Limits", "watchers", number(watchers.MOST_WATCHERS)),
    ("Timeouts", "watchers, to read", number(watchers.END_WAIT)),
    ("Timeouts", "Initial: without", number(joining.UPLOAD_TIMEOUT)),
    ("Timeouts", "Initial: in all", f"/ {number(joining.UPLOAD_RATE)}"),
    ("Timeouts", "after Finish, while a connected", number(shutdown.DONE_WAIT)),
    ("Timeouts", "after Finish, while a process", number(shutdown.FINISH_WAIT)),
    ("Timeouts", "the server's end", number(serving.STOP_GRACE)),
    ("Timeouts", "a stream that ends", number(service.FLUSH_SECONDS)),
    ("Timeouts", "worker after Done", number(CONFIRM_FOR)),
    ("Timeouts", "ping after silence, worker", f"{PINGS[0]}; answer within {PINGS[1]}"),
    ("Timeouts", "ping after silence, server", f"{PINGS[2]}; answer within {PINGS[1]}"),
    ("Timeouts", "pings that the server accepts", f"one every {PINGS[0] // 2}"),
]


@pytest.mark.parametrize(("heading", "start", "value"), NUMBERS, ids=[row[1] for row in NUMBERS])
def test_tables_have_the_librarys_numbers(heading: str, start: str, value: str) -> None:
    (row,) = (row for row in table("protocol", f"## {heading}") if row[0].startswith(start))
    assert value in row[1]


def test_prose_has_the_librarys_numbers() -> None:
    assert f"Protocol number **{protocol.PROTOCOL}**" in text_of("protocol")
    assert f"Ready {limits.READY_BYTES} more for each worker" in text_of("protocol")
    assert f"({limits.PIECE_BYTES:,} bytes)" in text_of("protocol")
    assert protocol.METHOD in text_of("protocol")
    assert protocol.WATCH in text_of("protocol")
    assert f"a queue of {watchers.QUEUED} events" in text_of("protocol")
    assert f"0 for {describe.POINTS} rounds" in text_of("protocol")
    assert f"at\nmost {round(1 / watchers.EVERY)} batches" in text_of("protocol")
    assert f"open for {pending.MOMENT:g} seconds" in text_of("protocol")


def test_page_has_every_status() -> None:
    raised = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper() for cls in errors.WireError.__subclasses__()
    }
    assert raised <= {row[0].strip("`") for row in table("protocol", "## Statuses")}


# ---- worked examples --------------------------------------------------------------------------------------------


def test_worked_examples() -> None:
    params = np.array([0.5, 0.25, -1.0], np.float32)
    dense, vertices = parse("float32", 3), parse("cross_polytope(repeats=2)", 3)
    x = np.array([[1.0, -2.0, 0.5], [0.5, 0.5, -1.0]])
    payloads = tuple(vertices.encode(x[worker], worker_coins(7, 20, worker)) for worker in (0, 1))
    one = dense.encode(x[0], worker_coins(7, 20, 0))
    first = protocol.push_message(dense, 20, [one], losses=[0.25], digest=digest_of(params))
    second = protocol.push_message(vertices, 20, payloads, losses=[0.25, 0.5])
    log = parse_downlink(parse_spec("log"), codec=vertices, seed=7, workers=2)
    entry = wire_pb2.FromServer(entry=log.build(CommittedRound(RoundRecord(20, (0, 1), payloads))))
    orders = [sorted(range(6), key=lambda w: cohort_place(11, round_, w)) for round_ in (0, 1)]
    assert examples("protocol") == {
        "cohort": [
            f"seed 11, 6 workers, round {round_}: {' '.join(map(str, order))}"
            for round_, order in enumerate(orders)
        ],
        "fingerprint": [f"{vertices.spec} dim=3", vertices.fingerprint.hex()],
        "digest": [params.astype("<f4").tobytes().hex(), f"{digest_of(params):016x}"],
        "push-float32": [first.SerializeToString().hex()],
        "push-cross-polytope": [second.SerializeToString().hex()],
        "entry-log": [entry.SerializeToString().hex()],
    }
