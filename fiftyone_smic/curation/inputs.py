"""What may come in: a dictionary with codes, or an archive, checked with messages that say what to
do."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Hashable, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.validation import check_is_fitted

from fiftyone_smic.archive.reader import Archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.validation import check_codes, check_latents
from fiftyone_smic.utils.vectors import unit

R = TypeVar("R")

#: Largest magnitude of a coefficient that any dictionary has.
MAX_LEVEL = 127


def accepts_archives(function: Callable[..., R]) -> Callable[..., R]:
    """Let an archive stand for what it holds.

    In place of ``dictionary, codes`` one archive is enough; in place of codes alone its codes are
    taken. Two archives must share their dictionary. A function that takes ``distortion`` gets the
    archive's, if it has one.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters)
    both = parameters[0] == "dictionary"

    @functools.wraps(function)
    def unpacked(*args: Any, **kwargs: Any) -> R:
        archives = [a for a in (*args, *kwargs.values()) if isinstance(a, Archive)]
        if not archives:
            return function(*args, **kwargs)
        first = archives[0]
        others = [a.dictionary for a in archives[1:]]
        others += [a for a in (*args, *kwargs.values()) if isinstance(a, SemanticDictionary)]
        for other in others:
            same_dictionary(first.dictionary, other)
        given = list(args)
        if both and not given and isinstance(kwargs.get("dictionary"), Archive):
            given = [kwargs.pop("dictionary")]
        if both and given and isinstance(given[0], Archive):
            # novelty(archive, reference, new) names its codes itself.
            own = [first.codes] if parameters[1] == "codes" else []
            if own and "codes" in kwargs:
                raise TypeError(
                    f"{function.__name__}() got an archive and codes beside it: pass the archive "
                    "alone, or its dictionary and the codes"
                )
            given = [first.dictionary, *own, *given[1:]]
        given = [a.codes if isinstance(a, Archive) else a for a in given]
        kwargs = {k: a.codes if isinstance(a, Archive) else a for k, a in kwargs.items()}
        said = signature.bind_partial(*given, **kwargs).arguments
        held = getattr(first, "distortion", None)
        if held is not None and "distortion" in parameters and "distortion" not in said:
            kwargs["distortion"] = held
        if "dictionary" in parameters and "dictionary" not in said:
            kwargs["dictionary"] = first.dictionary
        return function(*given, **kwargs)

    return unpacked


def same_dictionary(one: SemanticDictionary, other: SemanticDictionary) -> None:
    """Raise ``ValueError`` unless two dictionaries have the same mean and atoms."""
    if not (np.array_equal(one.atoms_, other.atoms_) and np.array_equal(one.mean_, other.mean_)):
        raise ValueError(
            "these are two different dictionaries, so their atoms mean different things: pass an "
            "archive with its own dictionary, and code collections that are compared with one "
            "dictionary (learned on both together)"
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
    if most > dictionary.max_level_:
        raise ValueError(
            f"these are codes of another dictionary: a coefficient is {int(most)} and its "
            f"max_level is {dictionary.max_level_}"
        )
    return dictionary, c


def as_codes(codes: Any, minimum: int = 1) -> csr_matrix:
    """Codes as a canonical CSR matrix of int16: sorted, nothing stored twice, no stored zeros.

    Raises:
        ValueError: not two-dimensional, not whole numbers, larger than any coefficient, or fewer
            than ``minimum`` items.
    """
    if not issparse(codes):
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.dtype.kind not in "iufb":
            raise ValueError(
                f"codes must be an (N, K) matrix of integers, got {codes.dtype} of shape "
                f"{codes.shape}: pass what SemanticDictionary.transform returns"
            )
    c = check_codes(codes, codes.shape[1])
    c = csr_matrix(c, copy=True)
    c.sum_duplicates()
    if c.dtype.kind not in "iufb" or not np.array_equal(c.data, np.rint(c.data)):
        raise ValueError(
            "codes must be whole numbers and these are not: pass what SemanticDictionary.transform "
            "returns, not latents"
        )
    if c.nnz and not (c.data.min() >= -MAX_LEVEL and c.data.max() <= MAX_LEVEL):
        raise ValueError(
            f"coefficients must lie between -{MAX_LEVEL} and {MAX_LEVEL} and one of these is "
            f"{max(c.data.min(), c.data.max(), key=abs)}: pass what SemanticDictionary.transform "
            "returns"
        )
    c = c.astype(np.int16)
    c.eliminate_zeros()
    if c.shape[0] < minimum:
        there = {0: "there are no codes", 1: "there is only 1 code"}.get(
            c.shape[0], f"there are only {c.shape[0]} codes"
        )
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


def check_count(value: Any, name: str, least: int = 0) -> int:
    """A whole number that is not too small; else ValueError."""
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    return count


def check_threshold(threshold: float) -> float:
    """A cosine above which two items count as alike, in 0..1; else ValueError."""
    if not isinstance(threshold, Real) or not 0 < threshold <= 1:
        what = repr(threshold) if np.isscalar(threshold) else f"a {type(threshold).__name__}"
        raise ValueError(f"threshold is a cosine between 0 and 1, like 0.95; got {what}")
    return float(threshold)


def check_beside(latents: ArrayLike, n: int, dimensions: int) -> NDArray[np.float32]:
    """Latents (n, d) of the coded items, of unit norm; else ValueError."""
    z = check_latents(latents, dimensions=dimensions)
    if len(z) != n:
        raise ValueError(f"there are {len(z)} latents for {n} codes: give one for each, in order")
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", z, z))
    if np.abs(norms - 1).max(initial=0.0) < 1e-4:
        return z
    return unit(z)


def check_queries(queries: ArrayLike, dimensions: int) -> NDArray[np.float32]:
    """Latents (m, d) to search for, m >= 1; else ValueError."""
    q = np.atleast_2d(np.asarray(queries))
    if q.dtype.kind in "USO":
        raise ValueError(
            "queries are latents, (m, d) numbers, and these are not: turn texts into latents with "
            "the collection's encoder, as load_encoder(archive.encoder).encode_texts(texts) does"
        )
    if q.size == 0:
        raise ValueError("there are no queries: give the latent of a text or an image")
    q = check_latents(q, dimensions=dimensions)
    empty = np.flatnonzero(~q.any(axis=1))
    if len(empty):
        raise ValueError(
            f"query {empty[0]} is all zero, which is no latent and is near nothing: encode what is "
            "searched for again"
        )
    return q


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
    missing = [i for i, v in enumerate(values) if _missing(v)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {n} {name} are missing, the first at item {missing[0]}: leave "
            "these items out, or label them"
        )
    for i, value in enumerate(values):
        if not isinstance(value, Hashable):
            raise ValueError(
                f"{name} must be single values, like texts or numbers, and item {i} has a "
                f"{type(value).__name__}: give one value for each item"
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


def column_of(values: Sequence[Any]) -> NDArray:
    """(L,) values as an array that keeps the type of each: of mixed ones as objects."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {str, bool, int, float}:
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA
        return True
    except ValueError:  # an array
        return False
