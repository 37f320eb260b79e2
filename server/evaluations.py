"""Who evaluates a run's model, and what comes of it.

A process with held-out data of its own evaluates for itself. Where no process has any, the server names one, which
evaluates for all. A round's evaluation is settled once every connected process that evaluates for itself has reported
it, or a report for a later round comes, or the run ends; settled evaluations alone decide which model is the best.
A report that comes later changes its round's mean, and the best model is chosen again: the choice follows from what was
reported, not from when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gradwire.proto import wire_pb2
from gradwire.server.best import BestModel
from gradwire.server.counters import Counters
from gradwire.server.executor import RunExecutor
from gradwire.server.fold import Fold
from gradwire.server.history import Point
from gradwire.server.measures import Measures, SiteMetrics
from gradwire.server.progress import Progress
from gradwire.server.stream.session import Session

NAMED = 3  # sites of the last evaluation in a warning, if they are no more


class Evaluations:
    """The evaluations of a run."""

    def __init__(
        self,
        fold: Fold,
        counters: Counters,
        best: BestModel,
        executor: RunExecutor,
        sessions: Mapping[int, Session],
        progress: Progress,
    ) -> None:
        """Continue with what the log has.

        Args:
            fold: the run's model and log.
            counters: their history takes what is reported.
            best: keeps the best model.
            executor: where calls that wait for the disk run.
            sessions: the streams that take part.
            progress: is called with settled evaluations.
        """
        self._fold = fold
        self._counters = counters
        self._best = best
        self._executor = executor
        self._sessions = sessions
        self._progress = progress
        self._lock = asyncio.Lock()
        evaluated = counters.evaluated()
        self._newest = evaluated[-1].round if evaluated else -1
        # A round that is not settled: it is the newest one, because a later report settles those before it.
        self._pending = self._newest if evaluated and not evaluated[-1].metrics else None
        self._reported = False  # to this server: what an earlier one has announced is not announced again
        self._reporters = {name for point in evaluated for name in point.sites}
        self._stated: set[str] = set()

    @property
    def shows_single_sites(self) -> bool:
        """Whether values of single sites may be kept and shown: in a private run only if this end has opted in, too."""
        return self._fold.config.report_metrics or not (self._fold.has_model and self._fold.codec.private)

    # ---- who evaluates -------------------------------------------------------------------------------------

    def joined(self, session: Session, *, evaluates: bool) -> None:
        """A process takes part, and has said whether it evaluates on held-out data of its own."""
        session.evaluates = evaluates
        self._stated.discard(session.process)
        if evaluates:
            self._stated.add(session.process)
        if len(self._stated) > self._fold.config.workers:  # names that others have taken the place of
            self._stated &= self._fold.log.assignments().keys()

    @property
    def due(self) -> bool:
        """Whether the model after the last round in the log is to be evaluated."""
        config, round_ = self._fold.config, self._fold.model.round
        return round_ == config.rounds or bool(config.evaluate_every and round_ % config.evaluate_every == 0)

    def name_one(self, *, over: bool = False) -> None:
        """Name a process that evaluates for all, if nobody evaluates and the final model has not been evaluated.

        A named process that has left is replaced when the next evaluation is due, before the entry that leads to it:
        until then it may come back, and repeat a report that was lost with its stream.

        Args:
            over: the last round is committed, so a process that was named may have missed it: name another one.
        """
        sessions = self._sessions.values()
        if self._end.evaluated or any(s.evaluates or (s.named and not over) for s in sessions):
            return
        candidates = [session for session in sessions if not session.done and not session.named]
        chosen = min(candidates, key=lambda session: min(session.workers), default=None)
        if chosen is not None:
            chosen.named = True
            chosen.send(wire_pb2.FromServer(evaluate=wire_pb2.Evaluate()))

    @property
    def _end(self) -> Point:
        rounds = self._fold.config.rounds
        return self._counters.history.get(rounds, Point(rounds))

    # ---- reports -------------------------------------------------------------------------------------------

    async def note(self, session: Session, round_: int, found: SiteMetrics) -> None:
        """What a process measured at the parameters after so many rounds; of several reports, the first one counts."""
        if found.metrics:
            await self._executor.run(self._locked_note(session, round_, found))

    async def _locked_note(self, session: Session, round_: int, found: SiteMetrics) -> None:
        async with self._lock:
            if session.evaluates:
                await self._note_site(session.process, round_, found)
            else:
                await self._note_common(round_, found.metrics)

    async def _note_common(self, round_: int, metrics: Mapping[str, float]) -> None:
        point = self._counters.point(round_)
        if not point.evaluated:
            point.metrics = dict(metrics)
            self._reported = True
            self._newest = max(self._newest, round_)
            await self._settle(round_)

    async def _note_site(self, process: str, round_: int, found: SiteMetrics) -> None:
        point = self._counters.point(round_)
        # A run has at most as many processes as workers: more names are not kept, whatever is sent.
        if point.metrics or process in point.sites or len(point.sites) >= self._fold.config.workers:
            return
        if self._pending is not None and self._pending < round_:
            await self._settle(self._pending)
        point.sites[process] = found
        self._reported = True
        self._reporters.add(process)
        late, self._newest = round_ < self._newest, max(self._newest, round_)
        if late or self._all_reported(point):
            await self._settle(round_)
        else:
            self._pending = round_
            await self._executor.on_disk(self._best.note, round_, self._notes(point))

    def _all_reported(self, point: Point) -> bool:
        return all(s.process in point.sites for s in self._sessions.values() if s.evaluates)

    async def settle(self) -> None:
        """The run has ended: settle the last evaluation on those that have reported it."""
        async with self._lock:
            if self._pending is not None:
                await self._settle(self._pending)

    async def _settle(self, round_: int) -> None:
        point = self._counters.point(round_)
        found = point.measures(single=self.shows_single_sites)
        if self._pending == round_:
            self._pending = None
        await self._executor.on_disk(self._best.record, round_, found.mean, self._notes(point))
        if self._reported:
            by_site = self._by_site(point, found)
            self._progress({"event": "metrics", "round": round_, **found.to_json(), **by_site})

    def _notes(self, point: Point) -> dict[str, Any]:
        return point.to_notes(single=self.shows_single_sites)

    def _by_site(self, point: Point, found: Measures) -> dict[str, Any]:
        sites = point.sites if self.shows_single_sites and not point.metrics else {}
        return {
            "sites": {name: site.to_json() for name, site in sites.items()},
            "sites_evaluated": found.sites,
            "sites_evaluating": len(self._sites()),
        }

    def _sites(self) -> set[str]:
        """Processes that evaluate for themselves, or have."""
        return self._reporters | self._stated

    # ---- the outcome ---------------------------------------------------------------------------------------

    @property
    def summary(self) -> dict[str, Any]:
        """What was measured of the final model, and apart from it the last evaluation that there was, as JSON."""
        single, evaluated = self.shows_single_sites, self._counters.evaluated()
        last = evaluated[-1] if evaluated else Point(0)
        found = self._end.measures(single=single)
        return {
            **found.to_json(),
            "metrics_weighting": {True: "size", False: "equal", None: None}[found.by_size],
            "metrics_round": last.round if evaluated else None,
            "last_metrics": dict(last.measures().mean),
            "sites": self._newest_by_site() if single else {},
            "sites_evaluated": found.sites,
            "sites_evaluating": len(self._sites()),
        }

    def _newest_by_site(self) -> dict[str, dict[str, Any]]:
        """Each site's newest evaluation, with its round."""
        newest: dict[str, dict[str, Any]] = {}
        for point in self._counters.evaluated():
            if not point.metrics:
                newest |= {
                    name: {**site.to_json(), "round": point.round} for name, site in point.sites.items()
                }
        return newest

    @property
    def warning(self) -> str | None:
        """What to warn of at the end of a run whose final model was not evaluated although earlier ones were."""
        evaluated, rounds = self._counters.evaluated(), self._fold.config.rounds
        if not evaluated or self._end.evaluated:
            return None
        last = evaluated[-1]
        by = f", by {', '.join(sorted(last.sites))}," if 0 < len(last.sites) <= NAMED else ""
        return f"the final model was not evaluated: the last evaluation{by} was after round {last.round} of {rounds}"
