"""Scorers: from an answer to a number. Each is a frozen dataclass whose fields are its parameters in YAML; one file
per family."""

from proveout.evaluation.scorers._base import (
    Models,
    ModelScorer,
    PairwiseResult,
    PairwiseScorer,
    Scorer,
    ScorerError,
    ScorerFailed,
)
from proveout.evaluation.scorers._registry import (
    AnyScorer,
    ParameterInfo,
    create_scorer,
    describe_scorer,
    known_scorers,
    scorer,
)

__all__ = [
    "AnyScorer",
    "ModelScorer",
    "Models",
    "PairwiseResult",
    "PairwiseScorer",
    "ParameterInfo",
    "Scorer",
    "ScorerError",
    "ScorerFailed",
    "create_scorer",
    "describe_scorer",
    "known_scorers",
    "scorer",
]
