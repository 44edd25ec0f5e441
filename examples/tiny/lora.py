"""LoRA (Hu et al., arXiv 2106.09685): a frozen model with a small trainable change beside its projections."""

from __future__ import annotations

import torch
from llama import Llama
from torch import Tensor, nn
from torch.nn import functional

RANK = 8
ALPHA = 16.0
TARGETS = ("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj")


class Adapted(nn.Module):
    """A frozen linear layer plus alpha / rank * B A; B starts at zero, so that nothing changes at first."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        self.down = nn.Parameter(torch.randn(RANK, frozen.in_features) / frozen.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(frozen.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        change = functional.linear(functional.linear(x, self.down), self.up)
        return self.frozen(x) + change * (ALPHA / RANK)


def adapt(model: Llama) -> dict[str, Adapted]:
    """Freeze the model, put an adapter on every target, and return the adapters by the name of the weight that they
    change.
    """
    model.requires_grad_(False)
    adapters: dict[str, Adapted] = {}
    for path, module in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if name in TARGETS and isinstance(module, nn.Linear):
            adapters[f"{path}.weight"] = Adapted(module)
            setattr(model.get_submodule(parent), name, adapters[f"{path}.weight"])
    return adapters


def adapter_tensors(adapters: dict[str, Adapted]) -> dict[str, Tensor]:
    """What the adapter's file holds: `name.lora_A` (rank, in) and `name.lora_B` (out, rank) for each weight."""
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        tensors[f"{name}.lora_A"] = adapter.down.detach()
        tensors[f"{name}.lora_B"] = adapter.up.detach()
    return tensors
