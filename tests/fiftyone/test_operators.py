"""The plugin: it loads, its forms name what is wrong, and operators do what the library does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionContext, execute_or_delegate_operator

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import list_dictionaries
from fiftyone_smic.fiftyone.plugin import install_plugin
from fiftyone_smic.fiftyone.runs import load_dictionary
from operators import library

OPERATORS = [
    "compute_latents",
    "learn_dictionary",
    "encode_samples",
    "regenerate_samples",
    "visualize_atoms",
    "name_atoms",
    "search_samples",
    "select_subset",
    "find_near_duplicates",
    "find_outliers",
    "find_label_issues",
    "find_leaks",
    "compare_parts",
    "explain_labels",
    "find_weak_slices",
    "find_novel",
    "compute_similarity",
    "export_archive",
    "import_archive",
    "adopt_dictionary",
    "manage_dictionaries",
    "remove_data",
]
#: What the panel is made of, and what buttons run.
OF_THE_PANEL = [
    "adopt_embeddings",
    "compress_dataset",
    "measure_drawings",
    "measure_storage",
    "mix_samples",
    "draw_atom",
    "show_drawn",
    "download_archive",
    "show_found",
    "show_glossary",
    "use_found",
    "stop_run",
    "smic_panel",
]
#: Those that work on samples, and those of them that need a dictionary.
ON_SAMPLES = OPERATORS[:7]
ON_DICTIONARIES = OPERATORS[2:7]


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The plugin, installed as a user would."""
    install_plugin()


@pytest.fixture(scope="module")
def described():
    """A dataset with codes that tests only look at; nobody knows the encoder of its latents."""
    latents = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    dataset = fo.Dataset()
    dataset.add_samples(
        [fo.Sample(f"/nowhere/{i}.jpg", clip_latents=z) for i, z in enumerate(latents)]
    )
    smic.learn_dictionary(dataset, lam=0.01)
    smic.encode(dataset)
    yield dataset
    dataset.delete()


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
    assert sorted(names) == sorted(f"fiftyone_smic/{n}" for n in [*OPERATORS, *OF_THE_PANEL])
    for name in OPERATORS:
        assert operator(name).config.risk_level.value == "medium"
    # So the App lists them in the order of fiftyone.yml: what to start with comes first.
    listed = [o.config for o in foo.list_operators() if o.uri in names and not o.config.unlisted]
    assert [c.name for c in listed if not (c.description or "S").startswith("S")] == []
    assert next(c.name for c in listed if c.label.startswith("SMIC:")) == "compress_dataset"


