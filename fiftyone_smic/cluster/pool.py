"""A pool of actors on a Ray cluster that encode pictures, with a model each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from fiftyone_smic.cluster.encoding import Encoded, EncodeParts, Part


class _Actor:
    """What a pool's actor does with each row of a Ray dataset."""

    def __init__(self, job: EncodeParts) -> None:
        self.job = job

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = json.loads(row["part"])
        names = tuple(part["names"])
        found = self.job(Part(part["number"], tuple(part["paths"]), names))
        return {"encoded": json.dumps(asdict(found))}


def encode_on_cluster(job: EncodeParts, parts: Sequence[Part]) -> Iterator[Encoded]:
    """Encode parts with a pool of actors of Ray Data, in no particular order.

    Each actor takes a GPU if the cluster has any, else a CPU. An actor that dies is started again,
    and its part is encoded again.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if job.device in (None, "cuda") else 0
    most = min(gpus or int(resources.get("CPU", 1)), len(parts))
    rows = [{"part": json.dumps(asdict(part))} for part in parts]
    encoded = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Actor,
        fn_constructor_kwargs={"job": replace(job, device=job.device or (None if gpus else "cpu"))},
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, most)),
        num_cpus=None if gpus else 1,
        num_gpus=1 if gpus else None,
    )
    for row in encoded.iter_rows():
        yield Encoded(**json.loads(row["encoded"]))
