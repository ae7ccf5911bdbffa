"""Pictures to latents in parts, each of which is kept as a Parquet file when it is finished."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.cluster.storage import File, digest_of, locate, name_below
from fiftyone_smic.models.encoders import Encoder, load_encoder
from fiftyone_smic.models.images import UnreadableImage, image_size
from fiftyone_smic.pipelines.work import Work

#: Pictures of a part that is made of single files. A tar is a part.
PICTURES = 512
#: Pictures of a tar that lie on the disk of a worker at a time.
_UNPACKED = 256


@dataclass(frozen=True)
class Part:
    """Pictures that are encoded together.

    Attributes:
        number: Number of the part.
        paths: Paths or URLs of pictures, or one of a tar.
        names: What an archive calls the pictures; empty for a tar, whose members have names.
    """

    number: int
    paths: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """What is known of a part that is encoded.

    Attributes:
        number: Number of the part.
        rows: Number of latents.
        dimensions: d.
        encoder: Identity of the encoder.
        norm: Median length of the encoder's raw output.
        pixels: Sum of the widths times heights.
        unreadable: Name of a picture -> why it could not be read.
    """

    number: int
    rows: int
    dimensions: int
    encoder: str
    norm: float
    pixels: int
    unreadable: dict[str, str]


def parts_of(files: Sequence[File], root: str, tars: bool) -> list[Part]:
    """Divide pictures, or tars of pictures, into parts.

    Args:
        files: The files, in the order of the items.
        root: Path or URL that names are relative to.
        tars: Whether the files are tars.
    """
    if tars:
        return [Part(i, (file.path,)) for i, file in enumerate(files)]
    out = []
    for i, first in enumerate(range(0, len(files), PICTURES)):
        paths = tuple(file.path for file in files[first : first + PICTURES])
        out.append(Part(i, paths, tuple(name_below(root, path) for path in paths)))
    return out


@dataclass(frozen=True)
class EncodeParts:
    """A job that encodes a part and keeps its latents; what is kept already is not encoded again.

    Attributes:
        encoder: A name for :func:`fiftyone_smic.models.encoders.load_encoder`.
        device: As PyTorch writes it; None takes a GPU if there is one.
        precision: What the encoder computes in.
        batch_size: Pictures per pass of the encoder.
        work: Where the parts are kept.
        key: What the names of the pieces begin with.
    """

    encoder: str
    device: str | None
    precision: str
    batch_size: int
    work: Work
    key: str

    @cached_property
    def model(self) -> Encoder:
        """The encoder, loaded when the first part needs it."""
        return load_encoder(self.encoder, device=self.device, precision=self.precision)

    def __getstate__(self) -> dict[str, Any]:
        """A job travels without its model."""
        return {name: value for name, value in vars(self).items() if name != "model"}

    def piece(self, number: int) -> str:
        """Return the name of the piece that holds a part's latents."""
        return f"{self.key}-latents-{number:07d}.parquet"

    def __call__(self, part: Part) -> Encoded:
        """Encode a part."""
        kept = self.work.read(self.piece(part.number))
        if kept is not None:
            return _about(kept)
        names: list[str] = []
        latents: list[np.ndarray] = []
        norms: list[np.ndarray] = []
        pixels: list[int] = []
        unreadable: dict[str, str] = {}
        with OneThread():
            for named in _pictures(part):
                for batch in self.model.iter_images(
                    [path for _, path in named], batch_size=self.batch_size
                ):
                    unreadable |= {named[i][0]: why for i, why in batch.failures.items()}
                    for i, z, norm in zip(batch.indices, batch.latents, batch.norms, strict=True):
                        name, path = named[i]
                        try:
                            width, height = image_size(path)
                        except UnreadableImage as error:
                            unreadable[name] = str(error)
                            continue
                        names.append(name)
                        latents.append(z)
                        norms.append(norm)
                        pixels.append(width * height)
            d = self.model.dim
        about = Encoded(
            part.number,
            len(names),
            d,
            self.model.name,
            float(np.median(norms)) if norms else 1.0,
            sum(pixels),
            unreadable,
        )
        z = np.stack(latents) if latents else np.zeros((0, d), np.float32)
        self.work.write(self.piece(part.number), to_parquet(z, names, json.dumps(asdict(about))))
        return about


def to_parquet(latents: np.ndarray, names: Sequence[str] | None, about: str = "{}") -> bytes:
    """Return latents (n, d) as a Parquet file with the columns ``latent`` and ``name``.

    Args:
        latents: They are stored as float32.
        names: n names, or None for no such column.
        about: JSON that the file keeps as metadata.
    """
    import pyarrow
    from pyarrow import parquet

    flat = pyarrow.array(np.ascontiguousarray(latents, np.float32).reshape(-1))
    columns = {"latent": pyarrow.FixedSizeListArray.from_arrays(flat, latents.shape[1])}
    if names is not None:
        columns["name"] = pyarrow.array(list(names), pyarrow.string())
    table = pyarrow.table(columns).replace_schema_metadata({"about": about})
    buffer = io.BytesIO()
    # Numbers without patterns: neither a dictionary nor compression makes them smaller.
    parquet.write_table(table, buffer, compression="none", use_dictionary=False)
    return buffer.getvalue()


def _about(data: bytes) -> Encoded:
    from pyarrow.parquet import read_schema

    return Encoded(**json.loads(read_schema(io.BytesIO(data)).metadata[b"about"]))


class OneThread:
    """PyTorch on one thread inside the block: sums depend on the number of threads."""

    def __enter__(self) -> None:
        import torch

        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self.before)


def _pictures(part: Part) -> Iterator[list[tuple[str, str]]]:
    """Yield (name, path on this machine) of some pictures at a time."""
    if part.names and all("://" not in path for path in part.paths):
        yield list(zip(part.names, part.paths, strict=True))
        return
    found = _fetched(part) if part.names else _members(part.paths[0])
    while True:
        with tempfile.TemporaryDirectory(prefix="smic-") as folder:
            some: list[tuple[str, str]] = []
            for name, data in islice(found, _UNPACKED):
                path = Path(folder, f"{len(some):06d}{Path(name).suffix[:16]}")
                path.write_bytes(data)
                some.append((name, str(path)))
            if not some:
                return
            yield some


def _fetched(part: Part) -> Iterator[tuple[str, bytes]]:
    for name, path in zip(part.names, part.paths, strict=True):
        system, inside = locate(path)
        with system.open_input_stream(inside) as file:
            yield name, file.read()


def _members(path: str) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of a tar, named ``TAR/MEMBER``; other members are left out."""
    system, inside = locate(path)
    shard = Path(inside).stem
    try:
        with (
            system.open_input_stream(inside) as file,
            tarfile.open(fileobj=file, mode="r|*") as tar,
        ):
            for member in tar:
                if member.isfile() and is_picture(member.name):
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield f"{shard}/{member.name}", content.read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a sound tar: {error}") from error


def is_picture(name: str) -> bool:
    """Whether a file's name ends as those that Pillow reads."""
    from PIL import Image

    from fiftyone_smic.models.images import register_heif

    register_heif()
    return os.path.splitext(name)[1].lower() in Image.registered_extensions()


def encoding_key(files: Sequence[File], encoder: str, precision: str) -> str:
    """Return what the names of the pieces of these pictures begin with."""
    import hashlib

    about = json.dumps([digest_of(list(files)), encoder, precision])
    return hashlib.sha256(about.encode()).hexdigest()[:12]
