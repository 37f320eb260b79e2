"""The log is the model: a fold from the start and one from the newest snapshot end in the same bits."""

from pathlib import Path

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.randomness import worker_coins
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers.sgd import SGD
from gradwire.common.training.record import RoundRecord, aggregate
from gradwire.server.log.run_log import RunLog
from tests.server.log_victim import CONFIG, RESOLVED


def fold(log: RunLog, model: Model, start: int, stop: int) -> Model:
    codec = parse(CONFIG.codec, model.dim)
    for entry in log.read(start, stop):
        model.apply(aggregate(codec, CONFIG.seed, entry))
    return model


@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
def test_a_snapshot_and_the_rest_give_the_bits_of_the_whole_fold(tmp_path: Path, schedule: str) -> None:
    codec, optimizer = parse("cross_polytope(repeats=100)", 1000), SGD(lr=0.1, schedule=schedule)
    params = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        live = Model(params, optimizer)
        log.set_initial(live.snapshot(), RESOLVED)
        for round_ in range(20):
            gradient = live.params - np.float32(0.5)
            payloads = tuple(codec.encode(gradient, worker_coins(0, round_, w)) for w in range(3))
            entry = RoundRecord(round_, (0, 1, 2), payloads)
            live.apply(aggregate(codec, CONFIG.seed, entry))
            log.append(entry, live.digest)
            if round_ in (6, 12):
                log.snapshot(round_ + 1, live.snapshot())
    with RunLog.open(tmp_path) as log:
        whole, resumed = Model(params, optimizer), Model(np.zeros_like(params), optimizer)
        whole.restore(log.initial(), 0)
        round_, snapshot = log.latest_snapshot() or (0, b"")
        resumed.restore(snapshot, round_)
        assert round_ == 13
        for model in (fold(log, whole, 0, 20), fold(log, resumed, 13, 20)):
            assert model.snapshot() == live.snapshot()
            assert (model.round, model.digest) == (20, log.digest_at(19))
