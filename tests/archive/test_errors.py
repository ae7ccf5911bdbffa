"""What is wrong with an archive is a kind of error, and its message begins with the file."""

import subprocess
import sys

import pytest

import fiftyone_smic
from fiftyone_smic import archive as public
from fiftyone_smic.archive import (
    ArchiveError,
    ArchiveVersionError,
    DamagedArchiveError,
    NotAnArchiveError,
    PriorMissingError,
    TruncatedArchiveError,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
)
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior


def test_kinds_of_broken_files(archive_bytes, tmp_path):
    damaged = bytearray(archive_bytes)
    damaged[len(damaged) // 2] ^= 1
    unknown_encoder = archive_bytes.replace(b"\x23m/p", b"\x1fm/p")
    assert unknown_encoder != archive_bytes
    for data, kind in (
        (b"", NotAnArchiveError),
        (b"PK\3\4 another file", NotAnArchiveError),
        (archive_bytes[:4] + b"\x05" + archive_bytes[5:], ArchiveVersionError),
        (unknown_encoder, ArchiveVersionError),
        (archive_bytes[:-1], TruncatedArchiveError),
        (archive_bytes[:20], TruncatedArchiveError),
        (bytes(damaged), DamagedArchiveError),
        (archive_bytes + b"x", DamagedArchiveError),
    ):
        path = tmp_path / "x.smic"
        path.write_bytes(data)
        with pytest.raises(ArchiveError) as found:
            read_archive(path)
        assert type(found.value) is kind, (kind, found.value)
        assert str(found.value).startswith(f"{path}: ")
    with pytest.raises(TruncatedArchiveError):
        path.write_bytes(archive_bytes[:-1])
        archive_info(path)


def test_a_prior_that_is_missing_is_a_kind_of_its_own(collection):
    z = collection[2]
    dictionary = SemanticDictionary(4, max_iter=2, prior=Prior.build(z[:100])).fit(z)
    data, _ = encode_archive(dictionary, dictionary.transform(z), encoder="e")
    with pytest.raises(PriorMissingError, match="pass that prior's file"):
        decode_archive(data)


def test_all_kinds_are_public_and_value_errors():
    kinds = [name for name in public.__all__ if name.endswith("Error")]
    assert len(kinds) == 8
    for name in kinds:
        kind = getattr(public, name)
        assert issubclass(kind, ArchiveError) and issubclass(kind, ValueError)
    assert fiftyone_smic.ArchiveError is ArchiveError
    assert issubclass(TruncatedArchiveError, DamagedArchiveError)


def test_a_header_is_read_without_anything_slow(archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    code = (
        "import sys\n"
        "from fiftyone_smic.archive.info import archive_info\n"
        "assert archive_info(sys.argv[1])['items'] == 300\n"
        "slow = {'numpy', 'numba', 'sklearn', 'scipy', 'torch', 'PIL', 'fiftyone'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    for start in ("", "import fiftyone_smic; fiftyone_smic.archive_info\n"):
        done = subprocess.run(
            [sys.executable, "-c", start + code, str(path)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout.strip() == "[]", done.stderr
