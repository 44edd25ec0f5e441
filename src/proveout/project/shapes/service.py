"""`services/NAME/service.yaml`: what a service takes and gives, its data, its objectives, and how changes of it are
delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, Tag

from proveout.project import quantities
from proveout.project.records import USUAL_LIKENESS
from proveout.project.shapes._base import (
    Amount,
    Count,
    Duration,
    Margin,
    MetricMargin,
    Name,
    Refusal,
    RelativePath,
    Shape,
    Text,
    Weight,
    checked_by,
    only_key,
    refuse,
    repeated,
    tag,
    told_apart_by,
    written_as,
)
from proveout.project.shapes.guards import Guards
from proveout.project.shapes.money import Worth
from proveout.project.shapes.rollout import RolloutShape

# --- what comes in and goes out


def _unfit_inputs(names: list[str]) -> Iterator[Refusal]:
    yield from repeated(names)
    for index, name in enumerate(names):
        if not name.isidentifier():
            yield Refusal(
                f"`{name}` can't be used in a prompt",
                "Write letters, digits and underscores, as in `customer_name`.",
                (index,),
            )


def _alike(choices: list[str]) -> Iterator[Refusal]:
    """Choices must differ by more than case, since answers are compared without it."""
    seen: dict[str, str] = {}
    for index, choice in enumerate(choices):
        folded = choice.strip().casefold()
        if folded in seen:
            other = seen[folded]
            what = (
                f"`{choice}` stands here twice" if other == choice else f"`{other}` and `{choice}` differ only by case"
            )
            yield Refusal(what, "Keep one of them.", (index,))
        seen.setdefault(folded, choice)


Inputs = Annotated[list[Text], Field(min_length=1), checked_by(_unfit_inputs)]


class ChoicesOutput(Shape):
    """One of several answers."""

    choices: Annotated[list[Text], Field(min_length=1), checked_by(_alike)] = Field(
        description="All answers that there are. Case, white space and punctuation around an answer don't matter. What "
        "a dataset expects must be one of them.",
        examples=[["card_arrival", "lost_card"]],
    )


class SchemaOutput(Shape):
    """JSON of a declared shape."""

    json_schema: dict[str, Any] = Field(
        alias="schema",
        description="The JSON Schema (draft 2020-12) that an answer must meet.",
        examples=[{"type": "object", "required": ["intent"]}],
    )


def _output(value: Any) -> str | None:
    key = "schema" if isinstance(value, SchemaOutput) else only_key(value)
    return key if key in ("text", "choices", "schema") and isinstance(value, str) == (key == "text") else None


OutputShape = Annotated[
    Annotated[Literal["text"], Tag(tag("text"))]
    | Annotated[ChoicesOutput, Tag(tag("choices"))]
    | Annotated[SchemaOutput, Tag(tag("schema"))],
    told_apart_by(
        _output,
        "expected an output",
        "Write `text`, `{choices: [card_arrival, lost_card]}` or `{schema: {...}}`.",
        noun="output",
        known=("text", "choices", "schema"),
    ),
]

# --- data and scorers


def _likeness(value: Any) -> float:
    """Yes or no, or from which likeness on."""
    if isinstance(value, bool):
        return USUAL_LIKENESS if value else 0.0
    try:
        return quantities.share(value)
    except ValueError:
        raise refuse("this is neither `true` nor a share", "Write `true`, or a share such as 0.8 or 80%.") from None


def _too_low(value: float) -> Iterator[Refusal]:
    if value != 0 and not 0.5 <= value <= 1:
        yield Refusal("a likeness lies between 0.5 and 1", "Write `true`, or a share such as 0.8 or 80%.")


Likeness = Annotated[
    float,
    BeforeValidator(_likeness),
    checked_by(_too_low),
    written_as(
        "`true`, `false` or share",
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "number", "minimum": 0.5, "maximum": 1},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s?%$"},
            ]
        },
    ),
]


class DatasetShape(Shape):
    """A dataset with settings."""

    path: RelativePath = Field(description="JSONL or CSV file.", examples=["datasets/golden.jsonl"])
    columns: dict[str, Text] = Field(
        default_factory=dict,
        description="Which column of the file holds what: an input's name (or `input.NAME`), `expected`, `id`, "
        "`cluster`, `tags`, `source`. In JSONL, dots reach into objects.",
        examples=[{"message": "text", "expected": "category"}],
    )
    find_clusters: Likeness = Field(
        default=0.0,
        description="Find near-duplicates and count them as one cluster, where the file gives no `cluster`: `true`, "
        "or from which share of common pieces of text on (`true` is 70%).",
        examples=[True],
    )


def _dataset(value: Any) -> str | None:
    return "path" if isinstance(value, str) else "settings" if isinstance(value, dict | DatasetShape) else None


Dataset = Annotated[
    Annotated[RelativePath, Tag(tag("path"))] | Annotated[DatasetShape, Tag(tag("settings"))],
    told_apart_by(_dataset, "expected a path", "Write `datasets/golden.jsonl` or `{path: ..., columns: {...}}`."),
]


class DatasetsShape(Shape):
    """A service's data, by who labelled it."""

    golden: Dataset | None = Field(default=None, description="Labelled by people.", examples=["datasets/golden.jsonl"])
    silver: Dataset | None = Field(default=None, description="Labelled by a model.", examples=["datasets/silver.jsonl"])
    failures: Dataset | None = Field(
        default=None, description="Bad cases kept from production.", examples=["datasets/failures.jsonl"]
    )


