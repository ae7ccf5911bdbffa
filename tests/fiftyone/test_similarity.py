"""The similarity index on codes: FiftyOne's own search and brain without stored embeddings."""

from __future__ import annotations

import subprocess
import sys

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

import fiftyone_smic as smic


@pytest.fixture
def index(encoded):
    """An index on codes of postcards whose latents are gone."""
    encoded.delete_sample_field("clip_latents")
    return smic.compute_similarity(encoded, brain_key="codes")


def test_sorting_by_a_sample_and_by_a_text(encoded, index):
    query = encoded.first().id
    view = encoded.sort_by_similarity(query, k=10, brain_key="codes")
    assert view.first().id == query
    assert encoded.get_brain_info("codes").config.supports_prompts
    by_text = encoded.sort_by_similarity("night", k=10, brain_key="codes", dist_field="far")
    found = by_text.values("time.label")
    everywhere = encoded.values("time.label")
    assert found.count("night") / 10 > 1.5 * everywhere.count("night") / len(everywhere)
    assert by_text.values("far") == sorted(by_text.values("far"))
    # What was asked before does not change the answer.
    index.find_unique(5)
    again = encoded.sort_by_similarity("night", k=10, brain_key="codes")
    assert again.values("id") == by_text.values("id")
    ours = smic.search(encoded, "night", k=10).view.values("id")
    assert len({*ours} & {*by_text.values("id")}) >= 7


def test_the_brain_takes_the_index(encoded, index):
    index.find_unique(12)
    assert len(index.unique_ids) == 12
    assert len(index.unique_view()) == 12
    fob.compute_near_duplicates(encoded, threshold=1e-4, similarity_index=index)
    codes = encoded.values(["smic_atoms", "smic_coefficients"])
    same = len(encoded) - len({str(sorted(zip(*c, strict=True))) for c in zip(*codes, strict=True)})
    assert len(index.duplicate_ids) >= same
    fob.compute_uniqueness(encoded, similarity_index="codes", progress=False)
    assert encoded.count("uniqueness") == 80
    encoded[:40].tag_samples("train")
    encoded[40:].tag_samples("test")
    leaks = fob.compute_leaky_splits(
        encoded, ["train", "test"], threshold=0.05, similarity_index="codes"
    )
    assert set(leaks.leaks_view().values("id")) <= set(encoded.values("id"))
    embeddings, ids, _ = index.get_embeddings()
    assert embeddings.shape == (80, 128) and set(ids) == set(encoded.values("id"))


def test_a_run_survives_a_restart(encoded, index):
    encoded.persistent = True
    query = encoded.first().id  # a text would load the encoder in another process too
    expected = encoded.sort_by_similarity(query, k=5, brain_key="codes").values("id")
    script = (
        "import fiftyone as fo, sys\n"
        f"d = fo.load_dataset({encoded.name!r})\n"
        f"print(d.sort_by_similarity({query!r}, k=5, brain_key='codes').values('id'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == str(expected)


def test_codes_that_are_written_later_are_read_again(encoded):
    index = smic.compute_similarity(encoded, brain_key="codes")
    sample_id = encoded.add_sample(
        fo.Sample(encoded.first().filepath, clip_latents=encoded.first().clip_latents)
    )
    smic.encode(encoded.select(sample_id))
    assert index.total_index_size == 80
    index.reload()
    assert index.total_index_size == 81
    assert sample_id in encoded.sort_by_similarity(
        encoded.first().id, k=2, brain_key="codes"
    ).values("id")


def test_an_index_follows_its_dictionary(encoded, index):
    encoded.rename_run("smic", "scenes")
    assert encoded.get_brain_info("codes").config.key == "scenes"
    assert len(encoded.sort_by_similarity("night", k=5, brain_key="codes")) == 5
    encoded.delete_run("scenes")
    assert encoded.list_brain_runs() == []


def test_an_index_is_replaced_only_by_its_kind(encoded, index, state):
    assert smic.compute_similarity(encoded, brain_key="codes").total_index_size == 80
    points = np.random.default_rng(0).normal(size=(80, 2))
    fob.compute_visualization(encoded, points=points, brain_key="map")
    before = state(encoded)
    with pytest.raises(ValueError, match="'map' is in use"):
        smic.compute_similarity(encoded, brain_key="map")
    with pytest.raises(ValueError, match="no dictionary 'nothing'"):
        smic.compute_similarity(encoded, "nothing")
    with pytest.raises(ValueError, match="call reload"):
        index.add_to_index(np.zeros((1, 128)), ["0" * 24])
    assert state(encoded) == before


def test_without_texts_no_prompt_is_offered(make_dataset, clustered):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, n_atoms=8)
    smic.encode(dataset)
    index = smic.compute_similarity(dataset, brain_key="codes")
    assert not index.supports_prompts
    with pytest.raises(ValueError, match="does not support prompts"):
        index.sort_by_similarity("a dog")
    with pytest.raises(ValueError, match="3 numbers"):
        index.sort_by_similarity(np.zeros(3))
