"""Ctrl-C at the worst moments: while modules are imported, and while a gradient is computed."""

import signal
import subprocess
import sys

import pytest

from tests.deploy.stage import PATIENCE as TIMEOUT


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
        "from gradwire.deploy.commands import health\n"
        "health.health = lambda: signal.raise_signal(signal.SIGINT)\n"
        "raise SystemExit(cli.call(['health']))\n"
    )
    assert program.communicate(timeout=TIMEOUT) == ("", "") and program.returncode == 130


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = start(
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from gradwire.deploy import interrupts, start\n"
        "interrupts.raise_keyboard_interrupt(); signal.raise_signal(signal.SIGINT); print('here')"
    )
    assert program.communicate(timeout=TIMEOUT) == ("here\n", "") and program.returncode == 0


def test_a_process_whose_work_is_done_cannot_be_made_a_failure() -> None:
    program = start(
        "import atexit, signal\n"
        "from gradwire.common.system.signals import STOPPING, StopSignals\n"
        "def both(when):\n"
        "    for number in STOPPING: signal.raise_signal(number)\n"
        "    print(when)\n"
        "atexit.register(both, 'at exit')\n"
        "with StopSignals() as signals:\n"
        "    signals.work_done = True\n"
        "    both('inside')\n"
        "both('after')\n"
    )
    assert program.communicate(timeout=TIMEOUT) == ("inside\nafter\nat exit\n", "")
    assert program.returncode == 0


def test_signals_that_nothing_heeds_do_what_they_did() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        program = start(
            "import signal, sys\n"
            "from gradwire.common.system.signals import StopSignals\n"
            f"signal.signal({int(signal.SIGINT)}, lambda number, frame: sys.exit(7))\n"
            "with StopSignals() as signals:\n"
            "    signals.handler = lambda number: print('heeded', flush=True)\n"
            f"    signal.raise_signal({int(number)})\n"
            "    signals.handler = None\n"
            f"    signal.raise_signal({int(number)})\n"
        )
        assert program.communicate(timeout=TIMEOUT) == ("heeded\n", "")
        assert program.returncode == (7 if number == signal.SIGINT else -number)


def test_a_worker_that_has_finished_leaves_as_if_nobody_had_asked() -> None:
    program = start(
        "import asyncio, signal\n"
        "from gradwire.common.system.signals import StopSignals\n"
        "from gradwire.deploy.commands.worker import _run\n"
        "class Finished:\n"
        "    finished = True\n"
        "    def stop_reconnecting(self): pass\n"
        "    async def run(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        asked = asyncio.Event()\n"
        "        asyncio.get_running_loop().call_soon(asked.set)  # behind what the signal put there\n"
        "        await asked.wait()\n"
        "        await asyncio.sleep(0)\n"
        "with StopSignals() as signals: raise SystemExit(asyncio.run(_run(Finished(), signals)))\n"
    )
    _, told = program.communicate(timeout=TIMEOUT)
    assert "SIGTERM: the run is finished, exiting with the server" in told and program.returncode == 0


BUSY = """
import asyncio, threading
from gradwire.common.system.signals import StopSignals
from gradwire.deploy.commands.worker import _run
class Busy:
    finished = False
    async def run(self):
        await asyncio.to_thread(self.compute)
    def compute(self):
        print('computing', flush=True)
        threading.Event().wait()
join = asyncio.BaseEventLoop.shutdown_default_executor
async def joining(*words):
    print('joining', flush=True)
    await join(*words)
asyncio.BaseEventLoop.shutdown_default_executor = joining
with StopSignals() as signals: raise SystemExit(asyncio.run(_run(Busy(), signals)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_computes_for_long_stops_at_the_second(number: signal.Signals) -> None:
    """Also once the loop is waiting for the gradient to end."""
    program = start(BUSY)
    assert program.stdout is not None and program.stderr is not None
    with program, program.stdout as said, program.stderr as told:
        try:
            assert said.readline() == "computing\n"
            program.send_signal(number)
            assert "a second signal stops at once" in told.readline()
            assert said.readline() == "joining\n"
            program.send_signal(number)
            assert program.wait(TIMEOUT) == 128 + number and told.read() == ""
        finally:
            program.kill()


def test_a_signal_wakes_a_loop_that_waits() -> None:
    """As one does that comes when the loop is about to wait, or that the system hands to another thread."""
    program = start(
        "import asyncio, signal, threading\n"
        "from gradwire.common.system.signals import StopSignals\n"
        "async def main(signals):\n"
        "    loop, came = asyncio.get_running_loop(), asyncio.Event()\n"
        "    thread = threading.Thread(target=threading.Event().wait, daemon=True)\n"
        "    thread.start()\n"
        "    with signals.waking(loop):\n"
        "        signals.handler = lambda number: loop.call_soon_threadsafe(came.set)\n"
        "        print('waiting', flush=True)\n"
        "        threading.Timer(0.2, signal.pthread_kill, (thread.ident, signal.SIGTERM)).start()\n"
        "        await came.wait()\n"
        "with StopSignals() as signals: asyncio.run(main(signals))\n"
        "print('woken')\n"
    )
    assert program.communicate(timeout=TIMEOUT) == ("waiting\nwoken\n", "") and program.returncode == 0
