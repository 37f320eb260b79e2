"""Every downlink: the entry is as long as predicted, says what it is, and takes a replica to the server's bits."""

import numpy as np
import pytest

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.downlinks import CommittedRound, Downlink, downlinks
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.errors import InvalidArgument
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.training.record import RoundRecord
from tests.common.downlinks.rounds import SEED, committed, record_of, sent
from tests.common.downlinks.toy import Remembered, registered

WORKERS = 3
DIM = 200
# Sparse and dense means, a length that varies, public randomness, bits left over in the last byte.
CODECS = ["cross_polytope(repeats=3)", "float32", "qsgd(levels=3)", "rand_k(5)", "sign", "simplex(repeats=7)"]
COHORTS = [((0, 1, 2), False), ((0, 1, 2), True), ((0, 2), False), ((1,), True)]


def downlink_of(spec: str, codec: AnyCodec, workers: int = WORKERS) -> Downlink:
    return parse_downlink(spec, codec=codec, seed=SEED, workers=workers)


def model_of(codec: AnyCodec, optimizer: str = "sgd(lr=0.1)") -> Model:
    return Model(np.linspace(-1, 1, codec.dim, dtype=np.float32), parse_optimizer(optimizer))


@pytest.mark.parametrize("name", sorted(downlinks()))
@pytest.mark.parametrize("codec", CODECS)
def test_entries_take_a_replica_to_the_servers_bits_in_the_bytes_predicted(name: str, codec: str) -> None:
    run = parse(codec, DIM)
    downlink = downlink_of(name, run)
    server, replica = model_of(run), model_of(run)
    for round_, (workers, weighed) in enumerate(COHORTS):
        done = committed(run, record_of(run, round_, workers, weighed=weighed), server)
        entry, received = sent(downlink, done)
        assert entry.WhichOneof("body") == downlink.body and entry.round == round_
        assert downlink.measure(entry) == downlink.predict(done)
        assert received == downlink.predict_message(done) <= downlink.longest_entry
        downlink.apply(downlink.read(entry), replica)
        assert replica.digest == server.digest and replica.round == server.round


@pytest.mark.parametrize("name", [name for name, cls in sorted(downlinks().items()) if cls.replays_optimizer])
@pytest.mark.parametrize("codec", CODECS)
def test_replicas_of_models_with_averages_and_a_control_variate_step_as_the_server(
    name: str, codec: str
) -> None:
    run = parse(codec, DIM, averaged=40)
    downlink = downlink_of(name, run)
    server, replica = (
        Model(np.ones(DIM, np.float32), parse_optimizer("sgd(lr=0.1)"), averaged=40, control_rate=2.0)
        for _ in range(2)
    )
    for round_, (workers, weighed) in enumerate(COHORTS):
        record = record_of(run, round_, workers, weighed=weighed)
        entry, received = sent(downlink, done := committed(run, record, server, WORKERS))
        assert received == downlink.predict_message(done)
        downlink.apply(downlink.read(entry), replica)
    assert replica.snapshot() == server.snapshot() and replica.digest == server.digest


def test_a_sum_of_more_workers_than_the_run_has_is_refused() -> None:
    downlink = downlink_of("sum", parse("float32", 3))
    entry = downlink.build(CommittedRound(RoundRecord(0, (0, 1), ()), np.zeros(3, np.float32)))
    entry.sum.workers = WORKERS + 1
    with pytest.raises(InvalidArgument, match="an update of 4 workers, expected at most 3"):
        downlink.read(entry)


@pytest.mark.parametrize("name", sorted(downlinks()))
@pytest.mark.parametrize("codec", CODECS)
def test_a_full_cohort_costs_at_most_the_bytes_that_auto_compares(name: str, codec: str) -> None:
    run = parse(codec, DIM)
    done = committed(run, record_of(run, 0, (0, 1, 2)), model_of(run))
    assert downlink_of(name, run).predict(done).bytes <= downlink_of(name, run).bytes_per_round


@pytest.mark.parametrize("name", [name for name, cls in sorted(downlinks().items()) if cls.relays])
@pytest.mark.parametrize("codec", CODECS)
def test_relayed_entries_are_those_that_were_sent_first(name: str, codec: str) -> None:
    run = parse(codec, DIM)
    downlink, record = downlink_of(name, run), record_of(run, 4, (0, 2))
    assert downlink.build(CommittedRound(record)) == downlink.build(committed(run, record, model_of(run)))
    assert downlink.predict_message(CommittedRound(record)) == sent(downlink, CommittedRound(record))[1]


@pytest.mark.parametrize("name", sorted(downlinks()))
@pytest.mark.parametrize("dim", [262_100, 262_144, 300_001])
def test_entries_in_pieces_are_predicted_too(name: str, dim: int) -> None:
    run = parse("float32", dim)
    downlink = downlink_of(name, run, workers=2)
    done = committed(run, record_of(run, 129, (0, 1)), model_of(run))
    assert sent(downlink, done)[1] == downlink.predict_message(done)


@pytest.mark.parametrize("touched", [0, 1, 3, 8])
def test_a_sum_is_measured_by_its_values_and_indices(touched: int) -> None:
    downlink = downlink_of("sum", parse("float32", 1000), workers=1)
    update = Sparse(1000, np.arange(touched), np.ones(touched, np.float32))
    done = CommittedRound(RoundRecord(0, (0,), (b"",)), update)
    assert downlink.predict(done) == (42 * touched, 4 * touched + -(-10 * touched // 8))
    entry, received = sent(downlink, done)
    assert downlink.measure(entry) == downlink.predict(done) and received == downlink.predict_message(done)
    dense = CommittedRound(done.record, np.ones(1000, np.float32))
    assert downlink.predict(dense) == (32_000, 4000) == downlink.measure(downlink.build(dense))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_relayed_round_is_measured_by_what_is_relayed(lost: int) -> None:
    codec = parse("cross_polytope(repeats=3)", 12)  # 47 bits: one is left over in the last byte
    downlink, record = downlink_of("log", codec, workers=2), record_of(codec, 0, (0, 1))
    relayed = RoundRecord(0, (0, 1), tuple(p[: len(p) - lost] for p in record.payloads))
    entry = downlink.build(CommittedRound(relayed))
    assert downlink.predict(CommittedRound(record)) == (94, 12)
    assert downlink.measure(entry) == (94 - 16 * lost, 12 - 2 * lost)
    assert (
        sent(downlink, CommittedRound(relayed))[1] == downlink.predict_message(CommittedRound(record))
    ) is not lost


def test_the_toy_is_measured_as_the_others_are() -> None:
    with registered():
        downlink = downlink_of("remembered(keep=4)", parse("float32", 12))
        assert downlink == Remembered(codec=parse("float32", 12), seed=SEED, workers=WORKERS, keep=4)
    state, record = downlink.initial_state(), record_of(downlink.codec, 7, (0, 1, 2))
    mean = np.linspace(1, 2, 12, dtype=np.float32)
    stored = RoundRecord(7, record.workers, record.payloads, (), downlink.encode(record, mean, state))
    entry, received = sent(downlink, CommittedRound(stored))
    assert downlink.measure(entry) == downlink.predict(CommittedRound(stored)) == (256, 32)
    assert received == downlink.predict_message(CommittedRound(stored))
