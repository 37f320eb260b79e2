"""Hosts that are network namespaces, for real: root's business, and slow."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.bench.hosts import namespaces
from gradwire.bench.hosts.namespaces import Namespaces
from gradwire.bench.hosts.rates import Rate
from gradwire.bench.hosts.training import Trained, Trainer
from gradwire.common.errors import ConfigError

GRADWIRE = (sys.executable, "-m", "gradwire.deploy.cli")
SMALL = {"task": "synthetic(20000)", "rounds": 4}


def can_make_namespaces() -> bool:
    if os.geteuid() or not all(map(shutil.which, ("ip", "tc", "unshare", "nsenter"))):
        return False
    return (
        subprocess.run(("unshare", "--net", "--", "true"), capture_output=True, check=False).returncode == 0
    )


netns = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.skipif(
        not can_make_namespaces(), reason="NOT ROOT, or no ip, tc, unshare, nsenter: nothing measured"
    ),
]


def train(rate: Rate | None = None, server_rate: Rate | None = None, **settings: Any) -> Trained:
    inbox = SimpleQueue()
    return Trainer(Namespaces(inbox, rate, server_rate), inbox).run({**SMALL, **settings}, 2)


def networks() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(str(process.readlink()))
        except OSError:  # the process is gone
            continue
    return found


def test_it_is_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="need root: run it with sudo"):
        namespaces.require_programs()


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("tc", "unshare") else f"/bin/{name}")
    with pytest.raises(ConfigError, match=r"tc, unshare not found: install iproute2"):
        namespaces.require_programs()


class TestTraining:
    pytestmark = netns

    def test_frames_are_accounted_for_to_the_byte(self) -> None:
        """Streams and 66 B a packet, but for SYNs (8 more each), ARP (24 less each), and a worker's lost segments."""
        done = train(codec="cross_polytope(repeats=100)")
        for name in ("uplink", "downlink"):
            counts = done.summary[name]
            tcp = counts["tcp_bytes"] + counts["tcp_bytes_joining"]
            frames = counts["interface_bytes"] + counts["interface_bytes_joining"]
            packets = counts["interface_packets"] + counts["interface_packets_joining"]
            assert -200 <= frames - tcp - 66 * packets <= 40 + 0.03 * frames
        server, workers = done.carried["server"], [done.carried["worker-0"], done.carried["worker-1"]]
        assert server.received_bytes == sum(worker.sent_bytes for worker in workers)
        # ARP goes to all
        assert 0 <= sum(worker.received_bytes for worker in workers) - server.sent_bytes <= 4 * 42

    def test_large_messages_cross_in_real_packets(self) -> None:
        """Without shaping too, and not in segments of 64 KiB with one header."""
        done = train(codec="float32", downlink="model")
        server = done.carried["server"]
        assert server.received_bytes / server.received_packets < 1514
        assert server.sent_bytes / server.sent_packets < 1514

    @pytest.mark.parametrize("side", ["workers", "server"])
    def test_a_rate_bounds_both_directions(self, side: str) -> None:
        """Each way alone: while one worker still receives, another may send. The last entries come after the clock."""
        rate = Rate(2_000_000)
        rates = {"rate": rate} if side == "workers" else {"server_rate": rate}
        done = train(codec="float32", downlink="model", **rates)
        links = 2 if side == "workers" else 1
        up, down = (8 * done.summary[way]["interface_bytes"] / links for way in ("uplink", "downlink"))
        assert done.summary["seconds"] > 0.95 * max(up, down * 3 / 4) / rate.bits
        assert done.summary["seconds"] < 2 * (up + down) / rate.bits + 5
        assert train(codec="float32", downlink="model").summary["digest"] == done.summary["digest"]


class TestCommand:
    pytestmark = netns

    def test_the_waterfall_of_two_codecs(self, tmp_path: Path) -> None:
        before, out = networks(), tmp_path / "wire.json"
        words = ("bench", "wire", "--workers", "2", "--rounds", "5", "--task", "synthetic(20000)", "--codec", "float32",
                 "--codec", "cross_polytope(repeats=50)", "--json", str(out))  # fmt: skip
        done = subprocess.run((*GRADWIRE, *words), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        dense, sparse = json.loads(out.read_text())["rows"]
        up = sparse["uplink"]["per_worker_and_round"]
        layers = ("payload_bytes", "message_bytes", "tcp_bytes", "interface_bytes")
        assert [up[layer] for layer in layers] == sorted(up[layer] for layer in layers)
        assert up["payload_bits"] == 32 + 50 * 16 and abs(up["rest_bytes"]) < 10
        assert dense["uplink"]["per_worker_and_round"]["payload_bytes"] == 80_000
        assert "cross_polytope(repeats=50" in done.stdout
        assert networks() == before

    def test_the_same_rounds_over_a_slow_and_a_fast_link(self, tmp_path: Path) -> None:
        case, out = tmp_path / "dense.toml", tmp_path / "times.json"
        case.write_text('task = "mlp(digits, hidden=32)"\ncodec = "float32"\ndownlink = "model"\nlr = 0.5\n')
        words = ("bench", "time-to-loss", "--case", str(case), "--workers", "2", "--target", "1.8", "--window", "2",
                 "--rate", "500kbit", "--rate", "unshaped", "--json", str(out))  # fmt: skip
        done = subprocess.run((*GRADWIRE, *words), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        slow, fast = json.loads(out.read_text())["laps"]
        assert slow["case"] == "dense" and slow["rate_bits"] == 500_000 and fast["rate_bits"] is None
        assert slow["rounds"] == fast["rounds"] and slow["curve"][-1][1] <= 1.8 < slow["curve"][0][1]
        # Seconds of float32 parameters; the bucket lets a frame pass at once
        one = 8 * (4 * 2410 - 1514) / 500_000
        assert slow["seconds"] > one * (2 * slow["rounds"] - 1)
        assert "500 kbit/s" in done.stdout and "dense" in done.stdout

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_however_it_is_stopped_nothing_is_left(self, how: signal.Signals) -> None:
        before = networks()
        words = (
            "bench",
            "wire",
            "--workers",
            "2",
            "--rounds",
            "1000000",
            "--task",
            "synthetic(1000)",
            "--codec",
            "sign",
        )
        with subprocess.Popen((*GRADWIRE, *words), stderr=subprocess.PIPE, text=True) as run:
            deadline = time.monotonic() + 300
            while len(networks() - before) < 4:  # three hosts and the bridge
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            run.send_signal(how)
            assert run.stderr is not None
            said = run.stderr.read()
        assert run.returncode == (-9 if how is signal.SIGKILL else 128 + how)
        assert how is signal.SIGKILL or f"gradwire: stopped by {how.name}" in said
        while networks() != before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
