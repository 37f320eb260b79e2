"""The Slurm script for real: a controller and a node of its own on this machine, and ``sbatch`` as a user calls it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/slurm/gradwire.sbatch"
PATIENCE = 240.0
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
CryptoType=crypto/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)),
        reason="NOT TESTED: not root, or Slurm is not here (Debian: apt install slurm-wlm)",
    ),
]


class Cluster:
    """A controller and one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "controller").mkdir()
        (folder / "node").mkdir()
        (folder / "bin").mkdir()
        gradwire = folder / "bin/gradwire"
        gradwire.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m gradwire.deploy.cli "$@"\n')
        gradwire.chmod(0o755)
        controller, node = free_port(), free_port()
        self.file = folder / "slurm.conf"
        self.file.write_text(
            CONFIGURATION.format(host=socket.gethostname(), folder=folder, controller=controller, node=node)
        )
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(self.file),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }
        self.daemons = [
            self._start("slurmctld", "-D"),
            self._start("slurmd", "-D", "-N", socket.gethostname()),
        ]
        until(lambda: " idle" in self.run("sinfo", "--noheader", "--format", "%n %T"), self.logs)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def run(self, *words: str, **environment: str) -> str:
        done = subprocess.run(
            words,
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def submit(self, *words: str, **environment: str) -> str:
        """The id of a new job."""
        told = self.run("sbatch", "--parsable", *words, **environment)
        assert told.strip().isdigit(), told
        return told.strip()

    def outcome(self, job: str) -> str:
        """The job's state and exit code, once it has ended."""

        def state() -> str:
            fields = self.run("scontrol", "show", "job", "--oneliner", job).split()
            told = dict(field.split("=", 1) for field in fields if "=" in field)
            return f"{told.get('JobState')} {told.get('ExitCode')}"

        until(lambda: not state().startswith(("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")), self.logs)
        return state()

    def log(self, job: str) -> str:
        path = self.folder / f"gradwire-{job}.log"
        return path.read_text() if path.exists() else ""

    def logs(self) -> str:
        jobs = "".join(path.read_text() for path in self.folder.glob("gradwire-*.log"))
        return jobs + "".join(path.read_text()[-3000:] for path in self.folder.glob("slurm*.log"))

    def close(self) -> None:
        self.run("scancel", "--user", "root")
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30.0)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def until(holds: Callable[[], object], told: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, told()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    yield made
    made.close()


RUN = ("--task", "least_squares(samples=64, dim=24)", "--workers", "4")


def test_a_run_is_a_job(cluster: Cluster) -> None:
    job = cluster.submit("--ntasks=3", str(SCRIPT), *RUN, "--rounds", "20", COUNT="2")
    assert cluster.outcome(job) == "COMPLETED 0:0", cluster.logs()
    log = cluster.log(job)
    assert "replicas agree: yes" in log and "2 of 2 checked" in log and "plaintext" not in log
    assert "joined as worker-0" in log and "joined as worker-1" in log
    assert (cluster.folder / f"gradwire-{job}/summary.json").exists()


def test_a_jobs_exit_code_is_the_runs(cluster: Cluster) -> None:
    job = cluster.submit("--ntasks=2", str(SCRIPT), "--task", "mlp(digits", "--workers", "1", "--rounds", "3")
    assert cluster.outcome(job) == "FAILED 2:0", cluster.logs()
    assert "a closing ) is missing" in cluster.log(job)


def test_a_job_that_is_requeued_goes_on(cluster: Cluster) -> None:
    job = cluster.submit("--ntasks=3", str(SCRIPT), *RUN, "--rounds", "2000", COUNT="2")
    until(lambda: "of 2000: loss" in cluster.log(job), cluster.logs)
    cluster.run("scontrol", "requeue", job)
    assert cluster.outcome(job) == "COMPLETED 0:0", cluster.logs()
    rounds = [
        int(line.rpartition("round ")[2]) for line in cluster.log(job).splitlines() if "listening on" in line
    ]
    assert len(rounds) == 2 and rounds[0] == 0 < rounds[1]
    assert "replicas agree: yes" in cluster.log(job)
