"""The functions on real postcards: what they write, and that it says the truth."""

from __future__ import annotations

import subprocess
import sys
import warnings

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import export_archive, list_dictionaries, load_dictionary


def codes_of(dataset):
    return dataset.values(["smic_atoms", "smic_coefficients", "smic_bits", "smic_fidelity"])


def test_postcards_know_what_they_show(original):
    assert len(original) == 80
    assert set(original.distinct("time.label")) == {"day", "sunset", "night"}
    shown = original.values(["people", "shirt.label"])
    assert all((people > 0) == (shirt is not None) for people, shirt in zip(*shown, strict=True))
    assert original.first().metadata.width == 128


def test_latents_are_those_of_the_encoder(original, encoder):
    field = original.get_field("clip_latents")
    assert isinstance(field, fo.VectorField)
    assert field.info["encoder"] == encoder.name
    latents = np.stack(original.values("clip_latents"))
    assert latents.dtype == np.float32
    direct = encoder.encode_images(original.values("filepath")).latents
    np.testing.assert_allclose(latents, direct, atol=1e-5)
    assert field.info["latent_norm"] > 0


def test_latents_are_computed_only_where_missing(postcards):
    former = postcards.first().clip_latents
    postcards.set_values("clip_latents", [None] * 3 + postcards.values("clip_latents")[3:])
    report = smic.compute_latents(postcards)
    assert (report.computed, report.kept) == (3, 77)
    np.testing.assert_allclose(postcards.first().clip_latents, former, atol=1e-5)
    assert smic.compute_latents(postcards).computed == 0


def test_codes_rebuild_the_latents(encoded):
    dictionary = load_dictionary(encoded)
    names = ["clip_latents", "smic_atoms", "smic_coefficients", "smic_fidelity"]
    for latent, atoms, levels, fidelity in zip(*encoded.values(names), strict=True):
        rebuilt = dictionary.mean_ + np.array(levels) @ dictionary.atoms_[np.array(atoms, int)]
        a, b = latent - dictionary.mean_, rebuilt - dictionary.mean_
        cosine = a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
        assert fidelity == pytest.approx(cosine, abs=1e-4)


def test_labels_say_the_same_as_the_lists(encoded):
    columns = encoded.values(["smic_labels", "smic_atoms", "smic_coefficients"])
    assert min(map(min, columns[2])) < 0
    for labels, atoms, levels in zip(*columns, strict=True):
        assert [c.label for c in labels.classifications] == [
            f"concept {a}" if q > 0 else f"not concept {a}"
            for a, q in zip(atoms, levels, strict=True)
        ]
        shares = [c.confidence for c in labels.classifications]
        assert shares == sorted(shares, reverse=True)
        assert not shares or sum(shares) == pytest.approx(1)


def test_rate_is_that_of_the_exported_file(encoded, tmp_path):
    report = smic.encode(encoded)
    rate = export_archive(encoded, "smic", tmp_path / "a.smic", names=False)
    assert rate.total_bits == report.rate.total_bits
    assert (tmp_path / "a.smic").stat().st_size == rate.total_bytes
    storage = encoded.get_run_info("smic").config.storage
    assert storage["items"] == 80
    assert storage["original_bytes"] == encoded.sum("metadata.size_bytes")
    assert storage["float32_bytes"] == 80 * 4 * len(encoded.first().clip_latents)
    total = storage["payload_bits"] + storage["dictionary_bits"] + storage["header_bits"]
    assert total == rate.total_bits
    assert storage["pixels_per_item"] == 128 * 128


def test_an_exported_archive_holds_the_codes(encoded, tmp_path):
    export_archive(encoded, "smic", tmp_path / "a.smic")
    archive = smic.read_archive(tmp_path / "a.smic")
    assert list(archive.names) == [p.rsplit("/", 1)[1] for p in encoded.values("filepath")]
    atoms = encoded.values("smic_atoms")
    assert [sorted(row) for row in atoms] == [
        sorted(archive.codes[i].indices) for i in range(len(atoms))
    ]
    assert archive.encoder == encoded.get_field("clip_latents").info["encoder"]


