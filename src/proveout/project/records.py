"""What a team declares, as frozen records: the only shape in which declared files enter the other rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

Objective = Literal["cost", "latency", "accuracy", "security", "stability"]
DatasetKind = Literal["golden", "silver", "failures"]
Role = Literal["system", "user", "assistant", "tool"]

USUAL_LIKENESS = 0.7
"""How alike two inputs are that count as near-duplicates, unless a service says otherwise."""

OBJECTIVES: tuple[Objective, ...] = ("accuracy", "stability", "latency", "cost", "security")


class Secret(msgspec.Struct, frozen=True):
    """A reference to a secret, never the secret: `env:NAME` or `file:PATH`.

    The value is read by `resolve()` when a model is opened; it is never stored, logged, hashed or shown.
    """

    reference: str

    def resolve(self) -> str:
        """The secret's value, stripped of surrounding white space.

        Raises:
            LookupError: the variable is unset or empty, or the file can't be read; the message names the reference
                only.
        """
        import os

        kind, _, name = self.reference.partition(":")
        if kind == "env":
            value = os.environ.get(name, "").strip()
            if not value:
                raise LookupError(f"environment variable {name} is not set")
            return value
        try:
            value = Path(name).expanduser().read_text("utf-8").strip()
        except OSError as error:
            raise LookupError(f"secret file {name} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise LookupError(f"secret file {name} is not text in UTF-8") from None
        if not value:
            raise LookupError(f"secret file {name} is empty")
        return value


class Limits(msgspec.Struct, frozen=True):
    """How hard one endpoint may be pressed. `None` means no limit of our own."""

    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 600.0
    retries: int = 4


class ModelSpec(msgspec.Struct, frozen=True):
    """Which model answers, and where: the `model:` block of a variant (or of a judge, or of an embedding scorer).

    `options` holds what only one provider knows (`build`, `path`, `region`, `project`, `deployment`, `api_version`,
    `headers`, ...), with file paths already absolute.
    """

    provider: str
    name: str = ""
    url: str | None = None
    key: Secret | None = None
    options: Mapping[str, Any] = {}
    limits: Limits = Limits()


class Message(msgspec.Struct, frozen=True):
    """One message of a conversation in OpenAI's shape. `content` is text, or a list of content parts passed through
    untouched.
    """

    role: Role
    content: str | Sequence[Mapping[str, Any]]
    extra: Mapping[str, Any] = {}


class Answer(msgspec.Struct, frozen=True):
    """A model's raw text after a variant's post-processing, or why that could not be had.

    `value` is what scorers compare (a string, number, or parsed JSON); `problem` is None when parsing succeeded.
    """

    value: Any
    problem: str | None = None


class Lineage(msgspec.Struct, frozen=True):
    """Where a variant's model came from: `api`, `finetuned`, `quantised` or `engine`, with its parents and the
    method.
    """

    kind: str = "api"
    parents: tuple[str, ...] = ()
    method: Mapping[str, Any] = {}


class Machine(msgspec.Struct, frozen=True):
    """The machines of one replica of a variant: `count` of the price book's host `host`.

    `goodput` is the requests per second at which a replica keeps all SLOs, where that is declared; `headroom` the share
    of it that is planned with; `spare` the replicas kept beside those that the peak needs; `metrics` the address of the
    engine's metrics page.
    """

    host: str
    count: int = 1
    goodput: float | None = None
    headroom: float = 0.8
    spare: int = 0
    metrics: str | None = None


class Migration(msgspec.Struct, frozen=True):
    """What making a change takes: `usd` once, to be paid back within `payback_months`, and `usd_per_month` from then
    on."""

    usd: float = 0.0
    usd_per_month: float = 0.0
    payback_months: float = 12.0


class OutputContract(msgspec.Struct, frozen=True):
    """What a service's answers look like: free text, one of `choices`, or JSON that meets `schema`. At most one is
    set.
    """

    choices: tuple[str, ...] | None = None
    schema: Mapping[str, Any] | None = None


class PromptTemplate(Protocol):
    """A variant's prompt: turns an example's input into messages. `source` is its file's text."""

    @property
    def source(self) -> str: ...

    def render(self, variables: Mapping[str, Any]) -> tuple[Message, ...]: ...


