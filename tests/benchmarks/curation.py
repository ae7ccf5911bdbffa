"""What curation on codes is worth, beside full latents, chance, and the known tools.

``python -m tests.benchmarks.curation`` draws postcards and encodes them with the embedded encoder;
``--latents FILE --labels FILE`` takes a collection of your own (.npy), ``--texts FILE --text-names
FILE`` the latents and names of a vocabulary for text search. Codes are of about ``--bits`` payload
bits. Every figure is a mean over seeds with a 95 % interval. Peers that are not installed are left
out with a line that says so: ``pip install fiftyone_smic[bench]``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split

from fiftyone_smic import SemanticDictionary, curation
from fiftyone_smic.utils.vectors import unit
from tests.benchmarks import curation_surprise as surprise

warnings.filterwarnings("ignore")


class Table:
    """Figures by name, and how they are printed."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def add(self, name: str, values: Iterable[float], bar: float | None = None) -> None:
        v = np.asarray(list(values), np.float64)
        half = 1.96 * v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0.0
        self.figures[name] = float(v.mean())
        wanted = "" if bar is None else f"  (bar {bar:g}: {'met' if v.mean() >= bar else 'MISSED'})"
        print(f"{name:62s} {v.mean():.3f} +- {half:.3f}{wanted}", flush=True)


def learn(z: np.ndarray, bits: float, seed: int = 0) -> tuple[SemanticDictionary, object]:
    """A dictionary whose codes take about this many payload bits, found by bisection of lam."""
    low, high = 1e-4, 3e-2
    for _ in range(7):
        lam = float(np.sqrt(low * high))
        dictionary = SemanticDictionary(lam=lam, random_state=seed, n_swaps=0, max_iter=12).fit(z)
        codes = dictionary.transform(z)
        rate = dictionary.code_bits(codes).mean()
        if abs(rate - bits) < 0.04 * bits:
            break
        low, high = (lam, high) if rate > bits else (low, lam)
    return dictionary, codes


