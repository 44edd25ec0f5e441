"""What gateways have in common through Redis: rate limits, budgets and cached answers.

Nothing depends on it. Whatever Redis can't tell within a moment is decided by this process alone, and Redis is asked
again as soon as it answers a ping.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from proveout.gateway.metrics import Metrics
from proveout.gateway.quotas import Meter
from proveout.gateway.settings import RedisSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("proveout.gateway")

BATCH = 256
MOST_WAITING = 10_000
PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0

# A day's spending is a hash with one field for each process, which writes its own total there and no other's. So
# telling it twice adds nothing, and after a loss of Redis's data the processes write it anew. A rate is a bucket that
# fills evenly and holds a minute's worth, by Redis's own clock.
# KEYS: for each meter its bucket and its day's book. ARGV: this process, then for each meter its rate and its budget
# (-1: none) and what this process spent. Returns the number of the meter that refuses (0: none), after how many
# seconds its rate allows another request (-1: its budget is spent), and each meter's spending by all.
_ADMIT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local refused, wait, spent, levels = 0, '0', {}, {}
for i = 1, #KEYS / 2 do
  local bucket, book = KEYS[2 * i - 1], KEYS[2 * i]
  local rate, budget, own = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
  local total = 0
  if budget >= 0 then
    if tonumber(own) > 0 then
      redis.call('HSET', book, ARGV[1], own)
      redis.call('EXPIRE', book, 172800)
    end
    for _, value in ipairs(redis.call('HVALS', book)) do total = total + tonumber(value) end
    if refused == 0 and total >= budget then refused, wait = i, '-1' end
  end
  spent[i] = string.format('%.9f', total)
  if rate > 0 then
    local kept = redis.call('HMGET', bucket, 'level', 'filled')
    local most = math.max(rate, 1)
    local passed = math.max(0, now - tonumber(kept[2] or now))
    levels[i] = math.min(most, tonumber(kept[1] or most) + passed * rate / 60)
    if refused == 0 and levels[i] < 1 then refused, wait = i, string.format('%.3f', (1 - levels[i]) * 60 / rate) end
  end
end
if refused == 0 then
  for i, level in pairs(levels) do
    local rate = tonumber(ARGV[3 * i - 1])
    local filled = string.format('%.6f', now)
    redis.call('HSET', KEYS[2 * i - 1], 'level', string.format('%.9f', level - 1), 'filled', filled)
    redis.call('EXPIRE', KEYS[2 * i - 1], 60 + math.ceil(60 / math.min(rate, 1)))
  end
end
return {refused, wait, unpack(spent)}
"""


class Away(Exception):
    """Redis does not answer now."""


