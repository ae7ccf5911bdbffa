"""Operators called as functions, on the collections that users have."""

from __future__ import annotations

import asyncio

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_smic.fiftyone.plugin import install_plugin

#: Operators on samples, and what they are given where they have no default.
CALLS = {
    "compute_latents": {"field": "new"},
    "learn_dictionary": {"key": "new"},
    "encode_samples": {},
    "regenerate_samples": {"steps": 1},
    "visualize_atoms": {},
    "name_atoms": {},
    "export_archive": {"key": "smic"},
    "measure_storage": {},
}


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The plugin, installed as a user would."""
    install_plugin()


def call(name, samples, tmp_path, **params):
    if name == "export_archive":
        params["path"] = tmp_path / "called.smic"
    return foo.get_operator(f"fiftyone_smic/{name}")(samples, **{**CALLS[name], **params})


@pytest.mark.parametrize("name", CALLS)
def test_collections_without_images_are_refused(encoded, make_dataset, name, tmp_path, state):
    before = state(encoded)
    with pytest.raises(ValueError, match="no samples here; choose another view"):
        call(name, encoded.match({"_id": None}), tmp_path)
    assert state(encoded) == before
    videos = make_dataset(np.ones((3, 4)), suffix="mp4")
    with pytest.raises(ValueError, match="holds videos and SMIC works on images"):
        call(name, videos, tmp_path)


def test_views_are_worked_on_alone(encoded, tmp_path):
    atom = encoded.first().smic_atoms[0]
    encoded.save_view("by-atom", encoded.match(F("smic_atoms").contains(atom)))
    view = encoded.load_saved_view("by-atom")
    ids, others = view.values("id"), encoded.exclude(view).values("smic_atoms")
    assert 2 < len(ids) < 80
    assert call("compute_latents", view, tmp_path).computed == len(ids)
    assert call("learn_dictionary", view, tmp_path).n_atoms_ > 0
    assert encoded.get_run_info("new").config.items == len(ids)
    assert call("encode_samples", view, tmp_path, key="new").encoded == len(ids)
    assert encoded.count("new_bits") == len(ids)
    assert call("export_archive", view, tmp_path).items == len(ids)
    assert len(call("visualize_atoms", view, tmp_path).points) == len(ids)
    few = encoded.select(ids[:2])
    drawn = call("regenerate_samples", few, tmp_path, output_dir=tmp_path / "drawn")
    assert drawn.drawn == 2
    assert encoded.exclude(ids).values("smic_atoms") == others


def test_latents_that_cannot_be_used(encoded, make_dataset, tmp_path, state):
    vectors = encoded.values("clip_latents")
    vectors[3] = np.full_like(vectors[3], np.nan)
    encoded.set_values("clip_latents", vectors)
    for name in ("encode_samples", "visualize_atoms"):
        skipped = call(name, encoded, tmp_path).skipped
        assert list(skipped) == [encoded.values("id")[3]]
        assert "NaN" in next(iter(skipped.values()))
    assert call("learn_dictionary", encoded, tmp_path).n_atoms_ > 0
    assert encoded.get_run_info("new").config.items == 79

    encoded.set_values("clip_latents", [row[:8] for row in vectors])
    before = state(encoded)
    with pytest.raises(ValueError, match="dimensions"):
        call("encode_samples", encoded, tmp_path)
    assert state(encoded) == before

    bare = make_dataset(vectors, field=None)
    with pytest.raises(ValueError, match="compute latents first"):
        call("learn_dictionary", bare, tmp_path)
    for name in ("encode_samples", "regenerate_samples", "name_atoms", "export_archive"):
        with pytest.raises(ValueError, match="no dictionary 'smic'"):
            call(name, bare, tmp_path)


def test_a_notebook_gets_what_a_script_gets(encoded, tmp_path):
    async def notebook():
        drawn = call("regenerate_samples", encoded[:1], tmp_path, output_dir=tmp_path)
        named = call("name_atoms", encoded, tmp_path, labels="terrain")
        return drawn, named, call("export_archive", encoded, tmp_path)

    drawn, named, rate = asyncio.run(notebook())
    assert (drawn.drawn, named.candidates > 1, rate.items) == (1, True, 80)


def test_the_active_slice_is_encoded_and_no_other(original, delete, tmp_path):
    delete("grouped")
    dataset = fo.Dataset("grouped")
    dataset.add_group_field("group", default="left")
    for path in original[:12].values("filepath"):
        group = fo.Group()
        dataset.add_samples(
            [fo.Sample(path, group=group.element(side)) for side in ("left", "right")],
            progress=False,
        )
    assert call("compute_latents", dataset, tmp_path, field="clip_latents").computed == 12
    call("learn_dictionary", dataset, tmp_path, key="smic")
    assert call("encode_samples", dataset, tmp_path).encoded == 12
    dataset.group_slice = "right"
    assert dataset.count("smic_bits") == 0
    with pytest.raises(ValueError, match="none of the 12 samples has a code"):
        call("export_archive", dataset, tmp_path)
