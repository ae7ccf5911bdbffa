"""A source of any size becomes one ``.smic`` file on a Ray cluster."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.cluster.encoding import (
    Encoded,
    EncodeParts,
    OneThread,
    encoding_key,
    is_picture,
    parts_of,
    to_parquet,
)
from fiftyone_smic.cluster.mapping import RayMap, connect
from fiftyone_smic.cluster.pool import encode_on_cluster
from fiftyone_smic.cluster.sources import SHARDS, Shard, Shards, open_shards
from fiftyone_smic.cluster.storage import File, bare, list_files, open_work
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.models.encoders import UNKNOWN, default_encoder, load_encoder
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.pipelines.blocks import BlocksCompressed, Each, compress_blocks
from fiftyone_smic.pipelines.census import take_census
from fiftyone_smic.pipelines.keeping import check_keep, metric_of_words
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.pipelines.work import Work
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.files import check_replaceable

#: Latents (n, d) and their n names, or None.
Batch = tuple[NDArray, Sequence[str] | None]
#: Most unreadable pictures that a report names.
NAMED = 10_000


def compress(
    source: str | os.PathLike[str] | Sequence[str] | Iterable[Batch],
    target: str | os.PathLike[str],
    *,
    column: str = "latent",
    name_column: str | None = "name",
    encoder: str | None = None,
    n_atoms: int | str = "auto",
    lam: float = LAM,
    passes: int = 3,
    seed: int = 0,
    prior: Prior | str | os.PathLike[str] | None = None,
    names: bool = True,
    distortion: bool = False,
    latent_norm: float = 1.0,
    keep: str = "everything",
    device: str | None = None,
    precision: str = "fp32",
    batch_size: int = 32,
    work: str | os.PathLike[str] | None = None,
    address: str | None = None,
    local: bool = False,
) -> BlocksCompressed:
    """Write a source of any size as a ``.smic`` file, on a Ray cluster.

    A Ray that is initialised already is used. The file has the same bytes for every number of
    workers, and as ``local=True`` writes it, on machines of the same kind. A run that stopped goes
    on where it was when the same is asked for again.

    Args:
        source: A path or URL (``s3://…``, ``gs://…``), or several. What lies there says what it
            is: ``.parquet``, ``.npy`` or ``.lance`` (with the package ``pylance``; the version that
            is the newest now) are shards of latents; ``.tar`` are WebDataset shards of pictures;
            else pictures are searched below it. Or batches: an iterable of (latents (n, d), n names
            or None).
        target: The file to write, on this machine. It appears whole or not at all.
        column: Column of the latents, lists of d numbers.
        name_column: Column of the names, kept if every shard has it; None or "" for none.
        encoder: For pictures a name for :func:`fiftyone_smic.load_encoder`; None takes what suits
            a local folder. For latents the identity of the encoder that made them.
        n_atoms: See :func:`fiftyone_smic.pipelines.compress_blocks`, as for ``lam``, ``passes``,
            ``seed``, ``prior``, ``names`` and ``distortion``.
        latent_norm: Typical norm of the encoder's raw latents; measured where pictures are encoded.
        keep: ``"words"`` spends the bits first on what words can say, by the encoder's own
            vocabulary, as :func:`fiftyone_smic.pipelines.compress_folder` does; ``encoder`` then
            names one that can be loaded on this machine.
        device: For pictures, as PyTorch writes it; None takes GPUs if the cluster has any.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``, what the encoder computes in.
        batch_size: Pictures per pass of the encoder.
        work: Folder or URL in which finished pieces lie, in a folder ``TARGET.part`` of their own;
            every node must reach it. None puts that folder beside the target, which serves a
            cluster with a shared file system.
        address: Of the cluster, if Ray is not initialised: ``"auto"`` or as ``ray.init`` takes it;
            None starts a Ray on this machine.
        local: Do everything in this process, without Ray.

    Raises:
        ImportError: Ray is not installed.
        ValueError: There is nothing to compress, it is of several kinds, latents are broken, no
            encoder is named, or a setting is out of range.
        OSError: Something cannot be read or written.

    Example:
        >>> import tempfile
        >>> z = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "shard.npy"), z)
        ...     done = compress(folder, Path(folder, "x.smic"), local=True)
        >>> done.rate.items
        300
    """
    if "://" in os.fspath(target):
        raise ValueError(
            f"{os.fspath(target)}: the archive is written on this machine; give a path, and copy "
            "the file to the store when it is there"
        )
    check_replaceable(target)
    check_keep(keep)
    each: Each = map
    if not local:
        connect(address)
        each = RayMap()
    place = open_work(work, target)
    place.prepare()
    if not local:
        _check_shared(place)
    encoded: list[Encoded] = []
    seconds: dict[str, float] = {}
    pixels = metric = None
    if not isinstance(source, (str, os.PathLike)) and not _are_paths(source):
        metric = _words(encoder, None, precision) if keep == "words" else None
        shards = _keep(source, place)  # type: ignore[arg-type]
    else:
        found = _find(source)  # type: ignore[arg-type]
        if found.kind == "latents":
            metric = _words(encoder, None, precision) if keep == "words" else None
            with stage("Opening the shards", seconds, "open"):
                shards = open_shards(found.files, column=column, names=name_column, each=each)
        else:
            label = encoder or _default_encoder(found)
            metric = _words(label, device, precision) if keep == "words" else None
            key = encoding_key(found.files, label, precision)
            job = EncodeParts(label, device, precision, batch_size, place, key)
            parts = parts_of(found.files, found.root, found.kind == "tars")
            with stage("Encoding the pictures", seconds, "latents") as progress:
                run = map(job, parts) if local else encode_on_cluster(job, parts)
                for i, part in enumerate(run, 1):
                    encoded.append(part)
                    progress(i / len(parts))
            encoded.sort(key=lambda part: part.number)
            shards = _encoded_shards(encoded, job)
            encoder = encoded[0].encoder
            latent_norm = float(np.median([part.norm for part in encoded if part.rows] or [1.0]))
            pixels = sum(part.pixels for part in encoded) / max(shards.items, 1)
    unreadable = {name: why for part in encoded for name, why in part.unreadable.items()}
    if shards.items < 2:
        why = "".join(f"\n  {name}: {reason}" for name, reason in list(unreadable.items())[:5])
        raise ValueError(
            f"a dictionary needs at least two items, and {shards.items} could be read{why}"
        )
    done = compress_blocks(
        shards,
        target,
        encoder=encoder or UNKNOWN,
        n_atoms=n_atoms,
        lam=lam,
        passes=passes,
        seed=seed,
        prior=prior,
        names=names,
        distortion=distortion,
        latent_norm=latent_norm,
        pixels_per_item=pixels,
        metric=metric,
        each=each,
        work=place,
    )
    return replace(
        done,
        seconds=seconds | done.seconds,
        unreadable=dict(list(unreadable.items())[:NAMED]),
        unreadable_count=len(unreadable),
    )


def _words(encoder: str | None, device: str | None, precision: str) -> Metric:
    """Return the metric of the words of an encoder, which is loaded in this process."""
    if not EncoderIdentity.parse(encoder or UNKNOWN).known:
        raise ValueError(
            "nothing says which encoder made these latents, so there are no words to keep first: "
            "name it (encoder=…, --encoder), or pass keep='everything'"
        )
    with OneThread():
        return metric_of_words(load_encoder(str(encoder), device=device, precision=precision))


@dataclass(frozen=True)
class _Found:
    """The files of a source, in the order of the items, and of what kind they are."""

    files: list[File]
    kind: str
    root: str


def _are_paths(source: object) -> bool:
    return isinstance(source, (list, tuple)) and all(
        isinstance(each, (str, os.PathLike)) for each in source
    )


def _find(source: str | os.PathLike[str] | Sequence[str]) -> _Found:
    given = [source] if isinstance(source, (str, os.PathLike)) else source
    texts = [os.fspath(path) for path in given]
    paths = [path if "://" in path else os.path.abspath(path) for path in texts]
    if not paths:
        raise ValueError("there is no source: give a path or URL")
    files: list[File] = []
    for path in paths:
        files += list_files(path)
    found = {
        "latents": [file for file in _whole_lance(files) if bare(file.path).endswith(SHARDS)],
        "tars": [file for file in files if bare(file.path).endswith(".tar")],
    }
    found["pictures"] = [] if any(found.values()) else _pictures(paths, files)
    kinds = [kind for kind, some in found.items() if some]
    if not kinds:
        raise ValueError(
            f"there is nothing to compress in {', '.join(paths)}: give pictures, tars of pictures, "
            f"or latents as {', '.join(SHARDS)}"
        )
    if len(kinds) > 1:
        raise ValueError(
            f"there are {' and '.join(kinds)} in {', '.join(paths)}: compress one kind at a time"
        )
    root = paths[0] if len(paths) == 1 else _common(paths)
    return _Found(found[kinds[0]], kinds[0], root)


def _whole_lance(files: list[File]) -> list[File]:
    """A Lance dataset is a folder: stand for it by its path, and by the newest of its files.

    That does not show all changes; what does is part of the digest, see :class:`Shard`.
    """
    out: dict[str, File] = {}
    for file in files:
        head, lance, _ = bare(file.path).partition(".lance/")
        path = head + lance.rstrip("/") + file.path[len(bare(file.path)) :]
        old = out.get(path)
        size = file.size + (old.size if old else 0)
        out[path] = File(path, size, max(file.modified, old.modified if old else 0))
    return list(out.values())


def _pictures(paths: list[str], files: list[File]) -> list[File]:
    if len(paths) == 1 and os.path.isdir(paths[0]):
        known = {file.path: file for file in files}
        images = (str(path) for path in take_census(paths[0]).images)
        return [known[path] for path in images if path in known]
    return [file for file in files if is_picture(bare(file.path))]


def _common(paths: list[str]) -> str:
    parts = zip(*(bare(path).split("/") for path in paths), strict=False)
    return "/".join(some[0] for some in takewhile(lambda some: len(set(some)) == 1, parts))


def _default_encoder(found: _Found) -> str:
    local = [Path(file.path) for file in found.files if "://" not in file.path]
    if found.kind != "pictures" or not local:
        raise ValueError(
            "name the encoder for pictures in tars or in an object store: encoder=… (--encoder), "
            "such as ViT-B-32/openai"
        )
    return default_encoder(local)


def _encoded_shards(encoded: list[Encoded], job: EncodeParts) -> Shards:
    return Shards(
        tuple(
            Shard(
                job.work.locate(job.piece(part.number)),
                part.rows,
                part.dimensions,
                "latent",
                "name",
            )
            for part in encoded
        ),
        job.key,
    )


def _keep(batches: Iterable[Batch], place: Work) -> Shards:
    """Keep batches of latents as shards that every node can read."""
    content = hashlib.sha256()
    kept = []
    for i, (latents, names) in enumerate(batches):
        z = np.asarray(latents, np.float32)
        if z.ndim != 2:
            raise ValueError(f"a batch of latents must have the shape (n, d), not {z.shape}")
        if names is not None and len(names) != len(z):
            raise ValueError(f"a batch has {len(z)} latents and {len(names)} names")
        data = to_parquet(z, names)
        content.update(data)
        piece = f"batch-{i:07d}.parquet"
        place.write(piece, data)
        shard = Shard(
            place.locate(piece), len(z), z.shape[1], "latent", None if names is None else "name"
        )
        kept.append(shard)
    if len({shard.dimensions for shard in kept if shard.rows}) > 1:
        raise ValueError("the batches of latents have different dimensions")
    return Shards(tuple(kept), content.hexdigest())


def _check_shared(place: Work) -> None:
    """Refuse a place for pieces that some node cannot see."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    token = os.urandom(8).hex()
    place.write("token", token.encode())

    @ray.remote(num_cpus=0)
    def sees() -> str:
        try:
            return "" if place.read("token") == token.encode() else "it is not there"
        except (OSError, ValueError) as error:
            return str(error)

    for node in ray.nodes():
        if not node["Alive"] or node["NodeID"] == here:
            continue
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node["NodeID"], soft=False
        )
        try:
            why = ray.get(sees.options(scheduling_strategy=strategy).remote())
        except ray.exceptions.TaskUnschedulableError:
            continue  # the node was lost, which is noticed after some seconds
        if why:
            raise ValueError(
                f"the node {node['NodeManagerHostname']} does not see {place.locate('')} ({why}): "
                "give a folder on shared storage, or a URL such as s3://bucket/prefix, as work=… "
                "(--work)"
            )
