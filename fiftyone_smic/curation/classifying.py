"""Probabilities of labels by cross-validated classifiers on codes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.utils.vectors import unit

FOLDS, ROUNDS = 5, 2
#: Dimensions that reconstructions are compared in.
DIMENSIONS = 64
#: More items than this are not needed to fit a classifier.
TRAINING = 8_000
#: Folds are drawn so often where the collection is small.
REPEATS, SMALL = 4, 5_000
#: More classes than this go to discriminant analysis, which is solved in closed form.
MOST_LOGISTIC = 100


def probabilities(
    codes: csr_matrix,
    place: NDArray[np.intp],
    classes: int,
    dictionary: SemanticDictionary | None,
    seed: int,
) -> NDArray[np.float64]:
    """(N, L) probability of each label for each item, by classifiers that did not see the item."""
    features, strength = _features(codes, classes, dictionary)
    rng = np.random.default_rng(seed)
    repeats = REPEATS if len(place) <= SMALL and classes <= 20 else 1
    total = np.zeros((len(place), classes))
    for repeat in range(repeats):
        total += _cross_validated(features, place, classes, strength, seed + repeat, rng)
    return total / repeats


def _features(
    codes: csr_matrix, classes: int, dictionary: SemanticDictionary | None
) -> tuple[Any, float]:
    """What classifiers see, and how weakly they are regularised."""
    if dictionary is not None and dictionary.n_atoms_:
        # Principal components of the reconstructions, from K x K products only.
        c = codes.astype(np.float64)
        mean = np.asarray(c.mean(axis=0)).ravel()
        spread = (c.T @ c).toarray() / c.shape[0] - np.outer(mean, mean)
        atoms = dictionary.atoms_.astype(np.float64)
        _, axes = np.linalg.eigh(atoms.T @ spread @ atoms)
        projected = atoms @ axes[:, ::-1][:, :DIMENSIONS]
        return unit((c @ projected).astype(np.float32)), 4.0
    scaled = normalize(codes.astype(np.float64)) * 4
    if classes <= MOST_LOGISTIC:
        return csr_matrix(scaled), 1.0
    wanted = min(DIMENSIONS, scaled.shape[1] - 1)
    return TruncatedSVD(max(wanted, 1), random_state=0).fit_transform(scaled), 1.0


def _cross_validated(
    features: Any,
    place: NDArray[np.intp],
    classes: int,
    strength: float,
    seed: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    found = np.full((len(place), classes), 1 / classes)
    trusted = np.ones(len(place), bool)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for _ in range(ROUNDS):
        chances = np.zeros((len(place), classes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)  # classes with fewer items than folds
            for known, asked in folds.split(np.zeros(len(place)), place):
                train = known[trusted[known]]
                if len(train) > TRAINING:
                    train = rng.choice(train, TRAINING, replace=False)
                if len(np.unique(place[train])) < 2:
                    train = known
                model = _model(classes, strength).fit(features[train], place[train])
                chances[np.ix_(asked, model.classes_)] = model.predict_proba(features[asked])
        found = chances
        trusted = found.argmax(axis=1) == place
    return found


def _model(classes: int, strength: float) -> Any:
    if classes > MOST_LOGISTIC:
        return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    return LogisticRegression(C=strength, max_iter=100, tol=1e-3)
