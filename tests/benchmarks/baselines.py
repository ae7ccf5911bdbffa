"""What else can shorten a collection of latents, each paying for all its decoder needs.

Every function yields points ``(payload bits per item, total bits per item, rebuilt latents)``.
Indices cost their fixed length, or, "squeezed", the length of an ideal adaptive code
(Krichevsky-Trofimov). Codebooks cost 32 or 8 bits a number or, squeezed, the length of an ideal
adaptive code of their numbers in steps that give about 3 or 4 bits, or, harder, 2 (of k-means, all
three). The mean costs 8 bits a dimension.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import gammaln

Point = tuple[float, float, np.ndarray]
#: Bits per number of a codebook, by what a method is called.
BOOKS = {"float32": (32,), "8 bits": (8,), "squeezed": (3, 4), "squeezed harder": (2,)}


def adaptive_bits(symbols: np.ndarray, size: int) -> float:
    """Length of the symbols under an adaptive code that starts knowing nothing."""
    counts = np.bincount(np.asarray(symbols).ravel(), minlength=size)
    inside = gammaln(counts + 0.5).sum() - size * gammaln(0.5) + gammaln(size / 2)
    return float((gammaln(counts.sum() + size / 2) - inside) / np.log(2))


def shorten(book: np.ndarray, bits: int, squeezed: bool) -> tuple[np.ndarray, float]:
    """A codebook rounded to ``bits`` per number, squeezed to about as many, and what it costs."""
    if bits == 32:
        return book, 32.0 * book.size
    low, high = float(book.min()), float(book.max())
    if squeezed:
        # A few dimensions of CLIP have values ten times the others': of steps that divide the whole
        # range nothing would be left for these. A normal variable of deviation 1 in steps of 1
        # has 2.05 bits (Cover and Thomas, section 8.3).
        step = max(float(np.sqrt((book**2).mean())), 1e-9) * 2 ** (2.05 - bits)
        levels = np.rint(book / step).astype(np.int64)
        first = int(levels.min())
        cost = adaptive_bits(levels - first, int(levels.max()) - first + 1)
        return (levels * step).astype(np.float32), cost + 64
    step = max(high - low, 1e-9) / (2**bits - 1)
    levels = np.rint((book - low) / step).astype(np.int64)
    return (low + levels * step).astype(np.float32), bits * book.size + 64.0


def _unpack(packed: np.ndarray, parts: int, bits: int) -> np.ndarray:
    """FAISS's packed codes (n, bytes) -> (n, parts) indices."""
    flat = np.unpackbits(packed, axis=1, bitorder="little")[:, : parts * bits]
    return flat.reshape(len(packed), parts, bits) @ (1 << np.arange(bits))


def _additive(
    kind: str, z: np.ndarray, parts: int, bits: int, books: tuple[int, ...], squeezed: bool
) -> Iterator[Point]:
    """Points of a quantizer that is trained once, for codebooks of each number of bits."""
    import faiss

    n, d = z.shape
    mean = z.mean(axis=0)
    y = np.ascontiguousarray(z - mean)
    if kind == "residual":
        quantizer = faiss.ResidualQuantizer(d, parts, bits)
        if n < d:  # its default needs as many items as dimensions
            quantizer.train_type = faiss.ResidualQuantizer.Train_default
    else:
        quantizer = faiss.LocalSearchQuantizer(d, parts, bits)
    quantizer.verbose = False
    quantizer.train(y)
    trained = faiss.vector_to_array(quantizer.codebooks)
    for book_bits in books:
        book, cost = shorten(trained, book_bits, squeezed)
        book = np.ascontiguousarray(book.ravel(), np.float32)
        faiss.copy_array_to_vector(book, quantizer.codebooks)
        if kind == "residual":
            quantizer.compute_codebook_tables()
        indices = _unpack(quantizer.compute_codes(y), parts, bits)
        tables = book.reshape(parts, 2**bits, d)
        rebuilt = mean + sum(tables[m][indices[:, m]] for m in range(parts))
        fixed = float(n * parts * bits)
        payload = (
            sum(adaptive_bits(indices[:, m], 2**bits) for m in range(parts)) if squeezed else fixed
        )
        yield payload / n, (payload + cost + 8 * d) / n, rebuilt


def local_search(z: np.ndarray, parts: int, bits: int) -> Point:
    """FAISS's LocalSearchQuantizer with ``parts`` codebooks of ``2**bits`` float32 rows."""
    return next(_additive("local", z, parts, bits, (32,), False))


def additive(kind: str, z: np.ndarray, book: str, quick: bool) -> Iterator[Point]:
    """FAISS's ResidualQuantizer ("residual") or LocalSearchQuantizer ("local")."""
    settings = [(1, 5), (2, 4), (2, 5), (3, 5), (4, 4), (4, 5), (6, 4), (8, 4), (12, 4), (16, 4)]
    if kind == "local":
        settings = [s for s in settings if s[0] > 1]
    if quick:
        settings = settings[1::3]
    for parts, bits in settings:
        if len(z) >= 2**bits * 4:
            yield from _additive(kind, z, parts, bits, BOOKS[book], book.startswith("squeezed"))


