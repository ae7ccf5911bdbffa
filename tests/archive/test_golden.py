"""Files that earlier versions wrote are read for good: these were written by version 0.1.0."""

from pathlib import Path

import numpy as np
import pytest

from fiftyone_smic.archive import archive_info, decode_archive, read_archive
from fiftyone_smic.dictionary import Prior

from ..support import golden

FOLDER = Path(__file__).parents[1] / "data" / "format6"
NAMES = sorted(path.stem for path in FOLDER.glob("*.smic"))


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior.load(FOLDER / "golden.prior.npz")


def test_every_mode_has_a_golden_file():
    assert NAMES == [
        "appended",
        "inter",
        "names",
        "ordered",
        "positive",
        "prior",
        "unordered",
        "unordered-names",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_of_version_6_reads_to_the_same_numbers(name, prior):
    path = FOLDER / f"{name}.smic"
    expected = np.load(FOLDER / f"{name}.expected.npz", allow_pickle=False)
    found = read_archive(path, prior)
    np.testing.assert_array_equal(found.codes.toarray(), expected["codes"])
    np.testing.assert_array_equal(found.dictionary.mean_, expected["mean"])
    np.testing.assert_array_equal(found.dictionary.atoms_, expected["atoms"])
    np.testing.assert_array_equal(found.dictionary.counts_, expected["counts"])
    assert list(found.names or ()) == expected["names"].tolist()
    assert [found.rate.items, found.rate.total_bits, found.rate.payload_bits] == expected[
        "rate"
    ].tolist()
    assert (found.encoder, found.latent_norm) == ("golden", 9.5)
    # A dictionary that was read codes new items as it did when the file was written.
    again = found.dictionary.transform(golden.latents())
    np.testing.assert_array_equal(again.toarray(), expected["again"])
    assert archive_info(path)["items"] == len(expected["codes"])


def test_a_golden_file_that_is_cut_is_refused(prior):
    data = (FOLDER / "ordered.smic").read_bytes()
    with pytest.raises(ValueError):
        decode_archive(data[:-5], prior)
