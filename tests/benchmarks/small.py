"""Small collections: bits per item without a prior, with one of their kind, with a foreign one.

    python -m tests.benchmarks.rate --small --latents FILE.npy [FILE.npy ...]
                                    [--prior FILE.npy ...]

Random subsets of 50, 100, 200 and 500 items are drawn from one half of each file, five times. A
prior *of its kind* is built once from the other half, and a *foreign* prior from the files of
``--prior`` (without the file itself). Each cell is the mean of the five archives' total bits per
item, and half the width of its 95 % interval (Student's t).

What was tried against the bits of small collections and did not pay, on one subset of each size of
3,045 Unsplash latents without a prior, where 50 and 200 items take 79.4 and 36.0 bits at ev .2,
51.5 and 20.2 at ev .1. An own basis of low rank, estimated offline (the best of 1 to 16 principal
components of the subset, their rows quantised by rate and distortion, coefficients with their ideal
entropy): +2.7 and +2.2 at ev .2, -0.6 and -0.4 at ev .1. It sends as many directions, and these are
what costs. A better code of rows: with an ideal table for each row that costs nothing, the mean
would take 7 to 10 % less (0.5 bits an item of 200, 2 of 50), the atoms of 50 items 6 to 18 % less
(2 to 3 bits), those of 200 nothing less. Learning that begins with 2, 4 or 8 atoms instead of 9 (50
items) and 24 (200): -1.6 with 8 of 50 items and -1.0 with 8 of 200 at ev .2, +1.5 and -0.5 at ev
.1; 2 and 4 do not reach ev .2. The mean alone instead of few atoms: the objective falls by 3 % with
50 items at lam = .0046, where the tables of codes cost more than the atoms save, and not at lam =
.0023; it has no atoms to show, and ev .2 is not reached with it. So no code halves these bits: what
a reader knows beforehand does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.metrics import fidelity

SIZES, SEEDS, TARGETS = (50, 100, 200, 500), 5, (0.20, 0.30)
LAMS = [0.007 * 0.6**i for i in range(8)]
#: 97.5 % quantile of Student's t with SEEDS - 1 degrees of freedom.
T = 2.776


def curve(z: np.ndarray, prior: Prior | None) -> list[tuple[float, float]]:
    """Explained variance and total bits per item of archives of these latents, by variance."""
    points = []
    for lam in LAMS:
        dictionary = SemanticDictionary(lam=lam, prior=prior).fit(z)
        codes = dictionary.transform(z)
        rate = encode_archive(dictionary, codes, encoder="ViT-B-32/openai")[1]
        kept = fidelity(z, dictionary.inverse_transform(codes), max_queries=1).explained_variance
        points.append((kept, rate.bits_per_item))
        if kept > TARGETS[-1]:
            break
    return sorted(points)


def bits_at(points: list[tuple[float, float]]) -> list[float]:
    """Bits at the targets, between neighbouring points; NaN where a target is not reached."""
    ev, bits = np.transpose(points)
    return [float(np.interp(t, ev, bits, right=np.nan)) for t in TARGETS]


def measure(z: np.ndarray, foreign: Prior | None) -> Iterator[tuple[int, str, np.ndarray]]:
    """Number of items, name of the prior, and bits (SEEDS, targets)."""
    order = np.random.default_rng(0).permutation(len(z))
    drawn, rest = z[order[: len(z) // 2]], z[order[len(z) // 2 :]]
    priors = {"no prior": None, "of its kind": Prior.build(rest)}
    if foreign is not None:
        priors["foreign"] = foreign
    for n in SIZES:
        if n > len(drawn):
            continue
        subsets = [
            drawn[np.random.default_rng(seed).permutation(len(drawn))[:n]] for seed in range(SEEDS)
        ]
        for name, prior in priors.items():
            yield n, name, np.array([bits_at(curve(subset, prior)) for subset in subsets])


def report(path: str, z: np.ndarray, foreign: Prior | None) -> list[dict]:
    """Print the table of a file, and return its cells."""
    print(f"\n{path}: random subsets, {SEEDS} seeds; total bits per item, mean and 95 % interval")
    print(f"{'items':>6s}  {'prior':14s}" + "".join(f"{f'ev {t:.2f}':>18s}" for t in TARGETS))
    out = []
    for n, name, bits in measure(z, foreign):
        middle, half = bits.mean(axis=0), T * bits.std(axis=0, ddof=1) / np.sqrt(len(bits))
        cells = "".join(
            f"{f'{m:.1f} ± {h:.1f}' if np.isfinite(m) else '-':>18s}"
            for m, h in zip(middle, half, strict=True)
        )
        print(f"{n:6d}  {name:14s}{cells}", flush=True)
        for target, m, h in zip(TARGETS, middle, half, strict=True):
            if np.isfinite(m):
                cell = {"ev": target, "bits_per_item": float(m), "interval": float(h)}
                out.append({"file": path, "items": n, "prior": name, **cell})
    return out
