"""Alerts in Alertmanager's webhook format, out and in (https://prometheus.io/docs/alerting/latest/configuration/)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from proveout.delivery.state import Rollout
from proveout.storage.records import Incident

_NEVER = "0001-01-01T00:00:00Z"


def alert(rollout: Rollout, incident: Incident, failures: int) -> dict[str, Any]:
    """What is sent of an incident."""
    labels = {
        "alertname": "ProveoutDegradation",
        "severity": "critical",
        "environment": incident.environment,
        "service": incident.service,
        "variant": incident.variant,
    }
    annotations = {
        "summary": f"{incident.service} in {incident.environment}: {rollout.shown.replace('_', ' ')}",
        "description": incident.reason,
        "serving": rollout.serving.variant,
        "incident": incident.id,
        "failures_kept": str(failures),
    }
    group = {"alertname": labels["alertname"], "service": incident.service}
    return {
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in group.items()) + "}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "proveout",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": datetime.fromtimestamp(incident.opened, UTC).isoformat().replace("+00:00", "Z"),
                "endsAt": _NEVER,
                "generatorURL": "",
                "fingerprint": hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16],
            }
        ],
    }


class BadAlert(ValueError):
    """What came is no alert that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A firing alert about a service."""

    service: str
    environment: str
    reason: str


def heard_alerts(message: Any) -> list[Heard]:
    """The firing alerts of a webhook message that name a `service` (and an `environment`; `production` without one).

    Raises:
        BadAlert: it is no message of Alertmanager's.
    """
    if not isinstance(message, dict):
        raise BadAlert("expected a JSON object in Alertmanager's webhook format")
    alerts = cast("dict[str, Any]", message).get("alerts")
    if not isinstance(alerts, list):
        raise BadAlert("expected `alerts`, a list")
    found: list[Heard] = []
    for one in cast("list[Any]", alerts):
        if not isinstance(one, dict):
            raise BadAlert("expected every alert to be an object")
        given = cast("dict[str, Any]", one)
        labels, annotations = _texts(given.get("labels")), _texts(given.get("annotations"))
        if given.get("status") != "firing" or "service" not in labels:
            continue
        name = labels.get("alertname", "an alert")
        said = annotations.get("summary") or annotations.get("description") or ""
        reason = f"{name} is firing" + (f": {said}" if said else "")
        found.append(Heard(labels["service"], labels.get("environment", "production"), reason))
    return found


def _texts(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): str(text) for name, text in cast("dict[Any, Any]", value).items()}
