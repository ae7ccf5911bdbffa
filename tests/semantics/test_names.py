"""Names for atoms: which fit."""

import numpy as np

from fiftyone_smic.semantics.names import chance, nearest


def test_only_what_fits_better_than_a_mixture_of_atoms_is_a_name():
    atoms = np.eye(30, dtype=np.float32)
    texts = atoms[:12] + 0.1 * np.random.default_rng(0).standard_normal((12, 30), np.float32)
    cosines = nearest(atoms, texts)[1]
    assert ((cosines > chance(atoms, texts)) == (np.arange(30) < 12)).all()


def test_a_single_atom_has_the_nearest_name():
    assert nearest([[1.0, 0.2]], [[0.0, 1.0], [0.0, -1.0]])[1][0] > chance([[1.0, 0.2]], [[0, 1.0]])
