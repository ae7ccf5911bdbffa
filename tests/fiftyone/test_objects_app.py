"""Objects in the App: forms, operators and the panel, in a view of the images or of patches."""

from __future__ import annotations

import json
import re

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic import fiftyone
from fiftyone_smic.fiftyone.plugin import install_plugin
from tests.support.window import Window


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The plugin, installed as a user would."""
    install_plugin()


@pytest.fixture(scope="module")
def original_boxed(original):
    """6 postcards with two objects each, by name "left" and "right"."""
    dataset = original[:6].clone()
    dataset.delete_sample_field("clip_latents")
    for sample in dataset:
        boxes = {"left": [0, 0, 0.5, 1], "right": [0.5, 0, 0.5, 1]}
        sample["objects"] = fo.Detections(
            detections=[fo.Detection(label=k, bounding_box=box) for k, box in boxes.items()]
        )
        sample.save()
    yield dataset
    dataset.delete()


@pytest.fixture
def boxed(original_boxed):
    """A copy of them that a test may change."""
    dataset = original_boxed.clone()
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def original_coded(original_boxed):
    """The postcards with codes of their objects."""
    dataset = original_boxed.clone()
    smic.compute_latents(dataset, encoder="postcards", patches_field="objects")
    smic.learn_dictionary(dataset, "things", patches_field="objects", n_atoms=4)
    smic.encode(dataset, "things")
    yield dataset
    dataset.delete()


@pytest.fixture
def coded(original_coded):
    """A copy of them that a test may change."""
    dataset = original_coded.clone()
    yield dataset
    dataset.delete()


def context(samples, **params):
    request = {"dataset_name": samples._root_dataset.name, "params": params}
    if isinstance(samples, fo.DatasetView):
        request["view"] = samples._serialize()
        request["params"]["view_target"] = "CURRENT_VIEW"
    return ExecutionContext(request)


def form(name, samples, **params):
    return foo.get_operator(f"fiftyone_smic/{name}").resolve_input(context(samples, **params))


def said(name, samples, **params):
    return json.dumps(form(name, samples, **params).to_json(), default=str)


def run(name, samples, **params):
    done = foo.get_operator(f"fiftyone_smic/{name}").execute(context(samples, **params))
    _about_objects(name, done)
    return done


#: Where samples and images are meant although objects are worked on.
MEANT = (
    r"SMIC: [a-z ]+",  # names of operators
    r"(Encode|Regenerate) samples",
    r"`[^`]+`",
    r"in the images",
)


def _about_objects(name, done):
    """Fail if a result speaks of samples or images where objects were worked on."""
    text = done["summary"] + " ".join(button[0] for button in done["buttons"])
    for meant in MEANT:
        text = re.sub(meant, "", text)
    assert not re.search(r"\b(sample|image)s?\b", text), (name, text)


def ids(dataset):
    return [i for found in dataset.values("objects.detections.id") for i in found]


def test_the_operators_take_objects_from_embeddings_to_pictures(boxed, tmp_path):
    assert "12 objects to embed" in said("compute_latents", boxed, patches_field="objects")
    assert "6 images to embed" in said("compute_latents", boxed)
    run("compute_latents", boxed, patches_field="objects", encoder="postcards", advanced=True)
    path = "objects.detections.clip_latents"
    assert boxed.count(path) == 12
    assert "All objects have an embedding" in said(
        "compute_latents", boxed, patches_field="objects", encoder="postcards"
    )
    assert "clip_latents of the objects in objects" in said("learn_dictionary", boxed)
    run("learn_dictionary", boxed, key="things", latents_field=path, n_atoms=4)
    assert smic.load_dictionary(boxed, "things").n_atoms_ <= 4
    assert "12 objects with" in said("encode_samples", boxed, key="things")
    assert "**12 objects**" in run("encode_samples", boxed, key="things")["summary"]
    for name in ("regenerate_samples", "visualize_atoms", "measure_storage", "export_archive"):
        assert "12 object" in said(name, boxed, key="things"), name
        assert not form(name, boxed, key="things").invalid, name
    assert "objects" in said("name_atoms", boxed, key="things", source="labels")
    run("regenerate_samples", boxed, key="things", output_dir=str(tmp_path), steps=1)
    assert boxed.count("objects.detections.things_regenerated") == 12
    run("name_atoms", boxed, key="things", source="labels", labels="objects")
    file = tmp_path / "things.smic"
    run("visualize_atoms", boxed, key="things")
    run("measure_storage", boxed, key="things", most_pictures=4)
    run("measure_drawings", boxed, key="things")
    run("export_archive", boxed, key="things", path=str(file))
    run("import_archive", boxed, path=str(file), into="objects", key="again")
    assert boxed.count("objects.detections.again_bits") == 12
    described = run("manage_dictionaries", boxed, what="describe")["summary"]
    assert "of the objects in objects" in described
    assert "12 objects" in described


def test_a_view_of_patches_is_a_target_where_objects_are_meant(coded):
    patches = coded.to_patches("objects").match(fo.ViewField("objects.label") == "left")
    assert "6 objects with" in said("encode_samples", patches, key="things")
    assert "**6 objects**" in run("encode_samples", patches, key="things")["summary"]
    assert "All objects have an embedding" in said("compute_latents", patches)
    coded.add_sample_field("clip_latents", fo.VectorField)
    asked = said("compute_latents", patches, patches_field="whole images")
    assert "a view of patches cannot hold SMIC codes" in asked


def test_adopting_embeddings_of_objects(boxed):
    smic.compute_latents(boxed, "made", encoder="postcards", patches_field="objects", alpha=0.1)
    field = boxed.get_field("objects.detections.made")
    field.info = None
    field.save()
    path = "objects.detections.made"
    asked = said("adopt_embeddings", boxed, encoder="postcards", advanced=True)
    assert "made of the objects in objects: a vector field" in asked
    assert "The boxes were enlarged" in asked and "Embeddings to compare" in asked
    given = {"source": path, "encoder": "postcards", "alpha": 0.1, "check": 3}
    done = run("adopt_embeddings", boxed, **given)["summary"]
    assert "**12 embeddings are**" in done and "`objects.detections.clip_latents`" in done
    assert "made of the objects" in said("adopt_embeddings", boxed.to_patches("objects"))
    again = said("adopt_embeddings", boxed, **given, field="clip_latents")
    assert "Overwrite the field objects.detections.clip_latents" in again
    with pytest.raises(ValueError, match="'nothing' is not there, and embeddings of objects"):
        run("adopt_embeddings", boxed, source="nothing", patches_field="objects")
    # As the library takes it, from code; and arrays that nobody declared.
    run("adopt_embeddings", boxed, source="made", patches_field="objects", field="second")
    assert boxed.count("objects.detections.second") == 12
    for sample in boxed:
        for label in sample.objects.detections:
            label["undeclared"] = label.made
        sample.save()
    assert "undeclared of the objects in objects: arrays" in said("adopt_embeddings", boxed)


def test_adopting_a_dictionary_of_cloned_objects(coded, delete):
    clone = coded[:3].clone()
    delete(clone.name)
    assert smic.list_dictionaries(clone) == []
    assert "things" in said("adopt_dictionary", clone)
    run("adopt_dictionary", clone, key="things", from_dataset=coded.name)
    assert smic.list_dictionaries(clone) == ["things"]
    assert len(smic.rebuilt_latents(clone, "things")[0]) == 6
    assert "Nothing to adopt" in said("adopt_dictionary", clone)


def test_adopting_a_dictionary_of_a_cloned_view(encoded, delete):
    clone = encoded[:5].clone()
    delete(clone.name)
    assert "is stored with this dataset" in run("adopt_dictionary", clone)["summary"]
    assert len(smic.rebuilt_latents(clone)[0]) == 5


def test_a_dictionary_of_too_few_objects_and_codes_that_are_not_there(boxed, coded):
    one = boxed[:1].filter_labels("objects", fo.ViewField("label") == "left")
    smic.compute_latents(one, encoder="postcards", patches_field="objects")
    few = said("learn_dictionary", one, latents_field="objects.detections.clip_latents")
    assert "Too few objects" in few and "1 object has an embedding" in few
    assert "Bits an object" in said("learn_dictionary", coded, control="bits_per_item")
    with pytest.raises(ValueError, match=r"what objects have in common.*of more objects"):
        smic.learn_dictionary(one, patches_field="objects")
    clear = ("things_atoms", "things_made_by")
    coded.clear_sample_fields([f"objects.detections.{name}" for name in clear])
    assert "None of these objects has a code" in said("regenerate_samples", coded, key="things")
    for call in (fiftyone.measure_drawings, smic.regenerate):
        with pytest.raises(ValueError, match=r"(no object here|none of the objects in these)"):
            call(coded, "things")


def layout(window):
    return json.dumps(window.layout, default=str)


def test_the_panel_pages_through_objects(coded, tmp_path):
    smic.regenerate(coded[:1], "things", output_dir=tmp_path, steps=1, device="cpu")
    window = Window(coded)
    shown = layout(window)
    assert "Objects 1 to 4 of 12" in shown
    # The grid shows whole images, so a click opens the image.
    assert "A click on a picture opens its image" in shown
    assert coded.first().id in shown
    first = coded.first().objects.detections
    assert first[0].things_regenerated.replace("/", "%2F") in shown.replace("/", "%2F")
    assert all(f"crops%2F{label.id}" in shown.replace("/", "%2F") for label in first)
    assert "Draw 2 objects of this page" in shown
    # What was selected in a view of patches is shown alone, and opens.
    window.view = coded.to_patches("objects")._serialize()
    window.selected = [first[1].id]
    window.send("refresh")
    shown = layout(window)
    assert "Object 1 of 1" in shown
    assert "open_sample" in shown
    window.selected = []
    window.send("on_choice", path="tab", value="storage")
    assert "**12 objects** in" in layout(window)


def test_concepts_of_objects_narrow_the_grid_to_patches(coded):
    smic.visualize_atoms(coded, "things")
    window = Window(coded)
    window.send("on_choice", path="tab", value="atoms")
    assert "How many objects have a concept" in layout(window)
    counts = smic.fiftyone.atom_statistics(coded, "things")
    atom = int(counts.has.argmax())
    window.send("on_atom", id=str(atom))
    window.send("on_change_view")
    view = fo.DatasetView._build(coded, window.view)
    assert view._dataset._is_patches
    assert len(view) == counts.has[atom]
    assert f"**{counts.has[atom]} objects** that have" in layout(window)
    window.send("on_back")
    assert window.view == []
    window.send("on_map_data", key="things")
    dots = window.answer["traces"][0]
    assert dots["name"] == "objects" and len(dots["x"]) == 12
    window.send("on_map_picture", key="things", dot=3)  # the object alone, cut out
    assert window.answer["url"] and window.answer["text"] not in window.answer["url"]
    window.send("on_lasso", dots=[3], atoms=[])
    assert len(fo.DatasetView._build(coded, window.view)) == 1


def test_mixes_and_concepts_are_drawn_by_what_was_chosen(coded):
    window = Window(coded)
    window.send("on_choice", path="tab", value="mix")
    assert "nearest" in layout(window)
    # An object can be selected only where the grid shows objects; a sample is none.
    window.selected = [coded.last().id]
    window.send("refresh")
    assert "Take 1 selected object" not in layout(window)
    window.send("on_objects")
    assert len(fo.DatasetView._build(coded, window.view)) == 12
    window.selected = ids(coded)[2:4]
    window.send("refresh")
    assert "Take 2 selected objects" in layout(window)
    assert "Show the objects" not in layout(window)
    window.send("on_back")
    window.state["generators"] = {"generator": "nearest"}
    told = window.send("on_draw_atom", atom=0)
    params = next(t["params"] for t in told if "draw_atom" in json.dumps(t["params"], default=str))
    assert params["params"]["generator"] == "nearest"
    run("draw_atom", coded, key="things", atom=0, generator="nearest", whole=True)
    run("mix_samples", coded, key="things", start=ids(coded)[0], plus=ids(coded)[5],
        generator="nearest")  # fmt: skip
