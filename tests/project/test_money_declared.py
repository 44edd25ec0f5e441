"""What answers are worth, what a change takes, and whose machines serve: declared, checked, and in the records."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proveout.project import Machine, Migration, ProjectError, export_schemas

SERVICE = "services/triage/service.yaml"
CHANGE = "services/triage/changes/haiku.yaml"
VARIANT = "services/triage/variants/haiku.yaml"


def add(repository: Any, file: str, text: str) -> None:
    path = repository.root / file
    path.write_text(f"{path.read_text().rstrip()}\n{text}\n")


def host(repository: Any) -> None:
    add(repository, "prices.yaml", "hosts: [{name: h100-x1, since: 2026-01-31, usd_per_hour: 2.5}]")


def test_the_worth_of_answers_and_the_busiest_minutes(repository: Any) -> None:
    repository.replace(SERVICE, "3000000}", "3000000, peak_to_mean: 3}\nworth: {usd_per_success: 0.02}")
    service = repository.load().services["triage"]
    assert service.worth == {"usd_per_success": 0.02, "usd_per_failure": 0.0}
    assert service.traffic["peak_to_mean"] == 3


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("{hours: 40, usd_per_hour: 90}", Migration(3600.0)),
        ("{usd: 3600}", Migration(3600.0)),
        (
            "{usd: 100, hours: 2, usd_per_hour: 50, usd_per_month: 30, payback_months: 6}",
            Migration(200.0, 30.0, 6.0),
        ),
    ],
)
def test_the_effort_of_a_change(repository: Any, declared: str, expected: Migration) -> None:
    add(repository, CHANGE, f"migration: {declared}")
    assert repository.load().change("haiku")[1].migration == expected


def test_a_model_of_ones_own_names_its_machines_and_keeps_its_fingerprint(repository: Any) -> None:
    before = repository.variant("haiku").fingerprint
    host(repository)
    add(repository, VARIANT, "machine: {host: h100-x1, count: 2, goodput: 6, headroom: 70%, spare: 1}")
    variant = repository.variant("haiku")
    assert variant.machine == Machine("h100-x1", 2, 6, 0.7, 1)
    assert variant.fingerprint == before


@pytest.mark.parametrize(
    ("file", "text", "line", "field", "what", "instead"),
    [
        (CHANGE, "migration: {hours: 40}", 6, "migration.hours", "hours without what one costs", "usd_per_hour: 90"),
        (CHANGE, "migration: {usd_per_hour: 90}", 6, "migration.usd_per_hour", "no hours", "hours: 40"),
        (CHANGE, "migration: {usd: -1}", 6, "migration.usd", "at least 0", "3600"),
        (CHANGE, "migration: {dollars: 1}", 6, "migration.dollars", "unknown key", "usd"),
        (SERVICE, "worth: {}", 22, "worth", "says nothing", "usd_per_success: 0.02"),
        (SERVICE, "worth: {usd_per_success: high}", 22, "worth.usd_per_success", "number", "0.02"),
        (VARIANT, "machine: {host: a100}", 7, "machine.host", "prices.yaml has no host `a100`", "Add to prices.yaml"),
        (VARIANT, "machine: {host: h100, headroom: 0}", 7, "machine.headroom", "lies above 0", "percentage"),
    ],
)
def test_a_mistake_names_line_field_and_what_to_write(
    repository: Any, file: str, text: str, line: int, field: str, what: str, instead: str
) -> None:
    add(repository, file, text)
    with pytest.raises(ProjectError) as raised:
        repository.load()
    problem = next(problem for problem in raised.value.problems if problem.field == field)
    assert (problem.file, problem.line) == (file, line)
    assert what in problem.what
    assert instead in problem.instead


def test_a_near_name_of_a_host_is_suggested(repository: Any) -> None:
    host(repository)
    add(repository, VARIANT, "machine: {host: h100-x2}")
    with pytest.raises(ProjectError, match="Did you mean `h100-x1`"):
        repository.load()


def test_editors_know_them() -> None:
    schemas = export_schemas()
    base = {"change": "a", "service": "s", "challenger": "b", "improves": []}
    change = Draft202012Validator(schemas["change"])
    assert change.is_valid({**base, "migration": {"hours": 40, "usd_per_hour": 90}})
    assert not change.is_valid({**base, "migration": {"hours": "many"}})
    variant = Draft202012Validator(schemas["variant"])
    tiny = {"variant": "a", "model": {"provider": "tiny"}}
    assert variant.is_valid({**tiny, "machine": {"host": "h100-x1"}})
    assert not variant.is_valid({**tiny, "machine": {"count": 1}})
