"""One Ray of several nodes on this machine, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

NODE = {"num_cpus": 2, "object_store_memory": 120 << 20, "include_dashboard": False}


@pytest.fixture(scope="session")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes of two CPUs each; this process is its driver.

    It notices a lost node after some three seconds, not after 15.
    """
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    head = NODE | {"_system_config": {"health_check_period_ms": 500}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def mixture(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    """(n, d) float32 latents of unit norm: sums of two of 24 directions, and noise."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(24, d))
    z = directions[rng.integers(0, 24, n)] + 0.5 * directions[rng.integers(0, 24, n)]
    z += 0.1 * rng.normal(size=z.shape)
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
