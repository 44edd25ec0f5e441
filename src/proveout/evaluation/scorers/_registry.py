"""Scorers by name, and how they are built from what a team declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, get_type_hints

from proveout.evaluation.scorers._base import ModelScorer, PairwiseScorer, Scorer, ScorerError, _Scoring
from proveout.evaluation.scorers._parameters import Unfit, described, fit, meta_of
from proveout.project.problems import suggestion
from proveout.project.records import ScorerSpec, Service

AnyScorer = Scorer | ModelScorer | PairwiseScorer

_FAMILIES = (
    "bleu",
    "choice",
    "code_execution",
    "contains",
    "embedding_similarity",
    "exact_match",
    "json_fields",
    "json_schema",
    "json_valid",
    "llm_judge",
    "numeric",
    "pairwise_judge",
    "python",
    "regex",
    "rouge_l",
    "token_f1",
    "tool_call",
)

_REGISTERED: dict[str, type[_Scoring]] = {}

S = TypeVar("S", bound=type[_Scoring])


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter of a scorer: its type in words, what it means, its default and an example of what to write."""

    type: str
    description: str
    required: bool
    default: Any = None
    example: Any = None


def scorer(name: str) -> Callable[[S], S]:
    """Register a scorer class, a frozen dataclass, under the name that files use.

    Each field is a parameter, declared as `field: Annotated[type, Meta(description=..., examples=[...])]` with
    `msgspec.Meta`.

    Raises:
        ValueError: the name is taken by another class.
    """

    def register(cls: S) -> S:
        if _REGISTERED.setdefault(name, cls).__qualname__ != cls.__qualname__:
            raise ValueError(f"there is already a scorer {name}")
        cls.name = name
        _REGISTERED[name] = cls
        return cls

    return register


def create_scorer(spec: ScorerSpec, service: Service) -> AnyScorer:
    """The scorer that a service declares.

    Raises:
        ScorerError: no such scorer or parameter, a value of the wrong type, or something that the service does not
            allow.
    """
    cls = _find(spec.name)
    if cls is None:
        raise ScorerError(f"there is no scorer `{spec.name}`. {suggestion(spec.name, known_scorers())}")
    infos = _parameters(cls)
    hints = get_type_hints(cls, include_extras=True)
    checked: dict[str, Any] = {}
    for name, value in spec.parameters.items():
        if name not in infos:
            instead = suggestion(name, infos) if infos else "It takes none."
            raise ScorerError(f"scorer {spec.name}: there is no parameter `{name}`. {instead}")
        try:
            checked[name] = fit(value, hints[name], service)
        except Unfit as error:
            raise ScorerError(f"scorer {spec.name}: {name}: {error}. {_instead(name, infos[name])}") from None
    for name, info in infos.items():
        if info.required and name not in checked:
            raise ScorerError(f"scorer {spec.name}: `{name}` is missing. {_instead(name, info)}")
    try:
        return cls.build(checked, service)  # type: ignore[return-value]
    except ValueError as error:
        raise ScorerError(f"scorer {spec.name}: {error}") from None


def known_scorers() -> Mapping[str, Mapping[str, ParameterInfo]]:
    """Every scorer's parameters, by the scorer's name. A scorer's code is loaded when it is looked up."""
    return _Known()


def describe_scorer(name: str) -> str:
    """What a scorer does, in one paragraph.

    Raises:
        KeyError: there is no such scorer.
    """
    cls = _find(name)
    if cls is None:
        raise KeyError(name)
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())


class _Known(Mapping[str, Mapping[str, ParameterInfo]]):
    def __getitem__(self, name: str) -> Mapping[str, ParameterInfo]:
        cls = _find(name)
        if cls is None:
            raise KeyError(name)
        return _parameters(cls)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*_FAMILIES, *_REGISTERED}))

    def __len__(self) -> int:
        return len({*_FAMILIES, *_REGISTERED})


def _find(name: str) -> type[_Scoring] | None:
    """A scorer's class; ours are loaded when first asked for, each from the file of its name."""
    if name not in _REGISTERED and name in _FAMILIES:
        import_module(f"proveout.evaluation.scorers.{name}")
    return _REGISTERED.get(name)


@cache
def _parameters(cls: type[_Scoring]) -> Mapping[str, ParameterInfo]:
    hints = get_type_hints(cls, include_extras=True)
    infos: dict[str, ParameterInfo] = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if not field.init:
            continue
        meta = meta_of(hints[field.name])
        infos[field.name] = ParameterInfo(
            type=described(hints[field.name]),
            description=(meta.description or "") if meta else "",
            required=_is_required(field),
            default=None if field.default is MISSING else field.default,
            example=meta.examples[0] if meta and meta.examples else None,
        )
    return infos


def _is_required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _instead(name: str, info: ParameterInfo) -> str:
    import json

    if info.example is None:
        return f"Write {info.type}."
    return f"Write {info.type}, such as `{name}: {json.dumps(info.example, ensure_ascii=False)}`."
