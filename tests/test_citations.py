"""Every citation in a docstring, a comment or a codec's ``source`` leads to its place in docs/theory.md."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_rooms import FOLDERS

ROOT = Path(__file__).parents[1]

SECTION = r"\d+(?:\.\d+)?"
ERRATUM = r"[VS]\d+"
# A subscript follows a name; a citation or a shape does not.
BRACKETS = re.compile(r"(?<![\w\])}\"'])\[([A-Za-z0-9][A-Za-z0-9-]*)\]")
# Lengths of arrays in brackets, as in `float64 [D]`: written in capitals because the mathematics does.
SHAPES = frozenset({"C", "D", "DIM", "K", "N"})
NUMBERED = re.compile(
    r"\b(?:Theorems?|Lemmas?|Propositions?|Prop|Corollary|Remarks?|Algorithms?|Def|Definition|eq|[Ee]quations?) \d"
)
ANOTHER_WAY = re.compile(
    rf"\b[Tt]heory(?:'s|,|\.md)? (?:sections? )?{SECTION}"
    rf"|\b[Ss]ections? {SECTION}(?: and {SECTION})? of (?:the )?theory"
)
AUTHOR_YEAR = re.compile(r"\bet al\b|\b[A-Z][^\W\d_]+,? \(?(?:19|20)\d\d\b")


class Theory(NamedTuple):
    """What can be cited."""

    sections: frozenset[str]
    errata: frozenset[str]
    keys: frozenset[str]


@cache
def theory() -> Theory:
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    headings = set(re.findall(rf"^##+ ({SECTION}) ", page, re.MULTILINE))
    anchors = set(re.findall(rf'<a id="({SECTION})"></a>', page))
    return Theory(
        sections=frozenset(headings & anchors),
        errata=frozenset(re.findall(rf"^#### ({ERRATUM})$", page, re.MULTILINE)),
        keys=frozenset(re.findall(r"^\| \[([\w-]+)\] \|", page, re.MULTILINE)),
    )


def faults(text: str) -> Iterator[str]:
    """What is wrong with the citations in one docstring, comment or source; without line breaks."""
    yield from section_faults(text)
    yield from erratum_faults(text)
    yield from key_faults(text)
    for found in AUTHOR_YEAR.findall(text):
        yield f"{found!r} names authors and a year, expected a key of the sources"
    if (numbered := NUMBERED.search(text)) and not theory().keys & set(BRACKETS.findall(text)):
        yield f"{numbered[0]!r} is a number in a source, and no key says which"


def section_faults(text: str) -> Iterator[str]:
    for number in re.findall(rf"\b[Tt]heory ({SECTION})", text):
        if number not in theory().sections:
            yield f"there is no section {number} in the theory"
    for found in ANOTHER_WAY.findall(text):
        if re.fullmatch(rf"[Tt]heory {SECTION}", found) is None:
            yield f"{found!r} is another way to write theory 1.2"


def erratum_faults(text: str) -> Iterator[str]:
    for found in re.findall(rf"\berratum (?!{ERRATUM})\S*", text, re.IGNORECASE):
        yield f"{found!r} has no id, expected as in erratum V3"
    for found in re.findall(rf"\b{ERRATUM}\b", text):
        if found not in theory().errata:
            yield f"there is no erratum {found} in the theory"


def key_faults(text: str) -> Iterator[str]:
    lower = {key.lower() for key in theory().keys}
    for key in BRACKETS.findall(text):
        is_citation = key.lower() in lower or (key not in SHAPES and re.search(r"[A-Z]", key))
        if is_citation and key not in theory().keys:
            yield f"there is no source [{key}] in the theory"


# ---- the texts of the rooms --------------------------------------------------------------------------------


def texts(code: str) -> Iterator[str]:
    """Docstrings, blocks of comments and ``source`` strings of a module, each on one line."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield joined(prose(ast.get_docstring(node) or ""))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if any(isinstance(target, ast.Name) and target.id == "source" for target in node.targets):
                yield str(node.value.value)
    yield from comments(code)


def prose(docstring: str) -> str:
    """A docstring without its examples: what they print is no citation."""
    return re.sub(r"^ *>>> .*?(?=^ *$|\Z)", "", docstring, flags=re.MULTILINE | re.DOTALL)


