"""A Llama decoder on numpy: rotary positions, grouped-query attention, a key-value cache, any number of sequences at
once.

A sequence's numbers never depend on what else is computed beside it. Matrix products are cut into blocks of `BLOCK`
rows, so that BLAS always sees one shape and sums in one order, and attention is padded by the sequence's own length.
So greedy answers are the same, bit for bit, whether a request is alone or among fifty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from proveout.models.tiny.weights import Build, Config, Tensor, Weights, load_weights

BLOCK = 8
"""Rows of every matrix product; the fastest a row of those tried (4, 8, 16, 32)."""
SPAN = 64
"""Attention looks at multiples of so many cached positions."""

Slots = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights, transposed for row vectors, with projections of the same input side by side."""

    attention_norm: Tensor
    query_key_value: Tensor
    output: Tensor
    ffn_norm: Tensor
    gate_up: Tensor
    down: Tensor


class Cache:
    """Keys and values of so many sequences: keys (layers, slots, kv heads, head size, context), values with the last
    two swapped.
    """

    def __init__(self, config: Config, slots: int) -> None:
        self.keys = np.zeros((config.layers, slots, config.kv_heads, config.head_size, config.context), np.float32)
        self.values = np.zeros((config.layers, slots, config.kv_heads, config.context, config.head_size), np.float32)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot to another."""
        self.keys[:, target, :, :, :length] = self.keys[:, source, :, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]


class Engine:
    """One build of the model, ready to compute. It has no state of its own: sequences live in a `Cache`."""

    def __init__(self, weights: Weights) -> None:
        config = weights.config
        tensors = weights.tensors
        self.config = config
        self.embeddings = tensors["model.embed_tokens.weight"]
        self._unembed = np.ascontiguousarray(self.embeddings.T)
        self._final_norm = tensors["model.norm.weight"]

        def transposed(layer: int, *names: str) -> Tensor:
            parts = [tensors[f"model.layers.{layer}.{name}_proj.weight"] for name in names]
            return np.ascontiguousarray(np.concatenate(parts).T)

        self._layers = [
            Layer(
                attention_norm=tensors[f"model.layers.{number}.input_layernorm.weight"],
                query_key_value=transposed(number, "self_attn.q", "self_attn.k", "self_attn.v"),
                output=transposed(number, "self_attn.o"),
                ffn_norm=tensors[f"model.layers.{number}.post_attention_layernorm.weight"],
                gate_up=transposed(number, "mlp.gate", "mlp.up"),
                down=transposed(number, "mlp.down"),
            )
            for number in range(config.layers)
        ]
        half = config.head_size // 2
        frequencies = config.rope_base ** (-np.arange(0, config.head_size, 2) / config.head_size)
        angles = np.outer(np.arange(config.context), frequencies)
        self._cos = np.concatenate([np.cos(angles)] * 2, axis=1).astype(np.float32)
        self._sin = np.concatenate([-np.sin(angles), np.sin(angles)], axis=1).astype(np.float32)
        self._other_half = np.concatenate([np.arange(half, 2 * half), np.arange(half)])
        self._scale = np.float32(config.head_size**-0.5)

    def exchange(self, weights: Weights) -> None:
        """Compute with other weights of the same shape from the next step on: a fault that answers 200."""
        self.__init__(weights)

    def prefill(self, cache: Cache, slots: Sequence[int], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts into fresh slots. They must all pad to the same length (see `padded`).

        Returns:
            Logits of the token after each prompt, (sequences, vocabulary).
        """
        width = padded(len(prompts[0]), BLOCK)
        tokens = np.zeros((len(prompts), width), dtype=np.intp)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
        last = np.array([len(prompt) - 1 for prompt in prompts])
        return self._forward(cache, np.array(slots), tokens, np.zeros(len(prompts), dtype=np.intp), last)

    def decode(self, cache: Cache, slots: Slots, tokens: NDArray[np.intp], lengths: NDArray[np.intp]) -> Tensor:
        """Add one token to each sequence, where `lengths` are its positions so far; all must have the same `span`.

        Returns:
            Logits of the next token, (sequences, vocabulary).
        """
        return self._forward(cache, slots, tokens[:, None], lengths, np.zeros(len(tokens), dtype=np.intp))

    def _forward(
        self, cache: Cache, slots: Slots, tokens: NDArray[np.intp], starts: NDArray[np.intp], last: NDArray[np.intp]
    ) -> Tensor:
        """Tokens (sequences, width) at positions from `starts` on; logits after the token at index `last` of each."""
        sequences, width = tokens.shape
        positions = starts[:, None] + np.arange(width)
        reach = padded(int(starts[0]) + width, SPAN)
        hidden_future = np.arange(reach) > positions[:, :, None]
        mask = np.where(hidden_future, np.float32(-np.inf), np.float32(0))[:, None, None]
        cos, sin = self._cos[positions][:, :, None], self._sin[positions][:, :, None]

        x = self._in_blocks(self.embeddings[tokens].reshape(sequences * width, -1))
        for number, layer in enumerate(self._layers):
            projected = self._rows(self._normed(x, layer.attention_norm) @ layer.query_key_value, sequences, width)
            attended = self._attend(
                cache.keys[number], cache.values[number], slots, projected, positions, cos, sin, mask
            )
            x += self._in_blocks(attended) @ layer.output
            gate_up = self._normed(x, layer.ffn_norm) @ layer.gate_up
            x += _gated(gate_up[..., : self.config.ffn], gate_up[..., self.config.ffn :]) @ layer.down
        final = self._rows(x, sequences, width)[np.arange(sequences), last]
        logits = self._normed(self._in_blocks(final), self._final_norm) @ self._unembed
        return self._rows(logits, sequences, 1)[:, 0]

    def _attend(
        self,
        keys: Tensor,
        values: Tensor,
        slots: Slots,
        projected: Tensor,
        positions: NDArray[np.intp],
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Store this layer's new keys and values, and attend to all so far; `projected` is (sequences, width, q + k +
        v).
        """
        config = self.config
        sequences, width, _ = projected.shape
        reach = mask.shape[-1]
        heads = projected.reshape(sequences, width, -1, config.head_size)
        turned = heads[:, :, : -config.kv_heads]
        turned = turned * cos + turned[..., self._other_half] * sin
        rows = np.arange(keys.shape[0])[slots][:, None]
        keys[rows, :, :, positions] = turned[:, :, config.heads :]
        values[rows, :, positions] = heads[:, :, -config.kv_heads :]

        queries = (turned[:, :, : config.heads] * self._scale).reshape(
            sequences, width, config.kv_heads, -1, config.head_size
        )
        queries = queries.transpose(0, 2, 3, 1, 4).reshape(sequences, config.kv_heads, -1, config.head_size)
        scores = queries @ keys[slots, :, :, :reach]
        scores = scores.reshape(sequences, config.kv_heads, -1, width, reach) + mask
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = scores / scores.sum(axis=-1, keepdims=True)
        mixed = shares.reshape(sequences, config.kv_heads, -1, reach) @ values[slots, :, :reach]
        mixed = mixed.reshape(sequences, config.heads, width, config.head_size).transpose(0, 2, 1, 3)
        return mixed.reshape(sequences * width, config.hidden)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """Root-mean-square normalisation (Zhang and Sennrich, arXiv 1910.07467)."""
        mean_square = np.vecdot(x, x)[..., None] / np.float32(self.config.hidden)
        return x / np.sqrt(mean_square + np.float32(self.config.norm_epsilon)) * weight

    @staticmethod
    def _in_blocks(rows: Tensor) -> Tensor:
        """Rows padded with zeros and cut into (blocks, BLOCK, columns)."""
        count, columns = rows.shape
        full = padded(count, BLOCK)
        if full != count:
            rows = np.concatenate([rows, np.zeros((full - count, columns), np.float32)])
        return rows.reshape(-1, BLOCK, columns)

    @staticmethod
    def _rows(blocks: Tensor, sequences: int, width: int) -> Tensor:
        """The inverse of `_in_blocks`, as (sequences, width, columns)."""
        columns = blocks.shape[-1]
        return blocks.reshape(-1, columns)[: sequences * width].reshape(sequences, width, columns)


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    """SwiGLU (Shazeer, arXiv 2002.05202)."""
    return gate / (np.float32(1) + np.exp(-gate)) * up


@cache
def load_engine(build: Build) -> Engine:
    """The engine of a build; loaded once a process.

    Raises:
        DamagedFile: a file's digest is not the published one.
    """
    return Engine(load_weights(build))


def padded(length: int, multiple: int) -> int:
    """The next multiple from `length` up."""
    return -(-length // multiple) * multiple


def span(length: int) -> int:
    """How far attention reaches when a token is added to a sequence of `length` positions: only equal spans decode
    together.
    """
    return padded(length + 1, SPAN)
