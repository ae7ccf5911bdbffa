"""What may come in: a dictionary with codes, or an archive, checked with messages that say what to
do."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.validation import check_is_fitted

from fiftyone_smic.archive.reader import Archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.validation import check_codes, check_latents

R = TypeVar("R")


def accepts_archives(function: Callable[..., R]) -> Callable[..., R]:
    """Let an archive stand for what it holds.

    In place of ``dictionary, codes`` one archive is enough; in place of codes alone its codes are
    taken. Two archives must share their dictionary. A function that takes ``distortion`` gets the
    archive's, if it has one.
    """
    parameters = list(inspect.signature(function).parameters)
    both = parameters[0] == "dictionary"

    @functools.wraps(function)
    def unpacked(*args: Any, **kwargs: Any) -> R:
        archives = [a for a in (*args, *kwargs.values()) if isinstance(a, Archive)]
        if not archives:
            return function(*args, **kwargs)
        for other in archives[1:]:
            same_dictionary(archives[0].dictionary, other.dictionary)
        given = list(args)
        if both and given and isinstance(given[0], Archive):
            first = archives[0]
            # novelty(archive, reference, new) names its codes itself.
            own = [first.codes] if parameters[1] == "codes" else []
            given = [first.dictionary, *own, *given[1:]]
        held = getattr(archives[0], "distortion", None)
        if held is not None and "distortion" in parameters:
            kwargs.setdefault("distortion", held)
        if "dictionary" in parameters and not both:
            kwargs.setdefault("dictionary", archives[0].dictionary)
        given = [a.codes if isinstance(a, Archive) else a for a in given]
        kwargs = {k: a.codes if isinstance(a, Archive) else a for k, a in kwargs.items()}
        return function(*given, **kwargs)

    return unpacked


def same_dictionary(one: SemanticDictionary, other: SemanticDictionary) -> None:
    """Raise ``ValueError`` unless two archives were coded with the same atoms."""
    if not (np.array_equal(one.atoms_, other.atoms_) and np.array_equal(one.mean_, other.mean_)):
        raise ValueError(
            "the two archives have different dictionaries, so their atoms mean different things: "
            "code both collections with one dictionary (learned on both together)"
        )


def check_pair(
    dictionary: SemanticDictionary, codes: Any, minimum: int = 1
) -> tuple[SemanticDictionary, csr_matrix]:
    """A fitted dictionary and codes of it.

    Raises:
        ValueError: codes of another dictionary, or fewer than ``minimum``.
        TypeError: the first argument is no dictionary.
    """
    if not isinstance(dictionary, SemanticDictionary):
        raise TypeError(
            f"expected a SemanticDictionary or an Archive, got {type(dictionary).__name__}: pass "
            "(dictionary, codes), or what read_archive returns"
        )
    check_is_fitted(dictionary, "atoms_")
    c = as_codes(codes, minimum)
    if c.shape[1] != dictionary.n_atoms_:
        raise ValueError(
            f"these are codes of another dictionary: they have {c.shape[1]} columns and it has "
            f"{dictionary.n_atoms_} atoms; encode the collection with this dictionary, or pass the "
            "dictionary the codes were made with"
        )
    most = np.abs(c.data).max() if c.nnz else 0
    if most > dictionary.max_level:
        raise ValueError(
            f"these are codes of another dictionary: a coefficient is {int(most)} and its "
            f"max_level is {dictionary.max_level}"
        )
    return dictionary, c


def as_codes(codes: Any, minimum: int = 1) -> csr_matrix:
    """Codes as a canonical CSR matrix of int16: sorted, nothing stored twice, no stored zeros.

    Raises:
        ValueError: not two-dimensional, not whole numbers, or fewer than ``minimum`` items.
    """
    if not issparse(codes):
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.dtype.kind not in "iufb":
            raise ValueError(
                f"codes must be an (N, K) matrix of integers, got {codes.dtype} of shape "
                f"{codes.shape}: pass what SemanticDictionary.transform returns"
            )
    c = check_codes(codes, codes.shape[1])
    if c.dtype.kind == "f" and c.nnz and not np.array_equal(c.data, np.rint(c.data)):
        raise ValueError(
            "codes must be whole numbers and these are not: pass what SemanticDictionary.transform "
            "returns, not latents"
        )
    c = csr_matrix(c, dtype=np.int16, copy=True)
    c.sum_duplicates()
    c.eliminate_zeros()
    if c.shape[0] < minimum:
        there = "there are no codes" if c.shape[0] == 0 else f"there is only {c.shape[0]} code"
        raise ValueError(
            f"{there} and this needs at least {minimum}: encode the collection first, or choose "
            "a larger view"
        )
    return c


def check_k(k: Any, n: int, what: str = "items") -> int:
    """A number of items to choose, 1..n; else ValueError."""
    try:
        k = operator.index(k)
    except TypeError:
        raise ValueError(f"k must be a whole number, got {k!r}") from None
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and {n}, the number of {what} there are; got {k}")
    return k


def check_threshold(threshold: float) -> float:
    """A cosine above which two items count as alike, in 0..1; else ValueError."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is a cosine between 0 and 1, like 0.95; got {threshold!r}")
    return float(threshold)


def check_beside(latents: ArrayLike, n: int, dimensions: int) -> NDArray[np.float32]:
    """Latents (n, d) of the coded items, of unit norm; else ValueError."""
    z = check_latents(latents, dimensions=dimensions)
    if len(z) != n:
        raise ValueError(f"there are {len(z)} latents for {n} codes: give one for each, in order")
    norms = np.sqrt(np.einsum("ij,ij->i", z, z))
    if np.abs(norms - 1).max(initial=0.0) < 1e-4:
        return z
    return z / np.maximum(norms, 1e-12)[:, None]


def check_vector(values: ArrayLike, n: int, name: str) -> NDArray[np.float64]:
    """(n,) finite numbers; else ValueError."""
    v = np.asarray(values, np.float64)
    if v.shape != (n,):
        raise ValueError(f"{name} has shape {v.shape} for {n} codes: give one number for each")
    if not np.isfinite(v).all():
        bad = np.flatnonzero(~np.isfinite(v))
        raise ValueError(f"{name} has NaN or infinity at items {bad[:5].tolist()}: leave them out")
    return v


def check_groups(
    labels: Sequence[Any] | NDArray, n: int, name: str = "labels", minimum: int = 2
) -> tuple[NDArray[np.intp], list[Any]]:
    """Labels as positions (n,) in the list of their values.

    Raises:
        ValueError: another number of them, some missing, or fewer than ``minimum`` values.
    """
    if labels is None:
        raise ValueError(f"{name} are missing: give one for each of the {n} codes")
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(values) != n:
        raise ValueError(f"there are {len(values)} {name} for {n} codes: give one for each")
    missing = [i for i, v in enumerate(values) if v is None or v != v]
    if missing:
        raise ValueError(
            f"{len(missing)} of {n} {name} are missing, the first at item {missing[0]}: leave "
            "these items out, or label them"
        )
    try:
        found = sorted(set(values))
    except TypeError:
        found = sorted(set(values), key=repr)
    if len(found) < minimum:
        all_alike = f"all {n} are {found[0]!r}" if found else "there are none"
        raise ValueError(
            f"{name} must have at least {minimum} different values and {all_alike}: choose "
            "another field, or a view that holds more than one"
        )
    place = {value: i for i, value in enumerate(found)}
    return np.array([place[v] for v in values], np.intp), found
