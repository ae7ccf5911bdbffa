"""Files of pictures: where they lie, how they are written whole, how samples point to them."""

from __future__ import annotations

import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import fiftyone as fo
from PIL import Image

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.places import Place
from fiftyone_smic.utils.files import replace_file

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def default_folder(dataset: fo.Dataset) -> Path:
    """Return the folder where pictures go unless the user says otherwise."""
    return folder_of(dataset.name)


def folder_of(name: str) -> Path:
    """Return the folder where pictures of a dataset of this name go."""
    safe = re.sub(r"[^\w.-]+", "_", name)
    return Path(fo.config.default_dataset_dir) / "smic" / safe


def writable(folder: Path) -> Path:
    """Make the folder, and find out before hours of drawing whether it takes files.

    Returns:
        The folder as an absolute path.

    Raises:
        OSError: It cannot be made or written.
    """
    folder = folder.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write pictures to {str(folder)!r} ({error.strerror or error}); choose another "
            "folder with output_dir"
        ) from error
    return folder.resolve()


def is_whole(path: str | Path) -> bool:
    """Return whether there is a PNG file at ``path`` with its beginning and its end."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_PNG_START))
            file.seek(-len(_PNG_END), os.SEEK_END)
            return start == _PNG_START and file.read() == _PNG_END
    except OSError:
        return False


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture as PNG; the file appears whole or not at all."""
    data = io.BytesIO()
    image.save(data, format="PNG")
    replace_file(path, data.getvalue())


def register_pictures(place: Place, ids: list[str], paths: list[str]) -> None:
    """Write the paths of regenerated pictures, and let the App show those of samples as media.

    Args:
        place: Where the fields of the dictionary live whose codes they were drawn from.
        ids: N ids of samples, or of labels.
        paths: N files.
    """
    dataset, name = place.dataset, place.path(fields.REGENERATED)
    new = not place.has(fields.REGENERATED)
    try:
        place.declare(fields.REGENERATED)
        values: dict[str, Any] = {fields.REGENERATED: paths}
        # What was measured on another picture does not hold for this one.
        if place.has(fields.DRAWN_FIDELITY):
            former = place.read(ids, [fields.REGENERATED, fields.DRAWN_FIDELITY])
            values[fields.DRAWN_FIDELITY] = [
                former[i][1] if i in former and former[i][0] == path else None
                for i, path in zip(ids, paths, strict=True)
            ]
        place.write(ids, values)
    except BaseException:
        if new and place.has(fields.REGENERATED):
            dataset.delete_sample_field(name)
        raise
    # A media field of the App is a field of samples; the panel shows the pictures of objects.
    if "." not in name and name not in dataset.app_config.media_fields:
        dataset.app_config.media_fields.append(name)
        dataset.save()
