"""What gateways have in common through Redis: rate limits, budgets and cached answers.

Nothing depends on it. Whatever Redis can't tell within a moment is decided by this process alone, and Redis is asked
again as soon as it answers a ping.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from proveout.gateway.metrics import Metrics
from proveout.gateway.quotas import Meter
from proveout.gateway.resp import Address, Away, Connection, Failed, Part
from proveout.gateway.settings import RedisSettings

log = logging.getLogger("proveout.gateway")

PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0

# A day's spending is a hash with one field for each process, which writes its own total there and no other's, and which
# only grows. So telling it twice or late changes nothing, and after a loss of Redis's data the processes write it anew.
# A rate is a bucket that fills evenly and holds a minute's worth, by Redis's own clock.
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
    if tonumber(own) > tonumber(redis.call('HGET', book, ARGV[1]) or 0) then
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


_ADMIT_SHA = hashlib.sha1(_ADMIT.encode(), usedforsecurity=False).hexdigest()


class Link:
    """This process's connection to Redis, opened again whenever it is lost. `on_change` hears whether there is one."""

    def __init__(self, settings: RedisSettings, on_change: Callable[[bool], object]) -> None:
        """
        Raises:
            LookupError: a secret is not set.
            ValueError: the address is none, or the authority's certificates are none.
        """
        url = settings.url if isinstance(settings.url, str) else settings.url.resolve()
        self._address = Address.parse(url)
        self._context = _tls(settings) if self._address.tls else None
        self._patience_s = settings.patience_s
        self._on_change = on_change
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._told = False
        self.first_look = asyncio.get_running_loop().create_task(self._connect())
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    @property
    def up(self) -> bool:
        return self._connection is not None

    async def call(self, *command: Part) -> Any:
        """The reply to a command.

        Raises:
            Away: there is none.
        """
        connection = self._connection
        if connection is None:
            raise Away
        try:
            return await connection.call(*command)
        except Failed as error:
            if error.code == "NOSCRIPT":
                connection.tell("SCRIPT", "LOAD", _ADMIT)
            raise Away from None

    def tell(self, *command: Part) -> None:
        """Send a command whose reply nobody waits for, if there is a connection."""
        if self._connection is not None:
            self._connection.tell(*command)

    async def aclose(self) -> None:
        """See what was sent through, and close. Idempotent."""
        for task in (self._keeper, self.first_look):
            task.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.drained()
            connection.close()

    async def _connect(self) -> bool:
        self._lost.clear()
        try:
            connection = await Connection.opened(self._address, self._patience_s, self._lost.set, self._context)
            try:
                await connection.call("SCRIPT", "LOAD", _ADMIT)
            except (Away, Failed):
                connection.close()
                raise
        except (Away, Failed) as error:
            why = f"it says {error.code}" if isinstance(error, Failed) else str(error)
            self._tell_away(why or "it does not answer")
            return False
        self._connection = connection
        log.info("Redis is there: limits and cache are shared")
        self._on_change(True)
        return True

    async def _keep(self) -> None:
        await asyncio.wait([self.first_look])
        pause = PAUSE_S
        while True:
            if self._connection is not None:
                await self._lost.wait()
                self._connection = None
                self._told = False
                self._tell_away("the connection is lost")
                pause = PAUSE_S
            await asyncio.sleep(pause)
            if not await self._connect():
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _tell_away(self, why: str) -> None:
        if not self._told:
            log.warning("Redis is away (%s): limits and cache hold for this process alone", why)
        self._told = True
        self._on_change(False)


def _tls(settings: RedisSettings) -> ssl.SSLContext:
    """Verifies Redis by the declared authority alone, or else by the system's store.

    Raises:
        LookupError, ValueError: the authority's certificates can't be read.
    """
    try:
        return ssl.create_default_context(cadata=None if settings.ca is None else settings.ca.resolve())
    except (ssl.SSLError, UnicodeError):
        raise ValueError("`ca` holds no PEM certificates") from None


class Sharing:
    """One process's part in what gateways share. Without settings, or while Redis is away, `on` is false."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._id = secrets.token_hex(6)
        self._settings: RedisSettings | None = None
        self._link: Link | None = None
        self._prefix = ""
        self._meters: WeakSet[Meter] = WeakSet()
        self._changed: set[Meter] = set()
        self._closings: set[asyncio.Task[None]] = set()

    @property
    def on(self) -> bool:
        return self._link is not None and self._link.up

    @property
    def state(self) -> str:
        """For people: `up`, `away` or `none`."""
        return "none" if self._link is None else "up" if self._link.up else "away"

    def use(self, settings: RedisSettings | None, namespace: str) -> None:
        """Share through this Redis from now on, or through none. Keys begin with the namespace.

        Raises:
            LookupError, ValueError: it can't be used; what was used before is used on.
        """
        if settings == self._settings:
            return
        fresh = None if settings is None else Link(settings, self._tell)
        old, self._link, self._settings = self._link, fresh, settings
        self._prefix = f"proveout:{namespace}"
        if fresh is None:
            self._metrics.forget("proveout_gateway_redis_up")
        if old is not None:
            closing = asyncio.get_running_loop().create_task(old.aclose())
            self._closings.add(closing)
            closing.add_done_callback(self._closings.discard)

    async def settled(self) -> None:
        """Wait until it is known whether Redis is there."""
        if self._link is not None:
            await asyncio.wait([self._link.first_look])

    async def aclose(self) -> None:
        if self._link is not None:
            self._flush()
            await self._link.aclose()

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
            if self._link is None:
                raise Away
            refused, wait, *totals = await self._link.call(*self._command(limited, own))
        except Away:
            for meter in limited:
                meter.admit()
            return
        for meter, spent, total in zip(limited, own, totals, strict=True):
            meter.elsewhere = max(0.0, float(total) - spent)
        if refused:
            limited[refused - 1].refuse(float(wait))

    def _command(self, meters: Sequence[Meter], own: Sequence[float], *, only_tell: bool = False) -> list[Part]:
        keys: list[str] = []
        values: list[Part] = [self._id]
        for meter, spent in zip(meters, own, strict=True):
            keys += [f"{self._prefix}:rate:{meter.what}", f"{self._prefix}:spent:{meter.what}:{meter.day}"]
            rate, budget = meter.quota.requests_per_minute, meter.quota.usd_per_day
            values += [-1 if rate is None or only_tell else rate, -1 if budget is None else budget, f"{spent:.9f}"]
        return ["EVALSHA", _ADMIT_SHA, len(keys), *keys, *values]

    def _charged(self, meter: Meter) -> None:
        if meter.quota.usd_per_day is None or self._link is None:
            return
        if not self._changed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._changed.add(meter)

    def _flush(self) -> None:
        """Tell what was charged. What can't be told now is told with the next request, or once Redis is back."""
        changed = list(self._changed)
        self._changed.clear()
        if self._link is not None:
            for meter in changed:
                self._link.tell(*self._command([meter], [meter.today()], only_tell=True))

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
        if self._link is None:
            return None
        try:
            return await self._link.call("GET", f"{self._prefix}:answer:{name}")
        except Away:
            return None

    def keep(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keep something for a time, if Redis is there."""
        if self._link is not None:
            self._link.tell("SET", f"{self._prefix}:answer:{name}", value, "PX", max(1, round(ttl_s * 1000)))
