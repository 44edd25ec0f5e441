"""How fast 100,000 requests are priced, against the one-second limit and against `genai-prices` in the same run.

python benchmarks/economics/pricing.py [--requests 100000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np

from proveout.economics import TokenColumns, Tokens, cost_usd, costs_usd, public_price

LIMIT_S = 1.0
PEER_CALLS = 500


def best(action: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the fastest of several runs, as other work on the machine only ever adds time."""
    seconds: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    count = parser.parse_args().requests
    random = np.random.default_rng(0)
    sent, said = random.integers(50, 8_000, count), random.integers(1, 800, count)
    cached = (sent * random.random(count)).astype(int)
    price = public_price("openai", "gpt-4o", date(2026, 11, 1))
    if price is None:
        raise SystemExit("this benchmark needs the extra `prices`")
    columns = TokenColumns(sent, said, cached)
    rows = [Tokens(*row) for row in zip(sent.tolist(), said.tolist(), cached.tolist(), strict=True)]

    together = best(lambda: costs_usd(price, columns))
    one_by_one = best(lambda: [cost_usd(price, row) for row in rows])
    print(
        f"{count:,} requests as columns: {together * 1000:.1f} ms, {LIMIT_S / together:,.0f}x inside the limit of 1 s"
    )
    print(f"{count:,} requests one by one: {one_by_one * 1000:.0f} ms, {LIMIT_S / one_by_one:,.1f}x inside it")

    from genai_prices import Usage, calc_price

    some = rows[:PEER_CALLS]

    def peer() -> float:
        return sum(
            float(
                calc_price(
                    Usage(
                        input_tokens=row.input_tokens,
                        output_tokens=row.output_tokens,
                        cache_read_tokens=row.cached_tokens,
                    ),
                    "gpt-4o",
                    provider_id="openai",
                ).total_price
            )
            for row in some
        )

    theirs = best(peer) / len(some)
    ours = one_by_one / count
    print(f"genai-prices: {theirs * 1e6:.0f} us a request; ours one by one {ours * 1e6:.2f} us: {theirs / ours:,.0f}x")
    gap = abs(peer() - sum(cost_usd(price, row) for row in some))
    print(f"the bills of {len(some)} requests differ by ${gap:.12f}")


if __name__ == "__main__":
    main()
