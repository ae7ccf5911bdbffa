"""What a local pipeline folder says of itself in its ``smic.json``."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.models.generators.base import MAX_STEPS
from fiftyone_smic.models.generators.registry import DECLARATION, SCHEDULERS

#: Libraries that parts of a pipeline may come from. diffusers would import any other by its name.
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "kandinsky", "unclip")
#: Numbers become float32.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Declaration:
    """The content of a ``smic.json``; only ``encoder`` is required.

    Attributes:
        encoder: Identity of the encoder whose latents the pipeline draws from. The hash of a
            ``local-dir:`` or embedded encoder may be left out.
        steps: Denoising steps, 1 to 1000; None takes the family's default.
        guidance: Guidance scale; None takes the family's default.
        latent_norm: The length that training scaled latents to; None for the encoder's raw output.
        notice: What a user must know about the model.
        scheduler: One of :data:`SCHEDULERS`, to use instead of the pipeline's own.
        negative: (d,) the encoding of an all-zero image tensor at raw length, for families that
            need an encoding as the negative of their guidance.
        ip_adapter: Path of the IP-Adapter's safetensors file, inside the folder.
        pipeline: The pipeline's class; it comes from ``model_index.json``.
    """

    encoder: str
    steps: int | None = None
    guidance: float | None = None
    latent_norm: float | None = None
    notice: str | None = None
    scheduler: str | None = None
    negative: NDArray[np.float32] | None = None
    ip_adapter: str | None = None
    pipeline: str = ""


def read_declaration(folder: Path) -> Declaration:
    """Read and check the ``model_index.json`` and the ``smic.json`` of a pipeline folder.

    Raises:
        ValueError: One of the files is missing or wrong; the message says what to write.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{folder} is not a diffusers pipeline: it has no model_index.json")
    file = folder / DECLARATION
    if not file.is_file():
        raise ValueError(
            f"{folder} does not say which encoder it was trained on: put a {DECLARATION} into it, "
            'for example {"encoder": "ViT-L-14/openai"}'
        )
    content = _read_object(file)
    try:
        checked = _check(content, folder)
    except ValueError as error:
        raise ValueError(
            f'{file} is wrong: {error}. It must be a JSON object with at least {{"encoder": "..."}}'
        ) from None
    return Declaration(**checked, pipeline=_read_pipeline(index))


def _read_object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{file} is no JSON ({error}): it must be an object with at least {{"encoder": "..."}}'
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f'{file} must be a JSON object with at least {{"encoder": "..."}}')
    return content


def _read_pipeline(index: Path) -> str:
    """The class of the pipeline; parts of unknown libraries are refused."""
    parts = _read_object(index)
    name = parts.get("_class_name")
    if not isinstance(name, str):
        raise ValueError(f"{index}: _class_name must name a class of diffusers, not {name!r}")
    for part, value in parts.items():
        if part.startswith("_") or not isinstance(value, list):
            continue
        library = value[0] if value else None
        if library is not None and str(library).rpartition(".")[2] not in _LIBRARIES:
            raise ValueError(
                f"{index}: part {part!r} comes from {library!r}; only parts from "
                f"{', '.join(_LIBRARIES)} are loaded"
            )
    return name


def _check(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings, each of the right type and in range."""
    unknown = sorted(set(content) - set(_CHECKS))
    if unknown:
        raise ValueError(f"unknown entries {', '.join(unknown)}; known are {', '.join(_CHECKS)}")
    if content.get("encoder") is None:
        raise ValueError("it names no encoder")
    return {
        name: check(name, content[name], folder)
        for name, check in _CHECKS.items()
        if content.get(name) is not None
    }


def _text(name: str, value: Any, folder: Path) -> str | None:
    if not isinstance(value, str) or (name == "encoder" and not value.strip()):
        raise ValueError(f"{name} must be a text, not {value!r}")
    value.encode()  # half of a pair of surrogates is no text
    return value or None


def _number(name: str, value: Any, folder: Path) -> float:
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # JSON's integers have no limit
        number = math.inf
    if isinstance(value, bool) or not abs(number) < _LARGEST:
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return number


def _length(name: str, value: Any, folder: Path) -> float:
    if _number(name, value, folder) <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return float(value)


def _steps(name: str, value: Any, folder: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_STEPS:
        raise ValueError(f"{name} must be an integer, 1 to {MAX_STEPS}, not {value!r}")
    return value


def _scheduler(name: str, value: Any, folder: Path) -> str:
    if not isinstance(value, str) or value not in SCHEDULERS:
        raise ValueError(f"{name} must be one of {', '.join(SCHEDULERS)}, not {value!r}")
    return value


def _vector(name: str, value: Any, folder: Path) -> NDArray[np.float32]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a list of d numbers")
    return np.array([_number(name, x, folder) for x in value], np.float32)


def _inside(name: str, value: Any, folder: Path) -> str:
    """A path of a safetensors file inside the folder."""
    if not isinstance(value, str) or not value.endswith(".safetensors"):
        raise ValueError(
            f"{name} must be the path of a .safetensors file in the folder, not {value!r}; pickled "
            "weights (.bin, .pt) are not read"
        )
    _text(name, value, folder)
    file = (folder / value).resolve()
    if Path(value).is_absolute() or not file.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} must lie inside the folder, unlike {value!r}")
    if not os.path.isfile(file):  # unlike Path.is_file, for names of any length
        raise ValueError(f"{name} names {value!r}, which is not in the folder")
    return value


_CHECKS = {
    "encoder": _text,
    "steps": _steps,
    "guidance": _number,
    "latent_norm": _length,
    "notice": _text,
    "scheduler": _scheduler,
    "negative": _vector,
    "ip_adapter": _inside,
}
