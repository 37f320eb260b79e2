"""A worker written from docs/protocol.md and docs/payloads.md alone.

Usage: foreign_worker.py ADDRESS CODEC DIM RESYNC_AT COUNT

It hosts COUNT workers whose gradients pull parameter i towards i / 7; the optimizer is sgd(lr=0.01, momentum=0.9).
CODEC is float32, or cross_polytope in canonical form. At round RESYNC_AT it sends a wrong digest, once. Of the package
it imports the messages that protoc generated from proto/wire.proto. It prints one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import math
import queue
import struct
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from gradwire.proto import wire_pb2 as wire
from tests.docs.pages import blocks, program

PAYLOADS = program("payloads")
PROTOCOL: dict[str, Any] = {}
exec(blocks("protocol", "python")[1], PROTOCOL)


def digest(params: np.ndarray) -> int:
    return int(PROTOCOL["digest"](params.view(np.uint32).tolist()))


def to_message(spec: Any) -> wire.Spec:
    name, parameters = PAYLOADS["pair"](spec)
    message = wire.Spec(name=name)
    for key, value in parameters.items():
        argument = message.arguments.add(name=key)
        if isinstance(value, bool):
            argument.flag = value
        elif isinstance(value, int):
            argument.integer = value
        elif isinstance(value, float):
            argument.real = value
        else:
            argument.spec.CopyFrom(to_message(value))
    return message


class Worker:
    """A replica, and what is sent for its two workers."""

    def __init__(self, address: str, spec: str, dim: int, resync_at: int, count: int) -> None:
        self.spec, self.codec, self.resync_at = spec, PAYLOADS["build"](spec, dim), resync_at
        self.params, self.velocity = np.zeros(dim, np.float32), np.zeros(dim, np.float32)
        self.target, self.rng, self.round, self.is_open = (
            np.arange(dim) / 7,
            np.random.default_rng(1),
            0,
            False,
        )
        self.count = count
        self.sent, self.received, self.seen = wire.Traffic(), wire.Traffic(), Counter[str]()
        self.outbox: queue.Queue[bytes | None] = queue.Queue()
        method = grpc.insecure_channel(address).stream_stream("/gradwire.v1.ParameterServer/Train")
        self.call = method(iter(self.outbox.get, None))

    def run(self) -> dict[str, Any]:
        self.send(join=wire.Join(protocol=2, process="foreign", count=self.count))
        for raw in self.call:
            message = wire.FromServer.FromString(raw)
            kind = message.WhichOneof("message")
            self.seen[kind] += 1
            getattr(self, kind)(getattr(message, kind), len(raw))
        return {"status": self.call.code().name, "digest": f"{digest(self.params):016x}", "seen": self.seen}

    def send(self, **message: Any) -> int:
        raw = wire.FromWorker(**message).SerializeToString()
        self.outbox.put(raw)
        return len(raw)

    # ---- joining ---------------------------------------------------------------------------------------------

    def welcome(self, message: wire.Welcome, _: int) -> None:
        self.config, self.ids = message.run, message.workers
        self.ready()

    def ready(self) -> None:
        dim, hashed = self.codec.dim, hashlib.blake2b(digest_size=16, person=b"gradwire-spec")
        hashed.update(f"{self.spec} dim={dim}".encode())
        codec = wire.CodecSpec(
            spec=to_message(PAYLOADS["parsed"](self.spec)), dim=dim, fingerprint=hashed.digest()
        )
        ready = wire.Ready(
            codec=codec, run_id=self.config.run_id, round=self.round, digest=digest(self.params)
        )
        self.send(ready=ready)

    def upload(self, _: wire.Upload, __: int) -> None:
        self.send(initial=wire.Snapshot(state=self.params.tobytes()))

    def snapshot(self, message: wire.Snapshot, _: int) -> None:
        self.params, self.velocity = np.frombuffer(message.state, "<f4").reshape(2, -1).copy()
        self.round = message.round
        if self.is_open:
            self.is_open = False
            self.ready()

    # ---- rounds ------------------------------------------------------------------------------------------------

    def open(self, message: wire.Open, _: int) -> None:
        self.is_open = True
        self.push([worker for worker in self.ids if worker not in message.pushed])

    def push(self, due: list[int]) -> None:
        if not due:
            return
        checked = digest(self.params) if self.round % self.config.digest_every == 0 else 0
        if self.round == self.resync_at:
            checked, self.resync_at = 12345, -1
        gap = self.params - self.target
        payloads = b"".join(self.encode(gap + 0.01 * worker) for worker in due)
        losses = [float((gap * gap).sum())] * len(due)
        push = wire.Push(round=self.round, payloads=payloads, losses=losses, digest=checked)
        if len(due) < len(self.ids):
            push.workers.extend(due)
        count(self.sent, len(payloads), self.send(push=push))

    def encode(self, gradient: np.ndarray) -> bytes:
        if self.spec == "float32":
            return gradient.astype("<f4").tobytes()
        dim, width, norm = gradient.size, (2 * gradient.size - 1).bit_length(), np.linalg.norm(gradient)
        gain = np.nextafter(np.float32(norm), np.float32(np.inf))  # not below the norm
        share = np.abs(gradient) / float(gain) / math.sqrt(dim)
        law = np.concatenate([share * (gradient > 0), share * (gradient < 0)]) + (1 - share.sum()) / (2 * dim)
        code = int.from_bytes(struct.pack("<f", gain), "little")
        for k, vertex in enumerate(self.rng.choice(2 * dim, self.codec.repeats, p=law / law.sum()).tolist()):
            code |= vertex << 32 + k * width
        return code.to_bytes((self.codec.nbits + 7) // 8, "little")

    def entry(self, message: wire.Entry, length: int) -> None:
        assert message.round == self.round
        payload_bytes = getattr(self, f"fold_{message.WhichOneof('body')}")(message)
        self.round += 1
        count(self.received, payload_bytes, length)
        if self.is_open and self.round < self.config.rounds:
            self.push([w for w in self.ids if w in message.cohort] if self.config.cohort else list(self.ids))

    def fold_payloads(self, message: wire.Entry) -> int:
        data, cohort = message.payloads.data, list(message.payloads.workers) or range(self.config.workers)
        size = len(data) // len(cohort)
        payloads = [data[at : at + size] for at in range(0, len(data), size)]
        seeds = [PAYLOADS["derive"]("gradwire-shared", self.config.seed, self.round, w) for w in cohort]
        self.step(np.array(PAYLOADS["mean"](self.codec, payloads, [1] * len(payloads), seeds), np.float32))
        return len(data)

    def fold_sum(self, message: wire.Entry) -> int:
        values, packed = np.frombuffer(message.sum.values, "<f4"), message.sum.indices
        update = np.zeros(self.codec.dim, np.float32)
        places = (
            PAYLOADS["Bits"](packed).array(values.size, PAYLOADS["width"](self.codec.dim)) if packed else ...
        )
        update[places] = values
        self.step(update)
        return len(message.sum.values) + len(packed)

    def fold_model(self, message: wire.Entry) -> int:
        self.params = np.frombuffer(message.model, "<f4")
        return len(message.model)

    def step(self, update: np.ndarray) -> None:
        self.velocity = self.velocity * np.float32(0.9) + update
        self.params = self.params - np.float32(0.01) * self.velocity

    def late(self, _: wire.Late, __: int) -> None:
        pass

    def evaluate(self, _: wire.Evaluate, __: int) -> None:
        """It has nothing to report: a run does not need it."""

    def finish(self, _: wire.Finish, __: int) -> None:
        self.send(done=wire.Done(digest=digest(self.params), sent=self.sent, received=self.received))
        self.outbox.put(None)


def count(traffic: wire.Traffic, payload_bytes: int, message_bytes: int) -> None:
    traffic.messages += 1
    traffic.payload_bytes += payload_bytes
    traffic.message_bytes += message_bytes


if __name__ == "__main__":
    address, spec, *numbers = sys.argv[1:]
    print(json.dumps(Worker(address, spec, *map(int, numbers)).run()))