def test_loading_the_plugin_imports_no_model_library():
    script = (
        "import sys, fiftyone.operators as foo\n"
        "assert foo.get_operator('fiftyone_smic/learn_dictionary')\n"
        "heavy = {'torch', 'open_clip', 'diffusers', 'umap', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_is_missing_is_looked_for_until_nothing_is(monkeypatch):
    """FiftyOne registers the plugin anew for every request, which must not take long."""
    answers = iter(["Packages are missing", None])
    monkeypatch.setattr(library, "missing", lambda: next(answers))
    monkeypatch.setattr(library, "_complete", False)
    kind = foo.Operator
    assert library.checked((kind,)) != (kind,)
    for _ in range(3):  # it was installed meanwhile
        assert library.checked((kind,)) == (kind,)


@pytest.mark.parametrize("name", ON_SAMPLES)
def test_every_form_refuses_what_the_library_would(make_dataset, clustered, name):
    videos = make_dataset(clustered[:2], suffix="mp4")
    assert "holds videos" in complaints(name, videos)["collection"]
    empty = make_dataset(clustered).match({"_id": None})
    assert "choose another view" in complaints(name, empty)["collection"]


def test_forms_say_what_to_do_first(make_dataset, clustered):
    dataset = make_dataset(clustered, field=None)
    for name in [*ON_DICTIONARIES, "manage_dictionaries"]:
        said = complaints(name, dataset)
        assert said == {
            "no_dictionary": "This dataset has no dictionary. Run 'SMIC: learn dictionary' first."
        }
    said = complaints("learn_dictionary", dataset)
    assert "Run 'SMIC: compute embeddings' first" in said["no_latents"]
    dataset = make_dataset(clustered)
    assert complaints("learn_dictionary", dataset) == {}
    smic.learn_dictionary(dataset)
    assert complaints("encode_samples", dataset) == {}
    said = complaints("regenerate_samples", dataset)
    assert "Run 'SMIC: encode samples' first" in said["no_codes"]


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
        ("learn_dictionary", {"control": "lam", "lam": 0}, "lam", "must be between"),
        ("learn_dictionary", {"bits_per_item": -1}, "bits_per_item", "must be between"),
        ("learn_dictionary", {"explained_variance": 1.5}, "explained_variance", "must be between"),
        ("learn_dictionary", {"advanced": True, "n_atoms": 0}, "n_atoms", "must be between"),
        ("encode_samples", {"key": "gone"}, "key", "there is no dictionary 'gone'"),
        ("compute_latents", {"field": "filepath"}, "field", "not embeddings"),
        ("compute_latents", {"field": "smic_labels"}, "field", "not embeddings"),
        ("regenerate_samples", {}, "no_generator", "choose the model"),
        ("visualize_atoms", {"brain_key": "two words"}, "brain_key", "letters, digits"),
        ("name_atoms", {"source": "words"}, "no_encoder", "Name the concepts after labels"),
        ("name_atoms", {}, "labels", "cannot name concepts"),
        ("name_atoms", {"source": "labels", "labels": "clip_latents"}, "labels", "choose one of"),
        ("name_atoms", {"source": "hand", "atom": 10_000}, "atom", "must be between"),
        ("export_archive", {"path": "a.smic"}, "path", "starting with /"),
        ("export_archive", {"path": __file__}, "taken", "or overwrite it"),
        ("export_archive", {"path": "/tmp"}, "taken", "folder in use"),
        ("import_archive", {"path": ""}, "path", "give the whole path"),
        ("import_archive", {"path": "/no/where.smic"}, "nothing", "There is no file"),
        ("import_archive", {"path": "/tmp"}, "unreadable", "holds no codes.smic"),
        ("import_archive", {"path": __file__}, "unreadable", "not a .smic archive"),
        ("manage_dictionaries", {"what": "compare"}, "alone", "no second dictionary"),
        ("manage_dictionaries", {"what": "rename", "new_key": ""}, "new_key", "cannot be a"),
        ("manage_dictionaries", {"what": "rename", "new_key": "smic"}, "new_key", "exists"),
    ],
)
def test_forms_name_the_input_that_is_wrong(described, name, params, where, says):
    if name in OPERATORS[:3]:
        assert complaints(name, described) == {}
    said = complaints(name, described, **params)
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


def results(operator_name, samples, **params):
    """What an operator returns to a script that runs it by its URI."""
    where = "dataset" if samples is samples._root_dataset else "view"
    done = foo.execute_operator(f"fiftyone_smic/{operator_name}", {where: samples}, params=params)
    assert done.result["summary"]
    return done.result


def test_every_operator_tells_a_script_what_was_done(encoded, tmp_path, delete):
    assert "0 embeddings" in results("compute_latents", encoded)["summary"]
    target = {"control": "bits_per_item", "bits_per_item": 60}
    learned = results("learn_dictionary", encoded, key="b", **target)
    assert "concepts" in learned["summary"]
    assert learned["buttons"] == [["Encode samples", "fiftyone_smic/encode_samples", {"key": "b"}]]
    assert encoded.get_run_info("b").config.settings["bits_per_item"] == 60
    assert "80 samples" in results("encode_samples", encoded, key="b")["summary"]
    named = results("name_atoms", encoded, key="b", source="labels", labels="terrain")
    assert "candidates" in named["summary"]
    hand = results("name_atoms", encoded, key="b", source="hand", atom=1, name="mine")
    assert "Concept 1 is called **mine**" in hand["summary"]
    both = results("manage_dictionaries", encoded, what="compare", key="b", other="smic")
    assert "Variance kept" in both["summary"] and "in **smic** too" in both["summary"]
    results("manage_dictionaries", encoded, what="rename", key="b", new_key="c")
    assert "c_atoms" in encoded.get_field_schema()
    path = str(tmp_path / "c.smic")
    assert path in results("export_archive", encoded[:10], key="c", path=path)["summary"]
    delete("from-c")
    made = results("import_archive", encoded, path=path, name="from-c", draw=False)
    assert made["buttons"][0][2] == {"dataset": "from-c"}
    assert len(fo.load_dataset("from-c")) == 10
    # The App sends no ``draw`` where nothing can draw.
    undrawn = str(tmp_path / "undrawn.smic")
    dictionary = load_dictionary(encoded, "smic")
    codes = dictionary.transform(np.array(encoded[:5].values("clip_latents")))
    smic.write_archive(undrawn, dictionary, codes, encoder="photographs", latent_norm=1.0)
    delete("undrawn")
    assert "5 samples" in results("import_archive", encoded, path=undrawn)["summary"]
    gone = results("manage_dictionaries", encoded, what="delete", key="c")
    assert "`c_atoms`" in gone["summary"]
    assert list_dictionaries(encoded) == ["smic"]
    here = results("import_archive", encoded, path=path, into="here", key="back")
    assert "10 samples" in here["summary"]
    whole = str(tmp_path / "whole.zip")
    results("export_archive", encoded, kind="dataset", key="smic", path=whole)
    with_more = str(tmp_path / "more.smic")
    results("export_archive", encoded, key="smic", path=with_more, distortion=True)
    assert smic.read_archive(with_more).distortion.shape == (80,)
    results(
        "export_archive",
        encoded,
        kind="dataset",
        key="smic",
        distortion=True,
        path=str(tmp_path / "more"),
    )
    assert smic.read_archive(tmp_path / "more" / "codes.smic").distortion.shape == (80,)
    assert smic.read_archive(path).distortion is None
    delete("whole")
    assert "80 samples" in results("import_archive", encoded, path=whole, draw=False)["summary"]
    assert fo.load_dataset("whole").count_values("tags") == encoded.count_values("tags")
    # The next .zip of that name is read, not what is left of the former one.
    assert not os.path.isdir(whole.removesuffix(".zip"))
    few = encoded.limit(3).values("id")
    results("export_archive", encoded, kind="dataset", path=whole, replace=True, sample_ids=few)
    delete("few")
    again = results("import_archive", encoded, path=whole, name="few", draw=False)
    assert "3 samples" in again["summary"]


def test_what_codes_leave_out_is_not_offered_without_embeddings(encoded):
    encoded.set_values("clip_latents", {encoded.first().id: None}, key_field="id")
    assert not complaints("export_archive", encoded)
    said = complaints("export_archive", encoded, distortion=True)["no_embeddings"]
    assert "1 sample has a code but no embedding in 'clip_latents'" in said
    assert not complaints("export_archive", encoded[1:], distortion=True)


def test_remove_says_what_goes_and_removes_what_is_ticked(encoded, tmp_path, state):
    smic.regenerate(encoded[:4], steps=1, progress=False)
    pictures = [path for path in encoded.values("smic_regenerated") if path]
    context = ExecutionContext({"dataset_name": encoded.name, "params": {}})
    form = operator("remove_data").resolve_input(context).type.properties
    assert "1 item, " in str(form["dictionaries"].to_json())
    assert "drawings" in form and "cannot be undone" in form["cost"].view.label
    every = dict.fromkeys(form, False)
    assert "Tick what" in complaints("remove_data", encoded, **every)["none"]
    before = state(encoded)
    results("remove_data", encoded, what=[])
    assert state(encoded) == before and all(map(os.path.isfile, pictures))

    said = results("remove_data", encoded, **{**every, "drawings": True})["summary"]
    assert "Pictures drawn from codes or concepts: 4 items" in said
    assert not any(map(os.path.exists, pictures))
    encoded.reload()
    assert list_dictionaries(encoded) == ["smic"] and encoded.count("smic_bits") == 80

    assert "removed" in results("remove_data", encoded)["summary"]
    encoded.reload()
    assert list_dictionaries(encoded) == [] and not encoded.has_field("smic_bits")
    assert "left nothing" in complaints("remove_data", encoded)["clean"]
    assert len(encoded) == 80 and all(map(os.path.isfile, encoded.values("filepath")))


def test_drawings_are_measured_once_they_are_there(encoded):
    assert "regenerate" in complaints("measure_drawings", encoded)["undrawn"]
    smic.regenerate(encoded[:3], steps=1, progress=False)
    said = results("measure_drawings", encoded)["summary"]
    assert "**3 pictures were** measured, into `smic_drawn_fidelity`" in said
    encoded.reload()
    values = encoded.values("smic_drawn_fidelity")
    assert [v is not None for v in values] == [True] * 3 + [False] * 77
    assert "3 pictures were measured before" in results("measure_drawings", encoded)["summary"]


@pytest.mark.parametrize("kind", ["archive", "dataset"])
def test_an_import_that_is_stopped_keeps_what_it_has_drawn(encoded, tmp_path, delete, kind):
    """As its text says; a stop before the first picture leaves nothing."""
    path = str(tmp_path / ("a.smic" if kind == "archive" else "a.zip"))
    results("export_archive", encoded, kind=kind, key="smic", path=path)
    delete("stopped")

    class Stop(Exception):
        pass

    class Bar:
        def __init__(self, at):
            self.at = at

        def __call__(self, fraction):
            if fraction >= self.at:
                raise Stop

        def stage(self, label):
            if label == "Drawing pictures" and not self.at:
                raise Stop

    settings = {"path": path, "name": "stopped", "steps": 1, "batch_size": 8}
    context = ExecutionContext({"dataset_name": encoded.name, "params": settings})
    for at in (0, 0.5):
        assert not fo.dataset_exists("stopped")
        with pytest.raises(Stop):
            operator("import_archive").work(context, Bar(at))
    dataset = fo.load_dataset("stopped")
    assert len(dataset) == 80
    assert dataset.count(f"{list_dictionaries(dataset)[0]}_regenerated") == 40


def test_operators_in_a_running_event_loop(encoded):
    async def notebook():
        direct = operator("encode_samples")(encoded[:3])
        task = foo.execute_operator("fiftyone_smic/encode_samples", {"view": encoded[:4]})
        return direct, await task

    direct, later = asyncio.run(notebook())
    assert direct.encoded == 3
    assert "4 samples" in later.result["summary"]


def test_the_app_gets_progress_and_a_result_with_buttons(encoded):
    request = {
        "operator_uri": "fiftyone_smic/encode_samples",
        "dataset_name": encoded.name,
        "params": {"key": "smic"},
    }
    asked = execute_or_delegate_operator(request["operator_uri"], request)
    sent = [message.body.to_json() for message in asyncio.run(asked).result]
    names = [body["operator_uri"] for body in sent]
    assert names[-2:] == ["fiftyone_smic/reload", "show_output"]
    groups = sent[-2]["params"]["groups"]  # where the App's sidebar is to show the new fields
    assert list(groups) == ["SMIC"] and "smic_labels" in groups["SMIC"]
    bars = [body["params"]["results"]["progress"] for body in sent[:-2]]
    assert bars == sorted(bars) and len(bars) > 1
    for body in sent[:-2]:  # from the first second
        shown = body["params"]["outputs"]["type"]["properties"]
        assert shown["stop"]["view"]["operator"] == "fiftyone_smic/stop_run"
        assert shown["title"]["default"] == "#### SMIC: encode samples"
    shown = sent[-1]["params"]
    assert "80 samples" in shown["results"]["summary"]
    buttons = shown["outputs"]["type"]["properties"]
    assert buttons["next0"]["view"]["operator"] == "fiftyone_smic/go_on"
    given = {"operator": "fiftyone_smic/regenerate_samples", "params": {"key": "smic"}}
    assert buttons["next0"]["view"]["params"] == given


def test_forms_say_what_it_costs_as_measured(encoded, make_dataset, clustered, tmp_path):
    def cost(samples, name, **params):
        context = ExecutionContext({"dataset_name": samples.name, "params": params})
        return operator(name).resolve_input(context).type.properties["cost"].view.label

    assert "nothing to do" in cost(encoded, "compute_latents", field="clip_latents")
    again = {"field": "clip_latents", "overwrite": True}
    assert "as last measured here" in cost(encoded, "compute_latents", **again)
    assert "rough estimate" in cost(encoded, "regenerate_samples")
    smic.regenerate(encoded[:8], output_dir=tmp_path, steps=1)
    assert "as last measured here" in cost(encoded, "regenerate_samples")
    smic.regenerate(encoded, output_dir=tmp_path, steps=1)
    assert "none without a picture; with other settings" in cost(encoded, "regenerate_samples")
    assert "rough estimate" in cost(encoded, "compute_latents", field="new")
    fresh = make_dataset(np.repeat(clustered, 10, axis=0))
    assert "600 samples" in cost(fresh, "learn_dictionary")
    assert "rough estimate" in cost(fresh, "learn_dictionary")
    smic.learn_dictionary(fresh, max_iter=2)
    assert "as last measured here" in cost(fresh, "learn_dictionary")
    smic.encode(fresh)
    assert "rough estimate" in cost(fresh, "export_archive")
    smic.export_archive(fresh, "smic", tmp_path / "fresh.smic")
    assert "as last measured here" in cost(fresh, "export_archive")
    assert "rough estimate" in cost(fresh, "export_archive", kind="dataset")


def test_an_operator_that_fails_says_why(make_dataset, clustered, state):
    dataset = make_dataset(clustered, field=None)
    before = state(dataset)
    with pytest.raises(Exception, match="none of the 60 images could be read"):
        foo.execute_operator("fiftyone_smic/compute_latents", {"dataset": dataset}, params={})
    assert state(dataset) == before


def test_operators_can_be_called_with_a_dataset(postcards, tmp_path, delete):
    assert operator("compute_latents")(postcards).kept == 80
    dictionary = operator("learn_dictionary")(postcards, key="called", n_atoms=8)
    assert dictionary.n_atoms_ <= 8
    assert operator("encode_samples")(postcards[:10], key="called").encoded == 10
    report = operator("regenerate_samples")(
        postcards[:2], key="called", output_dir=str(tmp_path), steps=1
    )
    assert report.drawn == 2
    assert len(operator("visualize_atoms")(postcards, key="called").points) == 80
    path = tmp_path / "called.smic"
    assert operator("export_archive")(postcards, key="called", path=path).items == 10
    codes = operator("import_archive")(postcards, path=path, key="again")
    assert codes.matched == 10
    manage = operator("manage_dictionaries")
    assert manage(postcards, what="compare", key="again", other="called").likeness > 0.999
    manage(postcards, what="delete", key="again")
    delete("called")
    assert len(operator("import_archive")(None, path=path, draw=False)) == 10
    described = operator("manage_dictionaries")(postcards)
    assert [d.key for d in described] == ["called"]
    assert described[0].coded == 10 and described[0].drawn == 2
    with pytest.raises(TypeError, match="no parameter 'colour'"):
        operator("encode_samples")(postcards, delegate=True, colour="red")


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
