"""Write the golden files of this version into a folder: ``python -m tests.support.golden FOLDER``.

The files under ``tests/data/`` are read for good: those in ``format6`` were written by version
0.1.0, those in ``format7`` by the first version that wrote format 7. This script is run again only
to add the files of a new format beside them, in a folder of their own.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

N, D = 60, 16


def latents(seed: int = 0, n: int = N) -> np.ndarray:
    """Unit-norm latents (n, 16) that are sums of few directions."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((8, D))
    weights = rng.random((n, 8)) * (rng.random((n, 8)) < 0.3)
    z = 0.7 * rng.standard_normal(D) + weights @ parts + 0.02 * rng.standard_normal((n, D))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def write_archives(folder: Path) -> None:
    """One archive for each mode, and beside it what it must read as."""
    from fiftyone_smic.archive import (
        append_archive,
        item_distortion,
        read_archive,
        write_archive,
    )
    from fiftyone_smic.dictionary import Prior, SemanticDictionary

    from ..benchmarks.fuzz import with_unknown_sections

    z = latents()
    prior = Prior.build(latents(1, 100))
    prior.save(folder / "golden.prior.npz")
    slow = np.repeat(z[:10], 6, axis=0)  # neighbours alike, as frames are
    names = [f"folder/picture {i:03d}.jpg" for i in range(N)]
    plain = SemanticDictionary(12, lam=0.001).fit(z)
    cases = {
        "ordered": (plain, z, {}),
        "unordered": (plain, z, {"ordered": False}),
        "unordered-names": (plain, z, {"ordered": False, "names": names}),
        "names": (plain, z, {"names": names, "pixels_per_item": 4096.0}),
        "prior": (SemanticDictionary(12, lam=0.001, prior=prior).fit(z), z, {}),
        "inter": (SemanticDictionary(12, lam=0.001).fit(slow), slow, {}),
        "positive": (SemanticDictionary(12, lam=0.001, nonnegative=True).fit(z), z, {}),
        "appended": (plain, z[:40], {"names": names[:40]}),
        "distortion": (plain, z, {}),
        "distortion-unordered": (plain, z, {"ordered": False}),
        "distortion-appended": (plain, z[:40], {}),
        "unknown-section": (plain, z, {}),
    }
    for name, (dictionary, rows, options) in cases.items():
        path = folder / f"{name}.smic"
        codes = dictionary.transform(rows)
        if name.startswith(("distortion", "unknown")):
            options["distortion"] = item_distortion(dictionary, rows, codes)
        write_archive(path, dictionary, codes, encoder="golden", latent_norm=9.5, **options)
        if name == "appended":
            known = read_archive(path).dictionary
            append_archive(path, known.transform(z[40:]), names=names[40:])
        elif name == "distortion-appended":
            more = read_archive(path).dictionary.transform(z[40:])
            append_archive(path, more, distortion=item_distortion(dictionary, z[40:], more))
        elif name == "unknown-section":
            path.write_bytes(with_unknown_sections(path.read_bytes()))
        found = read_archive(path, prior if name == "prior" else None)
        np.savez_compressed(
            folder / f"{name}.expected.npz",
            codes=found.codes.toarray(),
            mean=found.dictionary.mean_,
            atoms=found.dictionary.atoms_,
            counts=found.dictionary.counts_,
            names=np.array(found.names or (), dtype=str),
            rate=[found.rate.items, found.rate.total_bits, found.rate.payload_bits],
            again=found.dictionary.transform(z).toarray(),
            distortion=np.zeros(0) if found.distortion is None else found.distortion,
            skipped=np.array(found.skipped, int),
        )


def write_collection(folder: Path) -> None:
    """A dataset export, and the arrays and configuration of the run it came from."""
    import fiftyone_smic as smic
    from fiftyone_smic.fiftyone import runs

    dataset = smic.load_postcards(20, overwrite=True)
    smic.compute_latents(dataset)
    smic.learn_dictionary(dataset, "smic", n_atoms=12)
    smic.encode(dataset, "smic")
    smic.name_atoms(dataset)
    dataset.tag_samples("golden")
    target = folder / "export"
    shutil.rmtree(target, ignore_errors=True)
    dataset.export(str(target), dataset_type=smic.types.SMICDataset, key="smic")
    results = runs.load_results(dataset, "smic")
    np.savez_compressed(folder / "run.npz", **results.arrays)
    config = runs.load_config(dataset, "smic").serialize()
    (folder / "run.json").write_text(json.dumps(config, indent=1, default=str), "utf-8")
    columns = ["smic_atoms", "smic_coefficients", "smic_fidelity", "objects"]
    columns = [name for name in columns if dataset.has_field(name)]
    rows = list(dataset.values(["filepath", *columns]))
    rows[0] = [Path(path).name for path in rows[0]]
    content = dict(zip(["file", *columns], rows, strict=True))
    (folder / "run-samples.json").write_text(json.dumps(content, default=str), "utf-8")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    write_archives(where)
    write_collection(where)
