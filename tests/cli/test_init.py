"""`proveout init`: a project that is valid as it stands, says where its models come from, and never overwrites."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from proveout.cli.scaffold import GOLDEN_TICKETS, PER_PHRASING, SILVER_TICKETS, example_files
from proveout.models.tiny import BUILDS, lineage
from proveout.models.tiny.instructions import PROMPT
from proveout.project import find_leaks, load_project

VARIANT_OF = {"f16": "base", "lora": "tuned"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from proveout.cli.scaffold import write_example

    folder = tmp_path_factory.mktemp("init") / "example"
    write_example(folder)
    return folder


@pytest.fixture
def triage(folder: Path):
    return load_project(folder).services["triage"]


def test_the_example_is_valid_as_it_stands(proveout, folder):
    ended = proveout("check", "-C", folder)
    assert ended.code == 0
    assert "every file is valid" in ended.out
    assert "leak" not in ended.out


def test_the_next_commands_work(proveout, tmp_path):
    ended = proveout("init", tmp_path / "new")
    assert ended.code == 0
    commands = [line.split("  ")[1] for line in ended.out.splitlines() if line.startswith("  proveout")]
    assert len(commands) == 4
    check, *plans = [command.split()[1:] for command in commands]
    assert proveout(*check).code == 0
    for words in plans:
        assert "calls" in proveout(*words, "--plan").err


def test_a_second_init_is_refused_and_changes_nothing(proveout, tmp_path):
    assert proveout("init", tmp_path).code == 0
    (tmp_path / "proveout.yaml").write_text("project: mine\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = proveout("init", tmp_path)
    assert ended.code == 2
    assert "proveout.yaml is there already" in ended.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_is_refused_before_anything_is_written(proveout, tmp_path):
    taken = tmp_path / "services" / "triage" / "service.yaml"
    taken.parent.mkdir(parents=True)
    taken.write_text("service: mine\n")
    ended = proveout("init", tmp_path)
    assert ended.code == 2
    assert "service.yaml is there already" in ended.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [taken]


def test_an_interrupted_init_is_finished_by_the_next(proveout, tmp_path):
    files = example_files()
    half = dict(list(files.items())[: len(files) // 2])
    for name, content in half.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert proveout("init", tmp_path).code == 0
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_a_gitignore_that_is_there_is_added_to(proveout, tmp_path):
    (tmp_path / ".gitignore").write_text("node_modules/")
    proveout("init", tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "node_modules/\n.proveout/\n/scorecards/\n"


def test_a_folder_that_cannot_be_made_is_named(proveout, tmp_path):
    (tmp_path / "file").write_text("")
    ended = proveout("init", tmp_path / "file" / "project")
    assert ended.code == 2
    assert "can't be written" in ended.err


@pytest.mark.parametrize("build", BUILDS)
def test_every_build_is_a_variant_with_its_full_lineage(triage, build):
    variant = triage.variants[VARIANT_OF.get(build, build)]
    published = lineage(build)
    assert variant.model.options["build"] == build
    assert variant.lineage.kind == published.kind
    assert variant.lineage.parents == tuple(VARIANT_OF.get(parent, parent) for parent in published.parents)
    assert variant.lineage.method == published.method


def test_the_twin_is_the_champion_under_another_fingerprint(triage):
    base, twin = triage.variants["base"], triage.variants["twin"]
    assert twin.fingerprint != base.fingerprint
    assert twin.model == base.model
    assert {name: value for name, value in twin.parameters.items() if value != base.parameters[name]} == {
        "max_tokens": 25
    }


def test_every_variant_asks_as_the_model_was_taught(triage):
    for variant in triage.variants.values():
        system, user = variant.render({"message": "hello"})
        assert (system.content, user.content) == (PROMPT, "hello")


def test_the_data_are_golden_silver_and_clustered(folder, triage):
    golden, silver = (
        [json.loads(line) for line in (folder / f"services/triage/datasets/{name}.jsonl").read_text().splitlines()]
        for name in ("golden", "silver")
    )
    assert (len(golden), len(silver)) == (GOLDEN_TICKETS, GOLDEN_TICKETS + SILVER_TICKETS)
    assert set(Counter(row["cluster"] for row in golden).values()) == {PER_PHRASING}
    labels = {row["id"]: row["expected"] for row in golden}
    wrong = [row["expected"] != labels[row["id"]] for row in silver if row["id"] in labels]
    assert len(wrong) == GOLDEN_TICKETS
    assert 0.04 < sum(wrong) / len(wrong) < 0.12
    new = {row["cluster"] for row in silver if row["id"] not in labels}
    assert len(new) == SILVER_TICKETS / PER_PHRASING
    assert not new & {row["cluster"] for row in golden}
    assert find_leaks(triage) == ()


def test_the_example_runs_where_the_locale_knows_only_ascii(tmp_path: Path) -> None:
    alone = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "proveout"]
    for words in (["init", "p"], ["run", "tuned", "-C", "p", "--limit", "6"]):
        ended = subprocess.run([*command, *words], cwd=tmp_path, env=alone, capture_output=True, check=False)
        assert "Traceback" not in ended.stderr.decode("ascii")
    assert (ended.returncode, '"A fine-tune' in ended.stdout.decode("ascii")) == (3, True)
