"""What a dictionary keeps of a stream, so that it can learn on and be merged with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.dictionary.sampling import Reservoir
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.dictionary.stored import stored_array, stored_counts

_PREFIX = "stream_"


@dataclass(frozen=True)
class Stream:
    """Sums and samples of a stream: of the items that the atoms were learned from, and of those
    that came since.

    A stream never changes: each method returns a new one.

    Attributes:
        known: sums over the items of the last learning from scratch and their codes.
        window: sums over the items that came since.
        known_sample: (n, d) float32, an even sample of all items before the window, shuffled.
        known_items: number of items that this sample stands for.
        window_sample: an even sample of the items of the window.
    """

    known: Statistics
    window: Statistics
    known_sample: NDArray[np.float32]
    known_items: int
    window_sample: Reservoir

    @classmethod
    def start(
        cls, known: Statistics, sample: NDArray[np.float32], items: int, max_level: int
    ) -> Stream:
        """Return the stream directly after learning: nothing has come since.

        Args:
            known: sums over the items that the atoms were learned from.
            sample: (n, d) float32, an even sample of the stream so far; copied.
            items: number of items that the sample stands for.
            max_level: largest magnitude of a coefficient.
        """
        k, d = known.cross.shape
        nothing = Statistics.empty(k, d, max_level, len(known.size_counts) - 1)
        # In random order, so that the first few of these are an even sample too.
        order = np.random.default_rng(len(sample)).permutation(len(sample))
        return cls(known, nothing, sample[order], items, Reservoir.empty(d))

    @property
    def sums(self) -> Statistics:
        """Sums over the known items and the window together."""
        return self.known + self.window

    def sampled(self, batch: NDArray[np.float32], room: int) -> Stream:
        """Return the stream with a batch (m, d) in its sample, but not in its sums."""
        seen = self.known_items + self.window.items
        return replace(self, window_sample=self.window_sample.add(batch, seen, room))

    def counted(self, found: Statistics) -> Stream:
        """Return the stream with the sums of a batch added to the window's."""
        return replace(self, window=self.window + found)

    def merge(self, other: Stream, room: int) -> Stream:
        """Return the stream with the other's window added to this one's.

        Raises:
            ValueError: the two do not start from the same known items.
        """
        if not (
            self.known.same(other.known)
            and self.known_items == other.known_items
            and np.array_equal(self.known_sample, other.known_sample)
        ):
            raise ValueError(
                "only dictionaries that continue from the same atoms can be merged: give each "
                "worker a copy of one dictionary, by pickle or by to_arrays(stream=True)"
            )
        return replace(
            self,
            window=self.window + other.window,
            window_sample=self.window_sample.merge(other.window_sample, room),
        )

    def sample(self, window_items: int, room: int) -> NDArray[np.float32]:
        """Return an even sample (n, d) of the whole stream, n <= ``room``.

        Args:
            window_items: number of items that the window's sample stands for.
            room: most items to return.
        """
        parts = [
            (items, count)
            for items, count in (
                (self.known_sample, self.known_items),
                (self.window_sample.items, window_items),
            )
            if len(items)  # a dictionary that was stored without its stream has no known sample
        ]
        total = sum(count for _, count in parts)
        share = min([room / max(total, 1), *(len(items) / count for items, count in parts)])
        return np.concatenate(
            [self.known_sample[:0], *(items[: round(share * count)] for items, count in parts)]
        )

    def to_arrays(self) -> dict[str, NDArray]:
        """Return the stream as arrays that load without pickle."""
        out: dict[str, NDArray] = {
            "known_sample": self.known_sample,
            "known_items": np.array(self.known_items, np.int64),
            "window_sample": self.window_sample.items,
            "window_keys": self.window_sample.keys,
        }
        for part in ("known", "window"):
            sums = getattr(self, part)
            out |= {f"{part}_{f.name}": np.asarray(getattr(sums, f.name)) for f in fields(sums)}
            out[f"{part}_energy"] = np.asarray(sums.energy, np.int64)
        return {_PREFIX + name: array for name, array in out.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray], k: int, d: int, max_level: int, max_nonzero: int
    ) -> Stream | None:
        """Return the stream that :meth:`to_arrays` wrote, or None if the arrays hold none.

        Raises:
            ValueError: an array is missing, or does not fit the dictionary's K atoms of d numbers.
        """
        if not any(name.startswith(_PREFIX) for name in arrays):
            return None
        shapes = {"gram": (k, k), "cross": (k, d), "total": (k,), "latents": (d,)}
        lengths = {
            "counts": k,
            "other_counts": k,
            "level_counts": 2 * max_level + 1,
            "size_counts": max_nonzero + 1,
        }

        def sums(part: str) -> Statistics:
            name = f"{_PREFIX}{part}_"
            found: dict[str, Any] = {
                n: stored_array(arrays, name + n, np.float64, shape) for n, shape in shapes.items()
            }
            # Earlier versions stored it as a float.
            energy = np.asarray(arrays.get(f"{name}energy"))
            whole = np.int64 if energy.dtype.kind in "iu" else np.float64
            found["energy"] = stored_array(arrays, f"{name}energy", whole, ())
            found |= {n: stored_counts(arrays, name + n, (size,)) for n, size in lengths.items()}
            found["energy"] = int(found["energy"])
            return Statistics(**found)

        keys = stored_array(arrays, f"{_PREFIX}window_keys", np.float64, (None,))
        items = stored_array(arrays, f"{_PREFIX}window_sample", np.float32, (len(keys), d))
        return cls(
            sums("known"),
            sums("window"),
            stored_array(arrays, f"{_PREFIX}known_sample", np.float32, (None, d)),
            int(stored_counts(arrays, f"{_PREFIX}known_items", ())),
            Reservoir(items, keys),
        )
