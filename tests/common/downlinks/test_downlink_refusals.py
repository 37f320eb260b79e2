"""Entries that no server of this run sends are refused, and the replica's model is as it was."""

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.downlinks import parse as parse_downlink
from gradwire.common.errors import GradwireError, InvalidArgument, LogError, NotFiniteError, PayloadError
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.proto import wire_pb2
from tests.common.downlinks.toy import Remembered

DIM = 10
FLOATS = np.ones(DIM, "<f4").tobytes()
INFINITE = np.full(DIM, np.inf, "<f4").tobytes()


def summed(values: int, indices: bytes = b"", **more: bool) -> wire_pb2.Entry:
    return wire_pb2.Entry(sum=wire_pb2.Sum(values=bytes(values), indices=indices, **more))


def relayed(data: bytes, **more: list[int]) -> wire_pb2.Entry:
    return wire_pb2.Entry(payloads=wire_pb2.Payloads(data=data, **more))


BAD = [
    ("log", relayed(FLOATS), InvalidArgument, "40 payload bytes for 2 workers, expected 80"),
    ("log", relayed(FLOATS * 2, workers=[0]), InvalidArgument, "80 payload bytes for 1 workers"),
    ("log", relayed(FLOATS * 2, lengths=[40, 40]), InvalidArgument, "expected no lengths, got 2"),
    ("log", relayed(FLOATS + INFINITE), PayloadError, "float32: the payload holds NaN or infinity"),
    ("sum", summed(4 * DIM - 4), InvalidArgument, "a dense update has 36 bytes, expected 40"),
    ("sum", summed(4 * DIM - 1), InvalidArgument, "a dense update has 39 bytes, expected 40"),
    ("sum", summed(7, b"\0", sparse=True), InvalidArgument, "7 value and 1 index bytes"),
    ("sum", summed(8, b"\0\0", sparse=True), InvalidArgument, "8 value and 2 index bytes"),
    ("sum", summed(8, b"\x33", sparse=True), InvalidArgument, "not increasing below 10"),
    ("sum", summed(8, b"\x0b", sparse=True), InvalidArgument, "not increasing below 10"),
    ("sum", summed(4, b"\x0a", sparse=True), InvalidArgument, "not increasing below 10"),
    ("model", wire_pb2.Entry(model=FLOATS[:-1]), InvalidArgument, "a model of 39 bytes, expected 40"),
    ("model", wire_pb2.Entry(model=INFINITE), NotFiniteError, "no longer finite"),
]


@pytest.mark.parametrize(("name", "entry", "error", "words"), BAD, ids=range(len(BAD)))
def test_a_malformed_entry_is_refused(
    name: str, entry: wire_pb2.Entry, error: type[GradwireError], words: str
) -> None:
    downlink = parse_downlink(name, codec=parse("float32", DIM), seed=0, workers=2)
    model = Model(np.zeros(DIM, np.float32), parse_optimizer("sgd"))
    before = model.snapshot()
    with pytest.raises(error, match=words):
        downlink.apply(downlink.read(entry), model)
    assert model.snapshot() == before and model.round == 0


def test_a_state_of_another_length_is_refused() -> None:
    toy = Remembered(codec=parse("float32", DIM), seed=0, workers=2)
    state = {"memory": np.arange(DIM, dtype=np.float32)}
    assert toy.restore(toy.snapshot(state))["memory"].tolist() == list(range(DIM))
    for wrong in (b"", bytes(4 * DIM - 1), bytes(4 * DIM + 4)):
        with pytest.raises(LogError, match=r"remembered: the stored state has .* bytes, expected 40"):
            toy.restore(wrong)
    log = parse_downlink("log", codec=parse("float32", DIM), seed=0, workers=2)
    assert log.snapshot(log.restore(b"")) == b""
    with pytest.raises(LogError, match="expected 0"):
        log.restore(bytes(4))
