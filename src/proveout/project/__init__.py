"""What a team declares: files into frozen records, with errors that name file, line and fix.

Records are light and always there; everything that reads files is loaded when first used, so that no command waits
for a parser that it doesn't need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names
from proveout.project.records import (
    OBJECTIVES,
    Answer,
    Change,
    DatasetKind,
    DatasetRef,
    Environment,
    Example,
    Host,
    Limits,
    Lineage,
    LongContext,
    Machine,
    Message,
    Migration,
    ModelSpec,
    Objective,
    ObjectiveSpec,
    Online,
    OutputContract,
    Price,
    Project,
    PromptTemplate,
    Role,
    ScorerSpec,
    Secret,
    Service,
    Variant,
)

if TYPE_CHECKING:
    from proveout.project.clusters import find_clusters
    from proveout.project.datasets import (
        DatasetError,
        DatasetVersion,
        Stamp,
        dataset_version,
        read_examples,
        sample_clusters,
        stamp,
    )
    from proveout.project.leaks import Leak, find_leaks
    from proveout.project.load import Survey, count_examples, find_root, load_project, survey_project
    from proveout.project.problems import Problem, ProjectError
    from proveout.project.processing import StepFailed, postprocess, preprocess
    from proveout.project.prompts import Prompt, PromptError
    from proveout.project.schemas import export_schemas, render_reference
    from proveout.project.secrets import unset_secrets

__all__ = [
    "OBJECTIVES",
    "Answer",
    "Change",
    "DatasetError",
    "DatasetKind",
    "DatasetRef",
    "DatasetVersion",
    "Environment",
    "Example",
    "Host",
    "Leak",
    "Limits",
    "Lineage",
    "LongContext",
    "Machine",
    "Message",
    "Migration",
    "ModelSpec",
    "Objective",
    "ObjectiveSpec",
    "Online",
    "OutputContract",
    "Price",
    "Problem",
    "Project",
    "ProjectError",
    "Prompt",
    "PromptError",
    "PromptTemplate",
    "Role",
    "ScorerSpec",
    "Secret",
    "Service",
    "Stamp",
    "StepFailed",
    "Survey",
    "Variant",
    "count_examples",
    "dataset_version",
    "export_schemas",
    "find_clusters",
    "find_leaks",
    "find_root",
    "load_project",
    "postprocess",
    "preprocess",
    "read_examples",
    "render_reference",
    "sample_clusters",
    "stamp",
    "survey_project",
    "unset_secrets",
]

__getattr__ = lazy_names(
    __name__,
    {
        "clusters": ("find_clusters",),
        "datasets": (
            "DatasetError",
            "DatasetVersion",
            "Stamp",
            "dataset_version",
            "read_examples",
            "sample_clusters",
            "stamp",
        ),
        "leaks": ("Leak", "find_leaks"),
        "load": ("Survey", "count_examples", "find_root", "load_project", "survey_project"),
        "problems": ("Problem", "ProjectError"),
        "processing": ("StepFailed", "postprocess", "preprocess"),
        "prompts": ("Prompt", "PromptError"),
        "schemas": ("export_schemas", "render_reference"),
        "secrets": ("unset_secrets",),
    },
)
