"""Jobs on the nodes of a Ray cluster, with the interface of :func:`map`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

#: A job whose worker died is done again up to this many times.
RETRIES = 20


def connect(address: str | None = None) -> None:
    """Use the Ray that is there; else start or join one.

    Args:
        address: ``"auto"`` or an address joins a cluster, as ``ray.init`` takes it; None starts a
            Ray on this machine, unless the environment variable ``RAY_ADDRESS`` names one.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster at this address.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "clusters need Ray, which is not installed: pip install 'fiftyone_smic[cluster]'"
        ) from error
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, include_dashboard=None)


def has_gpu() -> bool:
    """Whether the cluster that is connected has a GPU."""
    import ray

    return ray.cluster_resources().get("GPU", 0) >= 1


class RayMap:
    """Calls a job for each argument on the cluster and yields the results in order.

    The job is sent once. Few calls are under way at a time, so results do not pile up. A call whose
    worker or node died is made again elsewhere; an exception of the job itself is raised here.

    Args:
        cpus: CPUs that a call takes; a job's arithmetic then runs on as many threads.
        gpus: GPUs that a call takes.
        ahead: Calls under way for each that the cluster has room for.
    """

    def __init__(self, cpus: int = 1, gpus: int = 0, ahead: int = 2) -> None:
        self.cpus = cpus
        self.gpus = gpus
        self.ahead = ahead

    def __call__(self, job: Callable[[Any], T], arguments: Iterable[Any]) -> Iterator[T]:
        """Yield what the job returns for each argument."""
        import ray

        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)(_call)
        shared = ray.put(job)
        pending: deque[Any] = deque()
        try:
            for argument in arguments:
                pending.append(task.remote(shared, argument))
                if len(pending) >= self._room():
                    yield _result(pending.popleft())
            while pending:
                yield _result(pending.popleft())
        finally:
            for left in pending:
                ray.cancel(left)

    def _room(self) -> int:
        import ray

        have = ray.cluster_resources()
        kind, each = ("GPU", self.gpus) if self.gpus else ("CPU", self.cpus)
        places = int(have.get(kind, 0) // each)
        return max(2, self.ahead * places)


def _call(job: Callable[[Any], T], argument: Any) -> T:
    return job(argument)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception):
            raise cause from error
        raise
