"""Arithmetic on latents: what is added or taken away as a vector shows in the picture.

Bachard and Maugey (arXiv 2412.05035, figures 4 and 5) draw from ``f(x1) + alpha f(x2)`` and
``f(x1) - alpha f(x2)``, ``x2`` being an image of what is to be added or removed. Such a donor
brings everything else it shows along; a *direction* brings one thing only. It comes from labelled
latents (:func:`concept_direction`) or from captions (:func:`text_direction`). An atom of a
dictionary is a direction too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.dictionary.validation import check_latents

#: Share of the images' variance that :func:`text_direction` keeps.
SPAN = 0.99


def add(latents: ArrayLike, direction: ArrayLike, alpha: float = 1.0) -> NDArray[np.float32]:
    """``latents + alpha * direction``, each row brought back to unit norm.

    Args:
        latents: (N, d), normally of unit norm.
        direction: (d,), or (N, d) for one per latent: a donor's latent, a direction, an atom.
        alpha: how much of it; negative takes it away.

    Returns:
        (N, d) float32 of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, a direction of another shape, or
            nothing is left of a row.
    """
    z = check_latents(latents)
    step = np.asarray(direction, np.float32)
    if step.shape not in (z.shape[1:], z.shape):
        raise ValueError(f"a direction of shape {step.shape} does not fit latents of {z.shape}")
    moved = z + np.float32(alpha) * step
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 1e-6)).all():
        raise ValueError(f"adding {alpha} times this direction leaves nothing of some latents")
    return moved / norms


def concept_direction(
    latents: ArrayLike, shows: ArrayLike, others: ArrayLike | None = None
) -> NDArray[np.float32]:
    """How a latent changes, on average, when an image shows something it did not show.

    Without ``others`` this is the difference of the two means. With them it is the least-squares
    coefficient of ``shows`` beside them, so that what merely occurs together with it stays out.

    Args:
        latents: (N, d).
        shows: (N,) bool, which of them show it.
        others: (N, k) numbers or bools, what else is known of each; None for nothing.

    Returns:
        (d,) float32; one times it turns "does not show" into "shows", so it is not of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, another number of labels, or labels
            that are all alike.
    """
    z = check_latents(latents)
    has = np.asarray(shows).astype(bool)
    if has.shape != (len(z),):
        raise ValueError(f"labels of shape {has.shape} for {len(z)} latents: give one for each")
    if has.all() or not has.any():
        raise ValueError("a direction needs latents that show it and latents that do not")
    known = np.zeros((len(z), 0)) if others is None else np.asarray(others, np.float64)
    if known.ndim != 2 or len(known) != len(z):
        raise ValueError(f"others of shape {known.shape} for {len(z)} latents: give (N, k)")
    design = np.column_stack([has, np.ones(len(z)), known])
    return np.linalg.lstsq(design, z, rcond=None)[0][0].astype(np.float32)


def text_direction(
    present: ArrayLike, absent: ArrayLike, latents: ArrayLike | None = None
) -> NDArray[np.float32]:
    """The difference between captions that say something and captions that do not.

    Texts lie apart from images in CLIP's space (Liang et al. 2022, "Mind the gap"), and the
    difference of two captions has a part along which no image varies and which a generator was
    never trained on. With ``latents`` only the part along which those images vary is kept.

    Args:
        present: (n, d) latents of captions that name it.
        absent: (m, d) latents of captions that are alike but for that.
        latents: (N, d) latents of images, a few hundred or more; None keeps the whole difference.

    Returns:
        (d,) float32; like :func:`concept_direction` not of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, none, or of different dimensions.
    """
    texts = [check_latents(present), check_latents(absent)]
    z = texts[0] if latents is None else check_latents(latents)
    if any(x.shape[1] != z.shape[1] for x in texts) or min(map(len, [*texts, z])) == 0:
        shapes = ", ".join(str(x.shape) for x in (*texts, z))
        raise ValueError(f"latents of captions and images do not fit together: {shapes}")
    step = texts[0].mean(axis=0) - texts[1].mean(axis=0)
    if latents is None:
        return step
    centred = z - z.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # smallest first
    kept = axes[:, np.cumsum(variances) >= (1 - SPAN) * variances.sum()]
    return (kept @ (kept.T @ step)).astype(np.float32)
