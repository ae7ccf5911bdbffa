"""The plugin: it loads, its forms name what is wrong, and operators do what the library does."""

from __future__ import annotations

import subprocess
import sys

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic.plugin import install_plugin

OPERATORS = [
    "compute_latents",
    "learn_dictionary",
    "encode_samples",
    "regenerate_samples",
    "visualize_atoms",
]


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The plugin, installed as a user would."""
    install_plugin()


def operator(name):
    return foo.get_operator(f"fiftyone_smic/{name}")


def complaints(name, samples, **params):
    """What a form says is wrong, by input."""
    request = {"dataset_name": samples._root_dataset.name, "params": params}
    if samples is not samples._root_dataset:
        request["view"] = samples._serialize()
    form = operator(name).resolve_input(ExecutionContext(request))
    return {n: p.error_message for n, p in form.type.properties.items() if p.invalid}


def test_all_are_registered():
    names = [o.uri for o in foo.list_operators() if o.uri.startswith("fiftyone_smic/")]
    assert sorted(names) == sorted(f"fiftyone_smic/{n}" for n in [*OPERATORS, "smic_panel"])
    for name in OPERATORS:
        assert operator(name).config.risk_level.value == "medium"


def test_loading_the_plugin_imports_no_model_library():
    script = (
        "import sys, fiftyone.operators as foo\n"
        "assert foo.get_operator('fiftyone_smic/learn_dictionary')\n"
        "heavy = {'torch', 'open_clip', 'diffusers', 'umap', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_form_refuses_what_the_library_would(make_dataset, clustered, name):
    videos = make_dataset(clustered[:2], suffix="mp4")
    assert "holds videos" in complaints(name, videos)["collection"]
    empty = make_dataset(clustered).match({"_id": None})
    assert "choose another view" in complaints(name, empty)["collection"]


def test_forms_say_what_to_do_first(make_dataset, clustered):
    dataset = make_dataset(clustered, field=None)
    for name in OPERATORS[2:]:
        said = complaints(name, dataset)
        assert said == {
            "no_dictionary": "This dataset has no dictionary. Run 'SMIC: learn dictionary' first."
        }
    said = complaints("learn_dictionary", dataset)
    assert "Run 'SMIC: compute latents' first" in said["no_latents"]
    dataset = make_dataset(clustered)
    assert complaints("learn_dictionary", dataset) == {}
    smic.learn_dictionary(dataset)
    assert complaints("encode_samples", dataset) == {}
    assert (
        "Run 'SMIC: encode samples' first" in complaints("regenerate_samples", dataset)["no_codes"]
    )


@pytest.mark.parametrize(
    ("name", "params", "where", "says"),
    [
        ("compute_latents", {"encoder": "vit"}, "encoder", "MODEL/PRETRAINED"),
        ("compute_latents", {"encoder": "local-dir:/no/where"}, "encoder", "no folder"),
        ("compute_latents", {"field": "two words"}, "field", "letters, digits"),
        ("compute_latents", {"field": ""}, "field", "letters, digits"),
        ("learn_dictionary", {"key": "two words"}, "key", "cannot be a dictionary key"),
        ("learn_dictionary", {"key": ""}, "key", "cannot be a dictionary key"),
        ("learn_dictionary", {"key": "smic"}, "key", "choose another key"),
        ("learn_dictionary", {"advanced": True, "lam": 0}, "lam", "must be between"),
        ("learn_dictionary", {"advanced": True, "n_atoms": 0}, "n_atoms", "must be between"),
        ("encode_samples", {"key": "gone"}, "key", "there is no dictionary 'gone'"),
        ("regenerate_samples", {"output_dir": "here"}, "output_dir", "whole path"),
        ("regenerate_samples", {"output_dir": __file__}, "output_dir", "is a file"),
        ("regenerate_samples", {"seed": -1}, "seed", "must be between"),
        ("visualize_atoms", {"brain_key": "two words"}, "brain_key", "letters, digits"),
    ],
)
def test_forms_name_the_input_that_is_wrong(make_dataset, clustered, name, params, where, says):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    assert complaints(name, dataset) == {}
    said = complaints(name, dataset, **params)
    assert set(said) == {where}
    assert says in said[where]


def test_a_dictionary_can_be_replaced_when_said_so(make_dataset, clustered):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    assert complaints("learn_dictionary", dataset, key="smic", overwrite=True) == {}


def test_operators_do_what_the_library_does(postcards, tmp_path):
    where = {"dataset": postcards}
    for name, params in (
        ("learn_dictionary", {"key": "app", "lam": 0.005}),
        ("encode_samples", {"key": "app"}),
        ("visualize_atoms", {"key": "app"}),
    ):
        foo.execute_operator(f"fiftyone_smic/{name}", where, params=params)
    view = {"view": postcards[:2]}
    drawn = {"key": "app", "output_dir": str(tmp_path), "advanced": True, "steps": 1}
    foo.execute_operator("fiftyone_smic/regenerate_samples", view, params=drawn)
    postcards.reload()
    assert postcards.get_run_info("app").config.settings["lam"] == 0.005
    smic.learn_dictionary(postcards, "lib", lam=0.005)
    smic.encode(postcards, "lib")
    assert postcards.values("app_atoms") == postcards.values("lib_atoms")
    assert postcards.list_brain_runs() == ["app_umap"]
    assert postcards.count("app_regenerated") == 2


def test_an_operator_that_fails_says_why(make_dataset, clustered, state):
    dataset = make_dataset(clustered, field=None)
    before = state(dataset)
    with pytest.raises(Exception, match="none of the 60 images could be read"):
        foo.execute_operator("fiftyone_smic/compute_latents", {"dataset": dataset}, params={})
    assert state(dataset) == before


def test_operators_can_be_called_with_a_dataset(postcards, tmp_path):
    assert operator("compute_latents")(postcards).kept == 80
    dictionary = operator("learn_dictionary")(postcards, key="called", n_atoms=8)
    assert dictionary.n_atoms_ <= 8
    assert operator("encode_samples")(postcards[:10], key="called").encoded == 10
    report = operator("regenerate_samples")(
        postcards[:2], key="called", output_dir=str(tmp_path), steps=1
    )
    assert report.drawn == 2
    assert len(operator("visualize_atoms")(postcards, key="called").points) == 80


def test_operators_can_be_delegated(make_dataset, clustered):
    dataset = make_dataset(clustered)
    dataset.persistent = True
    operator("learn_dictionary")(dataset, key="later", delegate=True)
    assert dataset.list_runs() == []
    service = DelegatedOperationService()
    service.execute_queued_operations()
    dataset.reload()
    assert dataset.list_runs() == ["later"]
    operator("encode_samples")(dataset[:5], key="later", delegate=True)
    service.execute_queued_operations()
    dataset.reload()
    assert dataset.count("later_bits") == 5


def test_the_active_slice_of_a_group(make_dataset, clustered):
    dataset = make_dataset([], field=None)
    dataset.add_group_field("group", default="left")
    samples = []
    for i, row in enumerate(clustered):
        group = fo.Group()
        samples += [
            fo.Sample(f"/nowhere/l{i}.jpg", group=group.element("left"), clip_latents=row),
            fo.Sample(f"/nowhere/r{i}.jpg", group=group.element("right")),
        ]
    dataset.add_sample_field("clip_latents", fo.VectorField)
    dataset.add_samples(samples)
    assert complaints("learn_dictionary", dataset) == {}
    foo.execute_operator(
        "fiftyone_smic/learn_dictionary", {"dataset": dataset}, params={"key": "slices"}
    )
    dataset.reload()
    assert dataset.get_run_info("slices").config.items == 60