class Variant(msgspec.Struct, frozen=True):
    """A complete, immutable way to serve a service.

    `fingerprint` is the hash of all that its answers depend on: model, endpoint, parameters, prompt text, examples,
    pre- and post-processing (with the bytes of files and Python functions that they name). Its name, comments, key,
    limits and machines are left out.
    """

    name: str
    model: ModelSpec
    parameters: Mapping[str, Any]
    prompt: PromptTemplate
    preprocess: tuple[Mapping[str, Any], ...]
    postprocess: tuple[Mapping[str, Any], ...]
    lineage: Lineage
    fingerprint: str
    path: Path
    output: OutputContract = OutputContract()
    examples: tuple[Mapping[str, Any], ...] = ()
    machine: Machine | None = None

    def render(self, input: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages to send for one example's input: pre-processing, then few-shot examples, then the prompt."""
        from proveout.project.processing import preprocess

        return self.prompt.render(preprocess(self.preprocess, input))

    def parse(self, text: str) -> Answer:
        """What the service would use of a model's raw text: post-processing, then the output contract."""
        from proveout.project.processing import postprocess

        return postprocess(self.postprocess, self.output, text)


class Example(msgspec.Struct, frozen=True):
    """One row of a dataset. `line` is its line in the file, 1-based; `cluster` defaults to its own id."""

    id: str
    input: Mapping[str, Any]
    expected: Any
    cluster: str
    tags: tuple[str, ...] = ()
    source: DatasetKind = "golden"
    line: int = 0


class DatasetRef(msgspec.Struct, frozen=True):
    """A declared dataset: its kind, its file, and how its columns map to ours.

    `find_clusters` is the likeness from which on inputs are near-duplicates that count as one cluster; 0: none are
    looked for. `choices` are the answers that the service can give, so that an expected text must be one; None: any.
    """

    kind: DatasetKind
    path: Path
    columns: Mapping[str, str] = {}
    find_clusters: float = 0.0
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """A scorer's registered name, the metric name that it reports under, and its parameters from YAML. `line` is
    where it stands in the service's file, `place` which of the list it is.
    """

    name: str
    metric: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = field(default=None, compare=False)
    place: int | None = field(default=None, compare=False)


class ObjectiveSpec(msgspec.Struct, frozen=True):
    """One CLASS objective of a service. `margin` is absolute (0.02) or relative (10 % is 0.1), as the objective's
    metric is.
    """

    objective: Objective
    margin: float
    metric: str | None = None
    settings: Mapping[str, Any] = {}


class Online(msgspec.Struct, frozen=True):
    """How live answers are scored. `scorers` empty: the service's own that need no expected answer.

    `sample` is the share of served answers that is scored, `pairs` the share of a shadow's pairs; `agreement` how much
    of them must agree with the champion's answer (None: it is only shown), `max_cost_usd` what judges may cost a day
    (None: no limit).
    """

    scorers: tuple[ScorerSpec, ...] = ()
    sample: float = 0.05
    pairs: float = 1.0
    agreement: float | None = None
    max_cost_usd: float | None = 5.0


class GuardSpec(msgspec.Struct, frozen=True):
    """A declared check at a checkpoint: `kind` with its `value`; `action` says whether it only flags or also blocks,
    with `refusal` as the answer (None: an error). Of a streamed answer the last `hold` characters are kept back until
    the guard has seen what follows them (None: it flags streams only). `on_error` says what becomes of what a guard
    could not look at.
    """

    name: str
    checkpoint: Literal["input", "output"]
    kind: str
    value: Any
    action: Literal["flag", "block"] = "flag"
    refusal: str | None = None
    hold: int | Literal["all"] | None = None
    on_error: Literal["pass", "block"] = "pass"


class Service(msgspec.Struct, frozen=True):
    """One LLM-powered product function. `online` is None where nothing is said of live answers."""

    name: str
    path: Path
    inputs: tuple[str, ...]
    output: OutputContract
    datasets: Mapping[DatasetKind, DatasetRef]
    scorers: tuple[ScorerSpec, ...]
    champion: str
    objectives: Mapping[Objective, ObjectiveSpec]
    variants: Mapping[str, Variant]
    changes: Mapping[str, Change]
    allow_code_execution: bool = False
    online: Online | None = None
    traffic: Mapping[str, Any] = {}
    rollout: Mapping[str, Any] = {}
    worth: Mapping[str, float] = {}
    guards: tuple[GuardSpec, ...] = ()

    @property
    def folder(self) -> Path:
        return self.path.parent


class Change(msgspec.Struct, frozen=True):
    """A proposal: this challenger, which improves these objectives and holds all others. `improves=()` is a forced
    migration.
    """

    name: str
    service: str
    challenger: str
    improves: tuple[Objective, ...]
    hypothesis: str
    path: Path
    fallback: str | None = None
    rollout: Mapping[str, Any] | None = None
    migration: Migration | None = None


class Environment(msgspec.Struct, frozen=True):
    """Desired state of one environment: what each service serves there, and which targets must be told."""

    name: str
    path: Path
    releases: Mapping[str, Mapping[str, Any]]
    targets: tuple[Mapping[str, Any], ...] = ()
    approvals: int = 0


class LongContext(msgspec.Struct, frozen=True):
    """US dollars per million tokens of every request with more than `above` input tokens; None: as for others."""

    above: int
    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None


class Price(msgspec.Struct, frozen=True):
    """US dollars per million tokens of one model, from a date on.

    Without a price of their own, cached input tokens cost as much as others, those written to a cache a quarter more,
    and reasoning tokens as much as output. `tiers` are factors by the name of a service tier (`batch`, `flex`);
    `uncertainty` is the relative standard deviation of a price that isn't settled.
    """

    provider: str
    model: str
    since: str
    input: float
    output: float
    cached_input: float | None = None
    per_request: float = 0.0
    cache_write: float | None = None
    reasoning: float | None = None
    tiers: Mapping[str, float] = {}
    long_context: LongContext | None = None
    uncertainty: float = 0.0


class Host(msgspec.Struct, frozen=True):
    """What one machine that serves a model of one's own costs, from a date on.

    `kilowatts` is what it draws under load and `usd_per_kwh` what that costs, where the price per hour does not hold
    it; `pue` is the data centre's total power over its machines' (power usage effectiveness). `people_usd_per_month`
    is paid for the whole service, however many machines it has.
    """

    name: str
    since: str
    usd_per_hour: float
    kilowatts: float = 0.0
    usd_per_kwh: float = 0.0
    pue: float = 1.0
    people_usd_per_month: float = 0.0


class Project(msgspec.Struct, frozen=True):
    """A team's repository, read whole and found valid."""

    name: str
    root: Path
    store_url: str
    services: Mapping[str, Service]
    environments: Mapping[str, Environment]
    prices: tuple[Price, ...] = ()
    settings: Mapping[str, Any] = {}
    hosts: tuple[Host, ...] = ()

    def change(self, name: str) -> tuple[Service, Change]:
        """The change called `name` (or `service/name`) with its service.

        Raises:
            LookupError: no such change, or several services have one of that name; the message lists what there is.
        """
        service_name, _, change_name = name.rpartition("/")
        found = [
            (service, service.changes[change_name])
            for service in self.services.values()
            if change_name in service.changes and service_name in ("", service.name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(f"{service.name}/{change_name}" for service, _ in found)
            raise LookupError(f"several services have a change {change_name!r}; write one of {options}")
        known = ", ".join(sorted(name for service in self.services.values() for name in service.changes)) or "none"
        raise LookupError(f"there is no change {name!r}; known changes: {known}")
