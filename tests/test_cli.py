"""The command line, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fiftyone_smic import cli, pipelines
from fiftyone_smic.archive import read_archive, write_archive
from fiftyone_smic.archive.format import END_SIZE
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior, shipped_prior
from fiftyone_smic.models.encoders import embedded_identity, load_encoder
from fiftyone_smic.pipelines.picture_names import file_names
from fiftyone_smic.pipelines.report import contact_sheet

# The pictures are noise, which nothing marks as postcards.
CARDS = ("--encoder", "postcards")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fiftyone-smic", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def archive(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "pictures.smic"
    pipelines.compress_folder(pictures[0].parent, path, encoder="postcards")
    return path


def test_help_needs_none_of_the_heavy_packages():
    code = (
        "import sys; sys.argv = ['fiftyone-smic', '--help']\n"
        "from fiftyone_smic.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'fiftyone', 'open_clip', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().endswith("[]")
    for command in (
        "demo",
        "compress",
        "append",
        "decompress",
        "prior",
        "info",
        "install-plugin",
        "doctor",
    ):
        assert command in done.stdout


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, fiftyone_smic\n"
        "heavy = {'torch', 'fiftyone', 'open_clip', 'diffusers', 'umap', 'numba', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert set(fiftyone_smic.__all__) <= set(dir(fiftyone_smic))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_library_below_its_fiftyone_part_never_imports_fiftyone(pictures, tmp_path):
    code = (
        "import sys\n"
        "from fiftyone_smic.pipelines import compress_folder\n"
        "compress_folder(sys.argv[1], sys.argv[2], encoder='postcards')\n"
        "assert 'fiftyone' not in sys.modules"
    )
    arguments = [pictures[0].parent, tmp_path / "a.smic"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, timeout=300)


def test_every_public_name_can_be_imported():
    import fiftyone_smic

    for name in fiftyone_smic.__all__:
        assert getattr(fiftyone_smic, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fiftyone_smic.no_such_name


def test_a_folder_goes_into_an_archive_and_back(run, pictures, tmp_path):
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for i, path in enumerate(pictures):
        (source / ("sub" if i % 2 else "") / path.name).write_bytes(path.read_bytes())
    (source / "broken.jpg").write_text("not an image")
    (source / "notes.txt").write_text("ignored")
    file = tmp_path / "out.smic"

    code, out, err = run("compress", source, file, *CARDS)
    assert code == 0
    assert f"{file.stat().st_size:,}" in out
    assert "photographs" in out
    assert "broken.jpg" in err and "notes.txt" not in err

    code, out, _ = run("info", file, "--json")
    assert code == 0
    assert json.loads(out)

    code, out, _ = run("decompress", file, tmp_path / "back", "--items", ":3", "--steps", 1)
    assert code == 0
    assert "photographs" in out
    drawn = sorted(
        p.relative_to(tmp_path / "back").as_posix() for p in (tmp_path / "back").rglob("*.png")
    )
    names = read_archive(file).names
    assert drawn == sorted(names[:3])
    assert all("/" not in name or name.startswith("sub/") for name in names)


def test_what_stands_in_the_way_is_one_line(run, archive, pictures, tmp_path):
    before = archive.read_bytes()
    for arguments, message in {
        ("compress", pictures[0].parent, archive): "--overwrite",
        ("compress", tmp_path, tmp_path / "x.smic"): "no images",
        ("compress", tmp_path / "nowhere", tmp_path / "x.smic"): "not a folder",
        ("compress", pictures[0].parent, tmp_path / "x.smic", "--encoder", "a/b"): "not an encoder",
        ("decompress", archive, pictures[0].parent): "not empty",
        ("decompress", pictures[0], tmp_path / "new"): "archive",
        ("info", tmp_path / "missing.smic"): "missing.smic",
        ("decompress", archive, tmp_path / "new", "--items", "5000:5001"): "the archive has",
        ("decompress", archive, tmp_path / "new", "--items", "some"): "10:20",
    }.items():
        code, _, err = run(*arguments)
        assert code == 1
        assert err.startswith("error: ") and message in err
        assert "Traceback" not in err
    assert archive.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_one_readable_image_is_too_few(run, pictures, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "one.png").write_bytes(pictures[0].read_bytes())
    (source / "two.png").write_bytes(b"broken")
    code, _, err = run("compress", source, tmp_path / "x.smic", *CARDS)
    assert code == 1
    assert "at least two images" in err and "two.png" in err
    assert not (tmp_path / "x.smic").exists()


def test_a_picture_does_not_depend_on_how_many_are_drawn(archive, tmp_path):
    one = pipelines.decompress_archive(archive, tmp_path / "one", stop=1, steps=1)
    two = pipelines.decompress_archive(archive, tmp_path / "two", stop=2, steps=1)
    a, b = (np.asarray(Image.open(done.paths[0])).astype(int) for done in (one, two))
    assert np.abs(a - b).max() <= 1


def test_new_images_are_appended_and_drawn_alone(run, pictures, tmp_path):
    source, file = tmp_path / "in", tmp_path / "x.smic"
    source.mkdir()
    for path in pictures[:-1]:
        (source / path.name).write_bytes(path.read_bytes())
    assert run("compress", source, file, *CARDS)[0] == 0
    before = file.read_bytes()

    (source / "later.png").write_bytes(pictures[-1].read_bytes())
    (source / "broken.jpg").write_text("not an image")
    code, out, err = run("append", source, file)
    assert code == 0
    assert "1 images added" in out and "broken.jpg" in err
    assert file.read_bytes().startswith(before[:-END_SIZE])

    grown = file.read_bytes()
    (source / "broken.jpg").unlink()
    code, out, _ = run("append", source, file)  # once more
    assert code == 0 and f"in {file} already" in out
    assert file.read_bytes() == grown

    last = len(pictures) - 1
    assert read_archive(file).names[last:] == ("later.png",)
    code, _, _ = run("decompress", file, tmp_path / "one", "--items", last, "--steps", 1)
    assert code == 0
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["later.png"]
    # The same noise as if all had been drawn.
    pipelines.decompress_archive(file, tmp_path / "all", steps=1)
    a, b = (np.asarray(Image.open(tmp_path / d / "later.png")).astype(int) for d in ("one", "all"))
    assert np.abs(a - b).max() <= 1


def test_an_archive_of_another_encoder_is_not_appended_to(run, collection_archive, pictures):
    before = collection_archive.read_bytes()
    code, _, err = run("append", pictures[0].parent, collection_archive, *CARDS)
    assert code == 1 and "made with the encoder 'm/p'" in err
    assert collection_archive.read_bytes() == before


@pytest.fixture
def collection_archive(tmp_path):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20, 8))
    dictionary = SemanticDictionary(max_iter=2).fit(z / np.linalg.norm(z, axis=1, keepdims=True))
    path = tmp_path / "other.smic"
    write_archive(path, dictionary, dictionary.transform(z), encoder="m/p")
    return path


def test_a_prior_is_built_used_and_asked_for(run, pictures, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", rng.normal(size=(50, load_encoder().dim)))
    built, file = tmp_path / "x.prior.npz", tmp_path / "x.smic"
    code, out, _ = run("prior", "build", tmp_path / "0.npy", tmp_path / "1.npy", "-o", built)
    named = Prior.load(built).hash
    assert code == 0 and named in out and "100 latents" in out

    assert run("compress", pictures[0].parent, file, "--prior", built, *CARDS)[0] == 0
    code, out, _ = run("info", file, "--json")
    assert json.loads(out)["prior"] == named
    for arguments in (
        ("decompress", file, tmp_path / "out", "--steps", 1),
        ("append", pictures[0].parent, file),
    ):
        code, _, err = run(*arguments)
        assert code == 1 and named in err
    code, _, _ = run(
        "decompress", file, tmp_path / "out", "--steps", 1, "--items", 0, "--prior", built
    )
    assert code == 0

    np.save(tmp_path / "flat.npy", np.zeros(5))
    code, _, err = run("prior", "build", tmp_path / "flat.npy", "-o", tmp_path / "y.npz")
    assert code == 1 and "(N, d)" in err and not (tmp_path / "y.npz").exists()


def test_the_embedded_encoder_has_a_prior_that_fits(run, archive):
    """Made again (fiftyone_smic.postcards.build_prior) whenever the encoder is."""
    prior = shipped_prior(embedded_identity())
    assert prior is not None and len(prior.mean) == load_encoder().dim
    _, out, _ = run("info", archive, "--json")
    assert json.loads(out)["prior"] == prior.hash


def test_names_from_an_archive_cannot_leave_the_folder():
    names = [
        "../evil.png",
        "/etc/x",
        "C:\\x",
        "..\\up.png",
        "",
        "a/../../b",
        "ok/a.jpg",
        "ok/A.gif",
    ]
    fake = SimpleNamespace(codes=np.zeros((len(names), 1)), names=names, first=0)
    safe = file_names(fake)
    assert safe[:6] == [f"{i:06d}.png" for i in range(6)]
    assert safe[6] == "ok/a.png"
    assert len({name.lower() for name in safe}) == len(names)
    assert file_names(SimpleNamespace(codes=np.zeros((2, 1)), names=None, first=10)) == [
        "000010.png",
        "000011.png",
    ]


def test_postcards_are_drawn_with_their_captions(run, tmp_path):
    code, out, _ = run("postcards", "draw", 3, tmp_path / "cards", "--size", 64, "--seed", 2)
    assert code == 0 and "3 postcards" in out
    files = sorted((tmp_path / "cards").glob("*.png"))
    assert [Image.open(file).size for file in files] == [(64, 64)] * 3
    lines = (tmp_path / "cards" / "captions.jsonl").read_text().splitlines()
    assert [json.loads(line)["file"] for line in lines] == [file.name for file in files]


def test_the_contact_sheet_has_originals_above_what_was_drawn():
    red, blue = Image.new("RGB", (64, 32), "red"), Image.new("RGB", (10, 10), "blue")
    sheet = contact_sheet([red] * 3, [blue] * 3, columns=2, cell=32)
    gap = 2
    assert sheet.size == (2 * (32 + gap) + gap, 2 * (64 + 2 * gap) + gap)
    for x in (gap + 16, 2 * gap + 48):
        assert sheet.getpixel((x, gap + 16)) == (255, 0, 0)
        assert sheet.getpixel((x, gap + 48)) == (0, 0, 255)
    with pytest.raises(ValueError, match="3 originals and 2"):
        contact_sheet([red] * 3, [blue] * 2)
