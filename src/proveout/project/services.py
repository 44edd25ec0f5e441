"""Reading a service's folder: `service.yaml`, its variants and its changes, and what must fit between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec

from proveout.project.documents import Document
from proveout.project.problems import FieldPath, Problem, suggestion
from proveout.project.reading import Reader
from proveout.project.records import (
    OBJECTIVES,
    Change,
    DatasetKind,
    DatasetRef,
    Migration,
    Objective,
    ObjectiveSpec,
    Online,
    OutputContract,
    ScorerSpec,
    Service,
    Variant,
)
from proveout.project.shapes import ChangeFile, ModelShape, ServiceFile
from proveout.project.shapes.guards import guard_records
from proveout.project.validation import validated_part
from proveout.project.variants import VariantReader

KnownScorers = Mapping[str, Collection[str]]
"""Scorer names with the names of their parameters."""

_DATASET_KINDS: tuple[DatasetKind, ...] = ("golden", "silver", "failures")


class ServiceFolder(msgspec.Struct, frozen=True):
    """A service as far as it could be read. `service` is None where its files have problems; names, and the data that
    can be read, are known all the same. `partial` is then a service of those scorers and variants that are declared
    soundly, to look at further.
    """

    name: str
    service: Service | None
    variant_names: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    datasets: Mapping[DatasetKind, DatasetRef] = {}
    partial: Service | None = None


def read_service(reader: Reader, folder: Path, known_scorers: KnownScorers | None) -> ServiceFolder:
    """A service's folder; what is wrong is added to the reader's problems."""
    before = len(reader.problems)
    path = folder / "service.yaml"
    variant_paths = reader.yaml_files(folder / "variants")
    names = tuple(path.stem for path in variant_paths)
    read = reader.document(path, ServiceFile)
    if read is None:
        _read_parts(reader, folder, variant_paths, names, None, None, None)
        return ServiceFolder(folder.name, None, names)
    document, shape = read
    reader.name_matches(document, "service", shape.service, folder.name, "folder")
    inputs = None if shape.input is None else tuple(shape.input)
    output = _output(reader, document, shape.output)
    scorers = _scorers(reader, document, ("scorers",), folder, shape.scorers, known_scorers)
    online = _online(reader, document, folder, shape.online, scorers, known_scorers)
    datasets = _datasets(reader, document, folder, shape.datasets, output)
    objectives = _objectives(reader, document, shape, scorers)
    if not names:
        reader.problems.append(
            document.problem((), "the service has no variant", f"Write {reader.shown(folder / 'variants/base.yaml')}.")
        )
    elif shape.champion is not None and shape.champion not in names:
        reader.problems.append(_no_variant(document, ("champion",), shape.champion, names))
    variants, changes = _read_parts(
        reader, folder, variant_paths, names, inputs, output, _declared_objectives(document)
    )
    readable = {} if inputs is None else datasets
    if len(reader.problems) > before or output is None:
        partial = Service(
            name=folder.name,
            path=path,
            inputs=inputs or (),
            output=output or OutputContract(),
            datasets=readable,
            scorers=scorers,
            champion="",
            objectives={},
            variants=variants,
            changes={},
            allow_code_execution=bool(shape.allow_code_execution),
        )
        return ServiceFolder(folder.name, None, names, inputs or (), readable, partial)
    service = Service(
        name=shape.service,
        path=path,
        inputs=tuple(shape.input),
        output=output,
        datasets=datasets,
        scorers=scorers,
        champion=shape.champion,
        objectives=objectives,
        variants=variants,
        changes=changes,
        allow_code_execution=shape.allow_code_execution,
        online=online,
        traffic={} if shape.traffic is None else shape.traffic.model_dump(exclude_none=True),
        rollout=rollout_record(shape.rollout) or {},
        worth={} if shape.worth is None else shape.worth.model_dump(),
        guards=guard_records(shape.guards),
    )
    return ServiceFolder(folder.name, service, names, service.inputs, datasets)


def rollout_record(shape: Any) -> Mapping[str, Any] | None:
    """A rollout as plain data: `{"unit", "steps": ({"kind", ...}, ...)}`, with weights as shares of one and
    durations in seconds.
    """
    if shape is None:
        return None
    steps = []
    for step in shape.steps:
        ((kind, settings),) = step.model_dump(exclude_none=True).items()
        steps.append({"kind": kind, **settings})
    return {"unit": shape.unit, "steps": tuple(steps)}


def _no_variant(document: Document, at: FieldPath, name: str, names: Iterable[str]) -> Problem:
    return document.problem(at, f"the service has no variant `{name}`", suggestion(name, names))


def _read_parts(
    reader: Reader,
    folder: Path,
    variant_paths: list[Path],
    names: tuple[str, ...],
    inputs: tuple[str, ...] | None,
    output: OutputContract | None,
    objectives: Collection[str] | None,
) -> tuple[dict[str, Variant], dict[str, Change]]:
    variant_reader = VariantReader(reader, folder, inputs, output)
    variants = [variant_reader.read(path) for path in variant_paths]
    changes = [
        _read_change(reader, path, folder.name, names, objectives) for path in reader.yaml_files(folder / "changes")
    ]
    return (
        {variant.name: variant for variant in variants if variant is not None},
        {change.name: change for change in changes if change is not None},
    )


# --- output and data


def _output(reader: Reader, document: Document, shape: Any) -> OutputContract | None:
    """The output contract; None where a JSON Schema can't be used."""
    if isinstance(shape, str) or shape is None:
        return OutputContract()
    if hasattr(shape, "choices"):
        return OutputContract(choices=tuple(shape.choices))
    faults = list(_faults_of_schema(document, shape.json_schema))
    reader.problems += faults
    return None if faults else OutputContract(schema=shape.json_schema)


