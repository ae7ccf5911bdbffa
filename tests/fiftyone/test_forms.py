"""Forms: what they load, what they say, and what they are told by the panel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import keys, load_dictionary
from fiftyone_smic.fiftyone.plugin import install_plugin
from fiftyone_smic.pipelines.keeping import CHOICES

#: Resolves every form for a dataset, and prints what that has loaded.
SCRIPT = """
import json, sys, time
import fiftyone.operators as foo
from fiftyone.operators.executor import ExecutionContext
operators = [o for o in foo.list_operators() if o.uri.startswith("fiftyone_smic/")]
before = set(sys.modules)
for params in json.loads(sys.argv[2]):
    for operator in operators:
        if operator.name == "smic_panel":
            continue
        request = {"dataset_name": sys.argv[1], "params": params}
        operator.resolve_input(ExecutionContext(request))
# FiftyOne itself has loaded most of scikit-learn by then; the estimator would need numba too.
heavy = ("numba", "torch", "umap", "open_clip", "diffusers")
print(json.dumps(sorted({m for m in set(sys.modules) - before if m.split(".")[0] in heavy})))
"""


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The plugin, installed as a user would."""
    install_plugin()


@pytest.fixture
def coded(make_dataset, clustered):
    """60 samples with codes, of embeddings of a model that pictures can be drawn from."""
    dataset = make_dataset(clustered)
    field = dataset.get_field("clip_latents")
    field.info = {"encoder": "ViT-L-14/openai", "source": "ViT-L-14/openai", "latent_norm": 10.0}
    field.save()
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    return dataset


def form(name, dataset, **params):
    context = ExecutionContext({"dataset_name": dataset.name, "params": params})
    return foo.get_operator(f"fiftyone_smic/{name}").resolve_input(context).type.properties


def test_no_form_loads_a_library_that_is_slow_to_load(coded, tmp_path):
    archive = tmp_path / "a.smic"
    smic.export_archive(coded, "smic", archive)
    whole = tmp_path / "whole.zip"
    coded.export(str(whole), dataset_type=smic.types.SMICDataset, key="smic")
    bare = {"advanced": True}
    filled = [bare, {"path": str(archive)}, {"path": str(archive), "into": "here"}]
    filled += [{"path": str(whole)}, {"source": "labels"}, {"what": "delete"}]
    coded.persistent = True
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, coded.name, json.dumps(filled)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def run(name, dataset, **params):
    """What an operator returns to a script."""
    where = {"dataset": dataset}
    return foo.execute_operator(f"fiftyone_smic/{name}", where, params=params).result


def texts(value):
    """Every text of a form that the App shows, at any depth."""
    shown = ("label", "caption", "description", "error_message", "default", "submit_button_label")
    if isinstance(value, dict):
        for name, inside in value.items():
            if isinstance(inside, str) and name in shown:
                yield inside
            yield from texts(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from texts(inside)


def test_every_form_asks_once_and_speaks_as_the_app(coded, tmp_path, monkeypatch):
    """One moment is what all parts of a form speak of; its words are embedding and concept."""
    asked, told = [], keys.refresh
    monkeypatch.setattr(keys, "refresh", lambda dataset: (asked.append(dataset), told(dataset)))
    archive = tmp_path / "a.smic"
    smic.export_archive(coded, "smic", archive)
    smic.learn_dictionary(coded, "second")
    filled = [{}, {"advanced": True}, {"path": str(archive), "into": "here"}]
    filled += [{"what": what} for what in ("compare", "rename", "delete")]
    filled += [{"source": "hand"}, {"control": "lam"}, {"by": "concepts"}, {"key": "gone"}]
    filled += [{"encoder": "photographs"}, {"encoder": "postcards"}]
    every = [o for o in foo.list_operators() if o.uri.startswith("fiftyone_smic/")]
    seen = 0
    for operator in every:
        for params in filled if operator.name != "smic_panel" else []:
            asked.clear()
            request = {"dataset_name": coded.name, "params": params}
            form = operator.resolve_input(ExecutionContext(request))
            assert len(asked) <= 1, (operator.name, params)
            said = list(texts(form.to_json())) if form else []
            seen += len(said)
            for text in said:
                bare = text.replace("A concept (atom) is", "")
                assert not re.search(r"(?i)\b(latent|atom)s?\b", bare), (operator.name, text)
    assert seen > 1000


def test_a_form_of_the_panel_says_how_many_it_takes(coded):
    ids = coded.limit(3).values("id")
    assert "3 samples" in form("encode_samples", coded, sample_ids=ids)["target"].view.label
    one = form("encode_samples", coded, sample_ids=ids[:1])
    assert one["target"].view.label.endswith("1 sample of the panel")
    whole = form("measure_storage", coded, whole=True)
    assert "60 samples" in whole["target"].view.label
    assert "60 samples each" in whole["cost"].view.label
    assert "view_target" not in whole
    coded.limit(20).tag_samples("few")
    assert form("find_outliers", coded)["takes"].view.label == "On 60 samples with a code"
    assert form("compare_parts", coded)["sizes"].view.label == "20 samples beside 40"
    index = form("compute_similarity", coded)
    assert "all 60 samples" in index["takes"].view.label and "view_target" not in index


def test_an_export_of_few_counts_the_dictionary(coded, tmp_path):
    ids = coded.limit(2).values("id")
    said = form("export_archive", coded, sample_ids=ids)["cost"].view.label
    size = smic.export_archive(coded[:2], "smic", tmp_path / "two.smic", names=False).total_bytes
    number, unit = said.split("about ")[2].split(",")[0].split(" ")
    estimate = float(number) * {"B": 1, "kB": 1000}[unit]
    assert size / 1.5 < estimate < size * 1.5


def test_what_cannot_be_drawn_is_not_offered(coded, make_dataset, clustered):
    assert not [p for p in form("regenerate_samples", coded).values() if p.invalid]
    for encoder, says in (
        ("RN50/openai", "No known generator draws"),
        ("unknown", "do not say which"),
    ):
        field = coded.get_field("clip_latents")
        field.info = {"encoder": encoder, "source": encoder, "latent_norm": 1.0}
        field.save()
        key = f"other_{encoder[:2]}"
        smic.learn_dictionary(coded, key)
        smic.encode(coded, key)
        said = form("regenerate_samples", coded, key=key)["no_generator"]
        assert said.invalid and says in said.error_message


def test_the_folder_of_a_generator_can_be_typed(coded, tmp_path):
    field = coded.get_field("clip_latents")
    field.info = {"encoder": "RN50/openai", "source": "RN50/openai", "latent_norm": 1.0}
    field.save()
    smic.learn_dictionary(coded, "own")
    smic.encode(coded, "own")
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyV22Pipeline"}')
    asked = {"key": "own", "generator": str(tmp_path)}
    said = form("regenerate_samples", coded, **asked)["generator"]
    assert said.invalid and "put a smic.json into it" in said.error_message
    (tmp_path / "smic.json").write_text('{"encoder": "ViT-L-14/openai"}')
    said = form("regenerate_samples", coded, **asked)["generator"]
    assert said.invalid and "was trained on ViT-L-14/openai" in said.error_message
    (tmp_path / "smic.json").write_text('{"encoder": "RN50-quickgelu/openai"}')
    assert not [p for p in form("regenerate_samples", coded, **asked).values() if p.invalid]
    assert form("regenerate_samples", coded, key="own")["no_generator"].invalid
    said = form("regenerate_samples", coded, key="own", generator="/nowhere")["generator"]
    assert said.invalid and "neither a known generator nor a directory" in said.error_message


def test_nearest_is_offered_wherever_there_are_pictures(postcards):
    """The nearest picture of the dataset needs no generator, so it fits every encoder."""
    smic.learn_dictionary(postcards, n_atoms=8)
    smic.encode(postcards)
    offered = form("regenerate_samples", postcards)["generator"]
    assert [c.value for c in offered.view.choices] == ["postcards", "nearest"]
    assert offered.default == "postcards"
    labels = [choice.label for choice in offered.view.choices]
    assert labels[0] == "postcards (Apache-2.0, 64 pixels, 10 MB)"
    assert "needs no GPU" in labels[1]
    for encoder, says in (
        ("RN50/openai", "No known generator draws"),
        ("unknown", "do not say which"),
    ):
        postcards.get_field("clip_latents").info = {"encoder": encoder, "source": encoder}
        postcards.get_field("clip_latents").save()
        smic.learn_dictionary(postcards, n_atoms=8, overwrite=True)
        smic.encode(postcards)
        shown = form("regenerate_samples", postcards)
        assert [c.value for c in shown["generator"].view.choices] == ["nearest"]
        assert shown["generator"].default == "nearest"
        assert says in shown["undrawn"].view.label
        assert not [p for p in shown.values() if p.invalid]


def test_generators_are_offered_in_the_order_of_the_registry():
    from fiftyone_smic.models.generators.registry import ANY, generators_for
    from operators.estimates import generators

    for encoder in ("ViT-L-14/openai", "ViT-H-14/laion2b_s32b_b79k"):
        known = [info for info in generators_for(encoder) if info.encoder != ANY]
        offered = generators(encoder)
        assert list(offered) == [info.name for info in known] and len(known) > 2
        for info in known:
            assert info.licence in offered[info.name]
            assert f"{info.gigabytes:.3g} GB" in offered[info.name]


def test_embeddings_that_are_elsewhere_are_offered(make_dataset, clustered):
    import fiftyone.brain as fob

    from operators.sources import adoptable, vector_fields

    dataset = make_dataset(clustered, field=None)
    dataset.add_sample_field("numbers", fo.ListField, subfield=fo.FloatField)
    dataset.set_values("numbers", clustered.tolist())
    fob.compute_similarity(dataset, embeddings=clustered, brain_key="sim", backend="sklearn")
    assert vector_fields(dataset) == []
    fob.compute_visualization(dataset, embeddings=clustered, brain_key="seen", method="pca")
    assert list(adoptable(dataset)) == ["numbers", "sim"]  # "seen" keeps points and no embeddings
    why = form("learn_dictionary", dataset)["no_latents"].error_message
    assert "adopt embeddings" in why and "numbers" in why and "sim" in why


def test_no_form_is_red_before_anything_is_typed(coded):
    for name, params in (("import_archive", {}), ("manage_dictionaries", {"what": "rename"})):
        assert not [p.error_message for p in form(name, coded, **params).values() if p.invalid]


def test_a_form_opens_on_what_works_and_refuses_what_would_fail(coded, make_dataset, clustered):
    """Nothing is red before anything is typed, and Execute is not offered where it must fail."""

    def wrong(name, dataset=coded, **params):
        return {n: p.error_message for n, p in form(name, dataset, **params).items() if p.invalid}

    path = form("export_archive", coded)["path"].default
    run("export_archive", coded, path=path)
    assert form("export_archive", coded)["path"].default == path.replace(".smic", "-2.smic")
    assert wrong("export_archive") == {}
    os.unlink(path)

    labels = [fo.Classification(label="night" if i % 3 else "day") for i in range(60)]
    coded.set_values("some", [*labels[:50], *[None] * 10])
    assert "10 samples have no label in 'some'" in wrong("explain_labels")["label_field"]
    coded.set_values("time", labels)
    for name in ("explain_labels", "find_label_issues"):
        assert form(name, coded)["label_field"].default == "time" and wrong(name) == {}

    coded.add_sample_field("numbers", fo.ListField, subfield=fo.FloatField)
    assert "none of these has a value" in wrong("adopt_embeddings")["source"]
    coded.set_values("numbers", clustered.tolist())
    assert form("adopt_embeddings", coded)["field"].default == "clip_latents2"
    assert wrong("adopt_embeddings") == {}
    assert "already exists" in wrong("adopt_embeddings", field="clip_latents")["field"]

    coded.delete_sample_field("clip_latents")
    for name, params in (("measure_storage", {}), ("name_atoms", {"source": "labels"})):
        assert "has an embedding in 'clip_latents'" in wrong(name, **params)["no_latents"]

    unknown = make_dataset(clustered)
    unknown.set_values("time", labels)
    assert "keep" in form("compress_dataset", unknown)
    assert "keep" not in form("learn_dictionary", unknown)
    smic.learn_dictionary(unknown)
    smic.encode(unknown)
    assert wrong("name_atoms", unknown) == {}
    assert form("name_atoms", unknown)["labels"].default == "time"
    assert "cannot name concepts" in wrong("name_atoms", unknown, labels="tags")["labels"]


def test_an_archive_says_what_it_holds_whatever_it_is_in(coded, tmp_path):
    zipped, folder = tmp_path / "a.zip", tmp_path / "a"
    for path in (zipped, folder):
        coded.export(str(path), dataset_type=smic.types.SMICDataset, key="smic")
        said = form("import_archive", coded, path=str(path))["found"].view.label
        assert said.startswith("60 codes and")
    (folder / "codes.smic").unlink()
    wrong = form("import_archive", coded, path=str(folder))["unreadable"]
    assert "holds no codes.smic" in wrong.error_message
    zipped.write_bytes(b"no zip at all")
    assert (
        "not a sound .zip"
        in form("import_archive", coded, path=str(zipped))["unreadable"].error_message
    )


def test_counts_have_a_singular_and_a_plural():
    from operators.words import amount

    assert amount(1, "sample has", "samples have") == "1 sample has"
    assert amount(0, "sample") == "0 samples"
    assert np.int64(1) == 1 and amount(int(np.int64(1)), "image") == "1 image"


def test_forms_ask_what_is_kept_first_and_the_dictionary_does(postcards):
    for name in ("learn_dictionary", "compress_dataset"):
        asked = form(name, postcards)["keep"]
        assert tuple(asked.type.values) == CHOICES and asked.default == "everything"
    kept = {}
    for keep in CHOICES:
        params = {"key": keep, "keep": keep, "control": "lam", "lam": 0.01}
        foo.execute_operator(
            "fiftyone_smic/learn_dictionary", {"dataset": postcards}, params=params
        )
        kept[keep] = load_dictionary(postcards, keep).metric_
    assert kept["everything"] is None
    assert kept["words"].shape == (len(postcards.first().clip_latents),) * 2
