"""Files that earlier versions wrote are read for good."""

from pathlib import Path

import numpy as np
import pytest

from fiftyone_smic.archive import (
    ArchiveError,
    append_archive,
    archive_info,
    decode_archive,
    read_archive,
)
from fiftyone_smic.dictionary import Prior

from ..support import golden, second_reader

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(path.relative_to(DATA).with_suffix("").as_posix() for path in DATA.glob("*/*.smic"))
MODES = {"appended", "inter", "names", "ordered", "positive", "prior", "unordered"}
MODES |= {"unordered-names"}
LATER = {"distortion", "distortion-appended", "distortion-unordered", "unknown-section"}


def prior_of(version: str) -> Prior:
    return Prior.load(DATA / version / "golden.prior.npz")


def test_every_mode_has_a_golden_file():
    assert set(FILES) == {f"format6/{name}" for name in MODES} | {
        f"format7/{name}" for name in MODES | LATER
    }


@pytest.mark.filterwarnings("ignore::fiftyone_smic.archive.ArchiveWarning")
@pytest.mark.parametrize("file", FILES)
def test_a_golden_archive_reads_to_the_same_numbers(file):
    path = DATA / f"{file}.smic"
    prior = prior_of(path.parent.name)
    expected = np.load(DATA / f"{file}.expected.npz", allow_pickle=False)
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
    info = archive_info(path)
    assert info["items"] == len(expected["codes"])
    assert f"format{info['version']}" == path.parent.name
    distortion = expected["distortion"] if "distortion" in expected else np.zeros(0)
    assert (found.distortion is not None) == (len(distortion) > 0)
    np.testing.assert_array_equal(
        np.zeros(0) if found.distortion is None else found.distortion, distortion
    )
    skipped = expected["skipped"].tolist() if "skipped" in expected else []
    assert list(found.skipped) == list(info["skipped"]) == skipped


@pytest.mark.parametrize("file", FILES)
def test_a_second_reader_reads_golden_archives(file):
    """From the specification alone, and to the same numbers."""
    path = DATA / f"{file}.smic"
    prior = prior_of(path.parent.name) if path.stem == "prior" else None
    public = prior and second_reader.Prior(prior.profile.tolist(), prior.public.rows.tolist())
    expected = np.load(DATA / f"{file}.expected.npz", allow_pickle=False)
    found = second_reader.read(path.read_bytes(), public)
    codes = np.zeros_like(expected["codes"])
    for row, (indices, levels) in zip(codes, found.items, strict=True):
        row[indices] = levels
    np.testing.assert_array_equal(codes, expected["codes"])
    assert found.encoder == "golden" and found.names == expected["names"].tolist()
    if prior is None:
        np.testing.assert_allclose(found.atoms, expected["atoms"], atol=1e-6)
        np.testing.assert_allclose(found.mean, expected["mean"], atol=1e-6)
    if "distortion" in expected:
        np.testing.assert_allclose(found.distortion, expected["distortion"], rtol=1e-12)
        assert found.skipped == expected["skipped"].tolist()


def test_a_golden_file_that_is_cut_is_refused():
    data = (DATA / "format7" / "ordered.smic").read_bytes()
    with pytest.raises(ArchiveError, match="truncated"):
        decode_archive(data[:-3])


def test_items_are_appended_to_an_archive_of_version_6(tmp_path):
    """It stays one of version 6, which the version that wrote it reads."""
    path = tmp_path / "x.smic"
    path.write_bytes((DATA / "format6" / "ordered.smic").read_bytes())
    before = read_archive(path)
    with pytest.raises(ValueError, match="stores no distortions"):
        append_archive(path, before.codes[:2], distortion=[0.1, 0.2])
    append_archive(path, before.codes[:2])
    assert archive_info(path)["version"] == 6
    assert read_archive(path).codes.shape[0] == before.codes.shape[0] + 2