def _faults_of_schema(document: Document, schema: Mapping[str, Any]) -> Iterator[Problem]:
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        at = ("output", "schema", *error.absolute_path)
        yield document.problem(
            at, f"not a valid JSON Schema: {error.message[:200]}", "See json-schema.org, draft 2020-12."
        )
    for at, reference in _references(schema):
        if not reference.startswith("#"):
            what = "a reference to another file or address is not followed"
            yield document.problem(
                ("output", "schema", *at), what, "Put the definition under `$defs` and write `#/$defs/NAME`."
            )


def _references(schema: Any, at: FieldPath = ()) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield (*at, "$ref"), schema["$ref"]
        for key, item in schema.items():
            yield from _references(item, (*at, key))
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from _references(item, (*at, index))


def _datasets(
    reader: Reader, document: Document, folder: Path, shape: Any, output: OutputContract | None
) -> dict[DatasetKind, DatasetRef]:
    choices = None if output is None else output.choices
    datasets: dict[DatasetKind, DatasetRef] = {}
    for kind in _DATASET_KINDS:
        declared = getattr(shape, kind, None)
        if declared is None:
            continue
        at = ("datasets", kind) if isinstance(declared, str) else ("datasets", kind, "path")
        path = reader.data_file(document, at, folder, declared if isinstance(declared, str) else declared.path)
        if path is None:
            continue
        if isinstance(declared, str):
            datasets[kind] = DatasetRef(kind, path, choices=choices)
        else:
            datasets[kind] = DatasetRef(kind, path, declared.columns, declared.find_clusters, choices)
    return datasets


# --- scorers


