"""Which codecs ``private`` takes inside: point sets whose payloads reveal the gradient through their draws alone."""

from __future__ import annotations

from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.codecs.forms.gain import BoundGain
from gradwire.common.codecs.forms.gain_codec import without_gain
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.errors import SpecError
from gradwire.common.lossless.codings import CODINGS, SignedAxes, coding_class
from gradwire.common.spec import Spec, parameter_fields


def private_point_set(spec: Spec, dim: int, bound: float) -> Spec:
    """The canonical spec of the point set inside ``private(…, spec, bound)``, without a gain.

    Raises:
        SpecError: it is no point set, or its payloads reveal the gradient.
    """
    found = parse(spec, dim)
    if not found.fixed_length:
        raise _refusal(found, "the length of its payload depends on the gradient and reveals it")
    if not isinstance(found, VertexCodec):
        raise _refusal(found, "private by itself" if found.private else "it draws no vertices")
    if not found.independent_draws:
        raise _refusal(found, "systematic draws make some counts impossible, so no epsilon holds")
    if _has_gain(spec, found) and found.gain != BoundGain(bound).spec:
        raise SpecError(
            f"private: gain={found.gain} of {found.name} is not allowed here, because a norm that depends on the "
            f"gradient reveals it: leave it out, private(…, bound=B) clips to a public bound"
        )
    return without_gain(found)


def check_takes_both_signs(codec: VertexCodec, mechanism: str) -> None:
    """Check that a coding can represent any vertices, since a mechanism may report +axis i and -axis i in one payload.

    Raises:
        SpecError: the coding is for draws without opposite vertices, and there are several.
    """
    if codec.draws > 1 and issubclass(coding_class(codec.coding), SignedAxes):
        others = (name for name, coding in sorted(CODINGS.items()) if not issubclass(coding, SignedAxes))
        raise SpecError(
            f"private: coding is {codec.coding}, which cannot represent an axis with both signs, as {mechanism} may "
            f"report it in {codec.draws} draws: expected one of {', '.join(others)}"
        )


def check_packs_nothing(codec: VertexCodec, mechanism: str) -> None:
    """Check that no coding was asked for: a mechanism whose reports are bits of their own sends those as they are.

    Raises:
        SpecError: the coding is not the codec's default.
    """
    default = next(f.default for f in parameter_fields(type(codec)) if f.name == "coding")
    if codec.coding != default:
        raise SpecError(
            f"private: coding is {codec.coding}, but {mechanism} does not report vertices that a coding could pack: "
            f"expected no coding, or the mechanism rr"
        )


def _has_gain(spec: Spec, codec: AnyCodec) -> bool:
    """Whether a spec sets the parameter ``gain``, by position or by name."""
    positional = [f.name for f in parameter_fields(type(codec))][: len(spec.args)]
    return "gain" in {*positional, *(key for key, _ in spec.kwargs)}


def _refusal(found: AnyCodec, why: str) -> SpecError:
    known = sorted(n for n, c in codecs().items() if issubclass(c, VertexCodec) and c.independent_draws)
    return SpecError(
        f"private: {found.name} is not allowed here ({why}): expected one of {', '.join(known)}; "
        f"write wrappers outside, as in rotated(3, private(…))"
    )
