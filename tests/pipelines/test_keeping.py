"""What words can say is kept first where that is asked for, and nothing changes where not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fiftyone_smic import cli
from fiftyone_smic.archive import read_archive
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.encoders.base import Encoder
from fiftyone_smic.pipelines import append_folder, compress, compress_folder
from fiftyone_smic.pipelines.keeping import metric_of_words
from fiftyone_smic.postcards.draw import write_collection


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """40 postcards, and 10 others."""
    work = tmp_path_factory.mktemp("cards")
    write_collection(work / "first", 40, size=64)
    write_collection(work / "more", 10, seed=5, size=64)
    return work


@pytest.fixture(scope="module")
def words(cards):
    """The archive of words, and the metric."""
    file = cards / "words.smic"
    compress_folder(cards / "first", file, encoder="postcards", lam=0.01, keep="words")
    return file, metric_of_words(load_encoder("postcards"))


def latents_of(folder):
    files = sorted(folder.rglob("*.png"))
    return load_encoder("postcards").encode_images(files).latents, [f.name for f in files]


def test_an_archive_of_words_keeps_more_of_them_in_no_more_bits(cards, words):
    file, metric = words
    plain = cards / "plain.smic"
    compress_folder(cards / "first", plain, encoder="postcards", lam=0.01)
    latents, names = latents_of(cards / "first")
    scores = []
    for path in (file, plain):
        content = read_archive(path)
        assert list(content.names) == names
        error = latents - content.dictionary.inverse_transform(content.codes)
        by_words = np.einsum("ni,ij,nj->", error, metric.matrix, error)
        scores.append(by_words * 2 ** (content.rate.total_bits / 8000))
    assert scores[0] < 0.9 * scores[1]
    assert read_archive(file).dictionary.metric_ is None  # a file does not hold it


def test_appending_keeps_words_only_if_told(cards, words, tmp_path):
    file, metric = words
    latents, _ = latents_of(cards / "more")
    before = read_archive(file)
    rebuilt = before.dictionary.inverse_transform(before.codes)
    by_words = before.dictionary.with_metric(metric, rebuilt).transform(latents)
    plainly = before.dictionary.transform(latents)
    assert (by_words != plainly).nnz
    for keep, expected in (("everything", plainly), ("words", by_words)):
        copy = tmp_path / f"{keep}.smic"
        copy.write_bytes(file.read_bytes())
        append_folder(cards / "more", copy, keep=keep, assume_new=True)
        assert (read_archive(copy).codes[40:] != expected).nnz == 0


def test_the_command_keeps_what_it_is_told_to(cards, words, tmp_path, monkeypatch, capsys):
    def compress_to_keep(*keep):
        file = tmp_path / "".join(("x", *keep, ".smic"))
        where = (str(cards / "first"), str(file), "--encoder", "postcards", "--lam", "0.01")
        monkeypatch.setattr(sys, "argv", ["fiftyone-smic", "compress", *where, *keep])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, file

    code, of_words = compress_to_keep("--keep", "words")
    assert code == 0 and of_words.read_bytes() == words[0].read_bytes()
    code, plain = compress_to_keep()
    assert code == 0 and plain.read_bytes() != of_words.read_bytes()
    capsys.readouterr()
    code, other = compress_to_keep("--keep", "nouns")
    assert code and not other.exists()
    assert "'everything' or 'words', got 'nouns'" in capsys.readouterr().err


def test_what_cannot_be_kept_is_refused_before_the_work(cards, words, tmp_path, monkeypatch):
    monkeypatch.setattr(Encoder, "iter_images", lambda *a, **k: pytest.fail("too late"))
    with pytest.raises(ValueError, match="'everything' or 'words', got 'all'"):
        compress_folder(cards / "first", tmp_path / "x.smic", encoder="postcards", keep="all")
    with pytest.raises(ValueError, match="'everything' or 'words', got 'all'"):
        append_folder(cards / "more", words[0], keep="all")
    model = load_encoder("postcards")
    monkeypatch.setattr(type(model), "text_features", Encoder.text_features)
    monkeypatch.setattr(compress, "load_encoder", lambda *a, **k: model)
    with pytest.raises(ValueError, match="no words to keep first: pass keep='everything'"):
        compress_folder(cards / "first", tmp_path / "x.smic", encoder="postcards", keep="words")
    assert not (tmp_path / "x.smic").exists()
