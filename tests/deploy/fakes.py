"""A server and a worker that only speak the process contract: JSON lines, exit codes, signals.

The first argument names what goes wrong in this run; the rest is the command line of ``gradwire server`` or ``gradwire
worker``. Every process says its id on standard error, so a test knows whom to kill.
"""

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradwire.deploy.processes.die_with_parent import die_with_parent

ROUNDS = 3
DIRECTION = {"payload_bits": 24, "payload_bytes": 6, "message_bytes": 12, "tcp_bytes": 18}


def tell(event: str, **row: Any) -> None:
    print(json.dumps({"event": event, **row}), flush=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def give_up(text: str, code: int) -> None:
    say(f"gradwire: {text}")
    raise SystemExit(code)


def starts(folder: Path) -> int:
    """How often the server of this state directory was started, this time included."""
    counter = folder / "starts"
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    folder.mkdir(exist_ok=True)
    counter.write_text(str(count))
    return count


def summary(workers: int, **changes: Any) -> dict[str, Any]:
    return {
        "dim": 10, "rounds": ROUNDS, "workers": workers, "processes": 2, "task": "fake", "codec": "fake",
        "uplink": DIRECTION, "downlink": DIRECTION, "payload_bits_per_push": 8,
        "predicted": {"uplink": DIRECTION, "downlink": DIRECTION}, "predicted_equals_measured": True,
        "digest": "00ff", "replicas_agree": True, "replicas_checked": 2,
        "loss": 0.25, "metrics": {"accuracy": 0.9}, "history": [],
        "seconds": 1.5, "rounds_per_second": 2.0, "reconnects": 0, "resyncs": 0, **changes,
    }  # fmt: skip


class Server:
    def __init__(self, fault: str, args: argparse.Namespace) -> None:
        self.fault, self.workers = fault, args.workers
        self.first = starts(Path(args.state_dir)) == 1
        self.goes_on = fault == "run has no end" or (fault == "server is killed" and self.first)
        if fault == "server refuses":
            give_up("this folder holds another run: pass another --state-dir", 2)
        host, port = args.listen.split(":")
        self.socket = socket.create_server((host, int(port)))
        address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        over = fault == "run is over"
        round_ = ROUNDS if over else 0 if self.first else 1
        tell("listening", address=address, run_id="0a", round=round_, rounds=ROUNDS, over=over)
        self.connections: dict[str, socket.socket] = {}

    def serve(self) -> None:
        if self.fault != "run is over":
            self.train()
        self.finish()

    def train(self) -> None:
        needed = 1 if self.fault in ("worker is late", "budget is spent") else 2
        for _ in self.joining():
            if len(self.connections) == needed and not self.goes_on:
                break
        for round_ in range(ROUNDS):
            tell(
                "round", round=round_, rounds=ROUNDS, loss=0.5, workers=self.workers, uplink_bits=8 * self.workers,
                downlink_bits=64, uplink_bytes=4 * (round_ + 1), downlink_bytes=8 * (round_ + 1), seconds=0.1,
            )  # fmt: skip
        tell("metrics", round=ROUNDS, metrics={"accuracy": 0.9})

    def joining(self) -> Iterator[str]:
        """Take workers in; with the fault that says so, wait until the first of them has come twice."""
        times: dict[str, int] = {}
        while True:
            connection, _ = self.socket.accept()
            process = connection.makefile().readline().strip()
            times[process] = times.get(process, 0) + 1
            self.connections[process] = connection
            say(f"{process} joined")
            live = self.workers // 2 * len(self.connections)
            tell("joined", process=process, workers=[0, 1], live=live, expected=self.workers)
            if self.fault != "first worker comes back" or times.get("worker-0") == 2:
                yield process

    def finish(self) -> None:
        bad = {"bytes differ": "predicted_equals_measured", "replicas differ": "replicas_agree"}.get(
            self.fault
        )
        if self.fault == "no summary":
            raise SystemExit(0)
        last_words_lost = self.fault == "server is killed at the end" and self.first
        if not last_words_lost:
            tell("finished", summary=summary(self.workers, **({bad: False} if bad else {})))
        for connection in self.connections.values():
            connection.sendall(b"done\n")
        if last_words_lost:
            for connection in self.connections.values():
                connection.recv(1)  # the worker is done
            say("all workers are done")
            signal.pause()
        if bad:
            give_up(f"{self.fault}: do not trust this run", 1)


def serve(fault: str, words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--progress", choices=["json"], required=True)
    parser.add_argument("--state-dir")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--task")
    parser.add_argument("--rounds")
    Server(fault, parser.parse_args(words)).serve()


def work(fault: str, words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--workers", required=True)
    parser.add_argument("--retry-for", type=float, required=True)
    parser.add_argument("--state-dir")
    parser.add_argument("--allow-task", action="append")
    args = parser.parse_args(words)
    say(f"hosts {args.workers} with {os.environ['OMP_NUM_THREADS']} threads")
    first = args.name == "worker-0"
    if first and fault == "worker gives up":
        say("some log line")
        give_up("no such data: fetch it", 2)
    if first and fault == "budget is spent":
        give_up("the privacy budget of epsilon 1 does not pay for another push", 3)
    if first and fault == "worker crashes":
        raise RuntimeError("a bug")
    if first and fault == "worker is killed at once":
        os.kill(os.getpid(), signal.SIGKILL)
    if first and fault == "worker is late":
        signal.pause()
    while not take_part(args.server, args.name):
        pass
    if first and fault in ("worker stays", "deaf worker stays"):
        signal.pause()


def take_part(address: str, name: str) -> bool:
    """Join and wait for the end; False where the connection was lost."""
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"{name}\n".encode())
            return connection.makefile().readline() == "done\n"
    except OSError:
        return False


if __name__ == "__main__":
    die_with_parent()
    deaf = sys.argv[1] == "deaf worker stays" and sys.argv[2] == "worker"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: os._exit(143))
    say(f"process {os.getpid()}")
    {"server": serve, "worker": work}[sys.argv[2]](sys.argv[1], sys.argv[3:])
