"""The program as its wire process sees it: which update belongs to which round, and what is answered."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.common.training.layout import Layout
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.encoder import Encoder
from gradwire.worker.join.frames import Message
from gradwire.worker.join.loop import OwnLoop
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.updates.handed_over import HandedOver, LoopLeft

DIM = 3


class Program:
    """The program's end: it hands over updates and sees the answers."""

    def __init__(self, *, keep: bool = False, evaluates: bool = False) -> None:
        self.answers: list[Message] = []
        self.vectors = SharedVectors.create(DIM)
        self.loop = OwnLoop(self.vectors, Layout.flat(DIM), (), self.answers.append, evaluates=evaluates)
        self.source = HandedOver(self.loop, keep=keep)
        codec = parse("top_k(k=3)" if keep else "float32", DIM)
        self.encoder = Encoder(self.source, codec, 0, (0,), feedback=keep)
        self.codec = codec

    def waits(self) -> None:
        """It has joined, and waits for its first model."""
        self.loop.receive({"update": False})

    def hands_over(self, value: float, **fields: Any) -> None:
        self.vectors.update[:] = value
        self.loop.receive({"update": True, "loss": 1.0, "examples": 1, "finite": True, **fields})

    def rounds(self) -> list[int | str]:
        return [answer.get("round", answer["answer"]) for answer in self.answers]

    def encoded(self, model: Model) -> list[float]:
        (payload,) = self.encoder.encode(model, model.round).payloads
        return self.codec.decode(payload).tolist()  # type: ignore[no-any-return]


def at(round_: int, value: float = 0.0) -> Model:
    model = Model(np.full(DIM, value, np.float32), parse_optimizer("sgd(lr=1.0)"))
    model.round = round_
    return model


async def not_ready(program: Program, model: Model) -> None:
    """The encoder waits for the program's update; the wait is cancelled, as a message from the server does it."""
    waiting = asyncio.ensure_future(program.encoder.ready(model))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


def run(script: Callable[..., Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            program = Program(**options)
            try:
                await script(program)
            finally:
                program.vectors.close()

    asyncio.run(main())


def test_a_program_gets_the_model_of_the_open_round_and_its_update_counts_for_it() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(4, 0.5))
        assert program.rounds() == [4] and (program.vectors.model == 0.5).all()
        program.hands_over(2.0)
        await program.encoder.ready(at(4))
        assert program.encoded(at(4)) == [2.0] * DIM
        assert program.encoder.holds(4, (0,))

    run(script)


def test_an_update_of_another_round_is_stale() -> None:
    """It was computed from another model: the program gets the newest, and hears that it was late."""

    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(4))
        program.hands_over(2.0)
        await not_ready(program, at(6, 7.0))
        assert program.answers[-1]["late"] == 4 and program.answers[-1]["round"] == 6
        assert (program.vectors.model == 7).all()
        program.hands_over(3.0)
        await program.encoder.ready(at(6))
        assert program.encoded(at(6)) == [3.0] * DIM

    run(script)


def test_an_update_is_taken_once() -> None:
    """A program that waits for the next model has nothing more to hand over."""

    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(0))
        program.hands_over(2.0)
        await program.encoder.ready(at(0))
        program.encoded(at(0))
        assert program.rounds() == [0]  # the answer is the next round's model
        await not_ready(program, at(1))
        assert program.rounds() == [0, 1] and program.answers[-1]["late"] is None

    run(script)


def test_a_wait_that_was_cancelled_goes_on() -> None:
    """Nothing is answered twice, and a program that computes meanwhile is left alone."""

    async def script(program: Program) -> None:
        await not_ready(program, at(0))
        program.waits()
        await not_ready(program, at(0))
        await not_ready(program, at(1))
        await not_ready(program, at(2))
        assert program.rounds() == [0]
        program.hands_over(1.0)
        await not_ready(program, at(2))
        assert program.rounds() == [0, 2] and program.answers[-1]["late"] == 0

    run(script)


def test_with_error_feedback_late_updates_add_up() -> None:
    async def script(program: Program) -> None:
        program.waits()
        for round_, value in enumerate((1.0, 2.0, 4.0)):
            await not_ready(program, at(round_))
            program.hands_over(value)
        await not_ready(program, at(3))
        program.hands_over(8.0)
        await program.encoder.ready(at(3))
        assert program.encoded(at(3)) == [15.0] * DIM
        await not_ready(program, at(4))
        program.hands_over(16.0)
        await program.encoder.ready(at(4))
        assert program.encoded(at(4)) == [16.0] * DIM

    run(script, keep=True)


def test_a_late_update_that_is_not_finite_is_not_carried() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(0))
        program.hands_over(float("nan"), finite=False)
        await not_ready(program, at(1))
        program.hands_over(1.0)
        await program.encoder.ready(at(1))
        assert program.encoded(at(1)) == [1.0] * DIM

    run(script, keep=True)


