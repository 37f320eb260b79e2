"""Writes the generated parts of docs/rounds.md from the state machine's table: python -m tests.server.rounds_page"""

from __future__ import annotations

from pathlib import Path

from gradwire.server.rounds.events import DeadlinePassed, Joined, Left, Pushed
from gradwire.server.rounds.machine import TRANSITIONS
from gradwire.server.rounds.state import Phase

PAGE = Path(__file__).parents[2] / "docs" / "rounds.md"
EVENTS = (Joined, Pushed, DeadlinePassed, Left)


def diagram() -> str:
    """Phases, and the events that lead from each to another."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.GATHERING.value}"]
    for phase, rules in TRANSITIONS.items():
        for after in Phase:
            names = [event.__name__ for event, rule in rules.items() if after in rule.leads_to]
            if names:
                lines.append(f"    {phase.value} --> {after.value}: {', '.join(names)}")
    return "\n".join([*lines, f"    {Phase.FINISHED.value} --> [*]", "```"])


def table() -> str:
    """What each event does in each phase: the first lines of the rules' docstrings."""
    heads = [phase.value for phase in Phase]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for event in EVENTS:
        cells = []
        for phase in Phase:
            rule = TRANSITIONS[phase].get(event)
            cells.append((rule.apply.__doc__ or "").strip() if rule is not None else "refused")
        lines.append(f"| `{event.__name__}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def generated(text: str) -> str:
    """The page's text with its generated parts made anew."""
    for name, part in (("diagram", diagram()), ("table", table())):
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        assert found and closed, f"{PAGE.name} has no part {start.strip()} … {end}"
        text = f"{before}{start}{part}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