def _scorers(
    reader: Reader,
    document: Document,
    where: FieldPath,
    folder: Path,
    shapes: list[Any],
    known: KnownScorers | None,
    *,
    declared: tuple[ScorerSpec, ...] = (),
) -> tuple[ScorerSpec, ...]:
    """Scorers as they are listed at a place; a name may be the metric of one that is `declared` already."""
    scorers: list[ScorerSpec] = []
    for index, shape in enumerate(shapes or []):
        earlier = next((one for one in declared if one.metric == shape), None)
        if earlier is not None:
            scorers.append(replace(earlier, line=document.position((*where, index))[0]))
            continue
        before = len(reader.problems)
        name, metric, parameters, at = _scorer_parts(shape, (*where, index))
        if known is not None and not _is_known(reader, document, at, name, parameters, known):
            continue
        checked = _with_models(reader, document, at, folder, parameters)
        if metric in [scorer.metric for scorer in scorers]:
            what, instead = (
                f"two scorers give the metric `{metric}`",
                f"Write `{{scorer: {name}, metric: another_name}}`.",
            )
            reader.problems.append(document.problem((*where, index), what, instead))
        if len(reader.problems) == before:
            scorers.append(ScorerSpec(name, metric, checked, document.position((*where, index))[0], index))
    return tuple(scorers)


def _online(
    reader: Reader,
    document: Document,
    folder: Path,
    shape: Any,
    declared: tuple[ScorerSpec, ...],
    known: KnownScorers | None,
) -> Online | None:
    if shape is None:
        return None
    return Online(
        scorers=_scorers(reader, document, ("online", "scorers"), folder, shape.scorers, known, declared=declared),
        sample=shape.sample,
        pairs=shape.pairs,
        agreement=shape.agreement,
        max_cost_usd=shape.max_cost,
    )


def _scorer_parts(shape: Any, at: FieldPath) -> tuple[str, str, dict[str, Any], FieldPath]:
    """Name, metric, parameters, and where in the file the parameters stand."""
    if isinstance(shape, str):
        return shape, shape, {}, at
    if hasattr(shape, "scorer"):
        return shape.scorer, shape.metric or shape.scorer, dict(shape.model_extra or {}), at
    ((name, parameters),) = shape.root.items()
    parameters = dict(parameters or {})
    return name, str(parameters.pop("metric", name)), parameters, (*at, name)


def _is_known(
    reader: Reader, document: Document, at: FieldPath, name: str, parameters: Mapping[str, Any], known: KnownScorers
) -> bool:
    if name not in known:
        place = at if at[-1] == name or not isinstance(_value_at(document.data, at), dict) else (*at, "scorer")
        reader.problems.append(
            document.problem(place, f"there is no scorer `{name}`", suggestion(name, known), key=True)
        )
        return False
    sound = True
    for parameter in parameters:
        if parameter not in known[name]:
            what = f"`{name}` takes no `{parameter}`"
            instead = suggestion(parameter, known[name]) if known[name] else "It takes no parameters; leave it out."
            reader.problems.append(document.problem((*at, parameter), what, instead, key=True))
            sound = False
    return sound


def _value_at(data: Any, at: FieldPath) -> Any:
    for part in at:
        data = data[part]
    return data