def test_apply_model_codes_new_samples_and_no_others(encoded, tmp_path):
    before = codes_of(encoded)
    old = encoded.values("id")
    new = [fo.Sample(path) for path in encoded[:5].values("filepath")]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    new.insert(2, fo.Sample(str(broken)))
    ids = encoded.add_samples(new)
    model = smic.load_model("smic", dataset=encoded)
    view = encoded.select(ids, ordered=True)
    view.apply_model(model, label_field="smic", batch_size=4, num_workers=0)
    assert codes_of(encoded.select(old, ordered=True)) == before
    atoms, levels, bits, fidelity = codes_of(view)
    del atoms[2], levels[2], bits[2], fidelity[2]
    assert (atoms, levels) == (before[0][:5], before[1][:5])
    assert bits == pytest.approx(before[2][:5])
    assert fidelity == pytest.approx(before[3][:5], abs=1e-4)
    labels = view.values("smic_labels.classifications.label")
    assert labels[0] == encoded[:1].values("smic_labels.classifications.label")[0]
    assert labels[2] is None  # the broken one, which cost no other


def test_apply_model_with_an_archive(encoded, tmp_path):
    export_archive(encoded, "smic", tmp_path / "a.smic")
    other = encoded[:4].clone()
    other.apply_model(
        smic.load_model(tmp_path / "a.smic"), label_field="again", num_workers=0, batch_size=2
    )
    assert other.values("again_atoms") == encoded[:4].values("smic_atoms")
    other.delete()


def test_load_model_says_where_it_looked(encoded):
    with pytest.raises(ValueError, match="no dataset has one"):
        smic.load_model("nothing")
    with pytest.raises(ValueError, match="no dictionary 'nothing'"):
        smic.load_model("nothing", dataset=encoded)