class ScorerShape(Shape):
    """A scorer with a metric name of its own; every other key is a parameter of the scorer."""

    model_config = ConfigDict(extra="allow")

    scorer: Text = Field(description="The scorer's registered name.", examples=["numeric"])
    metric: Name | None = Field(
        default=None, description="The metric's name; by default the scorer's.", examples=["right_amount"]
    )


class ScorerWithParameters(RootModel[dict[str, dict[str, Any] | None]]):
    """`{name: {parameter: value}}`."""

    model_config = ConfigDict(strict=True)


def _scorer(value: Any) -> str | None:
    if isinstance(value, str):
        return "name"
    if isinstance(value, ScorerShape) or (isinstance(value, dict) and "scorer" in value):
        return "scorer"
    if isinstance(value, ScorerWithParameters) or (isinstance(value, dict) and len(value) == 1):
        return "parameters"
    return None


Scorer = Annotated[
    Annotated[Text, Tag(tag("name"))]
    | Annotated[ScorerShape, Tag(tag("scorer"))]
    | Annotated[ScorerWithParameters, Tag(tag("parameters"))],
    told_apart_by(
        _scorer,
        "expected a scorer",
        "Write `exact_match`, `{numeric: {tolerance: 0.01}}` or `{scorer: numeric, metric: amount}`.",
    ),
]


class OnlineShape(Shape):
    """How live answers are scored, where gateway.yaml keeps their content."""

    scorers: list[Scorer] = Field(
        default_factory=list,
        description="What scores them: scorers that need no expected answer, and judges; a name may be the metric of "
        "one of the service's. By default the service's own that need no expected answer.",
        examples=[["json_valid"]],
    )
    sample: Weight = Field(default=0.05, description="Share of served answers that is scored.", examples=["5%"])
    pairs: Weight = Field(default=1.0, description="Share of a shadow's pairs of answers.", examples=["50%"])
    agreement: Weight | None = Field(
        default=None,
        description="How much of its answers in a shadow must agree with the champion's. Without it, agreement is "
        "shown and decides nothing.",
        examples=["80%"],
    )
    max_cost: Amount | None = Field(
        default=5.0, description="Most US dollars that judges may spend a day; null: no limit.", examples=[5.0]
    )


# --- objectives


class ObjectiveShape(Shape):
    """What every objective takes."""

    margin: Margin = Field(
        description="By how much a challenger may be worse and still hold: 0.02 or 2%. Of the metric for accuracy, "
        "stability and security; of the champion's value for latency and cost.",
        examples=[0.02],
    )


class AccuracyShape(ObjectiveShape):
    """Right answers."""

    margin: MetricMargin = Field(
        description="By how much a challenger's metric may be worse and still hold: 0.02 or 2%; in the metric's own "
        "unit where a `python` scorer gives other numbers than 0 to 1.",
        examples=[0.02],
    )
    metric: Name | None = Field(
        default=None, description="The metric that decides; needed with several scorers.", examples=["exact_match"]
    )
    repeats: Count | None = Field(default=None, description="Calls for every example.", examples=[1])
    trust_silver: bool = Field(
        default=False,
        description="Let silver labels count as golden ones do, and a calibrated judge decide on variants whose "
        "answers nobody has labelled. Otherwise both only sharpen what people's labels show, and alone never pass. A "
        "judge without calibration never passes.",
        examples=[False],
    )
    max_failures: Margin | None = Field(
        default=None, description="Share of failed calls above which nothing is decided.", examples=["5%"]
    )


class StabilityShape(ObjectiveShape):
    """The same answer to the same question."""

    repeats: int | None = Field(
        default=None, ge=2, description="Calls for each of the examples that are repeated.", examples=[5]
    )
    examples: Count | None = Field(default=None, description="About how many examples are repeated.", examples=[100])
    max_failures: Margin | None = Field(
        default=None, description="Share of failed calls above which nothing is decided.", examples=["5%"]
    )


LATENCY_METRICS = tuple(
    f"{measure}_p{quantile}" for measure in ("ttft", "itl", "tpot", "e2e", "stall") for quantile in (50, 75, 90, 95, 99)
)


