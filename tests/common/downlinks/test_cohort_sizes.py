"""What follows from the size of a cohort: what ``auto`` and catching up go by, and entries that name the next."""

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.downlinks import CommittedRound, downlinks, resolve_downlink
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.training.config import RunConfig
from gradwire.server.outgoing import OutgoingEntry
from tests.common.downlinks.rounds import SEED, record_of


def test_a_log_entry_has_at_most_a_cohort_of_payloads() -> None:
    codec = parse("float32", 50)
    log = parse_downlink("log", codec=codec, seed=SEED, workers=100, cohort=3)
    assert log.bytes_per_round == 3 * 200 and log.cheap_replay
    assert 3 * 200 < log.longest_entry < 4 * 200
    assert not parse_downlink("log", codec=codec, seed=SEED, workers=100).cheap_replay


@pytest.mark.parametrize(("cohort", "chosen"), [(0, "sum"), (2, "log"), (40, "sum")])
def test_auto_chooses_by_the_cohort(cohort: int, chosen: str) -> None:
    config = RunConfig(
        task="synthetic(dim=1000)", codec="cross_polytope(repeats=100)", workers=100, cohort=cohort
    )
    assert resolve_downlink(config, parse(config.codec, 1000)).spec == chosen


@pytest.mark.parametrize("name", [name for name, cls in downlinks().items() if not cls.announced])
def test_entries_that_name_the_next_cohort_are_predicted(name: str) -> None:
    codec = parse("float32", 30)
    downlink = parse_downlink(name, codec=codec, seed=SEED, workers=70_000, cohort=3)
    record = record_of(codec, 5, (2, 128, 69_999))
    update, params = np.ones(30, np.float32), np.ones(30, np.float32)
    sizes = set()
    for cohort in ((), (0,), (127, 128), (0, 16_383, 69_999)):
        entry = OutgoingEntry.build(downlink, CommittedRound(record, update, params, cohort))
        assert entry.counts.message_bytes.as_predicted and entry.size <= downlink.longest_entry + 4 * 3
        sizes.add(entry.size)
    assert len(sizes) == 4
