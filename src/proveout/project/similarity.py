"""How alike texts are: by the pieces of four characters that they share, found without comparing all with all.

A text's *shingles* are its pieces of four characters, after case, punctuation and white space are evened out. Two texts
are as alike as their sets of shingles (Jaccard: shared ÷ all). Candidates are found by MinHash (Broder, 1997) and
locality-sensitive hashing in bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3), then
compared for real. Sets larger than 512 are represented by their 512 lowest hashes (a bottom-k sketch: Cohen and
Kaplan, 2007), which keeps the error of the likeness of long texts at about 0.02 and the memory bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 4
SKETCH = 512
LONGEST = 1 << 20
"""How much of a text is looked at, so that memory stays bounded."""
BANDS, ROWS = 16, 5
NEIGHBOURS = 8
"""In a crowded bucket, each text is compared with so many next to it, in an order that puts the likest together."""

_BATCH = 1 << 18
_random = np.random.default_rng(20_240_229)
_FACTORS = _random.integers(0, 2**31, BANDS * ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_OFFSETS = _random.integers(0, 2**32, BANDS * ROWS, dtype=np.uint32)
_WEIGHTS = _random.integers(0, 2**63, max(SHINGLE, ROWS), dtype=np.uint64) * np.uint64(2) + np.uint64(1)

Hashes = NDArray[np.uint32]


class Sketches:
    """The shingles of many texts (from `even`) as sorted hashes, with the signatures by which candidates are found."""

    def __init__(self, texts: Iterable[str]) -> None:
        sketches: list[Hashes] = []
        starts: list[NDArray[np.int64]] = []
        signatures: list[NDArray[np.uint8]] = []
        bands: list[NDArray[np.uint64]] = []
        size = 0
        for batch in _batches(texts):
            hashes, sizes = _shingles(batch)
            firsts = np.cumsum(sizes) - sizes
            lowest = _lowest(hashes, firsts)
            signatures.append((lowest & np.uint32(255)).astype(np.uint8))
            bands.append(_mixed(lowest.reshape(-1, BANDS, ROWS).astype(np.uint64) @ _WEIGHTS[:ROWS]))
            kept = np.minimum(sizes, SKETCH)
            within = np.arange(len(hashes)) - np.repeat(firsts, sizes)
            sketches.append(hashes[within < SKETCH])
            starts.append(size + np.cumsum(kept) - kept)
            size += int(kept.sum())
        self.hashes: Hashes = np.concatenate([np.empty(0, np.uint32), *sketches])
        del sketches
        self.starts = np.concatenate([*starts, np.array([size])])
        self.signatures = np.concatenate([np.empty((0, BANDS * ROWS), np.uint8), *signatures])
        """The lowest byte of every lowest hash, which is enough to compare by (Li and König, 2010)."""
        self.bands = np.concatenate([np.empty((0, BANDS), np.uint64), *bands]).T
        """For every band, each text's bucket."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def sketch(self, index: int) -> Hashes:
        return self.hashes[self.starts[index] : self.starts[index + 1]]

    def likeness(self, first: int, second: int) -> float:
        """Shared shingles as a share of all: exact up to 512 shingles, estimated for longer texts."""
        return jaccard(self.sketch(first), self.sketch(second))


def jaccard(first: Hashes, second: Hashes) -> float:
    """The likeness of two sorted sketches. Of two cut ones, only the 512 lowest hashes of both together are known to
    be all there, so only these count.
    """
    both = np.concatenate((first, second))
    both.sort()
    twice = both[1:] == both[:-1]
    if len(first) < SKETCH and len(second) < SKETCH:
        shared = int(np.count_nonzero(twice))
        return shared / (len(both) - shared)
    distinct = np.flatnonzero(np.append(True, ~twice))[: SKETCH + 1]
    end = distinct[SKETCH] if len(distinct) > SKETCH else len(both)
    return int(np.count_nonzero(twice[: end - 1])) / min(SKETCH, len(distinct))


def candidates(sketches: Sketches, threshold: float) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of texts that may be as alike as `threshold`, as arrays of their numbers; some come several times.

    Texts that agree in one of 16 bands of 5 hash functions are candidates (at a likeness of 0.7 with a chance of 95 %,
    at 0.8 of 99.8 %), if the share of all 80 on which they agree, which estimates their likeness with a standard error
    of 0.05, is not far below the threshold.
    """
    signatures, least = sketches.signatures, threshold - 0.15
    count, bands = len(sketches), sketches.bands
    for band in range(BANDS):
        following = [bands[(band + step) % BANDS] for step in (2, 1, 0)]
        order = np.lexsort(following)
        keys = bands[band][order]
        for distance in range(1, min(NEIGHBOURS, count - 1) + 1):
            same = np.flatnonzero(keys[distance:] == keys[:-distance])
            if not len(same):
                break
            first, second = order[same], order[same + distance]
            likely = (signatures[first] == signatures[second]).mean(axis=1) >= least
            yield first[likely], second[likely]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        padded = f" {text[:LONGEST]} ".ljust(SHINGLE)
        batch.append(padded)
        size += len(padded)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _shingles(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """The hashes of every text's shingles, sorted and once each, one text after the other; and how many each has."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    last = len(letters) - SHINGLE + 1
    windows = np.zeros(last, np.uint64)
    for step in range(SHINGLE):
        windows += letters[step : last + step] * _WEIGHTS[step]
    inside = owner[:last] == owner[SHINGLE - 1 :]
    keys = (owner[:last] << np.uint64(32) | _mixed(windows) >> np.uint64(32))[inside]
    keys.sort()
    keys = keys[np.append(True, keys[1:] != keys[:-1])]
    return keys.astype(np.uint32), np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))


def _lowest(hashes: Hashes, firsts: NDArray[np.int64]) -> Hashes:
    """The lowest hash of each text under every one of the hash functions, a row for each text."""
    columns = [
        np.minimum.reduceat(hashes * factor + offset, firsts) for factor, offset in zip(_FACTORS, _OFFSETS, strict=True)
    ]
    return np.stack(columns, axis=1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of a value spread over all bits (the finaliser of MurmurHash3: Appleby, 2011)."""
    values = (values ^ values >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ values >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ values >> np.uint64(33)


def matches(sketches: Sketches, others: Sketches, threshold: float) -> dict[int, tuple[int, float]]:
    """For each text of `sketches` that has a match among `others`: the likest one found, and its likeness.

    Candidates are as for `candidates`; of the texts in one bucket, 8 are looked at.
    """
    best: dict[int, tuple[int, float]] = {}
    least = threshold - 0.15
    for band in range(BANDS):
        order = np.argsort(others.bands[band], kind="stable")
        keys = others.bands[band][order]
        starts = np.searchsorted(keys, sketches.bands[band])
        for step in range(NEIGHBOURS):
            place = starts + step
            inside = np.flatnonzero(place < len(keys))
            first = inside[keys[place[inside]] == sketches.bands[band][inside]]
            if not len(first):
                break
            second = order[place[first]]
            likely = (sketches.signatures[first] == others.signatures[second]).mean(axis=1) >= least
            for one, other in zip(first[likely].tolist(), second[likely].tolist(), strict=True):
                if one in best and best[one][1] == 1.0:
                    continue
                likeness = jaccard(sketches.sketch(one), others.sketch(other))
                if likeness >= threshold and (one not in best or likeness > best[one][1]):
                    best[one] = other, likeness
    return best
