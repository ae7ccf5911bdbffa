"""How few steps of DPM-Solver++ will do: ``python -m tests.benchmarks.samplers``.

A tiny untrained unCLIP pipeline draws eight latents by both, and their pictures are compared with
those of 500 DDIM steps from the same noise. It says nothing of real weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from fiftyone_smic.models.generators import load_generator
from tests.support.tiny_pipelines import DIM, declare, save_unclip

SAMPLERS = {"DDIM": "DDIMScheduler", "DPM-Solver++": "DPMSolverMultistepScheduler"}
STEPS = (10, 20, 30, 50)
REFERENCE = 500


def main() -> int:
    latents = np.random.default_rng(0).normal(size=(8, DIM)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_unclip(Path(folder))
        declare(Path(folder))

        def draw(scheduler: str, steps: int, guidance: float) -> np.ndarray:
            generator = load_generator(folder, device="cpu", scheduler=scheduler)
            images = generator.generate(latents, norm=10, seeds=0, steps=steps, guidance=guidance)
            return np.stack([np.asarray(image) for image in images]).astype(float)

        print("| Guidance | Sampler | " + " | ".join(f"{n} steps" for n in STEPS) + " |")
        print("|---" * (2 + len(STEPS)) + "|")
        for guidance in (1, 10):
            best = draw(SAMPLERS["DDIM"], REFERENCE, guidance)
            for name, scheduler in SAMPLERS.items():
                off = [np.abs(draw(scheduler, n, guidance) - best).mean() for n in STEPS]
                print(f"| {guidance} | {name} | " + " | ".join(f"{x:.2f}" for x in off) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
