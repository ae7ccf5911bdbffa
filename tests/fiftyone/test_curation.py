"""Curation on views: what is found, what is written, and what is said where nothing can be done."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import collections, curated, curation
from fiftyone_smic.fiftyone.codes import read_codes


def scores_of(dataset, suffix):
    return dict(zip(*dataset.values(["id", f"smic_{suffix}"]), strict=True))


def codes(dataset):
    return read_codes(dataset, "smic", int(smic.load_dictionary(dataset).n_atoms_))[2]


def test_search_by_text_sorts_the_view(encoded):
    report = smic.search(encoded, "night", k=10, field=True)
    found = report.view.values("time.label")
    everywhere = encoded.values("time.label")
    assert len(found) == 10
    assert found.count("night") / 10 > 1.5 * everywhere.count("night") / len(everywhere)
    scores = report.view.values("smic_search_score")
    assert scores == sorted(scores, reverse=True)
    assert encoded.count("smic_search_score") == 10
    assert "In .view: 10 samples; in .views: 1 more view;" in str(report)
    assert report.to_rows()[0]["sample_id"] == report.view.first().id


def test_search_by_a_sample_or_a_latent_finds_it_first(encoded):
    wanted = encoded.skip(7).first()
    by_latent = smic.search(encoded, wanted.clip_latents, k=20).view.values("id")
    assert wanted.id in by_latent[:5]
    assert smic.search(encoded, wanted.id, k=20).view.values("id") == by_latent
    both = smic.search(encoded, [wanted, "night"], k=4)
    assert list(both.views) == [wanted.id, "night"]
    assert set(both.view.values("id")) == {
        i for view in both.views.values() for i in view.values("id")
    }
    ids, rebuilt = smic.rebuilt_latents(encoded)
    lengths = np.linalg.norm(
        smic.load_dictionary(encoded).inverse_transform(codes(encoded)), axis=1
    )
    products = dict(zip(ids, rebuilt @ wanted.clip_latents * lengths, strict=True))
    by_product = smic.search(encoded, wanted.clip_latents, by="product").view.values("id")
    assert by_product[:5] == sorted(ids, key=products.get, reverse=True)[:5]
    report = smic.search(encoded, wanted.clip_latents, k=20)
    near = encoded.values("id")
    cosines = np.array(encoded.values("clip_latents")) @ wanted.clip_latents
    nearest = {near[i] for i in np.argsort(-cosines)[:20]}
    share = len(nearest & set(report.view.values("id"))) / 20
    assert report.result.agreement == pytest.approx(share)
    assert "also among the first 20 by full latents" in str(report)
    # Without latents the code of the sample stands for it.
    encoded.delete_sample_field("clip_latents")
    assert wanted.id in smic.search(encoded, wanted.id, k=20).view.values("id")


def test_a_view_is_searched_and_nothing_else(encoded):
    view = encoded.match(fo.ViewField("time.label") != "night")
    report = smic.search(view, "night", tag="looked")
    assert set(report.view.values("id")) == set(view.values("id"))
    assert set(encoded.match_tags("looked").values("id")) == set(view.values("id"))


def test_planted_duplicates_are_grouped_and_verified(encoded):
    source = encoded.first()
    copies = encoded.add_samples(
        [fo.Sample(source.filepath, clip_latents=source.clip_latents) for _ in range(2)]
    )
    smic.encode(encoded.select(copies))
    report = smic.find_near_duplicates(encoded, threshold=0.9999, field=True, tag="remove")
    assert report.result.verified
    group = [source.id, *copies]
    kept = set(report.views["keep"].values("id")) & set(group)
    assert len(kept) == 1
    of = scores_of(encoded, "duplicate_of")
    assert {of[i] for i in group} == kept
    assert set(group) - kept <= set(encoded.match_tags("remove").values("id"))
    assert not kept & set(encoded.match_tags("remove").values("id"))
    shown = report.view.group_by("smic_duplicate_of")
    assert len(shown) == len(report.result.groups)
    encoded.delete_sample_field("clip_latents")
    assert not smic.find_near_duplicates(encoded, threshold=0.9999).result.verified


def test_a_subset_is_tagged_and_a_later_one_is_not_mixed_with_it(encoded):
    report = smic.select_subset(encoded, 6, tag="to label", field=True)
    chosen = report.view.values("id")
    assert encoded.match_tags("to label").count() == len(set(chosen)) == 6
    assert report.view.values("smic_subset_place") == list(range(6))
    more = smic.select_subset(encoded, 5, "diverse", preselected=report.view, field=True)
    assert not set(more.view.values("id")) & set(chosen)
    assert encoded.count("smic_subset_place") == 5
    # A subset of a view clears what an earlier one wrote outside of it.
    smic.select_subset(encoded[:20], 3, field=True)
    assert encoded.count("smic_subset_place") == 3
    assert encoded[:20].count("smic_subset_place") == 3


def test_a_planted_outlier_is_first(encoded):
    rng = np.random.default_rng(0)
    odd = rng.normal(size=len(encoded.first().clip_latents))
    sample_id = encoded.add_sample(
        fo.Sample("/nowhere/odd.png", clip_latents=odd / np.linalg.norm(odd))
    )
    smic.encode(encoded.select(sample_id))
    report = smic.find_outliers(encoded, k=3, field=True)
    assert report.view.first().id == sample_id
    assert report.result.measured
    assert encoded.bounds("smic_outlier_score")[1] == encoded[sample_id].smic_outlier_score
    assert sample_id in [i for view in report.views.values() for i in view.values("id")]


def test_swapped_labels_are_found_and_better_ones_suggested(encoded):
    labels = ["night" if t == "night" else "light" for t in encoded.values("time.label")]
    wrong = [3, 40]
    for i in wrong:
        labels[i] = "light" if labels[i] == "night" else "night"
    encoded.set_values("planted", [fo.Classification(label=label) for label in labels])
    report = smic.find_label_issues(encoded, "planted", field=True, tag="check")
    doubt = np.array(encoded.values("smic_label_doubt"))
    assert set(wrong) <= set(np.argsort(-doubt)[:12].tolist())
    ids = encoded.values("id")
    assert set(report.view.values("id")) == set(encoded.match_tags("check").values("id"))
    differing = {
        i
        for i, given, better in zip(
            ids, labels, encoded.values("smic_suggested_label"), strict=True
        )
        if given != better
    }
    assert differing == set(report.view.values("id"))


def test_atoms_that_go_with_a_label_have_views(encoded):
    atoms = encoded.values("smic_atoms")
    levels = encoded.values("smic_coefficients")
    has = [dict(zip(a, q, strict=True)) for a, q in zip(atoms, levels, strict=True)]
    counts = [sum(h.get(a, 0) > 0 for h in has) for a in range(200)]
    atom = min(range(200), key=lambda a: abs(counts[a] - 25))
    smic.set_atom_names(encoded, "smic", {atom: "planted atom"})
    encoded.set_values("planted", ["yes" if h.get(atom, 0) > 0 else "no" for h in has])
    report = smic.explain_labels(encoded, "planted", null=5)
    first = report.result.atoms[0]
    assert (first.atom, first.sign, first.label) == (atom, 1, "yes")
    view = report.views["'planted atom' in 'yes'"]
    assert len(view) == counts[atom]
    assert "planted atom" in str(report) and "Null run" in str(report)
    # The same atom tells two views apart, and a weak slice.
    a = encoded.match(fo.ViewField("planted") == "no")
    b = encoded.match(fo.ViewField("planted") == "yes")
    compared = smic.compare(a, b)
    assert compared.result.p < 0.05 and compared.result.atoms[0].atom == atom
    assert len(compared.views["'planted atom' in b"]) == len(b)
    assert len(compared.views["'planted atom' in a"]) == 0
    encoded.set_values("wrong", [h.get(atom, 0) > 0 for h in has])
    weak = smic.find_weak_slices(encoded, "wrong")
    assert set(weak.views["'planted atom'"].values("id")) == set(b.values("id"))
    assert set(weak.view.values("id")) <= set(b.values("id"))


def test_weak_slices_read_an_evaluation(encoded):
    truth = encoded.values("time.label")
    guessed = ["night" if i % 5 == 0 else label for i, label in enumerate(truth)]
    encoded.set_values("guess", [fo.Classification(label=label) for label in guessed])
    encoded.evaluate_classifications("guess", gt_field="time", eval_key="ev", progress=False)
    report = smic.find_weak_slices(encoded, "ev", labels="time")
    assert report.result.errors == sum(g != t for g, t in zip(guessed, truth, strict=True))
    assert report.result.stratified


def test_leaks_by_field_tags_and_views(encoded):
    source = encoded.first()
    copy = encoded.add_sample(fo.Sample(source.filepath, clip_latents=source.clip_latents))
    smic.encode(encoded.select(copy))
    train, test = encoded[:60], encoded[60:]
    train.tag_samples("train")
    test.tag_samples("test")
    encoded.set_values("split", ["train"] * 60 + ["test"] * (len(encoded) - 60))
    reports = [
        smic.find_leaks(encoded, splits, threshold=0.9999)
        for splits in ("split", ["train", "test"], {"train": train, "test": test})
    ]
    for report in reports:
        assert {source.id, copy} <= set(report.view.values("id"))
        assert copy in report.views["test"].values("id")
        assert source.id in report.views["train"].values("id")


def test_novel_samples_are_told_from_the_known(encoded):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, len(encoded.first().clip_latents)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    known = encoded.values("id")
    ids = encoded.add_samples(
        [fo.Sample(f"/nowhere/{i}.png", clip_latents=row) for i, row in enumerate(rows)]
    )
    smic.encode(encoded.select(ids))
    report = smic.find_novel(encoded.select([*ids, *known[:5]]), encoded.select(known[5:]))
    assert report.result.measured
    assert set(report.view.values("id")) == set(ids)


def test_scores_go_with_the_dictionary_and_with_a_changed_code(encoded):
    smic.find_outliers(encoded, field=True)
    smic.search(encoded, "night", field=True)
    encoded.rename_run("smic", "scenes")
    assert encoded.count("scenes_outlier_score") == 80
    changed = encoded.first()
    latents = changed.clip_latents[::-1].copy()
    changed["clip_latents"] = latents
    changed.save()
    smic.encode(encoded[:1], "scenes")
    encoded.reload()
    assert encoded.count("scenes_outlier_score") == 79
    encoded.delete_run("scenes")
    assert not [name for name in encoded.get_field_schema() if name.startswith("scenes_")]


def _with_labels(dataset):
    dataset.set_values("alike", ["same"] * len(dataset))
    dataset.set_values("some", ["x", *[None] * (len(dataset) - 1)])
    dataset.set_values("right", [False] * len(dataset))


BAD = {
    "no key": (lambda d: smic.search(d, "night", key="nothing"), "no dictionary 'nothing'"),
    "empty view": (lambda d: smic.find_outliers(d.limit(0), field=True), "there are no samples"),
    "k above N": (lambda d: smic.search(d, "night", k=81, field=True), "between 1 and 80"),
    "subset above N": (lambda d: smic.select_subset(d, 81, tag="t"), "between 1 and 80"),
    "outliers above N": (lambda d: smic.find_outliers(d, k=81, tag="t"), "between 1 and 80"),
    "no method": (lambda d: smic.select_subset(d, 5, "best"), "method must be one of"),
    "no query": (lambda d: smic.search(d, " "), "nothing to search for"),
    "no sample": (lambda d: smic.search(d, "0" * 24), "no sample '0000"),
    "short latent": (lambda d: smic.search(d, [0.5, 0.5]), "128 numbers"),
    "no field": (lambda d: smic.find_label_issues(d, "nothing"), "there is no such field"),
    "no labels": (lambda d: smic.find_label_issues(d, "smic_atoms"), "one label for each"),
    "missing": (lambda d: smic.explain_labels(d, "some"), "79 of 80 samples have no label"),
    "alike": (lambda d: smic.find_label_issues(d, "alike", field=True), "at least 2 different"),
    "one split": (lambda d: smic.find_leaks(d, "alike", tag="t"), "at least 2 different"),
    "one tag": (lambda d: smic.find_leaks(d, ["train"]), "there is 1 split"),
    "no such tag": (lambda d: smic.find_leaks(d, ["a", "b"]), "none has the tag 'a'"),
    "in two splits": (lambda d: smic.find_leaks(d, {"a": d, "b": d[:3]}), "3 samples lie in 'a'"),
    "never wrong": (lambda d: smic.find_weak_slices(d, "right"), "no item is wrong"),
    "no evaluation": (lambda d: smic.find_weak_slices(d, "ev"), "neither an evaluation nor"),
    "itself": (lambda d: smic.compare(d, d[:10]), "10 samples are in both"),
    "threshold": (lambda d: smic.find_near_duplicates(d, threshold=2, tag="t"), "between 0 and 1"),
    "tag": (lambda d: smic.select_subset(d, 5, field=True, tag=" "), "tag must be a word"),
}  # fmt: skip


def test_bad_input_is_told_and_changes_nothing(encoded, state):
    _with_labels(encoded)
    before = state(encoded)
    for name, (call, said) in BAD.items():
        with pytest.raises(ValueError, match=said):
            call(encoded)
            pytest.fail(name)
    assert state(encoded) == before


def test_no_codes_and_no_texts_are_told(make_dataset, clustered):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, n_atoms=8)
    with pytest.raises(ValueError, match="encode"):
        smic.find_outliers(dataset)
    smic.encode(dataset)
    with pytest.raises(ValueError, match="do not say which encoder made them"):
        smic.search(dataset, "a dog")
    assert len(smic.search(dataset, clustered[0], k=3).view) == 3


def test_different_dictionaries_are_not_compared(encoded, make_dataset, clustered):
    other = make_dataset(clustered)
    smic.learn_dictionary(other, n_atoms=8)
    smic.encode(other)
    with pytest.raises(ValueError, match="different dictionaries"):
        smic.compare(encoded, other)


def test_more_samples_than_a_view_can_list(encoded, monkeypatch):
    """Views that list ids end at MongoDB's 16 MB; a field sorts any number."""
    listed = smic.search(encoded, "night")
    for module in (collections, curated, curation):
        monkeypatch.setattr(module, "MOST_LISTED", 30)
    with pytest.raises(ValueError, match=r"80 samples are too many .* k, or .* field=True"):
        smic.search(encoded, "night")
    report = smic.search(encoded, "night", field=True, tag="all")
    ids, scores = report.view.values(["id", "smic_search_score"])
    assert scores == sorted(scores, reverse=True) and len(ids) == 80
    assert ids[:5] == listed.view.values("id")[:5]
    assert report.fields == ("smic_search_score",) and len(encoded.match_tags("all")) == 80
    assert report.views["night"] == report.view
    with pytest.raises(ValueError, match="search for one thing"):
        smic.search(encoded, ["night", "snow"], field=True)
    coded = curated.Coded.read(encoded, "smic")
    most = [*range(20), *range(25, 80)]  # all but a few are what is left without those
    assert coded.view(most).values("id") == [coded.ids[i] for i in most]
    with pytest.raises(ValueError, match="these are 40 samples, and a view can list 30"):
        smic.select_subset(encoded, 40)


def test_the_latents_of_some_samples_are_theirs(encoded):
    chosen = encoded.shuffle(seed=0).limit(30)
    coded = curated.Coded.read(chosen, "smic")
    assert coded.ids == chosen.values("id")
    np.testing.assert_allclose(coded.latents, np.stack(chosen.values("clip_latents")), atol=1e-6)
    some = coded.of(set(coded.ids[3:9]))
    np.testing.assert_array_equal(some.latents, coded.latents[3:9])
    assert len(some.distortion) == 6
