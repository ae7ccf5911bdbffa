"""How long each call of curation takes: ``python -m tests.benchmarks.curation_speed [--items N]``.

Latents are drawn from a mixture with a spectrum like CLIP's. Each call runs twice; the second run
is printed, as wall time and as time of the processor, which other programs on the machine change
less. Then codes are repeated to a million, and searched.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix, vstack

from fiftyone_smic import SemanticDictionary, curation
from fiftyone_smic.utils.vectors import unit

DIMENSIONS = 512


def draw(n: int, rng: np.random.Generator) -> np.ndarray:
    """Latents of 300 topics around a common mean."""
    spectrum = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.6
    topics = rng.standard_normal((300, DIMENSIONS), np.float32)[rng.integers(300, size=n)]
    noise = rng.standard_normal((n, DIMENSIONS), np.float32)
    return unit((1.2 * topics + noise) * spectrum + 1.5 * spectrum[::-1])


def timed(name: str, call: Callable[[], object]) -> None:
    call()
    wall, processor = time.perf_counter(), time.process_time()
    call()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name:28s}{wall:8.2f} s{processor:8.2f} s of processor", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    n = parser.parse_args().items
    rng = np.random.default_rng(0)
    z = draw(n, rng)
    d = SemanticDictionary(lam=0.002, n_swaps=0, max_iter=6, random_state=0).fit(z[:8000])
    c = d.transform(z)
    print(f"{n:,} codes, {d.n_atoms_} atoms, {d.code_bits(c[:5000]).mean():.1f} bits an item")
    labels, wrong = rng.integers(10, size=n), rng.random(n) < 0.1
    splits = np.where(rng.random(n) < 0.8, "train", "test")
    names = [f"concept {i}" for i in range(d.n_atoms_)]
    half = n // 2
    timed("search", lambda: curation.search(d, c, z[:1], 20))
    timed("match", lambda: curation.match(c, '"concept 1" & !"concept 2"', names))
    timed("same_meaning", lambda: curation.same_meaning(c))
    timed("near_duplicates, codes", lambda: curation.near_duplicates(d, c, 0.98))
    timed("near_duplicates, latents", lambda: curation.near_duplicates(d, c, 0.95, z))
    timed("leaks", lambda: curation.leaks(d, c, splits, 0.95, z))
    timed("outliers", lambda: curation.outliers(d, c))
    timed("rare", lambda: curation.rare(c))
    timed("associations", lambda: curation.associations(c, labels))
    timed("compare", lambda: curation.compare(c[:half], c[half:]))
    timed("weak_slices", lambda: curation.weak_slices(c, wrong))
    timed("novelty", lambda: curation.novelty(d, c[:half], c[half:]))
    timed("label_issues", lambda: curation.label_issues(c, labels))
    for method in ("representative", "diverse", "balanced"):
        timed(f"select 1,000, {method}", lambda m=method: curation.select(d, c, 1000, m))
    million = csr_matrix(vstack([c] * (-(-1_000_000 // n)), format="csr"))
    timed(f"search in {million.shape[0]:,}", lambda: curation.search(d, million, z[:1], 20))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GB, latents {z.nbytes / 2**30:.2f} GB")


if __name__ == "__main__":
    main()
