"""The operators of curation: what they say, what they write, and what they refuse."""

from __future__ import annotations

import threading

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import codes
from operators import _class_in, findings
from operators.running import Report, Stopped


@pytest.fixture(scope="module")
def learned():
    """60 samples of five kinds with labels, tags and codes; two of them are copies."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(5, size=60)
    latents = rng.normal(size=(5, 16))[kinds] + 0.3 * rng.normal(size=(60, 16)) + 2
    latents[58:], kinds[58:] = latents[:2], kinds[:2]
    latents = (latents / np.linalg.norm(latents, axis=1, keepdims=True)).astype(np.float32)
    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(
                f"/nowhere/{i:03d}.jpg",
                clip_latents=latent,
                kind=fo.Classification(label=f"kind{kind}"),
                wrong=bool(kind == 0),
                tags=["test"] if i % 4 == 3 else ["train"],
            )
            for i, (latent, kind) in enumerate(zip(latents, kinds, strict=True))
        ],
        progress=False,
    )
    smic.learn_dictionary(dataset, lam=0.0005, progress=False)
    smic.encode(dataset, progress=False)
    yield dataset
    dataset.delete()


@pytest.fixture
def coded(learned):
    """A copy that a test may change."""
    dataset = learned.clone()
    yield dataset
    dataset.delete()


def context(samples, selected=(), **params):
    dataset = samples._root_dataset
    request = {"dataset_name": dataset.name, "params": params, "selected": list(selected)}
    if samples is not dataset:
        request["view"] = samples._serialize()
    return ExecutionContext(request)


def operator(name):
    return _class_in(name)()


def run(operator_name, samples, **params):
    return operator(operator_name).execute(context(samples, **params))


def complaints(operator_name, samples, **params):
    """What a form says is wrong, by input."""
    form = operator(operator_name).resolve_input(context(samples, **params))
    return {n: p.error_message for n, p in form.type.properties.items() if p.invalid}


def found_by(done):
    """The id of the finding that a result's buttons lead on from."""
    return done["buttons"][0][2]["found"]


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("search_samples", {"by": "concepts", "expression": "atom 0 | !atom 0"}, "**60 samples**"),
        ("select_subset", {"k": 5}, "**5 samples** of 60, representative"),
        ("select_subset", {"k": 5, "already": "test"}, "**5 samples** of 60"),
        ("find_near_duplicates", {"threshold": 0.9999}, "can go: each is that near"),
        ("find_outliers", {"k": 3}, "of 60"),
        ("find_label_issues", {"label_field": "kind"}, "are told right"),
        ("find_leaks", {"first": "tag:train", "second": "tag:test"}, "If splits were drawn"),
        ("compare_parts", {"first": "tag:train", "second": "tag:test"}, "**train** (45 samples)"),
        ("compare_parts", {"first": "label:kind.label=kind0", "shuffled": True}, "of 20 runs"),
        ("compare_parts", {"first": "label:kind.label=kind0"}, "occurs in"),
        ("compare_parts", {"first": "label:kind.label=kind0"}, "and **the others** ("),
        ("explain_labels", {"label_field": "kind"}, "go together with a label of kind"),
        ("find_weak_slices", {"errors": "wrong"}, "weak slice"),
        ("find_novel", {"first": "tag:train", "second": "tag:test"}, "beside train"),
    ],
)
def test_each_says_what_it_found_and_writes_nothing_by_itself(coded, state, name, params, says):
    before = state(coded)
    assert complaints(name, coded, **params, tag="") == {}
    done = run(name, coded, **params)
    assert says in done["summary"]
    assert done["buttons"][-1][0] == "Open the SMIC panel"
    assert state(coded) == before


def test_causes_are_concepts_with_shares_and_views(coded):
    run("explain_labels", coded, label_field="kind")
    found = findings.of_card(coded, "smic", "compare")
    cause = found.outcome.causes[0]
    share = cause.shares[0]
    inside = found.part(share.part)
    label = share.label.removeprefix("of ")
    assert set(inside.values("kind.label")) == {label}
    whole = coded.count_values("kind.label")[label]
    assert share.share == pytest.approx(len(inside) / whole)
    atom, sign, _ = cause.atoms[0]
    assert len(smic.fiftyone.match_atom(inside, atom, sign=sign)) == len(inside)