def _unknown_metrics(slo: dict[str, float]) -> Iterator[Refusal]:
    for name in slo:
        if name not in LATENCY_METRICS:
            instead = (
                "Write ttft, itl, tpot, e2e or stall with _p50, _p75, _p90, _p95 or _p99, as in `ttft_p95: 800ms`."
            )
            yield Refusal(f"`{name}` is no latency metric", instead, (name,))


class LatencyShape(ObjectiveShape):
    """Quick answers."""

    slo: Annotated[dict[str, Annotated[Duration, Field(gt=0)]], checked_by(_unknown_metrics)] = Field(
        default_factory=dict,
        description="Longest times that users accept: ttft, itl, tpot, e2e or stall at p50, p75, p90, p95 or p99.",
        examples=[{"ttft_p95": "800ms", "e2e_p95": "2s"}],
    )
    metric: Literal[LATENCY_METRICS] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        None, description="The metric that decides, where it is only one.", examples=["ttft_p95"]
    )


class CostShape(ObjectiveShape):
    """Cheap answers."""

    metric: Literal["usd_per_request", "usd_per_success"] | None = Field(
        default=None, description="The metric that decides.", examples=["usd_per_success"]
    )
    success_at: Amount | None = Field(
        default=None,
        description="Score of the accuracy metric from which an answer is a success; 1 unless set.",
        examples=[0.8],
    )
    max_failures: Margin | None = Field(
        default=None, description="Share of failed calls above which nothing is decided.", examples=["5%"]
    )


class SecurityShape(ObjectiveShape):
    """Answers that can't be abused."""


class ObjectivesShape(Shape):
    """What a service asks of every variant, aspect by aspect."""

    accuracy: AccuracyShape | None = Field(
        default=None, description="Right answers.", examples=[{"metric": "exact_match", "margin": 0.02}]
    )
    stability: StabilityShape | None = Field(
        default=None, description="The same answer to the same question.", examples=[{"margin": 0.02}]
    )
    latency: LatencyShape | None = Field(
        default=None, description="Quick answers.", examples=[{"slo": {"ttft_p95": "800ms"}, "margin": "10%"}]
    )
    cost: CostShape | None = Field(default=None, description="Cheap answers.", examples=[{"margin": "0%"}])
    security: SecurityShape | None = Field(
        default=None, description="Answers that can't be abused.", examples=[{"margin": 0.01}]
    )


# --- traffic, and the file


class TrafficShape(Shape):
    """How much a service is used."""

    requests_per_month: Amount = Field(
        gt=0, description="Requests in a month, for the monthly cost.", examples=[3000000]
    )
    uncertainty: Margin | None = Field(
        default=None,
        description="By how much the requests of a month may differ from that: one standard deviation, as a share.",
        examples=["15%"],
    )
    peak_to_mean: Annotated[Amount, Field(ge=1)] | None = Field(
        default=None,
        description="How many times the month's mean its busiest minutes have; 2 unless set. Machines of your own are "
        "counted for that.",
        examples=[3],
    )


class ServiceFile(Shape):
    """One LLM-powered product function."""

    service: Name = Field(description="The service's name, the same as its folder's.", examples=["triage"])
    input: Inputs = Field(
        description="Names of the input fields, which prompts use as variables.", examples=[["message"]]
    )
    output: OutputShape = Field(
        default="text", description="What answers look like.", examples=[{"choices": ["card_arrival", "lost_card"]}]
    )
    datasets: DatasetsShape = Field(
        default_factory=DatasetsShape, description="The service's data.", examples=[{"golden": "datasets/golden.jsonl"}]
    )
    scorers: list[Scorer] = Field(
        default_factory=list, description="How an answer is scored.", examples=[["exact_match"]]
    )
    online: OnlineShape | None = Field(
        default=None,
        description="How live answers are scored.",
        examples=[{"scorers": ["json_valid"], "sample": "5%", "max_cost": 5.0}],
    )
    champion: Name = Field(
        description="The variant that serves by default, and the baseline in dev.", examples=["base"]
    )
    objectives: ObjectivesShape = Field(
        description="What every variant must hold.", examples=[{"accuracy": {"metric": "exact_match", "margin": 0.02}}]
    )
    allow_code_execution: bool = Field(
        default=False, description="Let a scorer run code that a model wrote, in a sandbox.", examples=[False]
    )
    traffic: TrafficShape | None = Field(
        default=None, description="How much it is used.", examples=[{"requests_per_month": 3000000}]
    )
    worth: Worth | None = Field(
        default=None, description="What its answers are worth.", examples=[{"usd_per_success": 0.02}]
    )
    guards: Guards | None = Field(
        default=None,
        description="Checks of what goes in and of what comes out.",
        examples=[{"input": [{"name": "length", "max_chars": 8000, "action": "block"}]}],
    )
    rollout: RolloutShape | None = Field(
        default=None,
        description="How changes reach users.",
        examples=[{"unit": "user", "steps": [{"shadow": {"requests": 500}}]}],
    )
