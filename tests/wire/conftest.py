"""Coroutine tests run on uvloop and on the standard loop, and must leave no task and no unhandled error behind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

RUNNERS = {"uvloop": uvloop.run, "asyncio": asyncio.run}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("loop_kind")
        metafunc.parametrize("loop_kind", list(RUNNERS))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    RUNNERS[pyfuncitem.callspec.params["loop_kind"]](_strictly(pyfuncitem.obj(**arguments)))
    return True


async def _strictly(test: Coroutine[Any, Any, None]) -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    await asyncio.wait_for(test, 20)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert problems == []
