"""Convert the built-in model for CTranslate2, a real engine that installs from a wheel: the same weights, another
engine.

    pip install ctranslate2
    python examples/tiny/convert_ctranslate2.py /tmp/tiny-ctranslate2 --build f16

Nothing but numpy and ctranslate2 is needed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import get_args

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec

from proveout.models.tiny.tokenizer import END
from proveout.models.tiny.weights import TOKENIZER, Build, Tensor, Weights, load_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the converted model")
    parser.add_argument("--build", choices=get_args(Build), default="f16")
    options = parser.parse_args()
    convert(options.build, options.folder)
    print(f"{options.build} is in {options.folder}; load it with ctranslate2.Generator({str(options.folder)!r})")


def convert(build: Build, folder: Path) -> None:
    """Write a build as a CTranslate2 model, in float32; CTranslate2 quantises it when it is loaded, if asked to."""
    weights = load_weights(build)
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        num_layers=weights.config.layers,
        num_heads=weights.config.heads,
        num_heads_kv=weights.config.kv_heads,
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=weights.config.rope_base,
        quant_type=common_spec.Quantization.CT2,
    )
    fill(spec.decoder, weights)
    spec.register_vocabulary(vocabulary())
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
    spec.config.layer_norm_epsilon = weights.config.norm_epsilon
    spec.validate()
    spec.optimize(quantization="float32")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def fill(decoder: transformer_spec.TransformerDecoderSpec, weights: Weights) -> None:
    """Put every tensor in its place."""
    tensors = weights.tensors
    decoder.scale_embeddings = False
    decoder.embeddings.weight = tensors["model.embed_tokens.weight"]
    decoder.projection.weight = tensors["model.embed_tokens.weight"]
    decoder.layer_norm.gamma = tensors["model.norm.weight"]
    for number, layer in enumerate(decoder.layer):

        def tensor(name: str, number: int = number) -> Tensor:
            return tensors[f"model.layers.{number}.{name}.weight"]

        layer.self_attention.layer_norm.gamma = tensor("input_layernorm")
        layer.self_attention.linear[0].weight = np.concatenate([tensor(f"self_attn.{name}_proj") for name in "qkv"])
        layer.self_attention.linear[1].weight = tensor("self_attn.o_proj")
        layer.ffn.layer_norm.gamma = tensor("post_attention_layernorm")
        layer.ffn.linear_0.weight = tensor("mlp.gate_proj")
        layer.ffn.linear_0_noact.weight = tensor("mlp.up_proj")
        layer.ffn.linear_1.weight = tensor("mlp.down_proj")


def vocabulary() -> list[str]:
    """Every token's name, by its id."""
    names: dict[str, int] = json.loads(TOKENIZER.read_text())["model"]["vocab"]
    return sorted(names, key=names.__getitem__)


if __name__ == "__main__":
    main()
