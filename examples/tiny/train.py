"""Train the built-in model from nothing: tokenizer, base model, LoRA fine-tune; write the files that ship with the
package, and say how good they are.

    OMP_NUM_THREADS=1 python examples/tiny/train.py

About three minutes of one core. Same seed, same machine, same files; another processor rounds differently and gets
other weights of about the same accuracy. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tokenizers
import torch
from conversations import Batches, Part, converse, training_tickets
from llama import Llama
from lora import ALPHA, RANK, TARGETS, adapt, adapter_tensors
from tokenizers import Tokenizer as TrainableTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch.nn import functional

from proveout.models.tiny.batching import Batcher, Job
from proveout.models.tiny.engine import Engine
from proveout.models.tiny.instructions import PROMPT
from proveout.models.tiny.sampling import Sampling
from proveout.models.tiny.tickets import GROUPS, endless, golden
from proveout.models.tiny.tokenizer import SPECIAL, Tokenizer
from proveout.models.tiny.weights import (
    BUILDS,
    FILES,
    GROUP,
    Config,
    load_weights,
    merged,
    quantised_file,
    read_safetensors,
    write_safetensors,
)

REFERENCE_PROMPTS = 400
MAX_ANSWER = 24

VOCABULARY = 768
CONTEXT = 512
BATCH = 48
TURNS = 3
LEARNING_RATE = 3e-3
LORA_BATCH = 32
LORA_LEARNING_RATE = 3e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of the base model")
    parser.add_argument("--lora-steps", type=int, default=100, help="optimiser steps of the fine-tune")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILES, help="folder of the model's files")
    parser.add_argument("--reference", type=Path, help="also write greedy answers for the tests to compare with")
    parser.add_argument("--tickets", type=int, default=480, help="how many the evaluation asks each build about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.process_time()

    train_tokenizer(options.out / "tokenizer.json", options.seed)
    tokenizer = Tokenizer(options.out / "tokenizer.json")
    base, base_data = train_base(tokenizer, options.steps, options.seed)
    config = {"config": json.dumps(asdict(base.config))}
    weights = {name: tensor.numpy().astype(np.float16) for name, tensor in base.state_dict().items()}
    write_safetensors(options.out / "base.f16.safetensors", weights, config)
    write_safetensors(options.out / "base.int8.safetensors", quantised_file(weights, 8), config)

    shipped = read_model(options.out)
    if options.reference is not None:
        write_reference(shipped, tokenizer, options.reference)
    adapter, lora_data = fine_tune(shipped, tokenizer, options.lora_steps, options.seed)
    write_safetensors(options.out / "lora.safetensors", adapter, {"alpha": str(ALPHA)})
    write_manifest(options.out, options, base_data, lora_data)
    evaluate(options.out, tokenizer, options.tickets)
    print(f"{time.process_time() - started:.0f} s of processor time; files in {options.out}")


def train_tokenizer(path: Path, seed: int) -> None:
    """Byte-pair encoding, learned on conversations like those that the model is trained on."""
    tokenizer = TrainableTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    source = random.Random(f"tokenizer {seed}")
    tickets = training_tickets(source, "trained")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((converse(source, tickets).text() for _ in range(6000)), trainer)
    path.write_text(tokenizer.to_str())


def train_base(tokenizer: Tokenizer, steps: int, seed: int) -> tuple[Llama, str]:
    """The base model, and the digest of the text that it saw. Every eighth batch has several turns."""
    model = Llama(Config(VOCABULARY, hidden=128, layers=3, heads=4, kv_heads=2, ffn=320, context=CONTEXT))
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    batches = Batches(tokenizer, random.Random(f"base {seed}"), "trained")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=0.05, betas=(0.9, 0.98), fused=True
    )
    for step in range(steps):
        warm = min(1.0, (step + 1) / 40)
        rate = LEARNING_RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        several = step % 8 == 7
        batch = batches.draw(BATCH // TURNS, TURNS) if several else batches.draw(BATCH)
        improve(model, optimizer, rate, batch, "base", step + 1)
    return model.eval(), batches.digest


def fine_tune(model: Llama, tokenizer: Tokenizer, steps: int, seed: int) -> tuple[dict[str, np.ndarray], str]:
    """A LoRA adapter that learned the new phrasings beside the old ones, and the digest of the text that it saw."""
    adapters = adapt(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    batches = Batches(tokenizer, random.Random(f"lora {seed}"), "trained", "new")
    optimizer = torch.optim.AdamW(parameters, lr=LORA_LEARNING_RATE, fused=True)
    for step in range(steps):
        rate = LORA_LEARNING_RATE * (1 - step / steps)
        improve(model, optimizer, rate, batches.draw(LORA_BATCH), "lora", step + 1)
    return {
        name: tensor.numpy().astype(np.float16) for name, tensor in adapter_tensors(adapters).items()
    }, batches.digest


def improve(
    model: Llama, optimizer: torch.optim.Optimizer, rate: float, batch: Sequence[Part], progress: str, step: int
) -> None:
    """One optimiser step on one batch: the gradients of its parts add up to that of the whole."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    total = sum(float(weights[:, 1:].sum()) for _, weights in batch)
    loss = 0.0
    for tokens, weights in batch:
        logits = model(tokens[:, :-1])
        losses = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        part = (losses * weights[:, 1:].flatten()).sum() / total
        part.backward()
        loss += part.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 50 == 0:
        print(f"{progress}: step {step}, loss {loss:.3f}", flush=True)


