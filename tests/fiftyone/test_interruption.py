"""A run that is interrupted or fails leaves every field as it was."""

from __future__ import annotations

import fiftyone as fo
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import fields


class Interrupt:
    """A progress function that presses Ctrl+C once ``at`` is reached."""

    def __init__(self, at):
        self.at = at

    def __call__(self, fraction):
        if fraction >= self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [0.0, 0.5])
def test_computing_latents(postcards, state, at):
    before = state(postcards)
    with pytest.raises(KeyboardInterrupt):
        smic.compute_latents(postcards, "second", batch_size=16, progress=Interrupt(at))
    assert state(postcards) == before


def test_replacing_a_dictionary(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    before = state(dataset)
    with pytest.raises(KeyboardInterrupt):
        smic.learn_dictionary(dataset, overwrite=True, lam=0.01, progress=Interrupt(0.3))
    assert state(dataset) == before
    assert smic.encode(dataset).encoded == len(dataset)


def test_storing_a_dictionary(make_dataset, clustered, state, monkeypatch):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    before = state(dataset)

    def fail(*args, **kwargs):
        raise OSError("database is full")

    monkeypatch.setattr(fo.Dataset, "save_run_results", fail)
    with pytest.raises(OSError, match="database is full"):
        smic.learn_dictionary(dataset, overwrite=True, lam=0.01)
    with pytest.raises(OSError, match="database is full"):
        smic.learn_dictionary(dataset, "second")
    assert state(dataset) == before


@pytest.mark.parametrize("already", [False, True])
def test_writing_codes(make_dataset, clustered, state, monkeypatch, already):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    if already:
        smic.encode(dataset[:30])
    before = state(dataset)
    set_values = fo.Dataset.set_values
    calls = []

    def fail_at_third(self, name, *args, **kwargs):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return set_values(self, name, *args, **kwargs)

    monkeypatch.setattr(fo.Dataset, "set_values", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        smic.encode(dataset)
    assert len(calls) > 3  # the fields begun were put back
    assert state(dataset) == before


def test_regenerating_continues_where_it_stopped(postcards, tmp_path, state):
    smic.learn_dictionary(postcards)
    smic.encode(postcards)
    view = postcards[:6]
    before = state(postcards)
    with pytest.raises(KeyboardInterrupt):
        smic.regenerate(view, output_dir=tmp_path, steps=1, batch_size=2, progress=Interrupt(0.5))
    assert state(postcards) == before
    assert not list(tmp_path.rglob("*.part"))
    report = smic.regenerate(view, output_dir=tmp_path, steps=1, batch_size=2)
    assert report.reused >= 2
    assert report.reused + report.drawn == 6


def test_write_restores_only_what_it_began(make_dataset, clustered):
    dataset = make_dataset(clustered[:2])
    fields.declare(dataset, "k", [fields.BITS])
    dataset.set_values("k_bits", [1.0, 2.0])
    ids = dataset.values("id")
    with pytest.raises(ValueError):
        fields.write(dataset, ids, {"k_bits": [3.0, 4.0], "clip_latents": ["no", "vectors"]})
    assert dataset.values("k_bits") == [1.0, 2.0]
