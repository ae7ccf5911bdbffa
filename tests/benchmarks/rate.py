"""Bits per item at equal explained variance, this codec beside others.

    python -m tests.benchmarks.rate --latents FILE.npy [FILE.npy ...] [--prior FILE.npy ...]
                                    [--json OUT] [--quick | --small]

For each file and method: total and payload bits per item at explained variance .20 to .50,
interpolated on the lower hull of the method's points, with centred cosine and recall@10 there. This
codec's bits are ``os.stat`` sizes of archives that were read again and compared with what was
written. A dash is a point the method did not reach.

What was tried on 3,045 Unsplash latents and did not pay, with its change of the objective (bits per
item at lam = .0033 / .0016, prior, where a whole archive has about 19 / 40): lam growing from 0.3
to 1 during learning +1.6 / +1.2 (the first sizes stick); three sweeps -0.0 / +0.5; coefficients up
to 1, 2 or 4 within 0.3; another seed -0.2 / +0.4; 40 instead of 20 iterations -0.2 / -0.2.
Pursuit begun again with each of the 4 (16) best first atoms -0.2 (-0.2) / -0.8 (-0.9), for 5 (17)
times the time. Indices coded by what was seen together with those already coded, ideally -0.3 /
-0.8: it would take K^2 adaptive counts in the format, for 2 %. Four starts instead of one, the best
kept: 0.0 / -0.5 at lam = .0023 / .0012. A learned rotation was not tried: at one bit for each of
its numbers it would cost 86 bits per item. A prior's column sizes taken from its atoms instead of
its latents: +0.8; centres of k-means instead of a dictionary's atoms in it: +0.6. What an item has
in common with the two, four or eight items before it instead of one: -0.3 to -0.5 of 9 bits where
neighbours are alike (fashion), +0.3 to +1.1 where not. Names of classes, through the text tower, as
further latents of the prior: +0.5. Noise on the atoms that fades, as in LSQ++, in 20 or 40 rounds:
+0.5 to +5, because atoms die of it. Pursuit that goes on from an item's last code, or takes out two
atoms at random and goes on from there, 16 times, the best kept: +0.3 to +2 in learning (better
codes hold the atoms where they are), -0.1 to -0.2 if only the last codes are made so. Learning that
begins with an eighth of the atoms and adds the others by and by, or with FAISS's codebooks: 0.0 to
+0.8 where atoms pay for themselves, -1 where their number is given and their bits cost nothing.
Odds of a coefficient other than 1 that depend on how many atoms the item has too: 0.0.

What paid: sixteen residual stages and smoothed sizes -0.6 / -0.4; rows predicted from earlier rows
-0.9 bits and exact rate-distortion costs -0.6 bits at lam = .002; starting from 0.6 N**0.7 instead
of N**0.7 atoms -0.3 / -0.8. Atoms swapped after learning -0.4 / -1.4 at lam = .0023 / .0012, and
-2.1 of 36 bits on 500 mixed pictures; ten rounds after each swap instead of six -0.3 / -0.3,
sixteen -0.3 / -0.7, three +0.4 / +0.3 (it is twelve). Rows predicted from the prior's atoms -0.7 of
28 bits, with 200 items -2.5 of 17. Items coded by what they have in common with the one before:
-3.5 of 24 bits on fashion, where it is used; the others are coded without. Half of lam for four
rounds, then lam again, beside each swap: -0.3 / -0.2 in the same time, -0.7 with 256 given atoms.
Each atom with odds of its own that its coefficient is not 1, in pursuit too: -0.4 / -0.8.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.archive import encode_archive, read_archive, write_archive
from fiftyone_smic.archive.rate_control import learn_to_target
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.metrics import fidelity

from . import baselines, small

TARGETS = (0.20, 0.30, 0.35, 0.40, 0.45, 0.50)


def load(path: str) -> np.ndarray:
    """Latents of a file, of unit norm."""
    z = np.load(path, allow_pickle=False).astype(np.float32)
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


def codec(
    z: np.ndarray, prior: Prior | None, quick: bool
) -> Iterator[tuple[bool, baselines.Point]]:
    """Points of this codec, ordered and unordered, from real files."""
    # Close together: between two points the hull lies above what any lam between them reaches.
    lams = [0.0046, 0.0023, 0.0012] if quick else [0.007 * 0.86**i for i in range(14)]
    if len(z) < 1500:  # without a prior the dictionary weighs more: lower lam for the same variance
        lams = [0.007 * 0.8**i for i in range(0, 18, 6 if quick else 1)]
    for lam in lams:
        dictionary = SemanticDictionary(lam=lam, prior=prior).fit(z)
        codes = dictionary.transform(z)
        rebuilt = dictionary.inverse_transform(codes)
        for ordered in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "x.smic"
                rate = write_archive(
                    path, dictionary, codes, encoder="ViT-B-32/openai", ordered=ordered
                )
                back = read_archive(path, prior)
                bits = 8 * os.stat(path).st_size
            ours = sorted(map(bytes, codes.toarray()))
            same = (
                (back.codes != codes).nnz == 0
                if ordered
                else sorted(map(bytes, back.codes.toarray())) == ours
            )
            if (
                not same
                or not np.array_equal(back.dictionary.atoms_, dictionary.atoms_)
                or bits != rate.total_bits
            ):
                raise AssertionError(f"the archive at lam = {lam} is not what was written")
            yield ordered, (rate.payload_bits_per_item, bits / len(z), rebuilt)


def equal_atoms(z: np.ndarray) -> None:
    """Prints payloads beside FAISS's local search at the same variance and number of atoms.

    Its codebooks are float32, so this dictionary is coded finely too: as for 100 times the items.
    """
    for parts, bits in ((4, 4), (8, 4), (16, 4), (4, 5), (8, 5), (4, 6)):
        atoms = parts * 2**bits
        if len(z) < 4 * atoms:
            continue
        theirs, _, rebuilt = baselines.local_search(z, parts, bits)
        ev = fidelity(z, rebuilt, max_queries=1).explained_variance
        finely: dict[str, Any] = {"n_atoms": atoms, "n_items": 100 * len(z)}
        near = learn_to_target(z, explained_variance=ev, n_swaps=0, **finely)
        found = []
        # With swaps the same variance is reached at a larger lam.
        for lam in near.lam * np.array([1.7, 1.5, 1.35, 1.2, 1.1, 1.0, 0.9]):
            dictionary = SemanticDictionary(atoms, lam=lam).fit(z, n_items=100 * len(z))
            codes = dictionary.transform(z)
            rate = encode_archive(dictionary, codes, encoder="ViT-B-32/openai")[1]
            kept = fidelity(z, dictionary.inverse_transform(codes), max_queries=1)
            found.append((kept.explained_variance, rate.payload_bits_per_item))
        ours = float(np.interp(ev, *np.transpose(lower_hull(found))))
        print(
            f"payload with {atoms} atoms at ev {ev:.3f}: FAISS local search {theirs:.2f} bits,"
            f" smic {ours:.2f}: {1 - ours / theirs:.0%} less",
            flush=True,
        )


def methods(
    z: np.ndarray, prior: Prior | None, quick: bool
) -> Iterator[tuple[str, bool, bool, list]]:
    """Name, ordered, with prior, points; one method at a time."""
    for public in (None, prior) if prior is not None else (None,):
        points: dict[bool, list] = {True: [], False: []}
        for ordered, point in codec(z, public, quick):
            points[ordered].append(point)
        for ordered, found in points.items():
            yield "smic", ordered, public is not None, found
    try:
        import faiss
    except ImportError:
        print("faiss is not installed (pip install faiss-cpu): its methods are left out")
    else:
        faiss.omp_set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
        for kind, name in (("residual", "FAISS residual"), ("local", "FAISS local search")):
            for book in baselines.BOOKS:
                if not (quick and kind == "local" and book in ("float32", "squeezed harder")):
                    yield (
                        f"{name}, {book}",
                        True,
                        False,
                        list(baselines.additive(kind, z, book, quick)),
                    )
        yield "FAISS product", True, False, list(baselines.product(z, False, quick))
        if not quick:
            yield "FAISS product, rotated", True, False, list(baselines.product(z, True, quick))
        yield "k-means", True, False, list(baselines.kmeans(z, False, quick))
        yield "k-means, squeezed", True, False, list(baselines.kmeans(z, True, quick))
    others: list[tuple[str, Callable]] = [
        ("dictionary learning and OMP", baselines.dictionary_learning),
        ("signs (ITQ)", baselines.signs),
        ("scalar in PCA basis", baselines.scalar),
    ]
    for name, method in others:
        yield name, True, False, list(method(z, quick))


def at_targets(z: np.ndarray, points: list[baselines.Point]) -> list[dict]:
    """Interpolates on the lower hull of (explained variance, total bits)."""
    rows = []
    for payload, total, rebuilt in points:
        f = fidelity(z, rebuilt, max_queries=500)
        rows.append((f.explained_variance, total, payload, f.centred_cosine, f.recall_at_10))
    hull = lower_hull(rows)
    # Left of its cheapest point a method gains nothing.
    while len(hull) > 1 and hull[1][1] <= hull[0][1]:
        hull.pop(0)
    out = []
    for target in TARGETS:
        if hull and hull[0][0] <= target <= hull[-1][0]:
            columns = np.array(hull).T
            values = [float(np.interp(target, columns[0], column)) for column in columns[1:]]
        elif hull and target < hull[0][0]:
            values = [float(v) for v in hull[0][1:]]  # its cheapest point is better than asked for
        else:
            continue
        names = ("total_bits_per_item", "payload_bits_per_item", "centred_cosine", "recall_at_10")
        out.append({"ev": target, **dict(zip(names, values, strict=True))})
    return out


def lower_hull(rows: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Those of the rows (x, y, ...) that no mixture of two others is below, by x."""
    hull: list[tuple[float, ...]] = []
    for row in sorted(rows):
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (row[0] - hull[-2][0]) >= (
            row[1] - hull[-2][1]
        ) * (hull[-1][0] - hull[-2][0]):
            hull.pop()
        hull.append(row)
    return hull


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latents", nargs="+", required=True, metavar="FILE.npy")
    parser.add_argument(
        "--prior", nargs="+", default=[], metavar="FILE.npy", help="latents to build a prior from"
    )
    parser.add_argument(
        "--items",
        type=int,
        metavar="N",
        help="code only N items of each file, evenly spread; its others then are in the prior too",
    )
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--small",
        action="store_true",
        help="subsets of 50 to 500 items: see tests.benchmarks.small",
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=small.SIZES, help="of the subsets of --small"
    )
    arguments = parser.parse_args()
    missing = [p for p in arguments.latents + arguments.prior if not os.path.exists(p)]
    if missing:
        raise SystemExit(
            f"no such file: {', '.join(missing)}. Latents are not shipped: "
            "give an (N, d) .npy of your own"
        )
    results = []
    for path in arguments.latents:
        z = load(path)
        public = [load(p) for p in arguments.prior if os.path.realpath(p) != os.path.realpath(path)]
        if arguments.items and arguments.items < len(z):
            chosen = np.linspace(0, len(z) - 1, arguments.items).astype(int)
            public.append(np.delete(z, chosen, axis=0))
            z = z[chosen]
        prior = Prior.build(np.concatenate(public)) if public else None
        if arguments.small:
            results += small.report(path, z, prior, arguments.sizes)
            continue
        print(
            f"\n{path}: {len(z)} items, {z.shape[1]} dimensions;"
            " total (payload) bits per item at equal variance"
        )
        print(f"{'':44s}" + "".join(f"{f'ev {t:.2f}':>17s}" for t in TARGETS))
        ours: dict[float, float] = {}
        for name, ordered, with_prior, points in methods(z, prior, arguments.quick):
            found = at_targets(z, points)
            label = name if name != "smic" else f"smic, {'ordered' if ordered else 'unordered'}"
            label += ", prior" if with_prior else ""
            cells = {
                f["ev"]: f"{f['total_bits_per_item']:8.2f} ({f['payload_bits_per_item']:6.2f})"
                for f in found
            }
            print(
                f"{label:44s}" + "".join(f"{cells.get(t, '-'):>17s}" for t in TARGETS), flush=True
            )
            for f in found:
                print_ratio = name.startswith("FAISS residual, ") and "float" not in name
                if name == "smic" and ordered:
                    ours[f["ev"]] = f["total_bits_per_item"]
                elif print_ratio and f["ev"] in ours:
                    ratio = f["total_bits_per_item"] / ours[f["ev"]]
                    best = "smic, ordered, prior" if prior else "smic, ordered"
                    print(f"    at {f['ev']:.2f}: {ratio:.2f} times {best}")
                results.append(
                    {"file": path, "method": name, "ordered": ordered, "prior": with_prior, **f}
                )
        if not arguments.quick and importlib.util.find_spec("faiss"):
            equal_atoms(z)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
