"""The server's fold with each downlink: replicas follow it, and a restart from the log is the same server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.downlinks import CommittedRound
from gradwire.common.errors import LogError
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.common.transport.specs import run_to_message, spec_to_message
from gradwire.common.weights.arrays import Array
from gradwire.common.weights.start import Start
from gradwire.proto import wire_pb2
from gradwire.server import fold as fold_module
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from gradwire.server.outgoing import Outgoing, OutgoingEntry
from gradwire.worker.replica import Replica
from tests.common.downlinks.rounds import record_of
from tests.common.downlinks.toy import registered

DIM = 24
CONFIG = RunConfig(
    task=f"synthetic(dim={DIM})",
    codec="cross_polytope(repeats=3)",
    optimizer="sgd(lr=0.1, momentum=0.5)",
    workers=3,
    rounds=12,
    seed=5,
    digest_every=1,
)
INITIAL = np.linspace(-1, 1, DIM, dtype=np.float32)
DOWNLINKS = ["log", "sum", "model", "remembered(keep=5)"]


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    with registered():
        yield


class Server:
    """A fold in a folder that can be closed and opened again."""

    def __init__(self, folder: Path, downlink: str, start: Start | None = None, **changes: Any) -> None:
        self.config = replace(CONFIG, downlink=downlink, **changes)
        self.folder = folder
        self.log = RunLog.create(folder, self.config, b"a run")
        self.fold = Fold(self.log)
        self.fold.begin(INITIAL.tobytes(), self.fold.codec_at(DIM), start=start)

    def commit(self) -> tuple[CommittedRound, wire_pb2.Entry]:
        """Commit the next round; what every replica receives."""
        record = record_of(
            self.fold.codec, self.log.next_round, (0, 2) if self.log.next_round % 3 else (0, 1, 2)
        )
        committed = self.fold.append(record)
        entry = self.fold.entry(committed)
        assert all(size.as_predicted for size in vars(entry.counts).values())
        return committed, message_of(entry).entry

    def restart(self) -> None:
        self.log.close()
        self.log = RunLog.open(self.folder)
        self.fold = Fold(self.log)

    def replica(self) -> Replica:
        run = run_to_message(self.config, self.log.run_id)
        if self.config.downlink.startswith("remembered"):
            run.downlink.CopyFrom(spec_to_message(parse_spec(self.config.downlink)))
        optimizer = parse_optimizer(self.config.optimizer)
        return Replica(INITIAL, parse(self.config.codec, DIM), optimizer, run)

    @property
    def state(self) -> dict[str, bytes]:
        """The downlink's state, bit for bit."""
        return {name: array.tobytes() for name, array in self.fold.started.state.items()}


def message_of(outgoing: Outgoing) -> wire_pb2.FromServer:
    (frame,) = outgoing.frames
    return wire_pb2.FromServer.FromString(frame)


def ready(replica: Replica, run_id: bytes = b"a run") -> wire_pb2.Ready:
    return wire_pb2.Ready(run_id=run_id, round=replica.round, digest=replica.model.digest)


def bring_up_to_date(server: Server, replica: Replica) -> list[str]:
    """Send a replica what it misses; the kinds of the messages."""
    kinds = []
    for outgoing in server.fold.catch_up(ready(replica)):
        message = message_of(outgoing)
        kinds.append(message.WhichOneof("message"))
        if message.HasField("entry"):
            replica.fold(message.entry)
        else:
            assert len(message.snapshot.state) == 8 * DIM, (
                "parameters and momentum, nothing of the server's own"
            )
            replica.restore(message.snapshot)
    return kinds


@pytest.mark.parametrize("snapshots", ["none", "often", "pruned", "kept"])
@pytest.mark.parametrize("downlink", DOWNLINKS)
def test_a_server_that_restarts_is_the_same_server(
    downlink: str, snapshots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if snapshots != "none":
        monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 40)  # bytes: of some rounds
        monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    if snapshots in ("pruned", "kept"):
        monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 0)
    server = Server(tmp_path, downlink, keep_log=snapshots == "kept")
    replica = server.replica()
    for round_ in range(CONFIG.rounds):
        _, entry = server.commit()
        replica.fold(entry)
        assert replica.model.digest == server.fold.model.digest
        if round_ % 4 == 2:
            model, state = server.fold.model.snapshot(), server.state
            server.restart()
            assert (server.fold.model.snapshot(), server.state) == (model, state)
    assert (server.log.first_kept() > 0) is (snapshots == "pruned")
    assert ((server.log.latest_snapshot() or (0,))[0] > 0) is (snapshots != "none")