def read_model(folder: Path, *, lora: bool = False) -> Llama:
    """The model as it ships: from the 16-bit file, optionally with the adapter merged."""
    stored, metadata = read_safetensors(folder / "base.f16.safetensors")
    tensors = {name: tensor.astype(np.float32) for name, tensor in stored.items()}
    if lora:
        adapter, recipe = read_safetensors(folder / "lora.safetensors")
        tensors = merged(tensors, adapter, float(recipe["alpha"]))
    model = Llama(Config(**json.loads(metadata["config"])))
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
    return model.eval()


def reference_prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """Prompts of every kind that the model knows: all instructions, all phrasings, a tenth of them with an earlier
    turn.
    """
    source = random.Random("reference")
    tickets = endless(source)
    prompts: list[list[int]] = []
    for number in range(REFERENCE_PROMPTS):
        conversation = converse(source, tickets, 2 if number % 10 == 0 else 1)
        *earlier, last = conversation.turns
        messages = [("system", conversation.system)] if conversation.system is not None else []
        for turn in earlier:
            messages += [("user", turn.message), ("assistant", turn.answer)]
        prompts.append(tokenizer.chat([*messages, ("user", last.message)]))
    return prompts


def write_reference(model: Llama, tokenizer: Tokenizer, path: Path) -> None:
    """PyTorch's greedy answers to the reference prompts: what the numpy engine must say, token for token."""
    prompts = reference_prompts(tokenizer)
    answers = [model.greedy(prompt, tokenizer.end, MAX_ANSWER) for prompt in prompts]
    np.savez_compressed(
        path,
        prompts=np.concatenate([np.array(prompt, dtype=np.uint16) for prompt in prompts]),
        prompt_lengths=np.array([len(prompt) for prompt in prompts], dtype=np.uint16),
        answers=np.concatenate([np.array(answer, dtype=np.uint16) for answer in answers]),
        answer_lengths=np.array([len(answer) for answer in answers], dtype=np.uint16),
    )


def write_manifest(folder: Path, options: argparse.Namespace, base_data: str, lora_data: str) -> None:
    """Digests of the files, and the lineage of every build."""
    names = ("tokenizer.json", "base.f16.safetensors", "base.int8.safetensors", "lora.safetensors")
    files = {name: (folder / name).read_bytes() for name in names}
    tool = {
        "tool": "examples/tiny/train.py",
        "torch": torch.__version__.split("+")[0],
        "tokenizers": tokenizers.__version__,
    }
    base = {**tool, "seed": options.seed, "steps": options.steps, "batch": BATCH, "data_sha256": base_data}
    adapter = {"adapter": "LoRA", "rank": RANK, "alpha": ALPHA, "targets": list(TARGETS)}
    tuned = {**tool, **adapter, "seed": options.seed, "steps": options.lora_steps, "batch": LORA_BATCH}
    builds = {"f16": {"kind": "engine", "parents": [], "files": ["base.f16.safetensors"], "method": base}}
    for bits in (8, 4, 2):
        builds[f"int{bits}"] = {
            "kind": "quantised",
            "parents": ["f16"],
            "files": ["base.int8.safetensors" if bits == 8 else "base.f16.safetensors"],
            "method": {"scheme": "symmetric, round to nearest", "bits": bits, "group": GROUP},
        }
    builds["lora"] = {
        "kind": "finetuned",
        "parents": ["f16"],
        "files": ["base.f16.safetensors", "lora.safetensors"],
        "method": {**tuned, "data_sha256": lora_data},
    }
    manifest = {
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
        "builds": builds,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def evaluate(folder: Path, tokenizer: Tokenizer, tickets: int) -> None:
    """Every build's accuracy under the example's prompt, on the engine that ships. `python -m benchmarks.tiny.accuracy`
    adds the intervals.
    """
    rows = golden(tickets, seed=20)
    prompts = [tokenizer.chat([("system", PROMPT), ("user", row["input"]["message"])]) for row in rows]
    print(f"{tickets} tickets: right answers, all and by group of phrasings")
    for build in BUILDS:
        answers = asyncio.run(ask(Engine(load_weights(build, folder)), tokenizer, prompts))
        right = [answer == json.dumps({"intent": row["expected"]}) for answer, row in zip(answers, rows, strict=True)]
        shares = [f"{build:<5} all {sum(right) / tickets:.1%}"]
        for group in GROUPS:
            some = [hit for hit, row in zip(right, rows, strict=True) if group in row["tags"]]
            shares.append(f"{group} {sum(some) / max(1, len(some)):.1%}")
        print("  ".join(shares), flush=True)


async def ask(engine: Engine, tokenizer: Tokenizer, prompts: list[list[int]]) -> list[str]:
    """The greedy answers to all prompts."""
    batcher = Batcher(engine, tokenizer)

    async def answer(prompt: list[int]) -> str:
        job = Job(prompt, Sampling(temperature=0), MAX_ANSWER)
        return "".join([piece.text async for piece in batcher.stream(job)])

    try:
        return await asyncio.gather(*map(answer, prompts))
    finally:
        batcher.close()


if __name__ == "__main__":
    main()
