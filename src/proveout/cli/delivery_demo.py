"""The second half of `proveout demo`: one change from its commit to production, and back when it degrades.

All of it is real and in this process: a git repository with a remote, the gateway on a port of this machine, the
controller, the model, and a client that sends tickets and says whether the answers were right. Only the fault is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.exits import quietly_closed

if TYPE_CHECKING:
    from proveout.delivery import Rollout
    from proveout.project import Project
    from proveout.storage import AuditEntry, Store

SERVICE, CHANGE, CHAMPION, VARIANT, FAULT = "triage", "tuned", "base", "tuned", "int2"
WHERE = "production"
USERS_AT_ONCE = 8
TICKETS_SEED = 4417
GIVE_UP_S = 300.0
FIRST_CANARY = 2
BRANCH = f"proveout/{WHERE}/{SERVICE}-{CHANGE}"


def deliver(folder: Path) -> None:
    """Show the loop, from where it is. What was done before is not done again."""
    if shutil.which("git") is None:
        _say("\nThe rest of the loop needs git, which is not installed: proveout demo goes on from here once it is.")
        return
    repository = _Repository(folder)
    repository.begin()
    _say(
        "\n\nProved is not delivered. Now `tuned` goes to production the way a team would send it: through git, by\n"
        "approval, in steps that know when to stop. Everything below runs on this machine.\n"
    )
    _propose(folder)
    with _quiet_logs():
        from proveout.cli.running import run_async

        run_async(_Loop(folder, repository).run())
    _say(_closing(folder, repository))


class _Repository:
    """The demo's git repository, and a bare one as its remote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.remote = self.folder / ".proveout" / "remote.git"

    def __call__(self, *words: str | Path) -> str:
        from proveout.delivery.git import Repository

        return Repository(self.folder)(*words)

    def begin(self) -> None:
        """Make both, and the first commit, where they are not there yet."""
        if self.remote.exists():
            return
        import subprocess

        def git(*words: str | Path) -> None:
            subprocess.run(["git", "-C", str(self.folder), *map(str, words)], check=True, capture_output=True)  # noqa: S603, S607

        git("init", "--quiet", "--initial-branch=main")
        for name, value in (("user.name", "You"), ("user.email", "you@example.com")):
            git("config", name, value)
        git("add", "--all")
        git("commit", "--quiet", "--message", "The example project")
        making = self.remote.with_suffix(".making")
        git("init", "--quiet", "--bare", "--initial-branch=main", making)
        if not self._has_remote():
            git("remote", "add", "origin", self.remote)
        making.rename(self.remote)
        git("push", "--quiet", "--set-upstream", "origin", "main")

    def _has_remote(self) -> bool:
        return "origin" in self("remote").split()

    def merge(self, branch: str) -> None:
        """What a reviewer does on GitHub or GitLab."""
        self("fetch", "--quiet", "origin")
        self("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", f"origin/{branch}")
        self("push", "--quiet", "origin", "main")

    def branches(self) -> list[str]:
        """Branches of the remote that take something back."""
        lines = self("ls-remote", "--heads", "origin").splitlines()
        return [name for line in lines if (name := line.partition("refs/heads/")[2]) and "/revert-" in name]


def _propose(folder: Path) -> None:
    """Prove for staging, and promote."""
    from proveout.cli import delivering, running
    from proveout.reports.words import DECISION_WORDS, decision_sentence

    if _declared(running.load(folder)) == VARIANT:
        return
    _command(
        f"proveout run {CHANGE} --stage staging",
        "It has passed in dev. Production asks for the stage before it to pass, for exactly these fingerprints:",
    )
    scorecard = running.proved(running.declared(folder, CHANGE, "staging"), running.Flags(yes=True), show_plan=False)
    calls = f"{scorecard.calls.cached:,} calls were kept from before, {scorecard.calls.made:,} made"
    _say(f"   {DECISION_WORDS[scorecard.decision].upper()}  {decision_sentence(scorecard)} ({calls})")
    _command(f"proveout promote {CHANGE} --to {WHERE}", "A branch with the commit and the scorecard:")
    delivering.promote(folder, CHANGE, to=WHERE, base=None, push=True, json=None)


def _declared(project: Project) -> str:
    return str(project.environments[WHERE].releases[SERVICE]["champion"])


