"""The commands on an archive alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fiftyone_smic import SemanticDictionary, curation, read_archive, write_archive
from fiftyone_smic.cli import main
from tests.curation.conftest import topics


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["fiftyone-smic", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as e:
            code = e.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    z, place = topics(n=120)
    z[60:] = z[:60]  # every item twice
    dictionary = SemanticDictionary(lam=0.001, max_iter=4, n_swaps=0).fit(z)
    codes = dictionary.transform(z)
    folder = tmp_path_factory.mktemp("archives")
    names = [f"{i:03d}.png" for i in range(120)]
    parts = {
        "all": np.arange(120),
        "a": np.arange(120)[np.tile(place[:60], 2) < 4],
        "b": np.arange(120)[np.tile(place[:60], 2) > 2],
    }
    for name, items in parts.items():
        write_archive(
            folder / f"{name}.smic", dictionary, codes[items],
            names=[names[i] for i in items], encoder="unknown",
        )  # fmt: skip
    return folder, dictionary, codes


@pytest.mark.parametrize("command", ["atoms", "select", "duplicates", "outliers"])
def test_a_command_prints_sentences_names_or_json(run, files, command):
    folder, _, _ = files
    more = ["-k", 7] if command in ("select", "outliers") else []
    code, text, _ = run(command, folder / "all.smic", *more)
    assert code == 0 and ".png" in text
    code, names, _ = run(command, folder / "all.smic", *more, "--names-only")
    assert code == 0 and all(line.endswith(".png") for line in names.splitlines())
    code, out, _ = run(command, folder / "all.smic", *more, "--json")
    rows = json.loads(out)
    assert code == 0 and rows and isinstance(rows[0], dict)
    if more:
        assert len(rows) == len(names.splitlines()) == 7
        assert [r["name"] for r in rows] == names.splitlines()


def test_outliers_are_told_by_the_distortion_that_an_archive_has(run, files, tmp_path):
    folder, dictionary, codes = files
    left = np.linspace(0.1, 0.2, 120)
    left[77] = 0.9
    write_archive(
        tmp_path / "a.smic", dictionary, codes, names=[f"{i:03d}.png" for i in range(120)],
        encoder="unknown", distortion=left,
    )  # fmt: skip
    assert run("outliers", tmp_path / "a.smic", "-k", 1, "--names-only")[1] == "077.png\n"
    assert "is in the scores" in run("outliers", tmp_path / "a.smic")[1]
    assert run("outliers", folder / "all.smic", "-k", 1, "--names-only")[1] != "077.png\n"
    assert "from codes alone" in run("outliers", folder / "all.smic")[1]


def test_what_can_go_leaves_one_of_each(run, files):
    folder, dictionary, codes = files
    _, gone, _ = run("duplicates", folder / "all.smic", "--names-only")
    expected = curation.near_duplicates(dictionary, codes).removable
    assert gone.splitlines() == [f"{i:03d}.png" for i in expected]
    assert len(expected) >= 60


def test_compare_tells_two_archives_apart(run, files):
    folder, _, _ = files
    code, text, _ = run("compare", folder / "a.smic", folder / "b.smic")
    assert code == 0 and "differ (p" in text
    code, out, _ = run("compare", folder / "a.smic", folder / "b.smic", "--json")
    assert json.loads(out)[0]["global_p"] < 0.05
    assert "No difference" in run("compare", folder / "a.smic", folder / "a.smic")[1]


def test_what_is_wrong_is_one_line(run, files):
    folder, _, _ = files
    for arguments, words in (
        (["select", folder / "all.smic", "-k", 121], "k must be between 1 and 120"),
        (["select", folder / "all.smic", "--method", "best"], "must be one of"),
        (["search", folder / "all.smic", "a house"], "does not say which encoder"),
        (["atoms", folder / "all.smic", "--json", "--names-only"], "exclude each other"),
        (["outliers", folder / "none.smic"], "No such file"),
    ):
        code, _, err = run(*arguments)
        assert code == 1 and words in err and len(err.strip().splitlines()) == 1


def test_search_by_text_on_an_archive(run, encoder, tmp_path):
    from fiftyone_smic.postcards.draw import write_collection

    paths = write_collection(tmp_path / "cards", 80, size=64)
    z = encoder.encode_images(paths).latents
    dictionary = SemanticDictionary(lam=0.001, max_iter=5, n_swaps=0).fit(z)
    write_archive(
        tmp_path / "a.smic", dictionary, dictionary.transform(z),
        names=[p.name for p in paths], encoder=encoder.name,
    )  # fmt: skip
    lines = (tmp_path / "cards" / "captions.jsonl").read_text().splitlines()
    shown = [json.loads(line) for line in lines]
    code, out, err = run("search", tmp_path / "a.smic", "a city at night", "-k", 5, "--names-only")
    assert code == 0, err
    order = {p.name: i for i, p in enumerate(paths)}
    times = [str(shown[order[name]]) for name in out.splitlines()]
    assert len(times) == 5 and sum("'night'" in t for t in times) >= 4
    asked = encoder.encode_texts(["a city at night"])
    best = (dictionary.inverse_transform(dictionary.transform(z)) @ asked[0]).argmax()
    _, out, _ = run("search", tmp_path / "a.smic", "a city at night", "--by", "product", "-k", 1)
    assert out.split()[1] == paths[best].name


def test_a_subset_of_a_small_archive_is_all_of_it(run, files):
    folder = files[0]
    for name, wanted in (("all", 100), ("a", None)):
        items = read_archive(folder / f"{name}.smic").codes.shape[0]
        code, out, _ = run("select", folder / f"{name}.smic", "--names-only")
        assert code == 0 and len(set(out.split())) == (wanted or items)
    assert items < 100
