"""Threads of one process, as those of the App's server, work on one dataset at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import fiftyone as fo
import fiftyone.core.odm as foo
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import fields


def at_once(calls):
    """The results of calls that run at the same time, errors among them."""

    def run(call):
        try:
            return call()
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@pytest.fixture
def dataset(make_dataset, clustered):
    return make_dataset(clustered[:30])


def test_of_several_that_learn_one_key_one_wins(dataset):
    learn = [
        lambda n=n: smic.learn_dictionary(dataset, n_atoms=n, progress=False) for n in (3, 4, 5)
    ]
    found = at_once(learn)
    won = [each for each in found if not isinstance(each, ValueError)]
    assert len(won) == 1
    assert all("'smic'" in str(each) for each in found if isinstance(each, ValueError))
    assert smic.load_dictionary(dataset).n_atoms_ == won[0].n_atoms_
    stored = foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id})["runs"]
    runs = foo.get_db_conn().runs.find({"_dataset_id": dataset._doc.id})
    assert {run["_id"]: run["key"] for run in runs} == {stored["smic"]: "smic"}


def test_several_keys_are_learned_and_encoded_at_once(dataset):
    keys = ["one", "two", "three"]
    at_once(
        [lambda k=k: smic.learn_dictionary(dataset, k, n_atoms=4, progress=False) for k in keys]
    )
    assert smic.list_dictionaries(dataset) == sorted(keys)
    made = at_once([partial(smic.encode, dataset, key, progress=False) for key in keys])
    assert [each.rate.items for each in made] == [30, 30, 30]
    dataset.reload()
    for key in keys:
        wanted = {fields.field_name(key, suffix) for suffix in fields.CODE_SUFFIXES}
        assert wanted <= set(dataset.get_field_schema())
        assert len(smic.rebuilt_latents(dataset, key)[0]) == 30


def test_a_field_of_another_type_is_not_taken(dataset):
    smic.learn_dictionary(dataset, n_atoms=4, progress=False)
    dataset.set_values("smic_bits", ["mine"] * 30)
    with pytest.raises(ValueError, match="'smic_bits' of its own, of the type StringField"):
        smic.encode(dataset, progress=False)
    assert dataset.values("smic_bits") == ["mine"] * 30
    assert not dataset.has_sample_field("smic_atoms")
    dataset.rename_sample_field("smic_bits", "notes")
    assert smic.encode(dataset, progress=False).rate.items == 30
    assert isinstance(dataset.get_field("smic_bits"), fo.FloatField)