def test_only_what_was_sent_can_give_the_toys_model_again(tmp_path: Path) -> None:
    """Its coins are the system's: the same rounds on another server end elsewhere, unless ``sent`` is taken along."""
    servers = [Server(tmp_path / name, "remembered(keep=5)") for name in ("a", "b")]
    for server in servers:
        for _ in range(5):
            server.commit()
    first, second = servers
    assert [r.payloads for r in first.log.read(0, 5)] == [r.payloads for r in second.log.read(0, 5)]
    assert first.fold.model.digest != second.fold.model.digest
    records = list(first.log.read(0, 5))
    assert all(len(record.sent) == 40 for record in records)
    assert np.frombuffer(first.state["memory"], "<f4").any()


@pytest.mark.parametrize("downlink", DOWNLINKS)
def test_a_replica_that_is_behind_catches_up(downlink: str, tmp_path: Path) -> None:
    server = Server(tmp_path, downlink)
    behind, steady, fresh = server.replica(), server.replica(), server.replica()
    assert bring_up_to_date(server, fresh) == []
    for round_ in range(6):
        _, entry = server.commit()
        steady.fold(entry)
        if round_ < 4:
            behind.fold(entry)
    relays = server.fold.started.downlink.relays
    assert bring_up_to_date(server, steady) == []
    assert bring_up_to_date(server, behind) == (["entry", "entry"] if relays else ["snapshot"])
    assert bring_up_to_date(server, fresh) == ["snapshot"], "six rounds are longer than the model"
    for replica in (behind, fresh):
        assert replica.model.digest == server.fold.model.digest
        assert replica.model.snapshot() == server.fold.model.snapshot() or downlink == "model"


@pytest.mark.parametrize("downlink", ["log", "remembered(keep=5)"])
def test_entries_are_relayed_only_to_a_replica_of_this_run_and_of_these_bits(
    downlink: str, tmp_path: Path
) -> None:
    server = Server(tmp_path, downlink)
    replica = server.replica()
    replica.fold(server.commit()[1])
    server.commit()

    def kinds(**changes: Any) -> list[str]:
        asked = ready(replica)
        for name, value in changes.items():
            setattr(asked, name, value)
        return [message_of(out).WhichOneof("message") for out in server.fold.catch_up(asked)]

    assert kinds() == ["entry"]
    assert kinds(run_id=b"another") == kinds(digest=1) == kinds(round=9) == ["snapshot"]
    assert all(isinstance(out, OutgoingEntry) for out in server.fold.catch_up(ready(replica)))


@pytest.mark.parametrize("downlink", DOWNLINKS)
def test_a_replica_that_is_not_at_the_given_start_takes_the_model(downlink: str, tmp_path: Path) -> None:
    """Its own initial model is not the run's: entries would lead it elsewhere, however short they are."""
    start = Start("here", {"parameters": Array("float32", INITIAL[::-1].copy())})
    server = Server(tmp_path, downlink, start)
    late = server.replica()
    assert bring_up_to_date(server, late) == ["snapshot"] and late.round == 0
    for _ in range(2):
        late.fold(server.commit()[1])
    later = server.replica()
    assert bring_up_to_date(server, later) == ["snapshot"]
    for replica in (late, later):
        assert replica.model.digest == server.fold.model.digest
    server.restart()
    assert server.fold.model.digest == late.model.digest


def test_a_state_of_another_downlink_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 0)
    monkeypatch.setattr(fold_module, "SNAPSHOT_FACTOR", 0)
    server = Server(tmp_path, "remembered(keep=5)")
    server.commit()
    server.log.snapshot(1, server.fold.model.snapshot() + bytes(92))
    with pytest.raises(LogError, match="remembered: the stored state has 92 bytes, expected 96"):
        server.restart()


def test_a_log_is_pruned_by_the_payloads_of_its_cohorts(tmp_path: Path) -> None:
    whole, drawn = Server(tmp_path / "a", "log"), Server(tmp_path / "b", "log", cohort=1)
    assert whole.fold.payload_bytes == 3 * drawn.fold.payload_bytes == 12 * 3 * whole.fold.codec.nbytes
