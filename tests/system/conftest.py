"""Waits of the server as these tests need them: none ends by itself unless a test makes it short."""

from typing import Any

import pytest

from gradwire.server.coordinator import Coordinator
from gradwire.server.rounds.events import Event, Pushed
from tests.system.fault_injection import PushGate
from tests.system.harness import TIMEOUT

FINISH_WAIT = "gradwire.server.shutdown.FINISH_WAIT"
SHORT = 0.3  # seconds that the server waits for a worker which a test keeps away


@pytest.fixture(autouse=True)
def _patient_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that waits for a worker to come back waits for it on a loaded machine too."""
    monkeypatch.setattr(FINISH_WAIT, TIMEOUT)


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server soon gives up on workers that do not come back; for tests in which none does."""
    monkeypatch.setattr(FINISH_WAIT, SHORT)


@pytest.fixture
def short_wait_after_join(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A watch: once a process has joined, the server soon gives up on workers that are still away."""

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "joined":
            monkeypatch.setattr(FINISH_WAIT, SHORT)

    return watch


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> PushGate:
    """Decides when pushes reach the run."""
    gate, handle = PushGate(), Coordinator.handle

    async def held(coordinator: Coordinator, event: Event) -> None:
        if isinstance(event, Pushed):
            await gate.let_in(event.round)
        await handle(coordinator, event)

    monkeypatch.setattr(Coordinator, "handle", held)
    return gate
