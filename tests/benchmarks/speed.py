"""How fast, in one run, so that the ratios mean something: ``python -m tests.benchmarks.speed
[--quick]``.

Random latents with a spectrum like CLIP's: speed depends on shapes and on how many atoms an item
takes, which is printed. Set OMP_NUM_THREADS to choose the number of threads; the pursuit is timed
on one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, load_npz, save_npz

from fiftyone_smic.archive import (
    append_archive,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
)
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.pursuit import Pursuit


def made_up(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around a mean, three of 300 topics each and a decaying spectrum."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(1)
    topics = fixed.normal(size=(300, d)) / np.arange(1, d + 1) ** 0.25
    z = np.empty((n, d), np.float32)
    for start in range(0, n, 10_000):
        part = z[start : start + 10_000]
        part[:] = 0.7 + sum(topics[rng.integers(0, 300, len(part))] for _ in range(3))
        part += 0.3 * rng.normal(size=part.shape)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return z


def timed(action: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Least seconds of a few runs, and the result."""
    best, result = np.inf, None
    for _ in range(repeat):
        start = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - start)
    return best, result


def pursuit(n: int) -> None:
    """Items per second at d = 512, K = 1024, on one thread."""
    from sklearn.decomposition import sparse_encode
    from threadpoolctl import threadpool_limits

    z = made_up(n, 512)
    mean = z.mean(axis=0)
    y = z - mean
    # Items as atoms, short enough that a coefficient of 1 fits what they share with others.
    atoms = 0.35 * (made_up(1024, 512, seed=2) - mean)
    costs = Costs.initial(1024, 4, 16)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    with threadpool_limits(1):
        Pursuit(atoms, costs, 0.003).code(y[:10])  # compiles, or loads what was compiled
        bare, _ = timed(lambda: [y[a : a + 1024] @ atoms.T for a in range(0, n, 1024)], 3)
        for lam in (0.001, 0.0003):
            seconds, codes = timed(lambda lam=lam: Pursuit(atoms, costs, lam).code(y), 3)
            used = max(1, round(codes.nnz / n))
            some = y[:200]
            slow, _ = timed(
                partial(sparse_encode, some, atoms, algorithm="omp", n_nonzero_coefs=used)
            )
            print(
                f"pursuit, {codes.nnz / n:.1f} atoms an item: {n / seconds:,.0f} items/s;"
                f" bare GEMM {n / bare:,.0f} ({bare / seconds:.2f} of it);"
                f" scikit-learn's OMP {len(some) / slow:,.0f}"
                f" ({n / seconds * slow / len(some):.0f} times that)"
            )
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


def in_child(action: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own, whose memory nothing else has touched."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(action, *arguments).result()


def memory_of(action: Callable[[], Any]) -> tuple[Any, int]:
    """What a function returns, and by how many MB this process's memory grew at most (on Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
    before = _peak()
    result = action()
    return result, (_peak() - before) >> 10


def _peak() -> int:
    """In kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def learn(n: int) -> tuple[float, int, int, int]:
    """Seconds, atoms, MB of the latents and MB more than these that learning takes."""
    SemanticDictionary(10).fit(made_up(100, 512))  # compiles, or loads what was compiled
    z = made_up(n, 512)
    found, more = memory_of(lambda: timed(lambda: SemanticDictionary(1024, lam=0.002).fit(z)))
    return found[0], found[1].n_atoms_, z.nbytes >> 20, more


def learning(n: int) -> None:
    """Seconds and peak memory of learning K = 1024 on n x 512."""
    seconds, atoms, latents, more = in_child(learn, n)
    print(
        f"learning K = 1024 on {n:,} x 512: {seconds:.0f} s ({atoms} atoms kept),"
        f" peak memory {more} MB above the latents' {latents} MB"
    )


def memory_of_reading(path: str) -> int:
    """MB that reading an archive takes."""
    read_archive(path, stop=1)  # compiles, or loads what was compiled
    return memory_of(lambda: read_archive(path))[1]


def archive(n: int) -> None:
    """Writing and reading an archive of n items, K = 1024, 4 atoms each."""
    dictionary = SemanticDictionary(1024, lam=1e-5, max_iter=2).fit(made_up(5000, 64))
    rng = np.random.default_rng(0)
    k = dictionary.n_atoms_
    weights = 1 / np.arange(1, k + 1) ** 0.7
    indices = rng.choice(k, size=(n, 4), p=weights / weights.sum())
    levels = rng.choice([-1, 1, 1, 1, 1, 2], size=indices.size)
    codes = csr_matrix((levels, indices.ravel(), np.arange(n + 1) * 4), shape=(n, k))
    codes.sum_duplicates()
    codes.data = np.clip(codes.data, -4, 4)
    codes.eliminate_zeros()
    processor = time.process_time()
    write, (data, rate) = timed(lambda: encode_archive(dictionary, codes, encoder="e"))
    write_processor = time.process_time() - processor
    processor = time.process_time()
    read, back = timed(lambda: decode_archive(data))
    read_processor = time.process_time() - processor
    assert (back.codes != codes).nnz == 0
    with tempfile.TemporaryDirectory() as folder:
        path, zipped = os.path.join(folder, "x.smic"), os.path.join(folder, "x.npz")
        with open(path, "wb") as file:
            file.write(data)
        memory = in_child(memory_of_reading, path)
        processor = time.process_time()
        one, _ = timed(lambda: read_archive(path, start=n // 2, stop=n // 2 + 1), 5)
        one_processor = (time.process_time() - processor) / 5
        none, _ = timed(lambda: read_archive(path, stop=0), 3)
        about, _ = timed(lambda: archive_info(path), 3)
        add, _ = timed(lambda: append_archive(path, codes[:100]))
        zip_write, _ = timed(lambda: save_npz(zipped, codes.astype(np.int8)))
        zip_read, _ = timed(lambda: load_npz(zipped))
        size = os.path.getsize(zipped)
    print(
        f"archive of {n:,} items, K = {k}: {rate.bits_per_item:.1f} bits an item, written in"
        f" {write:.1f} s ({write_processor:.1f} s of processor), read in {read:.1f} s"
        f" ({read_processor:.1f} s), peak memory of reading {memory} MB\n"
        f"    one item of it {1e3 * one:.0f} ms ({1e3 * one_processor:.0f} ms of processor), of"
        f" which its dictionary {1e3 * none:.0f} ms;"
        f" its header {1e3 * about:.1f} ms; 100 items appended in {1e3 * add:.0f} ms\n"
        f"    scipy.sparse.save_npz (deflate): {size / len(data):.1f} times the bytes, written in"
        f" {zip_write / write:.2f} and read in {zip_read / read:.2f} times the time"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the items")
    scale = 10 if parser.parse_args().quick else 1
    pursuit(50_000 // scale)
    learning(50_000 // scale)
    learning(100_000 // scale)
    archive(1_000_000 // scale)


if __name__ == "__main__":
    main()
