"""Scorers from what a team declares: every mistake is named, with what to write instead."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from msgspec import Meta
from scorer_cases import attempt, build, service

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers import (
    ModelScorer,
    PairwiseScorer,
    Scorer,
    ScorerError,
    create_scorer,
    describe_scorer,
    known_scorers,
    scorer,
)
from proveout.evaluation.scorers import _registry as registry
from proveout.project.records import ModelSpec, ScorerSpec

MODEL = ModelSpec("openai", "gpt-4o-mini")

MISTAKES = [
    ("exact_mach", {}, "there is no scorer `exact_mach`. Did you mean `exact_match`?"),
    (
        "numeric",
        {"tolerence": 1},
        "scorer numeric: there is no parameter `tolerence`. Did you mean `tolerance`?",
    ),
    ("token_f1", {"stemmer": True}, "scorer token_f1: there is no parameter `stemmer`. It takes none."),
    (
        "numeric",
        {"tolerance": "a lot"},
        "scorer numeric: tolerance: the text 'a lot' is not a number of at least 0. "
        "Write a number of at least 0, such as `tolerance: 0.01`.",
    ),
    (
        "numeric",
        {"tolerance": -1},
        "scorer numeric: tolerance: `-1` is not a number of at least 0. "
        "Write a number of at least 0, such as `tolerance: 0.01`.",
    ),
    (
        "exact_match",
        {"ignore_case": "yes"},
        "scorer exact_match: ignore_case: the text 'yes' is not true or false. "
        "Write true or false, such as `ignore_case: true`.",
    ),
    (
        "exact_match",
        {"unicode": "nfd"},
        "scorer exact_match: unicode: the text 'nfd' is not one of `none`, `nfc`, `nfkc`. "
        'Write one of `none`, `nfc`, `nfkc`, such as `unicode: "nfkc"`.',
    ),
    (
        "contains",
        {"all": "refund"},
        "scorer contains: all: the text 'refund' is not a list of texts. "
        'Write a list of texts, such as `all: ["order number", "Monday"]`.',
    ),
    ("regex", {}, "scorer regex: `pattern` is missing. Write text that is not empty, such as `pattern:"),
    ("regex", {"pattern": ""}, "scorer regex: pattern: the text '' is not text that is not empty"),
    ("numeric", {"after": ""}, "scorer numeric: after: the text '' is not text that is not empty"),
    (
        "llm_judge",
        {"rubric": "Good?"},
        "scorer llm_judge: `model` is missing. Write a model, as in a variant's `model:`",
    ),
    (
        "llm_judge",
        {"rubric": "Good?", "model": "gpt-4o"},
        "scorer llm_judge: model: the text 'gpt-4o' is not a model, as in a variant's `model:`.",
    ),
    (
        "llm_judge",
        {"rubric": "Good?", "model": MODEL, "tries": 0},
        "tries: `0` is not a whole number of at least 1 and of",
    ),
    (
        "embedding_similarity",
        {"model": MODEL, "threshold": 2},
        "threshold: `2` is not a number above 0 and of at most 1",
    ),
    ("python", {"path": "../../../etc/passwd"}, "path: `../../../etc/passwd` is outside the project"),
    ("python", {"path": "/etc/passwd"}, "path: `/etc/passwd` is outside the project"),
    ("python", {"path": "absent.py"}, "path: there is no file `absent.py` in triage/"),
    ("python", {"path": 7}, "path: `7` is not the path of a file in the project"),
    ("code_execution", {}, "the service does not allow that. Write `allow_code_execution: true` in it"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), MISTAKES)
def test_every_mistake_says_what_to_write(name, parameters, message):
    with pytest.raises(ScorerError) as error:
        create_scorer(ScorerSpec(name, name, parameters), service())
    assert message in str(error.value)


def test_paths_lead_from_the_service_s_folder_to_anywhere_in_the_project(tmp_path):
    (tmp_path / "proveout.yaml").write_text("")
    folder = tmp_path / "services" / "triage"
    folder.mkdir(parents=True)
    (tmp_path / "shared.py").write_text("def score(answer): return 1")
    assert build("python", service(folder), path="../../shared.py").score(attempt("x")).value == 1
    (tmp_path.parent / "outside.py").write_text("def score(answer): return 1")
    with pytest.raises(ScorerError, match="is outside the project"):
        build("python", service(folder), path="../../../outside.py")
    (tmp_path / "link.py").symlink_to(tmp_path.parent / "outside.py")
    with pytest.raises(ScorerError, match="is outside the project"):
        build("python", service(folder), path="../../link.py")


def test_every_parameter_is_described_with_an_example_that_fits():
    from typing import get_type_hints

    from proveout.evaluation.scorers._parameters import fit

    for name, parameters in known_scorers().items():
        assert describe_scorer(name)
        hints = get_type_hints(registry._REGISTERED[name], include_extras=True)
        for parameter, info in parameters.items():
            place = f"{name}.{parameter}"
            assert info.description, place
            assert info.type, place
            assert info.example is not None, place
            if info.type.startswith(("a model", "the path")):
                continue
            fit(info.example, hints[parameter], service())


def test_the_scorers_that_there_are():
    assert list(known_scorers()) == [
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
    ]


def test_a_scorer_is_equal_to_another_of_the_same_parameters():
    assert build("numeric", tolerance=1) == build("numeric", tolerance=1.0)
    assert build("numeric", tolerance=1) != build("numeric", tolerance=2)
    assert build("regex", pattern="a") == build("regex", pattern="a")


def test_kinds_are_told_apart():
    assert isinstance(build("exact_match"), Scorer)
    judge = build("llm_judge", model=MODEL, rubric="Good?")
    pair = build("pairwise_judge", model=MODEL, rubric="Good?")
    assert isinstance(judge, ModelScorer)
    assert not isinstance(judge, Scorer)
    assert isinstance(pair, PairwiseScorer)
    assert not isinstance(pair, ModelScorer)


def test_a_team_can_register_its_own(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))

    @scorer("length")
    @dataclass(frozen=True)
    class Length(Scorer):
        """Whether the answer is short enough."""

        most: Annotated[int, Meta(description="Most characters.", ge=1, examples=[80])] = 80

        def score(self, attempt: Attempt) -> Score:
            return Score(value=float(len(attempt.text) <= self.most))

    assert build("length", most=3).score(attempt("four")).value == 0
    assert known_scorers()["length"]["most"].type == "a whole number of at least 1"
    with pytest.raises(ValueError, match="there is already a scorer length"):

        @scorer("length")
        class Other(Length):
            pass