def _with_models(
    reader: Reader, document: Document, at: FieldPath, folder: Path, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Parameters with every `{provider: ...}` block (a judge, an embedding endpoint) as a model's record."""
    checked = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and "provider" in value:
            shape = validated_part(ModelShape, document, (*at, name), value, reader.problems)
            value = shape and reader.model(document, (*at, name), folder, shape)
        checked[name] = value
    return checked


# --- objectives


def _declared_objectives(document: Document) -> Collection[str] | None:
    declared = document.data.get("objectives")
    return declared.keys() if isinstance(declared, dict) else None


def _objectives(
    reader: Reader, document: Document, shape: ServiceFile, scorers: tuple[ScorerSpec, ...]
) -> dict[Objective, ObjectiveSpec]:
    if shape.objectives is None:
        return {}
    declared: dict[Objective, Any] = {
        objective: value
        for objective in OBJECTIVES
        if (value := getattr(shape.objectives, objective, None)) is not None
    }
    if not declared and isinstance(document.data.get("objectives"), dict) and not document.data["objectives"]:
        reader.problems.append(
            document.problem(
                ("objectives",), "no objective is declared", "Write for example `accuracy: {margin: 0.02}`."
            )
        )
    for objective in ("accuracy", "stability"):
        if objective in declared and not document.data.get("datasets"):
            what = f"{objective} is measured on a dataset, and the service has none"
            reader.problems.append(
                document.problem(("objectives", objective), what, "Write `datasets: {golden: datasets/golden.jsonl}`.")
            )
    metric = None
    if "accuracy" in declared:
        metric = _accuracy_metric(reader, document, getattr(declared["accuracy"], "metric", None), scorers)
        _check_margin(reader, document, declared["accuracy"].margin, metric, scorers)
    return {
        objective: ObjectiveSpec(
            objective=objective,
            margin=value.margin,
            metric=metric if objective == "accuracy" else getattr(value, "metric", None),
            settings=value.model_dump(exclude={"margin", "metric"}, exclude_none=True),
        )
        for objective, value in declared.items()
    }


def _check_margin(
    reader: Reader, document: Document, margin: float, metric: str | None, scorers: tuple[ScorerSpec, ...]
) -> None:
    """Only a function of the team's own gives scores that 1 could be a small part of."""
    of_metric = [scorer for scorer in scorers if metric and scorer.metric in (metric, metric.split(".")[0])]
    if margin >= 1 and not any(one.name == "python" and not one.parameters.get("binary") for one in of_metric):
        reader.problems.append(
            document.problem(
                ("objectives", "accuracy", "margin"),
                "a margin lies between 0 and 1",
                "Write a share of one such as 0.02, or a percentage such as 2%.",
            )
        )


def _accuracy_metric(
    reader: Reader, document: Document, declared: str | None, scorers: tuple[ScorerSpec, ...]
) -> str | None:
    """The metric that decides about accuracy: the declared one, or the only one. A scorer's several metrics are
    `name.part`.
    """
    metrics = [scorer.metric for scorer in scorers]
    at = ("objectives", "accuracy", "metric") if declared is not None else ("objectives", "accuracy")
    if not document.data.get("scorers"):
        what = "accuracy needs a scorer, and the service has none"
        reader.problems.append(document.problem(at, what, "Write `scorers: [exact_match]`."))
    elif declared is None and len(metrics) > 1:
        what = "with several scorers, accuracy must name the metric that decides"
        reader.problems.append(document.problem(at, what, f"Write for example `metric: {metrics[0]}`."))
    elif (
        declared is not None
        and len(metrics) == len(document.data["scorers"])
        and declared.split(".")[0] not in metrics
        and declared not in metrics
    ):
        reader.problems.append(
            document.problem(at, f"no scorer gives the metric `{declared}`", suggestion(declared, metrics))
        )
    return declared or (metrics[0] if metrics else None)


# --- changes


def _read_change(
    reader: Reader, path: Path, service: str, variants: tuple[str, ...], objectives: Collection[str] | None
) -> Change | None:
    before = len(reader.problems)
    read = reader.document(path, ChangeFile)
    if read is None:
        return None
    document, shape = read
    reader.name_matches(document, "change", shape.change, path.stem, "file")
    reader.name_matches(document, "service", shape.service, service, "folder")
    for key in ("challenger", "fallback"):
        name = getattr(shape, key)
        if name is not None and name not in variants:
            reader.problems.append(_no_variant(document, (key,), name, variants))
    for index, objective in enumerate(shape.improves or []):
        if objectives is not None and objective not in objectives:
            what = f"the service declares no objective `{objective}`, so that nothing would measure it"
            instead = f"Write `{objective}: {{margin: ...}}` under `objectives` of {service}/service.yaml."
            reader.problems.append(document.problem(("improves", index), what, instead))
    if len(reader.problems) > before:
        return None
    return Change(
        name=shape.change,
        service=shape.service,
        challenger=shape.challenger,
        improves=cast("tuple[Objective, ...]", tuple(shape.improves)),
        hypothesis=shape.hypothesis,
        path=path,
        fallback=shape.fallback,
        rollout=rollout_record(shape.rollout),
        migration=_migration(shape.migration),
    )


def _migration(shape: Any) -> Migration | None:
    if shape is None:
        return None
    usd = shape.usd + shape.hours * (shape.usd_per_hour or 0.0)
    return Migration(usd, shape.usd_per_month, shape.payback_months)
