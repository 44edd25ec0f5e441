"""What is shipped beside the code names only what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from proveout.cli.app import app
from proveout.gateway.metrics import METRICS

PEERS = Path(os.environ.get("PROVEOUT_PEERS") or Path(__file__).parents[2] / ".peers")
DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "proveout-gateway.json"
RULES = DEPLOY / "prometheus" / "proveout-gateway.rules.yaml"
MANIFESTS = DEPLOY / "kubernetes" / "gateway.yaml"
EVERY_MANIFEST = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
NAMES = re.compile(r"\bproveout_gateway_\w+")


def known(name: str) -> bool:
    return name in METRICS or any(
        name == metric + suffix
        for metric, (kind, _) in METRICS.items()
        if kind == "histogram"
        for suffix in ("_bucket", "_sum", "_count")
    )


@pytest.mark.parametrize("path", [DASHBOARD, RULES], ids=lambda path: path.name)
def test_every_metric_named_exists(path: Path) -> None:
    names = set(NAMES.findall(path.read_text()))
    assert len(names) > 5
    assert not {name for name in names if not known(name)}


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = set(NAMES.findall(DASHBOARD.read_text() + RULES.read_text()))
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert shown == set(METRICS)


def test_the_dashboard_is_whole() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["title"]
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["expr"].count("{") == target["expr"].count("}")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def test_alerts_say_what_and_how_bad() -> None:
    (document,) = documents(RULES)
    for rule in document["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")


def test_the_manifests_run_a_command_that_there_is_on_the_port_that_is_probed() -> None:
    workload, service, budget = documents(MANIFESTS)
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    words = shlex.split(shlex.join(container["args"]))
    command = typer.main.get_command(app)
    assert words[0] == "proveout"
    found = command.commands[words[1]]  # pyright: ignore[reportAttributeAccessIssue]
    flags = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags
    port = words[words.index("--port") + 1]
    assert container["ports"][0]["containerPort"] == int(port)
    assert workload["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == port
    labels = workload["spec"]["template"]["metadata"]["labels"]
    for selector in (
        workload["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        budget["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 35  # preStop and draining.


@pytest.mark.parametrize("path", EVERY_MANIFEST, ids=lambda path: path.name)
def test_manifests_meet_kubernetes_own_schemas(path: Path) -> None:
    program = PEERS / "clients" / "bin" / "kubernetes-validate"
    if not program.exists():
        pytest.skip("kubernetes-validate (110 MB of schemas) is not installed; make peers installs it")
    for version in ("1.28", "1.37"):
        done = subprocess.run(
            [program, "--strict", "--kubernetes-version", version, path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", EVERY_MANIFEST, ids=lambda path: path.name)
def test_manifests_select_their_own_pods_and_run_as_nobody_in_particular(path: Path) -> None:
    found = documents(path)
    (workload,) = [one for one in found if one["kind"] in ("StatefulSet", "Deployment")]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    for one in found:
        selector = one["spec"]["selector"]
        assert selector.get("matchLabels", selector).items() <= labels.items()
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_the_controllers_manifest_runs_a_command_that_there_is() -> None:
    (workload,) = documents(DEPLOY / "kubernetes" / "controller.yaml")
    words = workload["spec"]["template"]["spec"]["containers"][0]["args"]
    command = typer.main.get_command(app).commands[words[1]]  # pyright: ignore[reportAttributeAccessIssue]
    flags = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags
