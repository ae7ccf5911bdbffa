"""What ``visualize_atoms`` returns: the map, as a figure and as a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.fiftyone.objects import SAMPLE
from fiftyone_smic.utils.files import replace_file


@dataclass(frozen=True)
class AtomsVisualization:
    """Where atoms and samples, or objects, lie on one map.

    Attributes:
        key: Key of the dictionary.
        brain_key: Key of the brain run, by which the Embeddings panel shows the samples.
        atoms: (K, 2) float32: positions of the atoms.
        points: (N, 2) float32: positions of the samples.
        ids: N ids of samples, or of labels.
        uses: (K,) int64: number of them that have each atom with a positive coefficient.
        skipped: Id of a sample, or label -> why it is not on the map.
        noun: What is on it: "sample" or "object".
    """

    key: str
    brain_key: str
    atoms: np.ndarray
    points: np.ndarray
    ids: list[str]
    uses: np.ndarray
    skipped: dict[str, str]
    noun: str = SAMPLE

    def figure(self) -> Any:
        """Return a Plotly figure: samples are dots, and atoms are diamonds sized by use."""
        import plotly.graph_objects as go

        return go.Figure(
            data=[
                go.Scattergl(
                    x=self.points[:, 0],
                    y=self.points[:, 1],
                    mode="markers",
                    name=f"{self.noun}s",
                    marker={"size": 4, "color": "#9aa5b1", "opacity": 0.6},
                    ids=self.ids,
                    hoverinfo="skip",
                ),
                go.Scatter(
                    x=self.atoms[:, 0],
                    y=self.atoms[:, 1],
                    mode="markers",
                    name="atoms",
                    marker={"size": atom_sizes(self.uses), "color": "#ff6d04", "symbol": "diamond"},
                    text=[
                        f"atom {i}, {self.noun}s that have it: {n}" for i, n in enumerate(self.uses)
                    ],
                    hoverinfo="text",
                ),
            ],
            layout={
                "title": {"text": f"Atoms and {self.noun}s of {self.key!r}"},
                "xaxis": {"visible": False},
                "yaxis": {"visible": False, "scaleanchor": "x"},
                "template": "plotly_white",
            },
        )

    def save(self, path: str | Path, size: int = 900) -> Path:
        """Write the map as a PNG picture.

        Args:
            path: The file to write.
            size: Width and height in pixels.

        Returns:
            The path.
        """
        from matplotlib.figure import Figure

        path = Path(path)
        figure = Figure(figsize=(size / 100, size / 100), dpi=100, layout="constrained")
        axes = figure.subplots()
        axes.scatter(
            *self.points.T, s=9, c="#9aa5b1", alpha=0.6, linewidths=0, label=f"{self.noun}s"
        )
        axes.scatter(
            *self.atoms.T,
            s=atom_sizes(self.uses) ** 2,
            c="#ff6d04",
            marker="D",
            edgecolors="white",
            linewidths=0.6,
            label="atoms, larger when used more",
        )
        axes.set_title(
            f"{len(self.points)} {self.noun}s and {len(self.atoms)} atoms of {self.key!r}"
        )
        axes.legend(loc="lower right", frameon=False)
        axes.set_axis_off()
        data = io.BytesIO()
        figure.savefig(data, format="png")
        replace_file(path, data.getvalue())
        return path


def atom_sizes(uses: np.ndarray) -> np.ndarray:
    """Return marker sizes (K,) in pixels: 4 for an unused atom, 16 for the most used one."""
    return 4 + 12 * np.sqrt(uses / max(1, uses.max(initial=0)))