class _Loop:
    """Gateway, controller, users; and what happens, told from the audit trail."""

    def __init__(self, folder: Path, repository: _Repository) -> None:
        self.folder = folder
        self.repository = repository
        self.began = time.monotonic()
        self._tickets = _tickets()
        self._told = 0
        self._served = 0
        self._right: list[bool] = []

    async def run(self) -> None:
        from proveout.cli import running
        from proveout.delivery import Desk
        from proveout.gateway.process import Listening
        from proveout.gateway.process import running as gateway
        from proveout.wire import Client

        project = running.load(self.folder)
        with running.store_of(project) as store:
            self.store = store
            self.desk = Desk(store, time.time)
            self._told = store.audit.after(limit=100_000)[-1].position if self.rollout is not None else 0
            if self.over:
                return
            async with gateway(project, WHERE, Listening(port=0)) as run, self._controller(store), Client() as client:
                self.client, self.url = client, f"http://127.0.0.1:{run.server.port}/v1"
                _command(
                    f"proveout gateway --environment {WHERE} & proveout controller &",
                    "Serve and deliver (both run in this process here):",
                )
                _say(f"   the gateway answers at {self.url}; {USERS_AT_ONCE} users send tickets and say what was wrong")
                await self._deliver()
                await self._degrade()

    @property
    def rollout(self) -> Rollout | None:
        return self.desk.rollout(WHERE, SERVICE)

    @property
    def over(self) -> bool:
        """Whether the change was delivered and taken back."""
        rollout = self.rollout
        return rollout is not None and rollout.change == CHANGE and rollout.status == "rolled_back"

    @contextlib.asynccontextmanager
    async def _controller(self, store: Store) -> AsyncIterator[None]:
        from proveout.cli.running import load
        from proveout.delivery import Options, run_controller

        options = Options(environments=(WHERE,), interval_s=0.2)
        task = asyncio.create_task(run_controller(store, lambda: load(self.folder), options))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _deliver(self) -> None:
        """Until it is champion."""
        from proveout.cli import delivering, running

        await self._until(lambda: self.rollout is not None)
        if _declared(running.load(self.folder)) != VARIANT:
            _command(
                f"git merge --no-ff origin/{BRANCH} && git push",
                f"`{CHAMPION}` serves. You are the reviewer, too; merging is what releases:",
            )
            await asyncio.to_thread(self.repository.merge, BRANCH)
        await self._until(lambda: self._change is not None)
        if not self._cleared:
            await asyncio.sleep(0.5)
            why = "better answers, all else held"
            _command(
                f'proveout approve {CHANGE} --as you --reason "{why}"',
                "Production asks for one approval, of this very fingerprint. Until then nothing of it is served:",
            )
            await asyncio.to_thread(
                delivering.say, self.folder, CHANGE, "approve", environment=WHERE, who="you", why=why
            )
        await self._until(lambda: (found := self._change) is not None and not found.active)
        _say(f"   {self._served:,} tickets so far; {self._share_right} of the newest {len(self._right)} sorted right")

    async def _degrade(self) -> None:
        """Until it is taken back."""
        rollout = self.rollout
        if rollout is None or rollout.status != "promoted":
            return
        await self._until(lambda: "feedback:ok" in (self.rollout or rollout).baseline)
        from proveout.models.tiny.engine import load_engine
        from proveout.models.tiny.weights import load_weights

        _command(
            f"(fault) the weights behind `{VARIANT}` become those of `{FAULT}`",
            "One night somebody swaps the model behind the name for a cheaper build. The name, the price and HTTP 200\n"
            "   stay. Only the answers get worse:",
        )
        load_engine("lora").exchange(load_weights(FAULT))
        self._right.clear()
        before = self._served
        await self._until(lambda: (found := self.rollout) is not None and found.status != "promoted")
        _say(
            f"   {self._served - before:,} tickets after the swap, {self._share_right} of the newest "
            f"{len(self._right)} sorted right; {CHAMPION} serves again"
        )
        await self._until(lambda: not self.store.deliveries.due_errands(time.time() + 3600), ask=False)

    @property
    def _change(self) -> Rollout | None:
        rollout = self.rollout
        return rollout if rollout is not None and rollout.change == CHANGE else None

    @property
    def _cleared(self) -> bool:
        rollout = self._change
        return rollout is not None and rollout.cleared

    @property
    def _share_right(self) -> str:
        return f"{sum(self._right) / max(len(self._right), 1):.0%}"

    async def _until(self, reached: Any, *, ask: bool = True) -> None:
        """Send tickets until something is so, and tell what is decided meanwhile."""
        deadline = time.monotonic() + GIVE_UP_S
        while not await asyncio.to_thread(reached):
            if ask:
                await asyncio.gather(*(self._user(next(self._tickets)) for _ in range(USERS_AT_ONCE)))
            else:
                await asyncio.sleep(0.1)
            await asyncio.to_thread(self._tell)
            if time.monotonic() > deadline:
                from proveout.cli.exits import leave

                leave(f"\nThis took longer than {GIVE_UP_S:.0f} s; the same command goes on from here.", 4)
        await asyncio.to_thread(self._tell)

    async def _user(self, ticket: Any) -> None:
        """One user: asks, and says whether the answer was right."""
        import orjson

        self._served += 1
        body = {"model": SERVICE, "messages": [], "proveout": {"variables": {"message": ticket.message}}}
        headers = {"content-type": "application/json", "x-proveout-unit": f"user-{self._served}"}
        answer = await self.client.send(
            "POST", f"{self.url}/chat/completions", headers=headers, body=orjson.dumps(body)
        )
        if answer.status != 200:
            return
        right = orjson.loads(answer.body)["choices"][0]["message"]["content"] == ticket.intent
        self._right = [*self._right[-199:], right]
        said = {"trace_id": answer.headers.get("x-proveout-trace-id"), "name": "ok", "value": right}
        await self.client.send(
            "POST", f"{self.url}/feedback", headers={"content-type": "application/json"}, body=orjson.dumps(said)
        )

    def _tell(self) -> None:
        """What was written into the audit trail since."""
        for entry in self.store.audit.after(self._told):
            self._told = entry.position
            line = _entry(entry)
            if line is not None:
                _say(f"   {time.monotonic() - self.began:5.1f} s  {line}")


