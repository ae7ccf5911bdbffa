"""What an archive cannot hold is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic import SemanticDictionary, append_archive, fidelity, read_archive, write_archive
from fiftyone_smic.utils.names import name_of


@pytest.fixture(scope="module")
def coded():
    z = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    dictionary = SemanticDictionary(6, lam=0.01, max_iter=2, n_swaps=0).fit(z)
    return dictionary, dictionary.transform(z)


NAMES = {
    "numbers": (range(40), "that of item 0 is 0"),
    "paths": ([Path(f"{i}.png") for i in range(40)], "name_of makes a name of a path"),
    "a missing one": (["a"] * 39 + [None], "that of item 39 is None"),
    "one text": ("a" * 40, "this is one text"),
    "bytes": ([b"a"] * 40, "must be texts"),
    "NUL": (["a"] * 7 + ["a\0"] * 33, "NUL characters, and that of item 7"),
    "bytes that are no UTF-8": (["a", "Jaime\udcf1.png"] * 20, "name of item 1 holds bytes"),
    "too few": (["a"], "1 names for 40"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_are_no_texts(coded, kind, tmp_path):
    names, what = NAMES[kind]
    path = tmp_path / "x.smic"
    with pytest.raises(ValueError, match=what):
        write_archive(path, *coded, encoder="me/1", names=names)
    assert not path.exists()
    write_archive(path, *coded, encoder="me/1", names=["before"] * 40)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=what):
        append_archive(path, coded[1], names=names)
    assert path.read_bytes() == before


def test_names_may_come_in_any_sequence(coded, tmp_path):
    path, texts = tmp_path / "x.smic", [f"{i}.png" for i in range(40)]
    for names in (tuple(texts), np.array(texts), (n for n in texts), dict.fromkeys(texts)):
        write_archive(path, *coded, encoder="me/1", names=names)
        assert list(read_archive(path).names) == texts
    append_archive(path, coded[1][:2], names=np.array(["a", name_of(b"Jaime\xf1.png")]))
    assert read_archive(path).names[-2:] == ("a", "Jaime\uf7f1.png")


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e-50, 1e50, "1"])
@pytest.mark.parametrize("name", ["latent_norm", "pixels_per_item"])
def test_numbers_that_mean_nothing(coded, name, value, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must be a positive number"):
        write_archive(tmp_path / "x.smic", *coded, encoder="me/1", **{name: value})


@pytest.mark.parametrize("encoder", [None, 5, b"ViT-B-32/openai", "a\nb", "a\0", "\udcff"])
def test_an_encoder_that_is_no_identity(coded, encoder, tmp_path):
    with pytest.raises(ValueError, match="encoder is an identity like"):
        write_archive(tmp_path / "x.smic", *coded, encoder=encoder)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 0.5, 1j])
def test_codes_that_are_no_coefficients(coded, value, tmp_path):
    dictionary, codes = coded
    wrong = codes.toarray().astype(type(value))
    wrong[3, 1] = value
    for given in (wrong, csr_matrix(wrong)):
        with pytest.raises(ValueError, match=r"codes (must be|are NaN|exceed)"):
            write_archive(tmp_path / "x.smic", dictionary, given, encoder="me/1")


def test_a_distortion_that_an_archive_would_change(coded, tmp_path):
    path, known = tmp_path / "x.smic", np.full(40, 3.6e9)
    write_archive(path, *coded, encoder="me/1", distortion=known)
    assert np.allclose(read_archive(path).distortion, known, rtol=0.05)
    known[5] = 3.7e9
    with pytest.raises(ValueError, match=r"items \[5\]"):
        write_archive(path, *coded, encoder="me/1", distortion=known)
    with pytest.raises(ValueError, match="not fitted"):
        write_archive(path, SemanticDictionary(), coded[1], encoder="me/1")


def test_fidelity_of_what_cannot_be_compared():
    z = np.random.default_rng(0).normal(size=(20, 4))
    for pair in ((z, z * np.nan), (z * np.inf, z), (z, lambda rows: z[rows] * np.nan)):
        with pytest.raises(ValueError, match="NaN or infinity"), np.errstate(invalid="ignore"):
            fidelity(*pair)
    with pytest.raises(ValueError, match="max_queries"):
        fidelity(z, z, max_queries=0)
    assert fidelity(z * 1e30, z * 1e30).cosine == pytest.approx(1)