def test_a_dictionary_survives_a_restart(encoded, tmp_path):
    encoded.persistent = True
    arrays = load_dictionary(encoded).to_arrays()
    script = (
        "import fiftyone as fo, numpy as np, sys\n"
        "import fiftyone_smic.fiftyone as f\n"
        f"d = f.load_dictionary(fo.load_dataset({encoded.name!r}))\n"
        "np.savez(sys.argv[1], **d.to_arrays())\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "again.npz"], check=True)
    with np.load(tmp_path / "again.npz", allow_pickle=False) as again:
        assert set(again.files) == set(arrays)
        for name, array in arrays.items():
            assert again[name].dtype == array.dtype
            np.testing.assert_array_equal(again[name], array)


def test_fields_follow_a_renamed_dictionary(encoded, tmp_path):
    smic.regenerate(encoded[:2], output_dir=tmp_path, steps=1)
    codes = encoded.values("smic_atoms")
    encoded.rename_run("smic", "scenes")
    assert list_dictionaries(encoded) == ["scenes"]
    assert encoded.values("scenes_atoms") == codes
    assert not [name for name in encoded.get_field_schema() if name.startswith("smic_")]
    assert "scenes_regenerated" in encoded.app_config.media_fields
    assert smic.encode(encoded, "scenes").encoded == 80
    report = smic.regenerate(encoded[:2], "scenes", output_dir=tmp_path, steps=1)
    assert (report.drawn, report.reused) == (0, 2)


def test_fields_go_with_a_deleted_dictionary(encoded, tmp_path):
    smic.regenerate(encoded[:2], output_dir=tmp_path, steps=1)
    smic.visualize_atoms(encoded)
    smic.learn_dictionary(encoded, "other")
    smic.encode(encoded, "other")
    encoded.delete_run("smic")
    assert list_dictionaries(encoded) == ["other"]
    assert not [name for name in encoded.get_field_schema() if name.startswith("smic_")]
    assert encoded.app_config.media_fields == ["filepath"]
    assert encoded.list_brain_runs() == []
    assert encoded.count("other_bits") == 80


def test_learning_again_drops_the_former_codes(encoded):
    smic.learn_dictionary(encoded, lam=0.02, overwrite=True)
    assert list_dictionaries(encoded) == ["smic"]
    assert not encoded.has_field("smic_atoms")
    assert encoded.get_run_info("smic").config.settings["lam"] == 0.02


def test_encoding_a_view_leaves_the_others(encoded):
    before = codes_of(encoded)
    smic.encode(encoded[:10])
    assert codes_of(encoded) == before


def test_atoms_can_be_searched(encoded):
    atom = encoded.first().smic_atoms[0]
    found = encoded.match(fo.ViewField("smic_atoms").contains(atom))
    assert encoded.first().id in found.values("id")
    said = [f"concept {atom}", f"not concept {atom}"]
    by_label = encoded.filter_labels("smic_labels", fo.ViewField("label").is_in(said))
    assert set(by_label.values("id")) == set(found.values("id"))


def test_regenerated_pictures(encoded, tmp_path):
    view = encoded[:5]
    report = smic.regenerate(view, output_dir=tmp_path, steps=2, batch_size=2)
    assert (report.drawn, report.reused, report.without_code) == (5, 0, 0)
    paths = view.values("smic_regenerated")
    assert encoded.count("smic_regenerated") == 5
    for path in paths:
        assert path.startswith(str(tmp_path))
        with Image.open(path) as image:
            assert image.size >= (64, 64)
    assert "smic_regenerated" in encoded.app_config.media_fields

    pixels = [np.asarray(Image.open(path)) for path in paths]
    again = smic.regenerate(view, output_dir=tmp_path, steps=2, batch_size=5)
    assert (again.drawn, again.reused) == (0, 5)
    # Drawn again in another batch, a picture is the same but for rounding.
    smic.regenerate(view, output_dir=tmp_path, steps=2, batch_size=5, overwrite=True)
    for path, former in zip(paths, pixels, strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - former).max() <= 2

    seeded = smic.regenerate(view, output_dir=tmp_path, steps=2, seed=1)
    assert seeded.drawn == 5
    assert set(view.values("smic_regenerated")).isdisjoint(paths)


def test_a_new_code_forgets_the_picture_of_the_old_one(encoded, tmp_path):
    smic.regenerate(encoded[:2], output_dir=tmp_path, steps=1)
    first, second = encoded[:2].values("smic_regenerated")
    rows = encoded.values("clip_latents")
    rows[0] = rows[40]
    encoded.set_values("clip_latents", rows)
    smic.encode(encoded)
    assert encoded[:2].values("smic_regenerated") == [None, second]
    assert smic.regenerate(encoded[:2], output_dir=tmp_path, steps=1).drawn == 1
    assert encoded.first().smic_regenerated != first


def test_pictures_go_below_fiftyones_folder_by_default(encoded):
    report = smic.regenerate(encoded[:1], steps=1)
    assert report.folder.startswith(fo.config.default_dataset_dir)


def test_samples_without_a_code_are_counted(encoded, tmp_path):
    encoded.add_sample(fo.Sample(encoded.first().filepath))
    report = smic.regenerate(encoded[78:], output_dir=tmp_path, steps=1)
    assert (report.drawn, report.without_code) == (2, 1)


def test_a_generator_that_does_not_fit_is_refused(encoded):
    with pytest.raises(ValueError, match="What fits"):
        smic.regenerate(encoded[:1], generator="stabilityai/stable-diffusion-2-1-unclip")


def test_map_of_atoms_and_samples(encoded, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        shown = smic.visualize_atoms(encoded)
    assert shown.points.shape == (80, 2)
    assert len(shown.atoms) == load_dictionary(encoded).n_atoms_
    assert np.isfinite(shown.points).all() and np.isfinite(shown.atoms).all()
    levels = [level for code in encoded.values("smic_coefficients") for level in code]
    assert shown.uses.sum() == sum(level > 0 for level in levels)
    results = encoded.load_brain_results("smic_umap")
    np.testing.assert_allclose(results.points, shown.points)
    stored = encoded.get_run_info("smic").config.atom_points
    np.testing.assert_allclose(stored, shown.atoms, atol=1e-3)
    with Image.open(shown.save(tmp_path / "map.png")) as image:
        assert image.size == (900, 900)
    assert len(shown.figure().data) == 2

    again = smic.visualize_atoms(encoded)
    np.testing.assert_array_equal(again.points, shown.points)


def test_map_keeps_to_its_own_brain_key(encoded):
    import fiftyone.brain as fob

    fob.compute_visualization(encoded, points=np.zeros((80, 2)), brain_key="smic_umap")
    with pytest.raises(ValueError, match="brain key 'smic_umap' is in use"):
        smic.visualize_atoms(encoded)
    smic.visualize_atoms(encoded, brain_key="second")
    assert encoded.list_brain_runs() == ["second", "smic_umap"]


def test_progress_runs_from_start_to_end(postcards):
    for call in (
        lambda p: smic.compute_latents(postcards, "again", batch_size=16, progress=p),
        lambda p: smic.learn_dictionary(postcards, progress=p),
        lambda p: smic.encode(postcards, progress=p),
        lambda p: smic.regenerate(postcards[:4], steps=1, batch_size=2, progress=p),
        lambda p: smic.visualize_atoms(postcards, progress=p),
    ):
        seen = []
        call(seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1
        assert len(seen) > 1


def test_an_export_keeps_distortions_where_latents_are_there(encoded, tmp_path):
    rate = export_archive(encoded, "smic", tmp_path / "a.smic")
    more = export_archive(encoded, "smic", tmp_path / "b.smic", distortion=True)
    assert 0 < more.total_bits - rate.total_bits < 80 * 8
    archive = smic.read_archive(tmp_path / "b.smic")
    rebuilt = archive.dictionary.inverse_transform(archive.codes)
    true = np.square(np.array(encoded.values("clip_latents")) - rebuilt).sum(axis=1)
    np.testing.assert_allclose(archive.distortion, true, rtol=0.05, atol=1e-6)
    sample = encoded.first()
    sample["clip_latents"] = None
    sample.save()
    before = (tmp_path / "b.smic").read_bytes()
    with pytest.raises(ValueError, match="export without distortions"):
        export_archive(encoded, "smic", tmp_path / "b.smic", distortion=True)
    assert (tmp_path / "b.smic").read_bytes() == before


def test_a_small_collection_is_told_what_a_prior_saves(make_dataset, clustered, caplog):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, "own", n_atoms=8)
    assert "of this small archive" in caplog.text and "smic prior build" in caplog.text
    caplog.clear()
    prior = smic.Prior.build(clustered)
    smic.learn_dictionary(dataset, "public", n_atoms=8, prior=prior)
    assert "small archive" not in caplog.text


def test_a_dictionary_of_words_is_kept_and_encodes_by_it(postcards):
    learned = smic.learn_dictionary(postcards, "words", keep="words", lam=0.01, progress=False)
    plain = smic.learn_dictionary(postcards, "plain", lam=0.01, progress=False)
    kept = load_dictionary(postcards, "words")
    assert np.array_equal(kept.metric_, learned.metric_) and plain.metric_ is None
    smic.encode(postcards, "words", progress=False)
    latents = np.stack(postcards.values("clip_latents")).astype(np.float32)
    codes = learned.transform(latents)
    stored = postcards.values("words_atoms")
    assert [sorted(row) for row in stored] == [sorted(row.indices.tolist()) for row in codes]
    assert not np.array_equal(learned.atoms_, plain.atoms_)
    with pytest.raises(ValueError, match="'everything' or 'words'"):
        smic.learn_dictionary(postcards, "other", keep="words!", progress=False)
    assert "other" not in list_dictionaries(postcards)


def test_latents_of_an_unknown_encoder_have_no_words(postcards):
    postcards.set_values("clip_latents", postcards.values("clip_latents"))
    field = postcards.get_field("clip_latents")
    field.info = {}
    field.save()
    with pytest.raises(ValueError, match="no words to keep first; pass keep='everything'"):
        smic.learn_dictionary(postcards, "words", keep="words", progress=False)
