"""The shapes of every declared file: pydantic models whose descriptions and examples are the file reference and the
messages. Each is made when it is first used: all of them would take longer to make than a small project to read.
"""

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.project.shapes._base import Shape
    from proveout.project.shapes.environment import EnvironmentFile
    from proveout.project.shapes.files import ChangeFile, ProjectFile
    from proveout.project.shapes.gateway import GatewayFile
    from proveout.project.shapes.model import ModelShape
    from proveout.project.shapes.prices import PricesFile, PriceShape
    from proveout.project.shapes.rollout import RolloutShape
    from proveout.project.shapes.service import ServiceFile
    from proveout.project.shapes.variant import PairShape, PromptFrontMatter, VariantFile

__all__ = [
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

__getattr__ = lazy_names(
    __name__,
    {
        "_base": ("Shape",),
        "environment": ("EnvironmentFile",),
        "files": ("ChangeFile", "ProjectFile"),
        "gateway": ("GatewayFile",),
        "model": ("ModelShape",),
        "prices": ("PriceShape", "PricesFile"),
        "rollout": ("RolloutShape",),
        "service": ("ServiceFile",),
        "variant": ("PairShape", "PromptFrontMatter", "VariantFile"),
    },
)
