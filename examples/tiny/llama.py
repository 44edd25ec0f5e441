"""A small Llama decoder in plain PyTorch: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings.

Parameters have the names of Hugging Face's Llama, so that every converter finds them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from proveout.models.tiny.weights import Config


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        narrow = config.kv_heads * config.head_size
        self.q_proj = nn.Linear(config.hidden, config.hidden, bias=False)
        self.k_proj = nn.Linear(config.hidden, narrow, bias=False)
        self.v_proj = nn.Linear(config.hidden, narrow, bias=False)
        self.o_proj = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, hidden = x.shape

        def heads(projected: Tensor) -> Tensor:
            return projected.view(batch, length, -1, self.config.head_size).transpose(1, 2)

        queries, keys, values = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        attended = functional.scaled_dot_product_attention(
            rotated(queries, cos, sin), rotated(keys, cos, sin), values, is_causal=True, enable_gqa=True
        )
        return self.o_proj(attended.transpose(1, 2).reshape(batch, length, hidden))


class FeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_epsilon)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, eps=config.norm_epsilon)


class Llama(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocabulary)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        frequencies = config.rope_base ** (
            -torch.arange(0, config.head_size, 2, dtype=torch.float64) / config.head_size
        )
        angles = torch.outer(torch.arange(config.context, dtype=torch.float64), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return functional.linear(self.model.norm(x), self.model.embed_tokens.weight)

    @torch.no_grad()
    def greedy(self, prompt: list[int], end: int, max_tokens: int) -> list[int]:
        """The most likely continuation of one prompt, without its end token. Recomputes everything for each token:
        slow and plain.
        """
        tokens = list(prompt)
        while len(tokens) < len(prompt) + max_tokens:
            best = int(self(torch.tensor([tokens]))[0, -1].argmax())
            if best == end:
                break
            tokens.append(best)
        return tokens[len(prompt) :]


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., arXiv 2104.09864), with the two halves of a head as real and imaginary
    parts.
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
