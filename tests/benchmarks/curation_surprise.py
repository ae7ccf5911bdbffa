"""What does not fit, for :mod:`tests.benchmarks.curation`: outliers, rare kinds, what is new, and
where a model errs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.metrics import roc_auc_score

from fiftyone_smic import SemanticDictionary, curation, read_archive, write_archive
from fiftyone_smic.archive import item_distortion

if TYPE_CHECKING:
    from tests.benchmarks.curation import Benchmark

#: Neighbours that outliers on full latents are told by.
NEIGHBOURS = 10


def learned(bench: Benchmark, z: np.ndarray, seed: int) -> tuple[SemanticDictionary, csr_matrix]:
    """A dictionary of other latents, at the benchmark's rate, and their codes."""
    lam = bench.dictionary.lam
    d = SemanticDictionary(lam=lam, random_state=seed, n_swaps=0, max_iter=8).fit(z)
    return d, d.transform(z)


def far_from(z: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Less the cosine with the tenth nearest other item, or known item."""
    near = z @ (z if known is None else known).T
    if known is None:
        np.fill_diagonal(near, -9)
    return -np.sort(near, axis=1)[:, -NEIGHBOURS]


def outliers(bench: Benchmark, strangers: np.ndarray) -> None:
    """1 % of other pictures among the collection, each unlike the others."""
    rows: dict[str, list[float]] = {}
    n = max(5, len(bench.z) // 100)
    for seed in range(bench.seeds):
        rng = np.random.default_rng(seed)
        odd = strangers[rng.choice(len(strangers), n, replace=False)]
        z = np.vstack([bench.z, odd]).astype(np.float32)
        truth = np.arange(len(z)) >= len(bench.z)
        d, c = learned(bench, z, seed)
        left = item_distortion(d, z, c)
        with tempfile.TemporaryDirectory() as folder:
            path, names = Path(folder) / "x.smic", [str(i) for i in range(len(z))]
            write_archive(path, d, c, names=names, encoder="unknown", distortion=left)
            stored = curation.outliers(read_archive(path))
        assert stored.measured
        for name, score in (
            ("codes alone", curation.outliers(d, c).scores),
            ("codes and exact distortion", curation.outliers(d, c, left).scores),
            ("archive with distortion", stored.scores),
            ("10-NN on full latents", far_from(z)),
            ("random", rng.random(len(z))),
        ):
            rows.setdefault(name, []).append(roc_auc_score(truth, score))
    bars = {"codes alone": 0.95, "archive with distortion": 0.96}
    for name, values in rows.items():
        bench.table.add(f"1 % scattered outliers AUROC, {name}", values, bars.get(name))


def rare(bench: Benchmark) -> None:
    """One class is thinned out to 1 % or 5 % of the collection: few items, but alike."""
    rows: dict[str, list[float]] = {}
    classes = np.unique(bench.y)
    for seed in range(bench.seeds):
        rng = np.random.default_rng(seed)
        scarce = rng.permutation(np.flatnonzero(bench.y == classes[seed % len(classes)]))
        rest = np.flatnonzero(bench.y != classes[seed % len(classes)])
        for share in (0.01, 0.05):
            few = scarce[: max(5, int(share * len(rest)))]
            z = bench.z[np.concatenate([rest, few])]
            truth = np.arange(len(z)) >= len(rest)
            d, c = learned(bench, z, seed)
            for name, score in (
                ("rare atoms", curation.rare(c).scores),
                ("outliers from codes", curation.outliers(d, c).scores),
                ("10-NN on full latents", far_from(z)),
                ("random", rng.random(len(z))),
            ):
                found = rows.setdefault(f"a class of {share:.0%} AUROC, {name}", [])
                found.append(roc_auc_score(truth, score))
    for name, values in rows.items():
        bench.table.add(name, values)


def novelty(bench: Benchmark) -> None:
    """One class is unknown: half of the others is learned, a quarter is the reference."""
    rows: dict[str, list[float]] = {}
    classes = np.unique(bench.y)
    for seed in range(bench.seeds):
        rng = np.random.default_rng(seed)
        unknown = np.flatnonzero(bench.y == classes[seed % len(classes)])
        mixed = rng.permutation(np.flatnonzero(bench.y != classes[seed % len(classes)]))
        half, more = len(mixed) // 2, 3 * len(mixed) // 4
        train, reference, held = mixed[:half], mixed[half:more], mixed[more:]
        new = np.concatenate([held, unknown])
        truth = np.arange(len(new)) >= len(held)
        d, _ = learned(bench, bench.z[train], seed)
        known, asked = bench.z[reference], bench.z[new]
        sides = {
            "latents": curation.novelty(d, known, asked),
            "codes alone": curation.novelty(d, d.transform(known), d.transform(asked)),
        }
        for name, found in sides.items():
            said = np.isin(np.arange(len(new)), found.indices)
            for what, value in (
                ("AUROC", roc_auc_score(truth, found.scores)),
                ("found at q < .05", said[truth].mean()),
                ("known items called novel", said[~truth].mean()),
            ):
                rows.setdefault(f"{what}, {name}", []).append(value)
        for name, score in (
            ("10-NN on full latents", far_from(asked, bench.z[train])),
            ("random", rng.random(len(new))),
        ):
            rows.setdefault(f"AUROC, {name}", []).append(roc_auc_score(truth, score))
    for name, values in rows.items():
        bench.table.add(f"an unknown class: {name}", values)


def weak_slices(bench: Benchmark, high: float = 0.4, low: float = 0.05) -> None:
    """A model errs on one class more often than on the others; the labels are not shown."""
    found_any, alarms, inside, beside, chance = [], [], [], [], []
    classes = np.unique(bench.y)
    clusters = KMeans(len(classes), n_init=3, random_state=0).fit_predict(bench.z)
    for seed in range(bench.seeds):
        rng = np.random.default_rng(seed)
        weak = bench.y == classes[seed % len(classes)]
        errors = rng.random(len(weak)) < np.where(weak, high, low)
        found = curation.weak_slices(bench.codes, errors)
        found_any.append(float(len(found.found) > 0))
        quiet = curation.weak_slices(bench.codes, rng.permutation(errors))
        alarms.append(float(len(quiet.found) > 0))
        if len(found.found):
            inside.append(weak[members(bench.codes, found.found[0])].mean())
        rates = [errors[clusters == k].mean() for k in range(len(classes))]
        beside.append(weak[clusters == int(np.argmax(rates))].mean())
        chance.append(weak.mean())
    what = f"a class with {high:.0%} errors beside {low:.0%}"
    bench.table.add(f"{what}: some slice with q < .05", found_any)
    bench.table.add(f"{what}: first slice's items of that class", inside)
    bench.table.add(f"{what}: the same, worst k-means cluster of latents", beside)
    bench.table.add(f"{what}: the same, random", chance)
    bench.table.add("weak slices, errors permuted: false alarms (bar: at most .05)", alarms)


def members(codes: csr_matrix, row: curation.slices.Slice) -> np.ndarray:
    """Which items are in a slice."""
    columns = codes[:, list(row.atoms)].toarray() * np.array(row.signs)
    return (columns > 0).all(axis=1)