def product(z: np.ndarray, rotate: bool, quick: bool) -> Iterator[Point]:
    """FAISS's ProductQuantizer, with 8-bit codebooks, optionally after OPQ's learned rotation."""
    import faiss

    n, d = z.shape
    mean = z.mean(axis=0)
    y = np.ascontiguousarray(z - mean)
    for parts, bits in [(2, 5), (4, 4), (8, 4), (16, 4), (32, 4)][:: 2 if quick else 1]:
        if d % parts or n < 4 * 2**bits or (rotate and n < d):  # FAISS's OPQ crashes on fewer items
            continue
        cost, turned = 8.0 * d + 8 * 2**bits * d, y
        if rotate:
            opq = faiss.OPQMatrix(d, parts)
            opq.niter, opq.niter_pq, opq.pq = 5, 4, faiss.ProductQuantizer(d, parts, bits)
            opq.pq.this.disown()
            opq.train(y)
            turned = opq.apply_py(y)
            cost += 8.0 * d * d
        quantizer = faiss.ProductQuantizer(d, parts, bits)
        quantizer.train(turned)
        rebuilt = quantizer.decode(quantizer.compute_codes(turned))
        if rotate:
            rebuilt = opq.reverse_transform(rebuilt)
        yield parts * bits, parts * bits + cost / n, rebuilt + mean


def kmeans(z: np.ndarray, squeezed: bool, quick: bool) -> Iterator[Point]:
    """One centre per item."""
    import faiss

    n, d = z.shape
    mean = z.mean(axis=0)
    y = np.ascontiguousarray(z - mean)
    sizes = [2**b for b in range(3, 11) if 2**b <= n // 2]
    for size in sizes[:: 2 if quick else 1]:
        model = faiss.Kmeans(d, size, niter=15, seed=1, min_points_per_centroid=1)
        model.train(y)
        for bits in (2, 3, 4) if squeezed else (32, 8):
            book, cost = shorten(model.centroids, bits, squeezed)
            index = faiss.IndexFlatL2(d)
            index.add(book)
            labels = index.search(y, 1)[1][:, 0]
            payload = adaptive_bits(labels, size) if squeezed else n * np.ceil(np.log2(size))
            yield payload / n, (payload + cost + 8 * d) / n, book[labels] + mean


def dictionary_learning(z: np.ndarray, quick: bool) -> Iterator[Point]:
    """The paper's way: scikit-learn's dictionary and OMP, coefficients rounded and
    entropy-coded."""
    import warnings

    from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode

    # Its coordinate descent asks for a precision that no figure here depends on.
    warnings.filterwarnings("ignore", module="sklearn")
    n, d = z.shape
    mean = z.mean(axis=0)
    y = z - mean
    for size in [64] if quick else [64, 256]:
        if size >= n:
            continue
        atoms = (
            MiniBatchDictionaryLearning(
                size, alpha=0.1, max_iter=10, batch_size=256, fit_algorithm="cd", random_state=0
            )
            .fit(y)
            .components_
        )
        for book_bits in (4, 8):
            book, cost = shorten(atoms.astype(np.float32), book_bits, True)
            for used in [2, 6] if quick else [1, 2, 3, 4, 6, 8, 12]:
                codes = sparse_encode(y, book, algorithm="omp", n_nonzero_coefs=used)
                chosen = codes != 0
                step = np.abs(codes).max() / 8
                levels = np.rint(codes / step)
                columns = np.nonzero(chosen)[1]
                payload = adaptive_bits(columns, size)
                payload += adaptive_bits((levels[chosen] + 8).astype(np.int64), 17)
                rebuilt = (levels * step) @ book + mean
                yield payload / n, (payload + cost + 8 * d) / n, rebuilt


def signs(z: np.ndarray, quick: bool) -> Iterator[Point]:
    """Sign quantisation after ITQ's rotation (Gong and Lazebnik 2011), decoded by least squares,
    8-bit matrix."""
    n, d = z.shape
    mean = z.mean(axis=0)
    y = z - mean
    axes = np.linalg.eigh(y.T @ y)[1][:, ::-1]
    for bits in [8, 32] if quick else [4, 8, 16, 32, 64, 128]:
        if bits > d:
            continue
        projected = y @ axes[:, :bits]
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(bits, bits)))[0]
        for _ in range(20):
            u, _, v = np.linalg.svd(np.sign(projected @ turn).T @ projected)
            turn = (u @ v).T
        code = np.where(projected @ turn >= 0, 1.0, -1.0)
        matrix, cost = shorten(np.linalg.lstsq(code, y, rcond=None)[0].astype(np.float32), 8, False)
        yield bits, bits + (cost + 8 * d) / n, code @ matrix + mean


def scalar(z: np.ndarray, quick: bool) -> Iterator[Point]:
    """Scalar quantisation of the PCA-rotated latent, entropy-coded; its axes cost 6 bits a
    number."""
    n, _ = z.shape
    mean = z.mean(axis=0)
    y = z - mean
    axes = np.linalg.eigh(y.T @ y)[1][:, ::-1]
    for step in [0.4, 0.2] if quick else [0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15]:
        levels = np.sign(y @ axes) * np.floor(np.abs(y @ axes) / step + 0.33)
        used = np.flatnonzero(levels.any(axis=0))
        if not len(used):
            continue
        book, cost = shorten(axes[:, used].astype(np.float32), 6, True)
        payload = 0.0
        rebuilt = np.zeros((n, len(used)))
        for column, j in enumerate(used):
            values, symbols = np.unique(levels[:, j], return_inverse=True)
            payload += adaptive_bits(symbols, len(values)) + 8 * len(values)
            for value in values[values != 0]:  # the decoder's centre of each bin, 8 bits
                inside = levels[:, j] == value
                rebuilt[inside, column] = (y @ axes[:, j])[inside].mean()
        yield payload / n, (payload + cost + 8 * z.shape[1]) / n, rebuilt @ book.T + mean
