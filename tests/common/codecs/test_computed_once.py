"""What follows from the spec is computed once per codec: lengths, epsilons, tables, thresholds, gains and codings."""

import copy
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from types import FrameType
from typing import Any

import pytest

from gradwire.common.arrays.decisions import Threshold
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.vqsgd.cross_polytope import CrossPolytope
from tests.common.codecs import checks

# One of each family, at dimensions where nothing is trivial, and each coding, gain and mechanism.
CODECS = [
    parse(spec, dim)
    for spec, dim in [
        ("cpsgd(levels=16, trials=48)", 100),
        ("cross_polytope(repeats=10, coding=joint, scale=2, gain=bound(1.0))", 1000),
        ("cross_polytope(repeats=200, coding=multiset)", 1000),
        ("cross_polytope(repeats=200, coding=elias_fano)", 1000),
        ("cuq", 100),
        ("dme(levels=16, rotate=true)", 100),
        ("drive", 100),
        ("eden(bits=1.5)", 1000),
        ("epsilon_net(0.5, repeats=10)", 8),
        ("float32", 100),
        ("gain_shape(aguq(2.0, 1000), simq_plus(repeats=300, coding=l1_ball))", 1000),
        ("gaussian(6)", 8),
        ("hadamard(kappa=2, repeats=10, gain=bound(2.0))", 1000),
        ("l1_systematic(300)", 1000),
        ("linear_code(golay, repeats=20)", 24),
        ("lq_split(p=1.4, positions=set)", 5000),
        ("lq_split(p=1.4, positions=elias_fano)", 5000),
        ("natural", 100),
        ("nearest(blocks=9)", 1000),
        ("onebit", 100),
        ("private(oue(2.0), simq_plus(1))", 100),
        ("private(rappor(2.0), simplex)", 100),
        ("private(rr(1.0), cross_polytope(repeats=10))", 1000),
        ("private(rr(1.0, nominal=true), simplex(repeats=10))", 1000),
        ("private(subset_selection(2.0))", 1000),
        ("private_top(epsilon=4, repeats=2)", 1000),
        ("qsgd(levels=3, coding=omega)", 1000),
        ("rand_k(10)", 100),
        ("ratq(budget=500, gain=bound(20.0))", 1000),
        ("reed_muller(repeats=10)", 1000),
        ("rotated(1, cuq)", 100),
        ("sign", 100),
        ("simplex(repeats=10)", 1000),
        ("simq(repeats=10)", 1000),
        ("simq_plus(repeats=300, coding=type_signs)", 1000),
        ("subsample(0.5, cuq)", 100),
        ("terngrad", 100),
        ("top_k(200, coding=set)", 1000),
        ("top_signs(count=200, rotations=2)", 1000),
    ]
]
every_codec = pytest.mark.parametrize("codec", CODECS, ids=[c.spec for c in CODECS])

# Modules whose functions turn parameters into constants; no gradient or payload is an argument of theirs.
OF_PARAMETERS = tuple(
    f"gradwire.common.{module}"
    for module in (
        "arrays.best_of",
        "arrays.largest",
        "arrays.logarithms",
        "arrays.tetration",
        "registry",
        "spec",
    )
)
NAMES = {
    *(
        "subset_bits",
        "radix_bits",
        "l1_ball_bits",
        "multiset_bits",
        "level_code",
        "position_code",
        "build_gain",
    ),
    *(
        "below",
        "above",
        "odds",
        "tuned",
        "fitted",
        "resolved",
        "masses",
        "log_odds",
        "_point_set",
        "_generate",
    ),
}


def counted(work: Callable[[], Any]) -> Counter[str]:
    """How often each function that depends on parameters alone is entered."""
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            name, module = frame.f_code.co_name, frame.f_globals.get("__name__", "")
            listed = name in NAMES and module.startswith("gradwire.")
            if listed or module.startswith(OF_PARAMETERS):
                counts[f"{module}.{name}"] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts


def use(codec: AnyCodec) -> tuple[Any, ...]:
    """All that a worker and a server ask of a codec in a round, and what a report states."""
    payload = checks.encode(codec, checks.ramp(codec.dim))
    codec.validate_all([payload, payload])
    total = codec.accumulator()
    total.add_all([payload] * 2, shared=[checks.shared_of(codec)] * 2)
    total.mean()
    stated = codec.nbits, codec.nbytes, codec.epsilon, codec.secret_coins, codec.spec, codec.fingerprint
    return (payload, checks.decode(codec, payload).tobytes(), *stated)


def fresh(codec: AnyCodec) -> AnyCodec:
    return parse(codec.spec, codec.dim)


@every_codec
def test_nothing_is_computed_twice(codec: AnyCodec) -> None:
    codec = fresh(codec)
    first = use(codec)
    again: list[Any] = []
    assert counted(lambda: again.append(use(codec))) == {}
    assert again == [first]


@every_codec
def test_each_cached_property_is_computed_once(codec: AnyCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[tuple[int, str]] = Counter()
    kept: list[Any] = []  # so that no id is used again

    def counting(of: str, compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def counted(instance: Any) -> Any:
            kept.append(instance)
            calls[id(instance), of] += 1
            return compute(instance)

        return counted

    parts = [vars(codec)[name] for name in ("_gain", "_coding", "_inner", "_response") if name in vars(codec)]
    for cls in {base for part in (codec, *parts) for base in type(part).__mro__}:
        for name, found in list(vars(cls).items()):
            if isinstance(found, cached_property):
                counted = cached_property(counting(f"{cls.__qualname__}.{name}", found.func))
                counted.__set_name__(cls, name)
                monkeypatch.setattr(cls, name, counted)
    codec = fresh(codec)
    use(codec)
    use(codec)
    assert calls and set(calls.values()) == {1}, [of for of, count in calls.items() if count > 1]


@every_codec
def test_a_used_codec_equals_a_fresh_one(codec: AnyCodec) -> None:
    used = fresh(codec)
    results = use(used)
    for other in (fresh(codec), copy.copy(used), copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        assert other == used and hash(other) == hash(used) and repr(other) == repr(used)
        assert use(other) == results


class Forgets(CrossPolytope):
    """A property where a cached one belongs."""

    @property
    def _informed(self) -> Threshold:  # type: ignore[override]
        return Threshold.below(1 / Fraction(self.stretch))


def test_a_property_that_forgets_is_noticed() -> None:
    codec = Forgets(dim=100, scale=2.0, repeats=5)
    use(codec)
    assert counted(lambda: use(codec))["gradwire.common.arrays.decisions.below"] >= 1
