"""Ctrl-C at the worst moments: while modules are imported, and while a gradient is computed."""

import signal
import subprocess
import sys

TIMEOUT = 60.0


def start(program: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_while_modules_are_imported_it_ends_the_process_without_a_word() -> None:
    program = start("import signal; from gradwire.deploy import start; signal.raise_signal(signal.SIGINT)")
    assert program.communicate(timeout=TIMEOUT) == ("", "") and program.returncode == -signal.SIGINT


def test_once_the_command_is_there_it_raises() -> None:
    program = start(
        "import signal\n"
        "from gradwire.deploy import cli, start\n"
        "def command() -> None: signal.raise_signal(signal.SIGINT)\n"
        "cli.Commands.listed = {'data': cli.Listed('', (), lambda: command)}\n"
        "raise SystemExit(cli.call(['data']))\n"
    )
    assert program.communicate(timeout=TIMEOUT) == ("", "") and program.returncode == 130


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = start(
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from gradwire.deploy import interrupts, start\n"
        "interrupts.take(); signal.raise_signal(signal.SIGINT); print('here')"
    )
    assert program.communicate(timeout=TIMEOUT) == ("here\n", "") and program.returncode == 0


def test_a_worker_that_computes_for_long_stops_at_the_second() -> None:
    program = start(
        "import asyncio, threading\n"
        "from gradwire.worker.command import _run\n"
        "class Busy:\n"
        "    async def run(self):\n"
        "        await asyncio.to_thread(self.compute)\n"
        "    def compute(self):\n"
        "        print('computing', flush=True)\n"
        "        threading.Event().wait()\n"
        "asyncio.run(_run(Busy()))\n"
    )
    assert program.stdout is not None and program.stderr is not None
    with program, program.stdout as said, program.stderr as told:
        assert said.readline() == "computing\n"
        program.send_signal(signal.SIGINT)
        assert "once more stops at once" in told.readline()
        program.send_signal(signal.SIGINT)
        assert program.wait(TIMEOUT) == 130 and told.read() == ""