def test_a_text_is_searched_for_and_selected_samples_are_too(encoded):
    done = run("search_samples", encoded, query="night", k=10, tag="dark", field=True)
    assert "These are the **10 samples** of 80 nearest to “night”" in done["summary"]
    assert len(encoded.match_tags("dark")) == 10
    assert encoded.count("smic_search_score") == 10
    first = encoded.first().id
    ctx = context(encoded, selected=[first], by="selected")
    assert "most like 1 selected sample" in operator("search_samples").execute(ctx)["summary"]


def test_near_duplicates_are_deleted_but_for_one_of_each_only_when_that_is_confirmed(coded, state):
    done = run("find_near_duplicates", coded, threshold=0.9999)
    use = {"found": found_by(done), "part": "remove", "action": "delete"}
    before = state(coded)
    assert "Tick the box" in complaints("use_found", coded, **use)["unsure"]
    with pytest.raises(ValueError, match="not confirmed"):
        run("use_found", coded, **use)
    assert state(coded) == before
    assert complaints("use_found", coded, **use, sure=True) == {}
    views = smic.find_near_duplicates(coded, threshold=0.9999).views
    kept, gone = views["keep"].values("id"), views["remove"].values("id")
    everything = set(coded.values("id"))
    said = run("use_found", coded, **use, sure=True)["summary"]
    assert f"**{len(gone)} samples were deleted**" in said
    assert set(coded.values("id")) == everything - set(gone) >= set(kept)


def test_what_is_found_is_tagged_saved_and_exported(coded, tmp_path):
    found = found_by(run("select_subset", coded, k=6, tag=""))
    run("use_found", coded, found=found, action="tag", name="six")
    assert len(coded.match_tags("six")) == 6
    run("use_found", coded, found=found, action="save", name="the six")
    assert set(coded.load_saved_view("the six").values("id")) == set(
        coded.match_tags("six").values("id")
    )
    again = complaints("use_found", coded, found=found, action="save", name="the six")
    assert "choose another name" in again["name"]
    path = tmp_path / "six.smic"
    run("export_archive", coded, found=found, key="smic", path=str(path))
    assert smic.read_archive(path).codes.shape[0] == 6


def test_a_run_that_is_stopped_writes_nothing(coded, state):
    from operators.running import Report, Stopped

    before = state(coded)
    stop = threading.Event()
    report = Report(lambda kind, value: stop.set(), stop)  # while it works
    ctx = context(coded, k=5, tag="chosen", field=True)
    with pytest.raises(Stopped):
        operator("select_subset").work(ctx, report)
    assert state(coded) == before


def test_a_finding_is_gone_with_its_dictionary(coded):
    found = found_by(run("select_subset", coded, k=6))
    assert findings.of_card(coded, "smic", "choose").id == found
    smic.learn_dictionary(coded, lam=0.005, overwrite=True)
    smic.encode(coded)
    assert findings.of_card(coded, "smic", "choose") is None
    said = complaints("use_found", coded, found="not there")
    assert "run the search again" in said["gone"]


FINDERS = [
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
]


def test_every_form_says_what_is_missing_first(make_dataset, clustered):
    dataset = make_dataset(clustered)
    for name in FINDERS:
        assert "Run 'SMIC: learn dictionary' first" in complaints(name, dataset)["no_dictionary"]
    smic.learn_dictionary(dataset)
    for name in FINDERS:
        assert "Run 'SMIC: encode samples' first" in complaints(name, dataset)["no_codes"], name
    smic.encode(dataset)
    assert "Import labels first" in complaints("explain_labels", dataset)["no_labels"]
    assert "Import labels first" in complaints("find_label_issues", dataset)["no_labels"]
    assert "evaluate its predictions" in complaints("find_weak_slices", dataset)["no_errors"]
    assert "tag samples" in complaints("compare_parts", dataset)["no_parts"]
    assert "choose the model" in complaints("search_samples", dataset, by="text")["no_texts"]
    assert complaints("search_samples", dataset) == {}


