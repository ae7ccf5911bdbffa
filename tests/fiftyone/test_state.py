"""State that several callers share: views, processes, slices, clones, hands. None may mix it up."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import (
    all_or_none,
    code_columns,
    codes,
    fields,
    keys,
    latent_rows,
    measure_storage,
    placeholders,
    runs,
    settle_codes,
)


def elsewhere(script, *arguments):
    """Run a script in another process, on the same database."""
    start = "import sys, fiftyone as fo, numpy as np, fiftyone_smic as smic\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def first_coded(clustered):
    """60 samples with latents of 16 dimensions, a dictionary and codes."""
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"/nowhere/{i:03d}.jpg") for i in range(len(clustered))])
    dataset.add_sample_field("clip_latents", fo.VectorField)
    dataset.set_values("clip_latents", list(clustered))
    smic.learn_dictionary(dataset, n_atoms=8, lam=0.005)
    smic.encode(dataset)
    yield dataset
    dataset.delete()


@pytest.fixture
def coded(first_coded):
    """A copy of them that a test may change."""
    dataset = first_coded.clone()
    yield dataset
    if not dataset.deleted:
        dataset.delete()


# --- a view and the whole collection ----------------------------------------------------------


def test_encoding_a_view_keeps_what_is_known_of_the_collection(coded):
    measured = measure_storage(coded, most_latents=30)
    before = runs.load_config(coded, "smic").storage
    assert measured.kept and before["curve"] == measured.curve
    assert before["items"] == 60
    report = smic.encode(coded[:1])
    assert report.rate.items == 1  # the report is the view's
    after = runs.load_config(coded, "smic").storage
    assert after.pop("fidelity") == pytest.approx(before.pop("fidelity"))
    assert after == before


def test_new_samples_are_added_to_what_is_known(coded, clustered):
    before = runs.load_config(coded, "smic").storage
    coded.add_samples(
        [fo.Sample(f"/nowhere/new{i}.jpg", clip_latents=clustered[i]) for i in (0, 1)]
    )
    smic.encode(coded[60:])
    after = runs.load_config(coded, "smic").storage
    assert after["items"] == before["items"] + 2 == 62
    exported = smic.encode(coded).rate
    assert runs.stored_rate(after).total_bits == exported.total_bits


def test_measuring_a_view_keeps_nothing(coded):
    before = runs.load_config(coded, "smic").storage
    assert not measure_storage(coded[:20], most_latents=20).kept
    assert runs.load_config(coded, "smic").storage == before


# --- two processes ------------------------------------------------------------------------------


def test_another_process_learns_the_key_anew(coded, tmp_path):
    """A process that has read a dictionary must not decode new codes with the old atoms."""
    coded.persistent = True
    assert smic.load_dictionary(coded).n_atoms_ > 4
    process = elsewhere(
        """
        dataset = fo.load_dataset(sys.argv[1])
        smic.learn_dictionary(dataset, n_atoms=3, overwrite=True)
        smic.encode(dataset[:50])
        ids, latents = smic.rebuilt_latents(dataset)
        np.save(sys.argv[2], latents)
        """,
        coded.name,
        str(tmp_path / "theirs.npy"),
    )
    ended(process)
    theirs = np.load(tmp_path / "theirs.npy")
    dictionary = smic.load_dictionary(coded)
    assert dictionary.n_atoms_ <= 3
    assert runs.digest(dictionary) == runs.load_config(coded, "smic").digest
    ids, ours = smic.rebuilt_latents(coded)
    assert len(ids) == 50
    np.testing.assert_array_equal(ours, theirs)


def test_the_digest_decides_which_arrays_are_a_dictionary(coded, make_dataset, clustered):
    config = runs.load_config(coded, "smic")
    arrays = runs.load_results(coded, "smic").arrays
    other = smic.learn_dictionary(make_dataset(clustered[::2]), n_atoms=3).to_arrays()
    wrong = runs.SMICRunResults(coded, config, "smic", arrays=other)
    coded._run_cache["smic"] = wrong  # what this process has read before
    np.testing.assert_array_equal(
        smic.load_dictionary(coded).atoms_, smic.SemanticDictionary.from_arrays(arrays).atoms_
    )
    coded.save_run_results("smic", wrong)
    for call in (smic.load_dictionary, smic.encode, smic.rebuilt_latents):
        with pytest.raises(ValueError, match="stored arrays of dictionary 'smic' are not those"):
            call(coded)


def test_what_is_laid_out_speaks_of_one_moment(coded, monkeypatch):
    asked = []
    told = keys.refresh
    with keys.asked_once():
        first = runs.load_config(coded, "smic")
        other = threading.Thread(target=smic.set_atom_names, args=(coded, "smic", {0: "sunset"}))
        other.start()
        other.join()
        monkeypatch.setattr(keys, "refresh", lambda dataset: (asked.append(dataset), told(dataset)))
        assert runs.load_config(coded, "smic") is first
        assert runs.list_dictionaries(coded) == ["smic"] and not asked
    assert runs.load_config(coded, "smic").names[0] == "sunset" and asked


def test_codes_of_another_dictionary_are_never_decoded(coded, clustered):
    labels = coded.first().smic_labels
    assert labels[code_columns.MADE_BY] == code_columns.tag(runs.load_config(coded, "smic").digest)
    labels[code_columns.MADE_BY] = "0123456789abcdef"
    coded.set_values("smic_labels", {coded.first().id: labels}, key_field="id")
    for call in (smic.rebuilt_latents, lambda d: smic.regenerate(d, output_dir="/tmp")):
        with pytest.raises(ValueError, match="1 of 60 samples have codes that another dictionary"):
            call(coded)
    assert smic.encode(coded[:1]).encoded == 1  # as the message advises
    assert len(smic.rebuilt_latents(coded)[0]) == 60


def test_a_dictionary_replaced_during_encoding(coded, monkeypatch, state):
    """Codes of the former dictionary are not written under the new one."""
    declare = fields.declare

    def replace_first(dataset, key, suffixes):
        monkeypatch.setattr(fields, "declare", declare)
        smic.learn_dictionary(dataset, n_atoms=3, overwrite=True)
        declare(dataset, key, suffixes)

    monkeypatch.setattr(fields, "declare", replace_first)
    with pytest.raises(ValueError, match="deleted or replaced by another process"):
        smic.encode(coded)
    assert not coded.has_field("smic_atoms") or coded.count("smic_bits") == 0


def test_two_processes_learn_the_same_new_key(make_dataset, clustered, tmp_path):
    dataset = make_dataset(clustered)
    dataset.persistent = True
    script = """
        dataset = fo.load_dataset(sys.argv[1])
        try:
            smic.learn_dictionary(dataset, n_atoms=int(sys.argv[2]), progress=wait)
            print("stored", smic.load_dictionary(dataset).n_atoms_)
        except ValueError as error:
            print("refused", error)
        """
    # Each waits until the other has begun too, so that both have seen that the key is free.
    meet = """
        import pathlib, time
        def wait(fraction, began=[]):
            if not began:
                began.append(1)
                mine = pathlib.Path(sys.argv[3], sys.argv[2]); mine.touch()
                while len(list(mine.parent.iterdir())) < 2:
                    time.sleep(0.05)
        """
    whole = textwrap.dedent(meet) + textwrap.dedent(script)
    both = [elsewhere(whole, dataset.name, n, str(tmp_path)) for n in ("3", "6")]
    said = sorted(ended(process).splitlines()[-1].split(maxsplit=1) for process in both)
    assert [word for word, _ in said] == ["refused", "stored"]
    assert "another process has stored a dictionary 'smic' meanwhile" in said[0][1]
    dataset.reload()
    assert dataset.list_runs() == ["smic"]
    assert smic.load_dictionary(dataset).n_atoms_ == int(said[1][1])


# --- slices, placeholders, kinds of files --------------------------------------------------------


def test_the_encoder_belongs_to_all_slices(original, delete):
    dataset = fo.Dataset("slices", overwrite=True)
    delete(dataset.name)
    dataset.add_group_field("group", default="left")
    for path in original[:4].values("filepath"):
        group = fo.Group()
        dataset.add_samples(
            [fo.Sample(path, group=group.element(side)) for side in ("left", "right")]
        )
    smic.compute_latents(dataset, encoder="postcards")
    field = dataset.get_field("clip_latents")
    field.info = {**field.info, "encoder": "ViT-B-32/openai"}
    field.save()
    dataset.group_slice = "right"
    with pytest.raises(ValueError, match="holds latents of encoder 'ViT-B-32/openai'"):
        smic.compute_latents(dataset, encoder="postcards")
    with pytest.raises(ValueError, match="4 samples outside this view"):
        smic.compute_latents(dataset, encoder="postcards", overwrite=True)


def test_placeholders_are_never_encoded(original, delete, tmp_path):
    dataset = original[:3].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    path = tmp_path / "waiting.png"
    placeholders.place([path])
    dataset.add_sample(fo.Sample(str(path)))
    report = smic.compute_latents(dataset)
    assert report.computed == 3
    assert list(report.skipped.values()) == [
        "waiting.png: its picture has not been drawn yet; draw it with fiftyone_smic.regenerate"
    ]
    with pytest.raises(ValueError, match="has not been drawn yet"):
        smic.compute_latents(dataset[3:], "other")
    smic.learn_dictionary(dataset, n_atoms=2)
    dataset.apply_model(smic.load_model("smic", dataset), label_field="smic", num_workers=0)
    assert [bits is None for bits in dataset.values("smic_bits")] == [False] * 3 + [True]


def test_files_without_an_extension_are_read_by_their_content(original, tmp_path, delete):
    dataset = fo.Dataset("unknown-media", overwrite=True)
    delete(dataset.name)
    for i, path in enumerate(original[:4].values("filepath")):
        with Image.open(path) as image:
            image.save(tmp_path / f"picture{i}", format="PNG")
    dataset.add_samples([fo.Sample(str(tmp_path / f"picture{i}")) for i in range(4)])
    assert dataset.media_type == "unknown"
    assert smic.compute_latents(dataset, encoder="postcards").computed == 4
    np.testing.assert_allclose(
        dataset.values("clip_latents"), original[:4].values("clip_latents"), atol=1e-5
    )


@pytest.fixture
def boxed(postcards):
    """Three postcards with two boxes each, and predictions of the same boxes."""
    for sample in postcards[:3]:
        boxes = ([0, 0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5])
        for field in ("boxes", "found"):
            sample[field] = fo.Detections(
                detections=[fo.Detection(label="x", bounding_box=box) for box in boxes]
            )
        sample.save()
    return postcards[:3]


def test_clones_of_patches_are_refused(boxed, delete):
    boxed.evaluate_detections("found", gt_field="boxes", eval_key="eval")
    for view in (boxed.to_evaluation_patches("eval"), boxed.to_patches("boxes")):
        clone = view.clone()
        delete(clone.name)
        with pytest.raises(ValueError, match=r"made from patches.*patches_field"):
            smic.compute_latents(clone, "other", encoder="postcards")
    clone.delete_sample_field("sample_id")  # they still share files, and have a box each
    with pytest.raises(ValueError, match=r"made from patches.*'boxes'"):
        smic.compute_latents(clone, "other", encoder="postcards")


def test_samples_that_share_a_file_are_fine(original, delete):
    dataset = original[:2].clone()
    delete(dataset.name)
    dataset.add_samples([fo.Sample(path) for path in dataset.values("filepath")])
    assert smic.compute_latents(dataset).computed == 2


def test_sampled_frames_are_images_and_others_are_refused(boxed, delete):
    """As clones of to_frames() are: one sample a frame, with the video or a picture as its file."""
    dataset = boxed.clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    dataset.add_sample_field("sample_id", fo.ObjectIdField)
    dataset.add_sample_field("frame_number", fo.FrameNumberField)
    assert smic.compute_latents(dataset).computed == 3
    dataset.set_values("filepath", ["/nowhere/video.mp4"] * 3)
    with pytest.raises(ValueError, match="its files are whole videos"):
        smic.compute_latents(dataset)


def test_views_that_hide_fields_see_what_is_there(coded):
    for view in (coded.select_fields("tags"), coded.exclude_fields("clip_latents")):
        assert smic.encode(view).encoded == 60
        assert len(smic.rebuilt_latents(view)[0]) == 60
        assert smic.fiftyone.atom_statistics(view).items == 60
        assert len(view) == 60
    other = coded.clone()
    assert smic.learn_dictionary(other.select_fields(), "other").n_atoms_ > 0
    other.delete()


# --- the code of no atoms, and codes that change --------------------------------------------------


def test_no_atoms_is_a_code_like_any_other(coded, delete, tmp_path):
    first = coded.first()
    held = first.smic_labels
    held.classifications = []
    held[code_columns.MADE_OF] = code_columns.code_digest([], [])
    # Saved as apply_model does it: FiftyOne drops the empty lists.
    first.update_fields({"smic_atoms": [], "smic_coefficients": [], "smic_labels": held})
    first.save()
    coded.reload()
    assert coded.values("smic_atoms")[0] is None
    ids, rebuilt = smic.rebuilt_latents(coded)
    assert len(ids) == 60
    mean = smic.load_dictionary(coded).mean_
    np.testing.assert_allclose(rebuilt[0], mean / np.linalg.norm(mean), atol=1e-6)
    smic.export_archive(coded, "smic", tmp_path / "all.smic")
    archive = smic.read_archive(tmp_path / "all.smic")
    assert archive.codes.shape[0] == 60 and archive.codes[0].nnz == 0
    assert settle_codes(coded) == 0
    assert coded.values("smic_atoms")[0] == []
    coded.rename_run("smic", "renamed")
    assert coded.values("renamed_atoms")[0] == []
    clone = coded.clone()
    delete(clone.name)
    assert clone.values("renamed_atoms")[0] == []
    assert len(smic.rebuilt_latents(clone, "renamed")[0]) == 60


def test_apply_model_writes_the_code_of_no_atoms(original, delete):
    dataset = original[:6].clone()
    delete(dataset.name)
    smic.learn_dictionary(dataset, n_atoms=2, lam=10.0)  # no atom is worth its bits
    model = smic.load_model("smic", dataset)
    dataset.apply_model(model, label_field="smic", num_workers=0)
    applied = dataset.values(["smic_atoms", "smic_coefficients"])
    smic.encode(dataset)
    assert applied == dataset.values(["smic_atoms", "smic_coefficients"])
    assert [] in applied[0] and None not in applied[0]


def test_codes_that_change_elsewhere_lose_what_was_made_from_them(coded, tmp_path):
    ids = coded[:3].values("id")
    digests = code_columns.code_digests(codes.read_codes(coded[:3], "smic", 8)[2])
    fields.declare(coded, "smic", [fields.REGENERATED, fields.DRAWN_FIDELITY])
    pictures = {i: f"/tmp/{i}-{digest}.png" for i, digest in zip(ids, digests, strict=True)}
    coded.set_values("smic_regenerated", pictures, key_field="id")
    coded.set_values("smic_drawn_fidelity", dict.fromkeys(ids, 0.5), key_field="id")
    assert settle_codes(coded) == 0
    first = coded[ids[0]]
    first["smic_atoms"], first["smic_coefficients"] = [1, 2], [1, -1]  # by hand
    first.save()
    assert settle_codes(coded) == 1
    coded.reload()
    assert first.smic_regenerated is None and first.smic_drawn_fidelity is None
    assert first.smic_fidelity is None
    assert sorted(c.label for c in first.smic_labels.classifications) == [
        "concept 1",
        "not concept 2",
    ]
    dictionary = smic.load_dictionary(coded)
    row = np.zeros((1, dictionary.n_atoms_), int)
    row[0, [1, 2]] = 1, -1
    assert first.smic_bits == pytest.approx(dictionary.code_bits(csr_matrix(row))[0])
    assert coded[ids[1]].smic_regenerated == pictures[ids[1]]
    assert coded[ids[1]].smic_drawn_fidelity == 0.5


def test_apply_model_forgets_pictures_of_old_codes(original, delete, tmp_path):
    dataset = original[:8].clone()
    delete(dataset.name)
    smic.learn_dictionary(dataset, n_atoms=6)
    smic.encode(dataset)
    smic.regenerate(dataset[:2], output_dir=tmp_path, steps=1)
    before = dataset.values("smic_atoms")
    other = original[40:41].first().filepath
    first = dataset.first()
    first.filepath = other  # the file behind the sample is another one now
    first.save()
    dataset.apply_model(smic.load_model("smic", dataset), label_field="smic", num_workers=0)
    assert dataset.values("smic_atoms")[0] != before[0]
    assert [path is None for path in dataset[:2].values("smic_regenerated")] == [True, False]


def test_codes_that_hold_other_atoms_are_refused(coded):
    coded.set_values("smic_atoms", {coded.first().id: [99]}, key_field="id")
    coded.set_values("smic_coefficients", {coded.first().id: [1]}, key_field="id")
    with pytest.raises(ValueError, match="hold no codes of its"):
        smic.rebuilt_latents(coded)


# --- the table of fields -----------------------------------------------------------------------


def test_fields_have_a_group_of_their_own_an_index_and_are_hidden(coded):
    shown = {group.name: group.paths for group in coded.app_config.sidebar_groups}
    assert shown["SMIC"] == [f"smic_{suffix}" for suffix in fields.CODE_SUFFIXES]
    assert not any("smic_bits" in paths for name, paths in shown.items() if name != "SMIC")
    assert {"smic_bits", "smic_fidelity"} <= set(coded.list_indexes())
    assert not coded.app_config.active_fields.exclude  # else ids, paths and dates would be shown
    assert "smic_labels" not in coded.app_config.active_fields.paths
    coded.rename_run("smic", "renamed")
    assert "renamed_labels" not in coded.app_config.active_fields.paths
    assert {"renamed_bits", "renamed_fidelity"} <= set(coded.list_indexes())
    coded.delete_run("renamed")
    assert "SMIC" not in [group.name for group in coded.app_config.sidebar_groups]
    assert not [name for name in coded.list_indexes() if "renamed" in name]


def test_a_new_field_is_one_entry_of_the_table(coded, monkeypatch):
    spec = fields.FieldSpec("rank", fo.IntField, "a rank", fields.CODE, indexed=True, group="Mine")
    monkeypatch.setattr(fields, "SPECS", (*fields.SPECS, spec))
    monkeypatch.setattr(fields, "ALL_SUFFIXES", (*fields.ALL_SUFFIXES, "rank"))
    fields.declare(coded, "smic", ["rank"])
    assert coded.get_field("smic_rank").description == "a rank"
    assert "smic_rank" in coded.list_indexes()
    coded.rename_run("smic", "renamed")
    assert coded.has_field("renamed_rank")
    coded.delete_run("renamed")
    assert not coded.has_field("renamed_rank")


# --- what vanishes, and what is too large ---------------------------------------------------------


def test_writes_are_split_below_the_databases_limits(coded, monkeypatch):
    sizes = []
    keep, write = all_or_none.Former.keep, fo.Dataset._bulk_write

    def read(self, ids):
        sizes.append(len(ids))
        return keep(self, ids)

    def written(self, ops, *args, **kwargs):
        sizes.append(len(ops))
        return write(self, ops, *args, **kwargs)

    monkeypatch.setattr(fields, "AT_ONCE", 7)
    monkeypatch.setattr(all_or_none.Former, "keep", read)
    monkeypatch.setattr(fo.Dataset, "_bulk_write", written)
    bits = coded.values("smic_bits")
    assert smic.encode(coded).encoded == 60
    assert sum(sizes) >= 120 and max(sizes) <= 7
    assert coded.values("smic_bits") == pytest.approx(bits)
    assert fields.AT_ONCE * 24 < 16 * 2**20  # an id in a request takes about 20 bytes


def test_samples_that_are_deleted_meanwhile_are_left_out(coded, monkeypatch):
    gone = coded.values("id")[5:8]
    declare = fields.declare

    def delete_first(dataset, key, suffixes):
        dataset.delete_samples(gone)
        declare(dataset, key, suffixes)

    monkeypatch.setattr(fields, "declare", delete_first)
    assert smic.encode(coded).encoded == 57
    assert runs.load_config(coded, "smic").storage["items"] == 57


def test_samples_that_are_deleted_while_latents_are_computed(original, delete, monkeypatch):
    dataset = original[:12].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")

    def delete_some(fraction):
        if 0 < fraction < 1 and len(dataset) == 12:
            dataset.delete_samples(dataset.values("id")[:2])

    assert smic.compute_latents(dataset, batch_size=3, progress=delete_some).computed == 10


def test_a_field_that_is_deleted_meanwhile_ends_the_run(original, delete, monkeypatch):
    dataset = original[:12].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    monkeypatch.setattr(latent_rows, "PART_SECONDS", 0)
    monkeypatch.setattr(latent_rows, "WRITE_EVERY", 4)

    def delete_field(fraction):
        if fraction > 0.5 and dataset.has_field("clip_latents"):
            dataset.delete_sample_field("clip_latents")

    with pytest.raises(ValueError, match="field 'clip_latents' was deleted meanwhile"):
        smic.compute_latents(dataset, batch_size=1, progress=delete_field)
    dataset.delete()
    with pytest.raises(ValueError, match="deleted"):
        runs.list_dictionaries(dataset)


def test_a_dictionary_that_is_deleted_meanwhile_leaves_no_codes(coded, monkeypatch):
    declare = fields.declare

    def delete_first(dataset, key, suffixes):
        dataset.delete_run(key)
        declare(dataset, key, suffixes)

    monkeypatch.setattr(fields, "declare", delete_first)
    with pytest.raises(ValueError, match="deleted or replaced"):
        smic.encode(coded)
    coded.reload()
    assert not fields.existing_fields(coded, "smic")


def test_a_dataset_of_a_newer_fiftyone_does_not_stop_the_search(coded, delete):
    # Datasets of other tests have a dictionary under the default key.
    smic.learn_dictionary(coded, "only_here", n_atoms=4, lam=0.005)
    newer = fo.Dataset("newer", overwrite=True)
    db = foo.get_db_conn()
    db.datasets.update_one({"_id": newer._doc.id}, {"$set": {"version": "99.0"}})
    script = """
        for key in ("only_here", "of_newer"):
            try:
                smic.load_model(key)
            except ValueError as error:
                print("said", repr(str(error)))
        """
    coded.persistent = newer.persistent = True
    try:
        db.datasets.update_one({"_id": newer._doc.id}, {"$set": {"runs.of_newer": newer._doc.id}})
        lines = ended(elsewhere(script)).splitlines()
        found, missing = (line for line in lines if line.startswith("said "))
        assert "do not say which encoder" in found  # of the one dataset that has the key
        assert "'newer' cannot be opened here" in missing.replace("\\'", "'")
    finally:
        db.datasets.update_one(
            {"_id": newer._doc.id}, {"$set": {"version": fo.__version__}, "$unset": {"runs": ""}}
        )
        newer.delete()


# --- priors -------------------------------------------------------------------------------------


def test_a_prior_of_ones_own(make_dataset, clustered, tmp_path):
    prior = smic.Prior.build(clustered)
    prior.save(tmp_path / "own.prior.npz")
    dataset = make_dataset(clustered)
    dictionary = smic.learn_dictionary(dataset, n_atoms=4, prior=tmp_path / "own.prior.npz")
    assert dictionary.prior_.hash == prior.hash
    assert smic.load_dictionary(dataset).prior_.hash == prior.hash
    smic.encode(dataset)
    smic.export_archive(dataset, "smic", tmp_path / "a.smic")
    with pytest.raises(smic.ArchiveError):
        smic.load_model(tmp_path / "a.smic")
    with pytest.raises(ValueError, match="do not say which encoder"):
        smic.load_model(tmp_path / "a.smic", prior=prior)  # it is read; nobody knows its encoder
    with pytest.raises(TypeError, match="explained_varience"):
        smic.learn_dictionary(dataset, "b", explained_varience=0.5)
    with pytest.raises(ValueError, match="prior"):
        smic.learn_dictionary(dataset, "b", prior=smic.Prior.build(clustered[:, :9]))
