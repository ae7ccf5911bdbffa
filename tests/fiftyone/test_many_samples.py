"""What many samples need: work in parts, of which no more than one is in memory, and news of it."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import code_columns, encoding, fields, latent_rows, runs


@pytest.fixture(scope="module")
def coded():
    """60 samples of 16 dimensions with codes."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 16))[rng.integers(5, size=60)] + 0.1 * rng.normal(size=(60, 16)) + 2
    dataset = fo.Dataset()
    dataset.add_samples(
        [fo.Sample(f"/nowhere/{i}.jpg", embeddings=row) for i, row in enumerate(rows)],
        progress=False,
    )
    smic.adopt_latents(dataset, "embeddings", progress=False)
    smic.learn_dictionary(dataset, n_atoms=8, lam=1e-4, progress=False)
    smic.encode(dataset, progress=False)
    yield dataset
    dataset.delete()


def test_labels_are_stored_as_fiftyone_stores_them(coded):
    dictionary = smic.load_dictionary(coded)
    codes = dictionary.transform(np.stack(coded.values("clip_latents")))
    made, stored = (
        code_columns.code_columns(dictionary, codes, None, stored=each)[fields.LABELS]
        for each in (False, True)
    )
    assert codes.nnz > 60

    def plain(document):
        labels = document["classifications"]
        assert len({label["_id"] for label in labels}) == len(labels)
        labels = [{**label, "_id": None} for label in labels]
        return {**document, "classifications": labels}

    assert [plain(one.to_dict()) for one in made] == list(map(plain, stored))


def test_parts_give_what_all_at_once_gives(coded, monkeypatch):
    names = [fields.field_name("smic", suffix) for suffix in fields.CODE_SUFFIXES[:4]]
    names.append("smic_labels.classifications.label")
    whole, figures = coded.values(names), runs.load_config(coded, "smic").storage
    sizes = []
    columns = encoding.code_columns

    def watched(dictionary, codes, *arguments, **options):
        sizes.append(codes.shape[0])
        return columns(dictionary, codes, *arguments, **options)

    monkeypatch.setattr(fields, "AT_ONCE", 7)
    monkeypatch.setattr(encoding, "CODED_AT_ONCE", 11)
    monkeypatch.setattr(encoding, "code_columns", watched)
    report = smic.encode(coded, progress=False)
    assert sizes == [7] * 8 + [4]
    assert report.encoded == 60
    assert coded.values(names) == whole
    assert runs.load_config(coded, "smic").storage == figures


def test_a_part_of_the_samples_is_measured_with_the_others(coded):
    """The figures of the collection are the same, whichever of its samples were encoded last."""
    smic.encode(coded, progress=False)
    figures = runs.load_config(coded, "smic").storage
    smic.encode(coded[20:30], progress=False)
    assert runs.load_config(coded, "smic").storage == figures


@pytest.mark.parametrize(
    "call",
    [
        lambda dataset, **how: smic.adopt_latents(dataset, "embeddings", "second", **how),
        lambda dataset, **how: smic.learn_dictionary(dataset, "other", overwrite=True, **how),
        lambda dataset, **how: smic.encode(dataset, **how),
        lambda dataset, **how: smic.search(dataset, dataset.first().id, k=3, **how),
        lambda dataset, **how: smic.select_subset(dataset, 3, **how),
    ],
    ids=["adopt", "learn", "encode", "search", "select"],
)
def test_reading_many_samples_is_reported(coded, monkeypatch, call):
    for module in (latent_rows, smic.fiftyone.adoption, smic.fiftyone.codes):
        monkeypatch.setattr(module, "REPORT_EVERY", 10)
    told = []
    call(coded, progress=told.append)
    reading = [part for part in told if part > 0]
    assert told == sorted(told) and told[-1] <= 1
    assert len(reading) >= 5