def probe(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    if len(np.unique(labels)) < 2:
        return float((truth == labels[0]).mean())
    return float(LogisticRegression(C=10, max_iter=300).fit(train, labels).score(test, truth))


@contextlib.contextmanager
def bare_dataset(n: int) -> Iterator[Any]:
    """A dataset of n samples without pictures, for FiftyOne's brain, which gets the latents."""
    import fiftyone as fo

    dataset = fo.Dataset()
    try:
        samples = [fo.Sample(f"/nowhere/{i}.jpg") for i in range(n)]
        dataset.add_samples(samples, progress=False)
        yield dataset
    finally:
        dataset.delete()


def brain_subsets(z: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """What FiftyOne's brain puts first, given the full latents."""
    import fiftyone.brain as fob

    with bare_dataset(len(z)) as dataset:
        fob.compute_representativeness(dataset, embeddings=z, progress=False)
        fob.compute_uniqueness(dataset, embeddings=z, progress=False)
        names = ("representativeness", "uniqueness")
        return {f"brain's {n}": np.argsort(dataset.values(n))[::-1][:k] for n in names}


def brain_duplicates(z: np.ndarray, threshold: float) -> np.ndarray:
    """The items that FiftyOne's brain calls near duplicates, given the full latents."""
    import fiftyone.brain as fob

    with bare_dataset(len(z)) as dataset:
        found = fob.compute_near_duplicates(dataset, threshold, embeddings=z, progress=False)
        place = {sample_id: i for i, sample_id in enumerate(dataset.values("id"))}
        return np.array(sorted(place[i] for i in found.duplicate_ids), np.intp)


class Benchmark:
    """One collection, its labels, its codes."""

    def __init__(self, z: np.ndarray, y: np.ndarray, bits: float, seeds: int) -> None:
        self.z, self.y, self.bits, self.seeds = unit(z.astype(np.float32)), y, bits, seeds
        self.table = Table()
        self.dictionary, self.codes = learn(self.z, bits)
        rate = self.dictionary.code_bits(self.codes).mean()
        print(
            f"{len(z):,} items, {len(np.unique(y))} classes, {self.dictionary.n_atoms_} atoms, "
            f"{rate:.1f} payload bits an item, {seeds} seeds"
        )

    def search(self, texts: np.ndarray, classes: list[int], mean: np.ndarray) -> None:
        scores, indices = curation.search(
            self.dictionary, self.codes, texts, len(self.z), text_mean=mean
        )
        plain, first = curation.search(self.dictionary, self.codes, texts, len(self.z))
        full = unit(texts) @ self.z.T
        for name, found, s in (
            ("codes, vocabulary's mean removed", indices, scores),
            ("codes", first, plain),
        ):
            aps, hits = [], []
            for row, values, c in zip(found, s, classes, strict=True):
                aps.append(average_precision_score(self.y[row] == c, values))
                hits.append(np.mean(self.y[row[:20]] == c))
            self.table.add(f"text search mAP, {name}", aps, 0.92)
            self.table.add(f"text search P@20, {name}", hits, 0.98)
        ceiling = [
            average_precision_score(self.y == c, s) for c, s in zip(classes, full, strict=True)
        ]
        self.table.add("text search mAP, full latents", ceiling)
        self.table.add("text search mAP, random", [np.mean(self.y == c) for c in classes])
        with contextlib.suppress(ImportError):
            import faiss

            index = faiss.IndexFlatIP(self.z.shape[1])
            index.add(self.z)
            _, near = index.search(np.ascontiguousarray(unit(texts), np.float32), 20)
            hits = [np.mean(self.y[r] == c) for r, c in zip(near, classes, strict=True)]
            self.table.add("text search P@20, FAISS on full latents", hits)

    def labels(self) -> None:
        rows: dict[str, list[tuple[float, float]]] = {}
        classes, y = np.unique(self.y, return_inverse=True)
        n, many = len(y), len(classes)
        for seed in range(self.seeds):
            rng = np.random.default_rng(seed)
            given = y.copy()
            flipped = rng.choice(n, n // 10, replace=False)
            given[flipped] = (given[flipped] + rng.integers(1, many, len(flipped))) % many
            truth = given != y
            folds = StratifiedKFold(5, shuffle=True, random_state=seed)
            model = LogisticRegression(C=1, max_iter=200)
            chances = cross_val_predict(
                model, self.z - self.z.mean(axis=0), given, cv=folds, method="predict_proba"
            )
            scores = {
                "codes alone": curation.label_issues(self.codes, given, seed=seed).scores,
                "codes and dictionary": curation.label_issues(
                    self.codes, given, dictionary=self.dictionary, seed=seed
                ).scores,
                "full latents": 1 - chances[np.arange(n), given],
                "random": rng.random(n),
            }
            with contextlib.suppress(ImportError):
                from cleanlab.rank import get_label_quality_scores

                scores["cleanlab on full latents"] = 1 - get_label_quality_scores(given, chances)
            for name, score in scores.items():
                pair = roc_auc_score(truth, score), average_precision_score(truth, score)
                rows.setdefault(name, []).append(pair)
        for name, pairs in rows.items():
            ours = name.startswith("codes")
            aucs, aps = zip(*pairs, strict=True)
            self.table.add(f"10 % flipped labels AUROC, {name}", aucs, 0.99 if ours else None)
            self.table.add(f"10 % flipped labels AP, {name}", aps, 0.95 if ours else None)

    def subsets(self, k: int = 50) -> None:
        rows: dict[str, list[float]] = {}
        better = 0
        chosen_by = ("representative", "diverse", "balanced")
        for seed in range(self.seeds):
            train, test = train_test_split(
                np.arange(len(self.z)), test_size=0.4, random_state=seed, stratify=self.y
            )
            z, y = self.z[train], self.y[train]
            held, truth = self.z[test], self.y[test]
            rng = np.random.default_rng(seed)
            chosen = {
                m: curation.select(self.dictionary, self.codes[train], k, m).indices
                for m in chosen_by
            }
            chosen["random"] = rng.choice(len(z), k, replace=False)
            chosen |= brain_subsets(z, k)
            everything = probe(z, y, held, truth)
            found = {m: probe(z[i], y[i], held, truth) / everything for m, i in chosen.items()}
            better += all(
                found["representative"] > value for m, value in found.items() if m not in chosen_by
            )
            for name, value in found.items():
                rows.setdefault(name, []).append(value)
        for name, values in rows.items():
            bar = 0.95 if name == "representative" else None
            self.table.add(f"subset of {k}: share of all data's accuracy, {name}", values, bar)
        print(f"  representative above random and brain in {better} of {self.seeds} seeds")

    def duplicates(self) -> None:
        rows: dict[str, list[float]] = {"recall": [], "precision": [], "share": [], "leaks": []}
        told: dict[str, list[tuple[float, float]]] = {}
        for seed in range(self.seeds):
            rng = np.random.default_rng(seed)
            chosen = rng.choice(len(self.z), 50, replace=False)
            noise = unit(rng.normal(size=(50, self.z.shape[1])))
            copies = unit(self.z[chosen] + rng.uniform(0.02, 0.28, (50, 1)) * noise)
            again = unit(copies[:10] + 0.1 * unit(rng.normal(size=(10, self.z.shape[1]))))
            z = np.vstack([self.z, copies, again]).astype(np.float32)
            c = self.dictionary.transform(z)
            found = curation.near_duplicates(self.dictionary, c, 0.95, latents=z)
            one, other = np.nonzero(np.triu(z @ z.T >= 0.95, 1))
            true = set(zip(one.tolist(), other.tolist(), strict=True))
            pairs = set(map(tuple, found.pairs.tolist()))
            rows["recall"].append(len(true & pairs) / len(true))
            rows["precision"].append(len(true & pairs) / max(len(pairs), 1))
            rows["share"].append(found.share)
            planted = np.column_stack([chosen, len(self.z) + np.arange(50)])
            planted = np.array([pair for pair in planted.tolist() if tuple(pair) in true])
            near = np.unique(np.array(sorted(true)))
            for name, gone in (
                ("verified", found.removable),
                ("codes alone", curation.near_duplicates(self.dictionary, c, 0.95).removable),
                ("brain on full latents at distance .05", brain_duplicates(z, 0.05)),
                ("brain on full latents at its default, .2", brain_duplicates(z, 0.2)),
            ):
                hit = np.isin(planted, gone).any(axis=1).mean()
                told.setdefault(name, []).append((hit, np.isin(gone, near).mean()))
            splits = np.where(np.arange(len(z)) < len(self.z), "train", "test")
            splits[-10:] = "val"
            crossing = {(i, j) for i, j in true if splits[i] != splits[j]}
            crossed = curation.leaks(self.dictionary, c, splits, 0.95, z)
            met = set(map(tuple, crossed.pairs.tolist())) & crossing
            rows["leaks"].append(len(met) / len(crossing))
        self.table.add("near duplicates: recall, verified", rows["recall"], 0.99)
        self.table.add("near duplicates: precision, verified", rows["precision"], 1.0)
        self.table.add("near duplicates: share of all pairs verified", rows["share"])
        for name, values in told.items():
            hits, right = zip(*values, strict=True)
            self.table.add(f"planted copies of which one can go, {name}", hits)
            self.table.add(f"items that can go and have a near duplicate, {name}", right)
        self.table.add("planted leaks found, chains included", rows["leaks"], 1.0)

    def drift(self, points: float = 0.2, size: int = 200) -> None:
        classes = np.unique(self.y)
        alarms, power, first, atoms = [], [], [], []
        dense = np.asarray(self.codes.toarray())
        for seed in range(max(3 * self.seeds, 60) if self.seeds >= 20 else self.seeds):
            rng = np.random.default_rng(seed)
            mixed = rng.permutation(len(self.z))
            a, b, rest = mixed[:size], mixed[size : 2 * size], mixed[2 * size :]
            quiet = curation.compare(self.codes[a], self.codes[b], permutations=299, seed=seed)
            alarms.append(float(quiet.p < 0.05))
            moved = classes[seed % len(classes)]
            extra = rest[self.y[rest] == moved][: int(points * size)]
            dropped = np.flatnonzero(self.y[b] != moved)[: len(extra)]
            shifted = np.concatenate([np.delete(b, dropped), extra])
            found = curation.compare(
                self.codes[a], self.codes[shifted], permutations=299, seed=seed
            )
            power.append(float(found.p < 0.05))
            atoms.append(float(len(found.found) > 0))
            if found.p < 0.05:
                row = found.atoms[0]
                uses = dense[:, row.atom] * row.sign > 0
                inside, outside = uses[self.y == moved].mean(), uses[self.y != moved].mean()
                first.append(float((inside - outside) * row.difference > 0 and
                                   abs(inside - outside) > 0.1))  # fmt: skip
        self.table.add(f"drift of {points:.0%}: power", power, 0.7)
        self.table.add(f"drift of {points:.0%}: some atom with q < .05", atoms)
        self.table.add(f"drift of {points:.0%}: first atom is the shifted class's", first, 0.9)
        self.table.add("drift of 0: false alarms (bar: at most .06)", alarms)


def correlation(table: Table, labels: dict[str, np.ndarray], z: np.ndarray, bits: float,
                seeds: int) -> None:  # fmt: skip
    """A label that goes together with the night on postcards although it should not."""
    first, alarms, counter = [], [], []
    _, codes = learn(z, bits)
    shows = labels["night"].astype(bool)
    aucs = [abs(roc_auc_score(shows, column) - 0.5) for column in codes.toarray().T]
    right = {int(j) for j in np.flatnonzero(np.array(aucs) > 0.25)} | {int(np.argmax(aucs))}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for rho in (0.0, 0.9):
            follow = rng.random(len(z)) < rho
            label = np.where(follow, shows, rng.random(len(z)) < shows.mean()).astype(int)
            part = rng.choice(len(z), min(1000, len(z)), replace=False)
            found = curation.associations(codes[part], label[part])
            if rho == 0:
                alarms.append(float(len(found.found) > 0))
                continue
            top = found.atoms[0]
            first.append(float(top.atom in right))
            inside = label[part] == 1
            column = np.asarray(codes[part][:, [top.atom]].toarray())[:, 0] * top.sign
            side = column <= 0 if (top.label == 1) == (top.difference > 0) else column > 0
            counters = np.flatnonzero(inside & side)[:10]
            counter.append(float((~shows[part][counters]).mean()) if len(counters) else 1.0)
    table.add("spurious correlation .9: right atom first", first, 0.95)
    table.add("spurious correlation .9: P@10 of counter-examples", counter)
    table.add("spurious correlation 0: false alarms (bar: at most .05)", alarms)


def postcards(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Latents of drawn postcards, and what they show."""
    from fiftyone_smic.models.encoders import load_encoder
    from fiftyone_smic.postcards.attributes import TERRAINS
    from fiftyone_smic.postcards.draw import iter_collection, write_collection

    with tempfile.TemporaryDirectory(prefix="smic-") as folder:
        write_collection(folder, n, seed=0, size=64)
        paths = sorted(Path(folder).rglob("*.png"))
        shown = [a for _, a, _ in iter_collection(n)]
        z = np.asarray(load_encoder(device="cpu").encode_images(paths).latents)
    return z, {
        "terrain": np.array([TERRAINS.index(a.terrain) for a in shown]),
        "night": np.array([a.time == "night" for a in shown]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--texts", type=Path, help="latents of a vocabulary (.npy)")
    parser.add_argument("--text-names", type=Path, help="its names (.json)")
    parser.add_argument("--classes", help="names of the classes 0, 1, ..., with commas between")
    parser.add_argument("--strangers", type=Path, help="latents of other pictures, as outliers")
    parser.add_argument("--bits", type=float, default=15.0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="3 seeds")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    seeds = 3 if given.quick else given.seeds
    known: dict[str, np.ndarray] = {}
    if given.latents:
        for path in (given.latents, given.labels):
            if path is None or not path.exists():
                parser.exit(0, f"skipped: there is no file {path}; give --latents and --labels\n")
        z, y = np.load(given.latents), np.load(given.labels)
    else:
        z, known = postcards(600 if given.quick else 2000)
        y = known["terrain"]
    bench = Benchmark(z, y, given.bits, seeds)

    def wanted(name: str) -> bool:
        return not given.only or name in given.only

    started = time.time()
    if given.texts and given.classes and wanted("search"):
        texts = unit(np.load(given.texts).astype(np.float32))
        held = json.loads(given.text_names.read_text())
        names = [(n if isinstance(n, str) else n["name"]).lower() for n in held]
        classes = [c.strip().lower() for c in given.classes.split(",")]
        found = {i: names.index(c) for i, c in enumerate(classes) if c in names}
        bench.search(texts[list(found.values())], list(found), texts.mean(axis=0))
    if wanted("labels"):
        bench.labels()
    if wanted("subsets"):
        bench.subsets()
    if wanted("duplicates"):
        bench.duplicates()
    if wanted("drift"):
        bench.drift()
    if given.strangers and wanted("outliers"):
        surprise.outliers(bench, unit(np.load(given.strangers).astype(np.float32)))
    for name in ("rare", "novelty", "weak_slices"):
        if wanted(name):
            getattr(surprise, name)(bench)
    if known and wanted("correlation"):
        correlation(bench.table, known, bench.z, given.bits, seeds)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
