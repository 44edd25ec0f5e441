"""What a load test shoots at: the endpoints of variants, and the built-in model served for the occasion."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

from proveout.loadtest.recorder import CannotLoad
from proveout.project.records import ModelSpec, Variant

_START_S = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@contextlib.asynccontextmanager
async def serving(variants: Sequence[Variant]) -> AsyncIterator[tuple[ModelSpec, ...]]:
    """Each variant's endpoint. The built-in model gets a server of its own for each variant, behind HTTP like any
    other, in a process that ends with the context (and with this process).

    Raises:
        CannotLoad: a variant is a recording, or the built-in model's server does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        specs: list[ModelSpec] = []
        for variant in variants:
            if variant.model.provider == "replay":
                raise CannotLoad(f"variant {variant.name} is a recording: there is no endpoint to put under load")
            if variant.model.provider == "tiny":
                specs.append(await stack.enter_async_context(_built_in(variant.model)))
            else:
                specs.append(variant.model)
        yield tuple(specs)


def share_a_machine(variants: Sequence[Variant]) -> bool:
    """Whether load on one variant may slow another: the same host, or both on this machine. Hosts of one provider's
    hosted API share its fleet, but no queue that one test would fill."""
    places = [_place(variant.model) for variant in variants]
    return len(set(places)) < len(places)


def is_local(spec: ModelSpec) -> bool:
    """Whether the endpoint is on this machine."""
    return _place(spec) == "here"


def _place(spec: ModelSpec) -> str:
    if spec.provider == "tiny":
        return "here"
    if spec.url is None:
        return "here" if spec.provider in _LOCAL_ENGINES else f"{spec.provider} {spec.name}"
    parts = urlsplit(spec.url)
    return "here" if (parts.hostname or "") in _LOOPBACK else parts.netloc


_LOCAL_ENGINES = frozenset({"vllm", "sglang", "tgi", "ollama", "llama.cpp"})


@contextlib.asynccontextmanager
async def _built_in(spec: ModelSpec) -> AsyncIterator[ModelSpec]:
    build = str(spec.options.get("build", "f16"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proveout.loadtest.built_in_server",
        build,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(_START_S):
            url = (await process.stdout.readline()).decode().strip()
        if not url.startswith("http"):
            raise CannotLoad(f"the built-in model's server ({build}) did not start")
        yield ModelSpec("openai-compatible", f"tiny-{build}", url, limits=spec.limits)
    except TimeoutError:
        raise CannotLoad(f"the built-in model's server ({build}) did not start within {_START_S:g} s") from None
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
