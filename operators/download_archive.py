"""A button of a result: save an archive on the computer on which the browser runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import fiftyone.operators as foo


class DownloadArchive(foo.Operator):
    """Let the browser download a file that an export wrote."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name="download_archive",
            label="SMIC: download archive",
            unlisted=True,  # a result has a button
            risk_level="low",
        )

    def execute(self, ctx: Any) -> None:
        path = Path(ctx.params["path"])
        if not path.is_file():
            raise ValueError(f"There is no file {str(path)!r} any more; export the archive again")
        ctx.ops.browser_download(f"/media?filepath={quote(str(path))}", filename=path.name)
