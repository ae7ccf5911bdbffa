"""Latents of any number become one ``.smic`` file, block by block.

The latents need not fit in memory, and neither do their codes. What is done with a block is a job,
see :mod:`fiftyone_smic.pipelines.block_jobs`; a function like :func:`map` says where jobs run. One
process runs one after the other; :mod:`fiftyone_smic.cluster` runs them on many machines. The file
has the same bytes either way.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import reduce
from itertools import count
from operator import add
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fiftyone_smic.archive.blocks import archive_head, write_blocks
from fiftyone_smic.archive.format import Head
from fiftyone_smic.coding.code_tables import CodeCounts
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.initialization import auto_atoms
from fiftyone_smic.dictionary.learning import ITEMS_PER_ATOM, swap_count
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior, as_prior, shipped_prior
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.metrics import Rate
from fiftyone_smic.pipelines.block_jobs import (
    ArrayLatents,
    Code,
    Encode,
    Gather,
    Latents,
    Survey,
    block_count,
)
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.pipelines.work import FolderWork, Work, pack_arrays, unpack_arrays
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.files import check_replaceable, lock, replacing
from fiftyone_smic.utils.progress import Progress

T = TypeVar("T")

#: Most atoms that "auto" takes: sums over items take 8 K (K + d) bytes, on every worker.
MOST_ATOMS = 2048
#: The sums of a pass come from at most this many jobs.
_GATHERS = 256


class Each(Protocol):
    """Calls a job with each of some arguments and yields what it returns, in their order."""

    def __call__(self, job: Callable[[Any], T], arguments: Iterable[Any], /) -> Iterator[T]: ...


@dataclass(frozen=True)
class BlocksCompressed:
    """What :func:`compress_blocks` did.

    Attributes:
        rate: Where the bits of the archive go.
        explained_variance: 1 - squared distance that the codes leave / squared distance from the
            mean, over all items.
        n_atoms: K.
        encoder: Identity of the encoder.
        seconds: Duration of each stage.
        unreadable: Name of a picture -> why it could not be read; the first 10,000 of them.
        unreadable_count: How many pictures could not be read.
    """

    rate: Rate
    explained_variance: float
    n_atoms: int
    encoder: str
    seconds: dict[str, float]
    unreadable: dict[str, str] = field(default_factory=dict)
    unreadable_count: int = 0


def compress_blocks(
    source: Latents,
    target: str | os.PathLike[str],
    *,
    encoder: str,
    n_atoms: int | str = "auto",
    lam: float = LAM,
    passes: int = 3,
    seed: int = 0,
    prior: Prior | str | os.PathLike[str] | None = None,
    names: bool = True,
    latent_norm: float = 1.0,
    pixels_per_item: float | None = None,
    distortion: bool = False,
    metric: Metric | None = None,
    each: Each = map,
    work: Work | None = None,
) -> BlocksCompressed:
    """Write latents as a ``.smic`` file, showing progress bars.

    A dictionary is learned on an even sample, 20 items for each atom. Passes over all items then
    improve it: they code every item and solve for the atoms that fit the sums best. The sums are
    exact, so the order of the jobs makes no difference. The items are coded in blocks, in the
    source's order. This process keeps the sample, the sums and a few numbers for each block.

    A run that stopped goes on where it was when the same is asked for again: finished pieces lie
    in ``work`` until the file is there.

    Args:
        source: The latents, in parts.
        target: The file to write. It appears whole or not at all; an old one is replaced.
        encoder: Identity of the encoder that made the latents.
        n_atoms: Size of the dictionary; "auto" follows the number of items, up to 2,048.
        lam: Price of one bit in squared distance.
        passes: Passes over all items that improve what the sample taught; each takes as long as
            coding them.
        seed: Seed of the sample and of the dictionary's initialisation.
        prior: Public prior; None takes the one shipped for the encoder, if there is one.
        names: Keep the names, if the source has any.
        latent_norm: Typical norm of the encoder's raw latents.
        pixels_per_item: Mean number of pixels of an original image, or None.
        distortion: Keep each item's distortion, which takes about 4 bits; see
            :attr:`fiftyone_smic.archive.Archive.distortion`.
        metric: By which differences between latents matter; None for squared distance.
        each: Runs jobs, as :func:`map` does.
        work: Where pieces lie; None takes the folder ``TARGET.part``.

    Raises:
        ValueError: Fewer than two latents, some with NaN or infinity, or a setting out of range.
        OSError: The latents cannot be read, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fiftyone_smic.pipelines import ArrayLatents, compress_blocks
        >>> z = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = compress_blocks(ArrayLatents(z), Path(folder, "x.smic"), encoder="me/1")
        >>> done.rate.items
        300
    """
    check_replaceable(target)
    if passes < 0:
        raise ValueError(f"passes must be at least 0, not {passes}")
    public = as_prior(prior) or shipped_prior(encoder)
    dictionary = SemanticDictionary(
        n_atoms, lam=lam, random_state=seed, prior=public, metric=metric
    )
    dictionary._validate_params()
    if source.items < 2:
        raise ValueError(f"a dictionary needs at least two items, and there are {source.items}")
    place = FolderWork.beside(target) if work is None else work
    about = {
        "source": source.digest,
        "encoder": encoder,
        "prior": public and public.hash,
        "settings": [n_atoms, lam, passes, seed, names, distortion],
        "metric": metric and hashlib.sha256(metric.matrix.tobytes()).hexdigest(),
    }
    run = _Run(
        source,
        each,
        place,
        hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12],
        names and source.named,
    )
    seconds: dict[str, float] = {}
    with lock(target):
        place.prepare()
        mean = run.learn(dictionary, passes, seed, seconds)
        with stage("Coding the items", seconds, "code") as progress:
            counts, left = run.code(dictionary, progress)
        with stage("Writing the archive", seconds, "archive") as progress:
            head = archive_head(
                dictionary,
                encoder=encoder,
                latent_norm=latent_norm,
                named=run.named,
                pixels_per_item=pixels_per_item,
                distortion=distortion,
            )
            rate = run.write(target, dictionary, head, counts, progress)
        place.remove()
    return BlocksCompressed(
        rate,
        1 - left / max(mean.spread, np.finfo(float).tiny),
        dictionary.n_atoms_,
        encoder,
        seconds,
    )


@dataclass(frozen=True)
class _Mean:
    """The mean of all items (d,), and their squared distance from it."""

    value: NDArray[np.float64]
    spread: float


@dataclass(frozen=True)
class _Run:
    """One run of :func:`compress_blocks`."""

    source: Latents
    each: Each
    work: Work
    key: str
    named: bool

    @property
    def blocks(self) -> int:
        return block_count(self.source.items)

    def learn(
        self, dictionary: SemanticDictionary, passes: int, seed: int, seconds: dict[str, float]
    ) -> _Mean:
        """Fit the dictionary, or read it if an earlier run has fitted it."""
        name = f"{self.key}-dictionary.npz"
        kept = self.work.read(name)
        if kept is not None:
            arrays = unpack_arrays(kept)
            dictionary._become(SemanticDictionary.from_arrays(arrays))
            return _Mean(arrays["all_mean"], float(arrays["all_spread"]))
        n = self.source.items
        first, mean = self._start(dictionary, seed, seconds)
        with (
            stage("Passing over all latents", seconds, "passes") as progress,
            threadpool_limits(1, user_api="blas"),  # sums depend on the number of threads
        ):
            first._refine(self._gather(progress, passes + 1), mean, n, passes)
        dictionary._become(first)
        sums = dictionary._the_stream().known
        found = _Mean(mean, sums.energy / 2.0**30 - n * float(mean @ mean))
        arrays = dictionary.to_arrays() | {"all_mean": mean, "all_spread": np.array(found.spread)}
        self.work.write(name, pack_arrays(**arrays))
        return found

    def _start(
        self, dictionary: SemanticDictionary, seed: int, seconds: dict[str, float]
    ) -> tuple[SemanticDictionary, NDArray[np.float64]]:
        """Return what a sample teaches, and the mean of all items."""
        name = f"{self.key}-start.npz"
        kept = self.work.read(name)
        if kept is not None:
            arrays = unpack_arrays(kept)
            return SemanticDictionary.from_arrays(arrays), arrays["all_mean"]
        n = self.source.items
        wanted = dictionary.n_atoms
        most = min(auto_atoms(n), MOST_ATOMS) if wanted == "auto" else int(wanted)
        with stage("Looking at the latents", seconds, "survey") as progress:
            total, sample = self._survey(min(n, ITEMS_PER_ATOM * max(most, 50)), seed, progress)
        mean = total / 2.0**20 / n
        with (
            stage("Learning on a sample", seconds, "sample") as progress,
            threadpool_limits(1, user_api="blas"),
        ):
            first = SemanticDictionary(**dictionary.get_params(deep=False))
            first.set_params(n_atoms=min(most, len(sample)), n_swaps=swap_count("auto", n))
            first.fit(sample, n_items=n, progress=progress)
        arrays = first.to_arrays() | {"all_mean": mean}
        self.work.write(name, pack_arrays(**arrays))
        # Read back, so that a run that goes on from here goes the same way.
        return SemanticDictionary.from_arrays(arrays), mean

    def _survey(
        self, size: int, seed: int, progress: Progress
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return the sum of all latents in units of 2**-20, and an even sample in their order."""
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(self.source.items, size, replace=False, shuffle=False))
        total, parts, bad = np.zeros(self.source.dimensions), [], 0
        shown: list[int] = []
        job = Survey(self.source, chosen)
        for found in _counted(self.each(job, range(self.blocks)), self.blocks, progress):
            if found.bad:
                bad, shown = bad + len(found.bad), (shown + found.bad)[:10]
                continue
            total += found.total
            parts.append(found.sample)
        if bad:
            rows = ", ".join(map(str, shown)) + (", ..." if bad > len(shown) else "")
            raise ValueError(
                f"{bad} of {self.source.items} latents contain NaN or infinity: {rows}"
            )
        return total, np.concatenate(parts)

    def _gather(self, progress: Progress, calls: int) -> Callable[[Pursuit], Statistics]:
        """Return a function that sums over all items, and keeps the sums for a run that goes on."""
        number = count()
        width = -(-self.blocks // _GATHERS)
        parts = [range(i, min(i + width, self.blocks)) for i in range(0, self.blocks, width)]

        def gather(pursuit: Pursuit) -> Statistics:
            call = next(number)
            name = f"{self.key}-sums-{call}.npz"
            kept = self.work.read(name)
            if kept is not None:
                return _sums(unpack_arrays(kept))
            size = pursuit.value_costs.shape[0] // 2
            limits = size, pursuit.limit
            total = Statistics.empty(pursuit.n_atoms, self.source.dimensions, *limits)
            job = Gather(self.source, pursuit, *limits)
            for done, found in enumerate(self.each(job, parts), 1):
                total += found
                progress((call + done / len(parts)) / calls)
            self.work.write(name, pack_arrays(**{f.name: getattr(total, f.name) for f in _FIELDS}))
            return total

        return gather

    def code(self, dictionary: SemanticDictionary, progress: Progress) -> tuple[CodeCounts, float]:
        """Code all blocks; return the counts of all codes and the distance that they leave."""
        job = Code(
            self.source,
            dictionary._pursuit(),
            dictionary.mean_,
            dictionary.atoms_,
            dictionary.max_level_,
            dictionary.max_nonzero_,
            self.named,
            self.work,
            self.key,
        )
        left = 0.0

        def counted() -> Iterator[CodeCounts]:
            nonlocal left
            for counts, part in _counted(self.each(job, range(self.blocks)), self.blocks, progress):
                left += part
                yield counts

        return reduce(add, counted()), left

    def write(
        self,
        target: str | os.PathLike[str],
        dictionary: SemanticDictionary,
        head: Head,
        counts: CodeCounts,
        progress: Progress,
    ) -> Rate:
        """Encode all blocks, then write them behind the head."""
        job = Encode(counts, head.named, head.sections is not None, self.work, self.key)
        found = _counted(self.each(job, range(self.blocks)), self.blocks, progress)
        sizes = reduce(add, found)
        with replacing(target) as file:
            blocks = map(job.coded, range(self.blocks))
            return write_blocks(file, dictionary, head, counts, sizes, blocks)


_FIELDS = fields(Statistics)


def _sums(arrays: dict[str, NDArray]) -> Statistics:
    values: dict[str, Any] = {each.name: arrays[each.name] for each in _FIELDS}
    return Statistics(**values | {"energy": int(values["energy"])})


def _counted(found: Iterator[T], total: int, progress: Progress) -> Iterator[T]:
    for i, each in enumerate(found, 1):
        yield each
        progress(i / total)


__all__ = ["ArrayLatents", "BlocksCompressed", "Each", "compress_blocks"]