def comments(code: str) -> Iterator[str]:
    """Comments; lines that follow each other are one."""
    block: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            yield joined(" ".join(block))
            block = []
        block.append(token.string.lstrip("# "))
        last = token.start[0]
    yield joined(" ".join(block))


def joined(text: str) -> str:
    return " ".join(text.split())


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (*FOLDERS, "tests")
    for path in (ROOT / folder).rglob("*.py")
    if not path.stem.endswith("_pb2") and path != Path(__file__)
)


def test_the_theory_has_what_it_promises() -> None:
    found = theory()
    assert {"1.1", "1.4", "2.6", "3", "12"} <= found.sections
    assert {f"V{k}" for k in range(1, 16)} | {f"S{k}" for k in range(1, 10)} == found.errata
    assert {"V", "S", "R", "QSGD", "dp-accounting", "1bit"} <= found.keys and len(found.keys) > 50


@pytest.mark.parametrize("path", FILES)
def test_citations_lead_to_the_theory(path: str) -> None:
    code = (ROOT / path).read_text(encoding="utf-8")
    found = [f"{path}: {fault}: {text[:90]}…" for text in texts(code) for fault in faults(text)]
    assert not found, "\n" + "\n".join(found)


def test_citations_are_found_at_all() -> None:
    """A codec's docstring, comment and source: none of the three is passed over."""
    code = (ROOT / "common" / "codecs" / "rotations" / "eden.py").read_text(encoding="utf-8")
    found = list(texts(code))
    assert sum("[EDEN]" in text for text in found) == 2 and any("[Lloyd]" in text for text in found)


# ---- wrong citations are caught ----------------------------------------------------------------------------

WRONG = [
    ("as theory 1.9 has it", "there is no section 1.9"),
    ("(theory 13)", "there is no section 13"),
    ("(theory, section 5)", "is another way"),
    ("theory's section 6", "is another way"),
    ("sections 2.1 and 3 of theory", "is another way"),
    ("section 3 of the theory", "is another way"),
    ("see docs/theory.md 1.2", "is another way"),
    ("(erratum V16)", "there is no erratum V16"),
    ("errata V3 and S10", "there is no erratum S10"),
    ("an erratum of the paper", "has no id"),
    ("[V] 6.1, Prop 14 (V99)", "there is no erratum V99"),
    ("[W] section 6", "there is no source [W]"),
    ("[qsgd] Lemma 3.1", "there is no source [qsgd]"),
    ("after [QSDG]", "there is no source [QSDG]"),
    ("[cpsgd] section 4", "there is no source [cpsgd]"),
    ("Vargaftik et al.", "expected a key"),
    ("(Isik et al., NeurIPS 2023)", "expected a key"),
    ("Ye and Barg 2018", "expected a key"),
    ("Freudenthal, 1942", "expected a key"),
    ("by Theorem 3.1", "no key says which"),
    ("equation 7 of the paper", "no key says which"),
]

RIGHT = [
    "(theory 1.2), theory 3. Theory 5, systematic draws: see there; ``theory``: of this row",
    "a key of the sources in docs/theory.md, beside theory's numbers, all errata applied",
    "erratum V14; errata S2 and S3",
    "[V] section 6, equation 8, Theorem 16 (V3)",
    "int64 [dim], float64 [D], [n, k] and x[N]",
    "[1bit] and [dp-accounting]",
    "[S] equation 8, with constants of Lemma 5.2",
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_wrong_citation_is_caught(text: str, says: str) -> None:
    assert any(says in fault for fault in faults(text)), f"{text!r} got away"


@pytest.mark.parametrize("text", RIGHT)
def test_right_citation_is_left_alone(text: str) -> None:
    assert list(faults(text)) == []


def test_wrong_citations_are_caught_wherever_they_stand() -> None:
    code = '''
"""[W]"""
# a comment (theory 1.9)
class A:
    """erratum V77"""
    source = "[Nobody] 3"
    def f(self):
        """Barg
        2018"""
        return 1  # [Xyz]
'''
    found = [fault for text in texts(code) for fault in faults(text)]
    assert len(found) == 6, found
