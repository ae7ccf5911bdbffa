"""Archives that many tests read."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from fiftyone_smic.archive import append_archive, write_archive
from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary.estimator import SemanticDictionary


@pytest.fixture(scope="package")
def collection():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 24)) + 3
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    dictionary = SemanticDictionary(lam=0.001, max_iter=4).fit(z)
    return dictionary, dictionary.transform(z), z


@pytest.fixture(scope="package")
def archive_bytes(collection, tmp_path_factory):
    path = tmp_path_factory.mktemp("a") / "x.smic"
    write_archive(
        path,
        *collection[:2],
        encoder="m/p",
        names=[f"{i}.jpg" for i in range(300)],
        pixels_per_item=9e4,
    )
    return path.read_bytes()


def full(n, k):
    """Items with all of the first 16 atoms."""
    return csr_matrix(np.tile(np.arange(k) < 16, (n, 1)).astype(int))


@pytest.fixture(scope="package")
def appended_bytes(collection, archive_bytes, tmp_path_factory):
    """The archive with two appends, the second of items unlike all before."""
    path = tmp_path_factory.mktemp("b") / "x.smic"
    path.write_bytes(archive_bytes)
    codes = collection[1]
    append_archive(path, codes[:5], names=[f"new{i}" for i in range(5)])
    append_archive(path, full(20, codes.shape[1]), names=["full"] * 20)
    return path.read_bytes()


def invent(seed, n, d, k, max_level, max_nonzero, density, alike=0.0):
    """A dictionary and codes nobody learned, to reach corners; a share of the items are ``alike``
    the one before."""
    rng = np.random.default_rng(seed)
    levels = np.rint(rng.standard_cauchy((k, d)) * 2).clip(-70000, 70000).astype(np.int32)
    codes = random_array((n, k), density=density, rng=rng, dtype=float).tocsr()
    rows = [
        row[: rng.integers(0, max_nonzero + 1)]
        for row in np.split(codes.indices, codes.indptr[1:-1])
    ][:n]
    for i in np.flatnonzero(rng.random(n) < alike):
        if i and len(rows[i - 1]):
            rows[i] = np.delete(rows[i - 1], rng.integers(len(rows[i - 1])))
    sizes = [len(r) for r in rows]
    data = rng.integers(1, max_level + 1, sum(sizes)) * rng.choice([-1, 1], sum(sizes))
    codes = csr_matrix((data, np.concatenate([*rows, []]), np.cumsum([0, *sizes])), shape=(n, k))
    dictionary = SemanticDictionary(
        lam=0.01, max_level=max_level, max_nonzero=max_nonzero
    )._restore(
        Rows(np.rint(rng.normal(size=(1, d)) * 30).astype(np.int32), np.array([-20], np.int32)),
        Rows(levels, rng.integers(-30, 5, k).astype(np.int32)),
        np.zeros(k, np.int64),
        np.zeros(k, np.int64),
        np.zeros(2 * max_level + 1, np.int64),
        np.zeros(max_nonzero + 1, np.int64),
    )
    return dictionary, codes