def _tickets() -> Iterator[Any]:
    from proveout.models.tiny import tickets

    return tickets.endless(random.Random(TICKETS_SEED))


def _entry(entry: AuditEntry) -> str | None:
    """One line of the trail for a newcomer; None for what would say nothing."""
    if entry.action in ("adopt", "baseline", "declared"):
        return None
    body = entry.body
    if entry.action in ("approve", "reject"):
        return f"{entry.actor} approves {body['variant']} ({body['fingerprint']})"
    state = str(body.get("state", "")).replace("_", " ")
    if entry.action == "start":
        state = "waits for approval"
    weights = [f"{weight:.0%}" for weight in body.get("weights", {}).values()]
    shown = f" ({' / '.join(weights)})" if len(weights) > 1 else ""
    return f"{state}{shown}: {body.get('reason', '')}{_agreement(body)}"


def _agreement(body: Any) -> str:
    """What a shadow showed about the answers themselves."""
    for reading in body.get("evidence", {}).get("signals", ()):
        if reading["signal"] == "scorer:agreement" and body.get("step") == FIRST_CANARY:
            return f"; {reading['challenger']:.0%} of its answers agree with {CHAMPION}'s, seen by nobody"
    return ""


def _closing(folder: Path, repository: _Repository) -> str:
    from proveout.cli import running

    project = running.load(folder)
    with running.store_of(project) as store:
        kept = store.deliveries.failures(SERVICE)
        incidents = store.deliveries.incidents(WHERE, SERVICE)
        examples = [line for failure in kept[:40] if (line := _failure(store, failure.trace)) is not None][:2]
    reverts = repository.branches()
    lines = ["", f"{len(kept)} failures are kept with their traces; the newest:", *examples]
    if incidents:
        lines.append(f"The incident: {incidents[0].reason}")
    if reverts:
        lines.append(f"The branch that has git say so too waits for your merge: {reverts[-1]}")
    return "\n".join(lines)


def where_to_look(folder: Path) -> tuple[tuple[str, str], ...]:
    """Commands about what was delivered, each with what it shows."""
    return (
        (f"proveout rollout status {SERVICE} -C {folder}", "each signal, its evidence, and what decided"),
        (f"proveout audit -C {folder}", "who decided what, when and why"),
        (f"git -C {folder} log --all --oneline --graph", "the proposal, the merge, and the revert"),
        (f"proveout gateway --environment {WHERE} -C {folder}", "serve it yourself, in OpenAI's format"),
    )


def _failure(store: Store, trace: str) -> str | None:
    """`"i was charged twice" → praise`."""
    import orjson

    content = store.traces.content(trace)
    if content is None:
        return None
    message = orjson.loads(content[0])["proveout"]["variables"]["message"]
    answer = orjson.loads(content[1])["choices"][0]["message"]["content"]
    return f"   {message[:72]!r} was sorted as {answer}"


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """The demo tells what happens itself."""
    import logging

    loggers = [logging.getLogger(name) for name in ("proveout.controller", "proveout.gateway")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _command(command: str, why: str) -> None:
    _say(f"\n   {why}\n   $ {command}")


def _say(text: str) -> None:
    quietly_closed(lambda: print(text, flush=True))
