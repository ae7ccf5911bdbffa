"""Sections: what an older reader skips, what it refuses, and the distortions of items."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fiftyone_smic import curation
from fiftyone_smic.archive import (
    ArchiveVersionError,
    ArchiveWarning,
    DamagedArchiveError,
    UnknownSectionError,
    append_archive,
    archive_info,
    decode_archive,
    encode_archive,
    item_distortion,
    read_archive,
    write_archive,
    writer,
)
from fiftyone_smic.archive.blocks import archive_head, check_archivable, code_block, join_blocks
from fiftyone_smic.archive.format import Head, pack_block, pack_end, read_blocks
from fiftyone_smic.archive.primitives import Reader
from fiftyone_smic.archive.sections import DISTORTION, Section, pack_sections
from fiftyone_smic.coding.code_tables import CodeCounts

from ..benchmarks.fuzz import with_unknown_sections


@pytest.fixture(scope="module")
def measured(collection):
    """An archive with distortions, and these."""
    dictionary, codes, z = collection
    left = item_distortion(dictionary, z, codes)
    return encode_archive(dictionary, codes, encoder="e", distortion=left)[0], left


def with_sections(data, of_head=(), of_block=()):
    """An archive with distortions, and more sections in its head and in each block."""
    reader = Reader.of(data)
    head, shared = Head.read(reader)
    blocks = list(read_blocks(reader, head))
    out = bytearray(replace(head, sections=tuple(of_head)).pack(shared))
    for b in blocks:
        sections = pack_sections([*b.sections, *of_block])
        out += pack_block(b.items, b.codes, None, sections, bytes(out[-4:]))
    return bytes(out) + pack_end(bytes(out))


@pytest.mark.parametrize("ordered", [True, False])
def test_distortions_come_back_within_a_sixteenth_of_an_octave(collection, ordered):
    dictionary, codes, z = collection
    left = item_distortion(dictionary, z, codes)
    left[3] = 0
    plain = encode_archive(dictionary, codes, encoder="e", ordered=ordered)[0]
    data = encode_archive(dictionary, codes, encoder="e", ordered=ordered, distortion=left)[0]
    back = decode_archive(data)
    assert 8 * (len(data) - len(plain)) < 6 * len(left)
    if ordered:
        same = np.arange(len(left))
    else:  # each item is found again by its code; of equal ones any order is right
        key = [tuple(row) for row in codes.toarray()]
        found = [tuple(row) for row in back.codes.toarray()]
        same = sorted(range(len(key)), key=lambda i: (key[i], left[i]))
        place = sorted(range(len(found)), key=lambda i: (found[i], back.distortion[i]))
        back = replace(back, distortion=back.distortion[place])
    expected = left[same]
    assert (back.distortion[expected == 0] == 0).all()
    seen = expected > 0
    off = np.log2(back.distortion[seen] / expected[seen])
    assert np.abs(off).max() <= 1 / 16 + 1e-9


def test_curation_takes_the_distortions_of_an_archive(collection, measured):
    dictionary, codes, _ = collection
    archive = decode_archive(measured[0])
    assert curation.outliers(archive).measured
    given = curation.outliers(dictionary, codes, measured[1])
    np.testing.assert_allclose(curation.outliers(archive).scores, given.scores, rtol=0.3, atol=0.5)


def test_a_range_has_its_distortions(collection, tmp_path, monkeypatch):
    dictionary, codes, z = collection
    monkeypatch.setattr(writer, "BLOCK", 64)
    path = tmp_path / "x.smic"
    left = item_distortion(dictionary, z, codes)
    write_archive(path, dictionary, codes, encoder="e", distortion=left)
    whole = read_archive(path).distortion
    for start, stop in pairwise((0, 10, 64, 130, 300)):
        found = read_archive(path, start=start, stop=stop).distortion
        np.testing.assert_array_equal(found, whole[start:stop])


def test_an_append_carries_distortions_on_or_refuses(collection, measured, tmp_path):
    _, codes, _ = collection
    data, left = measured
    path = tmp_path / "x.smic"
    path.write_bytes(data)
    for more, message in (
        (None, "give one for each new item"),
        (left[:3], "3 distortions for 2 items"),
        ([0.1, -1.0], r"items \[1\]"),
        ([np.nan, 1.0], r"items \[0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            append_archive(path, codes[:2], distortion=more)
        assert path.read_bytes() == data
    append_archive(path, codes[:2], distortion=left[:2])
    found = read_archive(path).distortion
    np.testing.assert_array_equal(found[-2:], found[:2])
    write_archive(path, collection[0], codes, encoder="e")
    with pytest.raises(ValueError, match="stores no distortions"):
        append_archive(path, codes[:2], distortion=left[:2])


def test_sections_of_a_newer_version_are_skipped_and_named(measured, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(with_unknown_sections(measured[0]))
    with pytest.warns(ArchiveWarning, match="of type 2, 900, 901"):
        found = read_archive(path)
    assert found.skipped == (2, 900, 901)
    assert archive_info(path)["skipped"] == {2: 5, 900: 5, 901: 0}
    assert (found.codes != decode_archive(measured[0]).codes).nnz == 0
    assert archive_info(path)["distortion_bytes"] > 100
    # An append keeps them, and says that the new items have none.
    before = path.read_bytes()
    with pytest.warns(ArchiveWarning, match="the new items have none"):
        append_archive(path, found.codes[:1], distortion=found.distortion[:1])
    assert path.read_bytes().startswith(before[:-5])


def test_sections_that_must_be_understood_are_refused(measured, tmp_path):
    later = Section.of(77, b"x", required=True)
    for of_head, of_block in (([later], []), ([], [later])):
        path = tmp_path / "x.smic"
        path.write_bytes(with_sections(measured[0], of_head, of_block))
        for read in (read_archive, archive_info):
            with pytest.raises(UnknownSectionError, match=f"{path}: .*type 77 .*newer version"):
                read(path)
    assert issubclass(UnknownSectionError, ArchiveVersionError)


def test_sections_that_no_writer_makes(measured):
    data, _ = measured
    content = Section.of(DISTORTION, b"abc")
    for of_block, message in (
        ([content], "comes twice"),
        ([Section.of(0, b"")], None),  # a list that ends early
        ([Section.of(0, b"", required=True)], "no type"),
    ):
        with pytest.raises(DamagedArchiveError, match=message):
            decode_archive(with_sections(data, of_block=of_block))
    # The types of a block are not known in the head, where they are skipped.
    with pytest.warns(ArchiveWarning):
        decode_archive(with_sections(data, of_head=[content]))


def test_a_flag_or_a_dictionary_of_a_later_version_is_refused(measured):
    reader = Reader.of(measured[0])
    head, shared = Head.read(reader)
    start = head.pack(shared)
    assert start[9] == 32  # the flags, after magic bytes, version, d, K, L and M
    with pytest.raises(ArchiveVersionError, match="flags"):
        decode_archive(start[:9] + b"\x40" + measured[0][10:])
    later = bytearray(head.pack(b"\xff" + shared[1:]))
    with pytest.raises(ArchiveVersionError, match="mode 15"):
        decode_archive(bytes(later) + pack_end(bytes(later)))


def test_blocks_written_by_several_make_the_same_file(collection, monkeypatch):
    """In two passes, each over one block at a time."""
    dictionary, codes, z = collection
    slow = dictionary.transform(np.repeat(z[:60], 5, axis=0))  # neighbours alike
    monkeypatch.setattr(writer, "BLOCK", 64)
    for given in (codes, slow):
        left = item_distortion(dictionary, z, given)
        names = [f"{i}.jpg" for i in range(300)]
        whole, rate = encode_archive(
            dictionary, given, encoder="e", names=names, distortion=left, latent_norm=2.0
        )
        head = archive_head(dictionary, encoder="e", named=True, distortion=True, latent_norm=2.0)
        parts = [slice(i, i + 64) for i in range(0, 300, 64)]
        checked = [check_archivable(given[part], head) for part in parts]
        counts = [CodeCounts.of(c, head.max_level, head.max_nonzero) for c in checked]
        total = counts[0]
        for more in counts[1:]:
            total = more + total
        blocks = [
            code_block(c, total, names[p], left[p]) for c, p in zip(checked, parts, strict=True)
        ]
        assert join_blocks(dictionary, head, total, blocks) == (whole, rate)