@pytest.mark.parametrize(
    ("name", "params", "where", "says"),
    [
        ("select_subset", {"k": 61}, "k", "between 1 and 60"),
        ("find_outliers", {"k": 0}, "k", "between 1 and 60"),
        ("find_near_duplicates", {"threshold": 2}, "threshold", "between 0 and 1"),
        ("search_samples", {"expression": "atom 0 & nihgt"}, "expression", "there is no atom"),
        ("search_samples", {"expression": "(atom 0"}, "expression", "at position"),
        ("compare_parts", {"first": "tag:test", "second": "tag:test"}, "second", "same samples"),
        ("select_subset", {"tag": "  "}, "tag", "needs a letter"),
        ("select_subset", {"key": "gone"}, "key", "there is no dictionary"),
        ("compute_similarity", {"brain_key": "two words"}, "brain_key", "letters, digits"),
    ],
)
def test_forms_say_what_is_wrong(coded, state, name, params, where, says):
    before = state(coded)
    assert says in complaints(name, coded, **params)[where]
    assert state(coded) == before


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("select_subset", {"k": 61, "tag": "x", "field": True}, "61"),
        ("search_samples", {"expression": "nothing", "tag": "x"}, "there is no atom"),
        ("search_samples", {"query": "night", "tag": "x"}, "do not say which encoder"),
        ("search_samples", {"query": " "}, "nothing to search for"),
        ("find_label_issues", {"label_field": "same", "tag": "x"}, "label"),
        ("explain_labels", {"label_field": "same", "tag": "x"}, "label"),
        ("find_label_issues", {"label_field": "some", "tag": "x"}, "have no label"),
        ("find_label_issues", {"label_field": "all", "tag": "x", "field": True}, "label"),
        ("find_leaks", {"first": "tag:every", "tag": "x"}, "no samples of this view"),
        ("find_leaks", {"first": "tag:every", "second": "tag:test", "tag": "x"}, "lie in"),
        ("compare_parts", {"first": "tag:every"}, "no samples"),
        ("compare_parts", {"first": "tag:every", "second": "tag:test"}, "in both views"),
        ("find_novel", {"first": "tag:every", "second": "tag:test", "tag": "x"}, "in both views"),
        ("find_near_duplicates", {"key": "gone", "tag": "x"}, "gone"),
        ("find_outliers", {"key": "uncoded", "tag": "x"}, "encode"),
        ("use_found", {"found": "gone", "action": "delete", "sure": True}, "no longer there"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(coded, state, name, params, says):
    coded.tag_samples("every")
    coded.set_values("same", [fo.Classification(label="one")] * 60)
    coded.set_values("some", [None, *[fo.Classification(label="one")] * 59])
    coded.set_values("all", [fo.Classification(label=f"{i}") for i in range(60)])
    smic.learn_dictionary(coded, "uncoded", progress=False)
    before = state(coded)
    with pytest.raises(ValueError, match=says):
        run(name, coded, **params)
    assert state(coded) == before


def test_an_empty_view_is_refused(coded, state):
    before = state(coded)
    empty = coded.match({"_id": None})
    for name in ("select_subset", "find_outliers", "find_near_duplicates"):
        assert "choose another view" in complaints(name, empty)["collection"]
        with pytest.raises(ValueError, match="no samples"):
            run(name, empty, tag="x")
    assert state(coded) == before


def test_the_app_searches_codes(coded):
    done = run("compute_similarity", coded, brain_key="codes")
    assert "**60 samples** can be searched by their codes" in done["summary"]
    assert "this model reads no texts" in done["summary"]
    first = coded.first().id
    assert coded.sort_by_similarity(first, k=3, brain_key="codes").first().id == first


@pytest.mark.parametrize("name", ["search_samples", "select_subset"])
def test_reading_codes_moves_the_bar_and_can_be_stopped(learned, monkeypatch, name):
    monkeypatch.setattr(codes, "REPORT_EVERY", 10)
    told = []
    report = Report(lambda kind, value: told.append((kind, value)))
    asked = context(learned, key="smic", by="selected", k=3, selected=learned.values("id")[:1])
    operator(name).work(asked, report)
    assert ("stage", "Reading the codes") in told
    assert [kind for kind, _ in told].count("part") > 3
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        operator(name).work(asked, Report(lambda kind, value: None, stop))
