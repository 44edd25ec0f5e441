"""The same weights in PyTorch and in CTranslate2, where those are installed: the numpy engine must say the same."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from proveout.models.tiny.engine import Cache, load_engine
from proveout.models.tiny.model import load_tokenizer
from proveout.models.tiny.weights import BUILDS, FILES, Build, load_weights

REFERENCE = Path(__file__).parent / "reference.npz"
EXAMPLES = Path(__file__).parents[3] / "examples" / "tiny"
MAX_ANSWER = 24


def read(prefix: str, path: Path = REFERENCE) -> list[list[int]]:
    stored = np.load(path)
    ends = np.cumsum(stored[f"{prefix}_lengths"])[:-1]
    return [part.tolist() for part in np.split(stored[f"{prefix}s"].astype(int), ends)]


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


@pytest.mark.parametrize("build", BUILDS)
def test_logits_are_pytorchs_for_every_build(build: Build, monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where installed")
    weights = load_weights(build)
    peer = example("llama", monkeypatch).Llama(weights.config)
    peer.load_state_dict({name: torch.from_numpy(tensor.copy()) for name, tensor in weights.tensors.items()})
    engine = load_engine(build)
    for prompt in read("prompt")[:60]:
        with torch.no_grad():
            expected = peer(torch.tensor([prompt]))[0, -1].numpy()
        found = engine.prefill(Cache(engine.config, 1), [0], [prompt])[0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)


def test_the_committed_answers_are_still_what_pytorch_says(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="compares with PyTorch where installed")
    pytest.importorskip("tokenizers", reason="the training script needs it")
    train = example("train", monkeypatch)
    prompts = read("prompt")
    assert train.reference_prompts(load_tokenizer()) == prompts
    model = train.read_model(FILES)
    for prompt, answer in list(zip(prompts, read("answer"), strict=True))[::20]:
        assert model.greedy(prompt, load_tokenizer().end, MAX_ANSWER) == answer


def test_a_reference_is_written_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="compares with PyTorch where installed")
    pytest.importorskip("tokenizers", reason="the training script needs it")
    train = example("train", monkeypatch)
    monkeypatch.setattr(train, "REFERENCE_PROMPTS", 3)
    train.write_reference(train.read_model(FILES), load_tokenizer(), tmp_path / "few.npz")
    for part in ("prompt", "answer"):
        assert read(part, tmp_path / "few.npz") == read(part)[:3]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_ctranslate2_answers_alike(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ctranslate2: Any = pytest.importorskip("ctranslate2", reason="compares with CTranslate2 where installed")
    converter = example("convert_ctranslate2", monkeypatch)
    converter.convert("f16", tmp_path)
    names = converter.vocabulary()
    generator = ctranslate2.Generator(str(tmp_path), compute_type=precision, intra_threads=1, inter_threads=1)
    results = generator.generate_batch(
        [[names[number] for number in prompt] for prompt in read("prompt")],
        max_length=MAX_ANSWER,
        sampling_topk=1,
        include_prompt_in_result=False,
        max_batch_size=32,
    )
    answers = read("answer")
    same = sum(result.sequences_ids[0] == answer for result, answer in zip(results, answers, strict=True))
    assert same == len(answers) if precision == "float32" else same >= 0.98 * len(answers)
