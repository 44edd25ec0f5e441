"""One project, two stores: the same scorecard."""

import pytest
from acceptance_projects import SERVICE, answers, examples

from proveout.testing.servers import ServerUnavailable, postgres_server

VARIES = ("run", "started", "seconds")


@pytest.mark.postgres
def test_a_run_on_postgresql_gives_the_scorecard_that_sqlite_gives(proveout, declared, monkeypatch):
    rows = examples(60, tags=["t"])
    service = SERVICE.replace("objectives: {", "objectives: {stability: {margin: 0.1}, ")
    said = {"a": answers(rows, wrong=30, repeats=3), "b": answers(rows, wrong=5, repeats=3)}
    project = declared(rows, said, service=service, improves="accuracy")
    embedded = [proveout(project, "run", "c").card for _ in range(2)]
    try:
        with postgres_server() as server:
            monkeypatch.setenv("ACCEPTANCE_STORE", server.create_database())
            (project / "proveout.yaml").write_text("project: p\nstore: env:ACCEPTANCE_STORE\n")
            shared = [proveout(project, "run", "c").card for _ in range(2)]
            reported = proveout(project, "report", "--json", "-")
    except ServerUnavailable as why:
        pytest.skip(str(why))
    assert embedded[0]["decision"] == "pass"
    for on_sqlite, on_postgres in zip(embedded, shared, strict=True):
        assert {k: v for k, v in on_sqlite.items() if k not in VARIES} == {
            k: v for k, v in on_postgres.items() if k not in VARIES
        }
    assert shared[1]["run"] in reported.out