@pytest.mark.parametrize("keep", [True, False])
def test_what_was_computed_from_a_model_that_was_not_the_servers_is_dropped(keep: bool) -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(2))
        program.encoder.discard_last()
        program.hands_over(5.0)
        await not_ready(program, at(2, 1.0))
        assert program.rounds() == [2, 2] and program.answers[-1]["late"] is None
        program.hands_over(1.0)
        await program.encoder.ready(at(2))
        assert program.encoded(at(2)) == [1.0] * DIM

    run(script, keep=keep)


@pytest.mark.parametrize("keep", [True, False])
def test_a_round_that_was_sent_from_a_model_that_was_not_the_servers(keep: bool) -> None:
    """The replica differed: the program computes the round again, from the server's model."""

    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(2))
        program.hands_over(5.0)
        await program.encoder.ready(at(2))
        assert program.encoded(at(2)) == [5.0] * DIM and program.encoder.holds(2, (0,))
        program.encoder.discard_last()
        assert not program.encoder.holds(2, (0,))
        await not_ready(program, at(2, 1.0))
        assert program.rounds() == [2, 2] and program.answers[-1]["late"] is None
        program.hands_over(1.0)
        await program.encoder.ready(at(2))
        assert program.encoded(at(2)) == [1.0] * DIM

    run(script, keep=keep)


def test_another_part_in_a_run_begins_anew() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(0))
        program.hands_over(1.0)
        await not_ready(program, at(1))  # carried
        program.hands_over(2.0)
        program.source = HandedOver(program.loop, keep=True)
        program.encoder = Encoder(program.source, program.codec, 0, (0,), feedback=True)
        await not_ready(program, at(1))
        program.hands_over(4.0)
        await program.encoder.ready(at(1))
        assert program.encoded(at(1)) == [4.0] * DIM

    run(script, keep=True)


def test_an_update_that_is_not_finite_is_named() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(0))
        program.hands_over(float("inf"), finite=False)
        await program.encoder.ready(at(0))
        with pytest.raises(
            NotFiniteError, match="worker 0, round 0: the model is not finite after these steps"
        ):
            program.encoded(at(0))

    run(script)


def test_the_end_names_an_update_that_was_late() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(3))
        program.hands_over(1.0)
        program.loop.finish(np.ones(DIM, np.float32), 5)
        assert program.answers[-1].items() >= {"answer": "finished", "round": 5, "late": 3}.items()

    run(script)


def test_a_program_that_leaves_ends_every_wait() -> None:
    async def script(program: Program) -> None:
        waiting = asyncio.ensure_future(program.encoder.ready(at(0)))
        await asyncio.sleep(0)
        program.loop.leave("a pause")
        program.loop.leave("another reason")
        with pytest.raises(LoopLeft, match="a pause"):
            await waiting
        with pytest.raises(LoopLeft, match="a pause"):
            await program.loop.requested()

    run(script)


def test_a_program_evaluates_between_two_exchanges() -> None:
    async def script(program: Program) -> None:
        program.waits()
        await not_ready(program, at(0))
        model = np.full(DIM, 9, np.float32)
        evaluation = asyncio.ensure_future(asyncio.to_thread(program.loop.evaluate, model))
        program.hands_over(2.0)  # it computed until now
        while program.rounds()[-1] != "evaluate":
            await asyncio.sleep(0)
        assert (program.vectors.model == 9).all()
        program.loop.receive({"metrics": {"accuracy": 0.5}, "examples": 7})
        assert await evaluation == {"accuracy": 0.5} and program.loop.evaluation_size() == 7
        await program.encoder.ready(at(0))  # the update still counts
        assert program.encoded(at(0)) == [2.0] * DIM

    run(script, evaluates=True)


def test_a_program_that_leaves_instead_of_evaluating() -> None:
    async def script(program: Program) -> None:
        program.waits()
        evaluation = asyncio.ensure_future(
            asyncio.to_thread(program.loop.evaluate, np.zeros(DIM, np.float32))
        )
        while not program.answers:
            await asyncio.sleep(0)
        program.loop.leave("a pause")
        with pytest.raises(LoopLeft, match="a pause"):
            await evaluation

    run(script, evaluates=True)


def test_a_program_without_held_out_data_is_not_asked() -> None:
    async def script(program: Program) -> None:
        assert program.loop.evaluate(np.zeros(DIM, np.float32)) == {}

    run(script)


def test_the_size_of_a_site() -> None:
    async def script(program: Program) -> None:
        with pytest.raises(TaskError, match=r"pass size=… to gradwire\.join, or use --weighting examples"):
            program.loop.size(0)
        program.loop.receive({"update": False, "size": 30})
        program.loop.receive({"update": False})
        assert program.loop.size(0) == 30

    run(script)
