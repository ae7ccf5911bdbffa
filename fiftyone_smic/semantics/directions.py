"""Directions in the space of latents, and what they change in a picture when they are added.

Bachard and Maugey (arXiv 2412.05035, figures 4 and 5) draw from ``f(x1) + alpha f(x2)`` and
``f(x1) - alpha f(x2)``, where ``x2`` is an image of what is to be added or removed. Such a donor
brings along everything else that it shows. A *direction* brings one thing only. It comes from
labelled latents (:func:`concept_direction`) or from captions (:func:`text_direction`). An atom of a
dictionary is a direction too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.dictionary.validation import check_latents

#: Share of the images' variance that :func:`text_direction` keeps.
SPAN = 0.99


def add(latents: ArrayLike, direction: ArrayLike, alpha: float = 1.0) -> NDArray[np.float32]:
    """Return ``latents + alpha * direction``, each row scaled to unit norm.

    Args:
        latents: (N, d), normally of unit norm.
        direction: (d,), or (N, d) with one per latent: a donor's latent, a direction, an atom.
        alpha: multiple of the direction; a negative one removes it.

    Returns:
        (N, d) float32 of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, a direction of another shape, or a
            row of which nothing is left.

    Example:
        >>> add([[1.0, 0.0]], [0.0, 1.0], alpha=0.75).tolist()
        [[0.800000011920929, 0.6000000238418579]]
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
    """Return the mean change of a latent when an image shows something that it did not show.

    Without ``others`` this is the difference of two means. With ``others`` it is the least-squares
    coefficient of ``shows`` beside them, which leaves out what merely occurs together with it.

    Args:
        latents: (N, d).
        shows: (N,) bool, which of the images show it.
        others: (N, k) numbers or bools, what else is known of each image; None for nothing.

    Returns:
        (d,) float32. Adding it once turns "does not show" into "shows", so it is not of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, another number of labels, or labels
            that are all alike.

    Example:
        >>> latents = [[1.0, 0.0], [1.0, 0.0], [1.0, 2.0], [1.0, 2.0]]
        >>> direction = concept_direction(latents, [False, False, True, True])
        >>> np.allclose(direction, [0, 2], atol=1e-6)
        True
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
    """Return the difference between captions that name something and captions that do not.

    Texts lie apart from images in CLIP's space (Liang et al. 2022, "Mind the gap"). The difference
    of two captions has a part along which no image varies, and no generator was trained on it. With
    ``latents`` only the part along which these images vary is kept.

    Args:
        present: (n, d) latents of captions that name it.
        absent: (m, d) latents of captions that differ from these in that only.
        latents: (N, d) latents of images, a few hundred or more; None keeps the whole difference.

    Returns:
        (d,) float32; like :func:`concept_direction` not of unit norm.

    Raises:
        ValueError: latents that are not (N, d) or not finite, no latents, or latents of different
            dimensions.

    Example:
        >>> text_direction([[1.0, 3.0]], [[1.0, 1.0]]).tolist()
        [0.0, 2.0]
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