class Pipe:
    """Commands of one process to one Redis: all that wait go in one round trip, in their order."""

    def __init__(self, settings: RedisSettings, on_change: Callable[[bool], object]) -> None:
        """
        Raises:
            LookupError: the address's secret is not set, or the client library is missing; says what to do.
            ValueError: the address is none.
        """
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise LookupError("`redis` in gateway.yaml needs an extra: pip install 'proveout[redis]'") from None
        url = settings.url if isinstance(settings.url, str) else settings.url.resolve()
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),  # Whoever waits decides for itself meanwhile.
            socket_timeout=settings.patience_s,
            socket_connect_timeout=settings.patience_s,
        )
        self.up = False
        self._on_change = on_change
        self._waiting: deque[tuple[tuple[Any, ...], asyncio.Future[Any] | None]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closing = False
        self._told = False
        self.first_look = asyncio.get_running_loop().create_task(self._look())
        self._reviver = asyncio.get_running_loop().create_task(self._revive())

    async def call(self, *command: Any) -> Any:
        """The answer to a command.

        Raises:
            Away: there is none.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._take(command, future):
            raise Away
        return await future

    def tell(self, *command: Any) -> bool:
        """Send a command whose answer nobody waits for; whether it was taken."""
        return self._take(command, None)

    async def aclose(self) -> None:
        """Send what waits, and close. Idempotent."""
        self._closing = True
        self._reviver.cancel()
        self.first_look.cancel()
        if self._worker is not None:
            await asyncio.wait([self._worker])
        with contextlib.suppress(Exception):
            await self._redis.aclose()

    def _take(self, command: tuple[Any, ...], future: asyncio.Future[Any] | None) -> bool:
        if not self.up or self._closing or len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append((command, future))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return True

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
                await self._send(batch)
        finally:
            self._worker = None

    async def _send(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any] | None]]) -> None:
        from redis.exceptions import RedisError

        try:
            pipeline = self._redis.pipeline(transaction=False)
            for command, _ in batch:
                pipeline.execute_command(*command)
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            self._lost(error)
            batch += self._waiting
            self._waiting.clear()
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future is None or future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(Away())
            else:
                future.set_result(answer)

    def _lost(self, error: Exception) -> None:
        if self.up or not self._told:
            log.warning("Redis is away, limits and cache hold for this process alone: %s", type(error).__name__)
        self._told = True
        self.up = False
        self._on_change(False)

    async def _look(self) -> bool:
        from redis.exceptions import RedisError

        try:
            await self._redis.execute_command("PING")
        except (RedisError, OSError) as error:
            self._lost(error)
            return False
        if not self.up:
            self.up = True
            log.info("Redis is there: limits and cache are shared")
            self._on_change(True)
        return True

    async def _revive(self) -> None:
        await asyncio.wait([self.first_look])
        pause = PAUSE_S
        while True:
            await asyncio.sleep(pause)
            pause = PAUSE_S if self.up or await self._look() else min(pause * 2, LONGEST_PAUSE_S)


class Sharing:
    """One process's part in what gateways share. Without settings, or while Redis is away, `on` is false."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._id = secrets.token_hex(6)
        self._settings: RedisSettings | None = None
        self._pipe: Pipe | None = None
        self._prefix = ""
        self._meters: WeakSet[Meter] = WeakSet()
        self._changed: set[Meter] = set()
        self._closings: set[asyncio.Task[None]] = set()

    @property
    def on(self) -> bool:
        return self._pipe is not None and self._pipe.up

    @property
    def state(self) -> str:
        """For people: `up`, `away` or `none`."""
        return "none" if self._pipe is None else "up" if self._pipe.up else "away"

    def use(self, settings: RedisSettings | None, namespace: str) -> None:
        """Share through this Redis from now on, or through none. Keys begin with the namespace.

        Raises:
            LookupError, ValueError: it can't be used; what was used before is used on.
        """
        if settings == self._settings:
            return
        fresh = None if settings is None else Pipe(settings, self._tell)
        old, self._pipe, self._settings = self._pipe, fresh, settings
        self._prefix = f"proveout:{{{namespace}}}"  # The braces keep a request's keys on one node of a cluster.
        if fresh is None:
            self._metrics.forget("proveout_gateway_redis_up")
        if old is not None:
            closing = asyncio.get_running_loop().create_task(old.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)

    async def settled(self) -> None:
        """Wait until it is known whether Redis is there."""
        if self._pipe is not None:
            await asyncio.wait([self._pipe.first_look])

    async def aclose(self) -> None:
        if self._pipe is not None:
            self._flush()
            await self._pipe.aclose()

    # Limits

    def watch(self, meter: Meter) -> None:
        """Tell the others what this meter is charged, from now on."""
        self._meters.add(meter)
        meter.charged = self._charged

    async def admit(self, *meters: Meter) -> None:
        """Take one request of each meter, or of none.

        Raises:
            Refused: 429: one of the quotas is used up.
        """
        limited = [meter for meter in meters if not meter.unlimited]
        if not limited:
            return
        own = [meter.today() for meter in limited]
        try:
            if self._pipe is None:
                raise Away
            refused, wait, *totals = await self._pipe.call(*self._command(limited, own))
        except Away:
            for meter in limited:
                meter.admit()
            return
        for meter, spent, total in zip(limited, own, totals, strict=True):
            meter.elsewhere = max(0.0, float(total) - spent)
        if refused:
            limited[refused - 1].refuse(float(wait))

    def _command(self, meters: Sequence[Meter], own: Sequence[float], *, only_tell: bool = False) -> list[Any]:
        keys: list[str] = []
        values: list[Any] = [self._id]
        for meter, spent in zip(meters, own, strict=True):
            keys += [f"{self._prefix}:rate:{meter.what}", f"{self._prefix}:spent:{meter.what}:{meter.day}"]
            rate, budget = meter.quota.requests_per_minute, meter.quota.usd_per_day
            values += [-1 if rate is None or only_tell else rate, -1 if budget is None else budget, f"{spent:.9f}"]
        return ["EVAL", _ADMIT, len(keys), *keys, *values]

    def _charged(self, meter: Meter) -> None:
        if meter.quota.usd_per_day is None or self._pipe is None:
            return
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._changed.add(meter)

    def _flush(self) -> None:
        """Tell what was charged. What can't be told now is told with the next request, or once Redis is back."""
        changed = list(self._changed)
        self._changed.clear()
        if self._pipe is not None:
            for meter in changed:
                self._pipe.tell(*self._command([meter], [meter.today()], only_tell=True))

    def _tell(self, up: bool) -> None:
        self._metrics.count("proveout_gateway_redis_up").value = float(up)
        if up:
            self._changed.update(
                meter for meter in self._meters if meter.quota.usd_per_day is not None and meter.today()
            )
            self._flush()

    # Answers

    async def answer(self, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is, or Redis is away."""
        if self._pipe is None:
            return None
        try:
            return await self._pipe.call("GET", f"{self._prefix}:answer:{name}")
        except Away:
            return None

    def keep(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keep something for a time, if Redis is there."""
        if self._pipe is not None:
            self._pipe.tell("SET", f"{self._prefix}:answer:{name}", value, "PX", max(1, round(ttl_s * 1000)))
