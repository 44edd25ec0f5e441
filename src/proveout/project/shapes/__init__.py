"""The shapes of every declared file: pydantic models whose descriptions and examples are the file reference and the
messages.
"""

from proveout.project.shapes._base import Shape
from proveout.project.shapes.files import ChangeFile, EnvironmentFile, PricesFile, PriceShape, ProjectFile
from proveout.project.shapes.gateway import GatewayFile
from proveout.project.shapes.model import FAMILY_OF_PROVIDER, ModelShape
from proveout.project.shapes.rollout import ROLLOUT_STEPS, RolloutShape
from proveout.project.shapes.service import ServiceFile
from proveout.project.shapes.steps import INPUT_STEP_NAMES, OUTPUT_STEP_NAMES
from proveout.project.shapes.variant import PairShape, PromptFrontMatter, VariantFile

PROVIDERS = tuple(FAMILY_OF_PROVIDER)
"""All provider names."""

__all__ = [
    "INPUT_STEP_NAMES",
    "OUTPUT_STEP_NAMES",
    "PROVIDERS",
    "ROLLOUT_STEPS",
    "ChangeFile",
    "EnvironmentFile",
    "GatewayFile",
    "ModelShape",
    "PairShape",
    "PriceShape",
    "PricesFile",
    "ProjectFile",
    "PromptFrontMatter",
    "RolloutShape",
    "ServiceFile",
    "Shape",
    "VariantFile",
]
