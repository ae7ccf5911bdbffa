"""The whole way in one call: it goes on where it stopped, and says what it could not do."""

from __future__ import annotations

import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import compression
from fiftyone_smic.fiftyone.runs import load_config


@pytest.fixture
def known(make_dataset, clustered):
    """60 embeddings of a model that is not here."""
    dataset = make_dataset(clustered)
    return dataset


def test_a_stopped_run_goes_on_where_it_stopped(known, monkeypatch):
    calls = []
    for name in ("learn_dictionary", "encode"):
        function = getattr(compression, name)

        def counted(*given, _name=name, _function=function, **more):
            calls.append(_name)
            return _function(*given, **more)

        monkeypatch.setattr(compression, name, counted)
    # The embeddings are all there: no model is needed, and none is loaded.
    monkeypatch.setattr(compression, "compute_latents", lambda *given, **more: None)

    class Stop(Exception):
        pass

    def stop(fraction):
        if fraction >= 0.7:
            raise Stop

    with pytest.raises(Stop):
        smic.compress_dataset(known, map=False, names=False, progress=stop)
    assert known.list_runs() == ["smic"]
    digest = load_config(known, "smic").digest
    done = smic.compress_dataset(known, map=False, names=False, progress=False)
    assert calls.count("learn_dictionary") == 1
    assert done.reused == ("dictionary",)
    assert load_config(known, "smic").digest == digest
    assert known.count("smic_bits") == done.codes.encoded == 60


def test_names_that_cannot_be_found_leave_the_codes(known, monkeypatch):
    monkeypatch.setattr(compression, "compute_latents", lambda *given, **more: None)
    stages = []

    class Bar:
        def __call__(self, fraction):
            assert 0 <= fraction <= 1

        def stage(self, label):
            stages.append(label)

    done = smic.compress_dataset(known, map=False, progress=Bar())
    assert "do not say which encoder" in done.left_out["names"]
    assert done.codes.encoded == 60 and done.named == 0
    assert stages.index("Computing embeddings") < stages.index("Learning the dictionary")
    assert "Encoding the images" in stages


def test_a_key_of_other_embeddings_is_refused(known, clustered):
    smic.learn_dictionary(known)
    with pytest.raises(ValueError, match="was learned from 'clip_latents', not from 'others'"):
        smic.compress_dataset(known, latents_field="others")
