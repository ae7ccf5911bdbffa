"""What every function of curation shares: codes read from samples, and the report it returns."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import item_distortion
from fiftyone_smic.curation.results import several, signed
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import coded_samples, read_codes
from fiftyone_smic.fiftyone.collections import MOST_LISTED, image_samples, listed
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.models.identity import EncoderIdentity

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary


@dataclass(frozen=True)
class CurationReport:
    """What a function of curation found.

    Attributes:
        key: The dictionary.
        view: The samples that were found, in the order of the finding.
        result: The library's result, of :mod:`fiftyone_smic.curation`; its items are positions in
            ``ids``.
        ids: N ids of the samples that were looked at: those of the view that have a code.
        views: Further views by name: one for each query, atom, group, cause or split.
        fields: Sample fields that were written.
        tag: The tag that the samples of ``view`` got, or None.
    """

    key: str
    view: fo.DatasetView
    result: Any
    ids: tuple[str, ...]
    views: Mapping[str, fo.DatasetView] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    tag: str | None = None
    _found: _Found | None = field(default=None, repr=False, compare=False)

    def save(self, *, field: bool = False, tag: str | None = None) -> CurationReport:
        """Write what was found into the samples, after a look at it.

        Args:
            field: Write the scores into the sample fields that the function describes.
            tag: Tag the samples that the function would tag.

        Returns:
            The report, which names what was written.

        Raises:
            ValueError: There are no scores to write, the tag is no word, or the dictionary was
                replaced since.

        Example:
            >>> import fiftyone_smic as smic
            >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
            >>> _ = smic.compute_latents(dataset, progress=False)
            >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
            >>> _ = smic.encode(dataset, progress=False)
            >>> report = smic.find_outliers(dataset, k=2)
            >>> report.save(field=True, tag="look").fields
            ('smic_outlier_score',)
            >>> len(dataset.match_tags("look"))
            2
        """
        check_tag(tag)
        found, written = self._found, self.fields
        if field:
            if found is None or not found.columns:
                raise ValueError("this report has no scores that could be written; give a tag")
            found.coded.write(found.columns)
            written = tuple(fields.field_name(self.key, suffix) for suffix in found.columns)
        if tag is not None:
            (self.view if found is None else found.tagged).tag_samples(tag)
        return replace(self, fields=written, tag=tag or self.tag)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the result, with sample ids where it speaks of items."""
        rows = self.result.to_rows()
        for row in rows:
            for name in ("index", "of", "one", "other"):
                if name in row:
                    row["sample_id" if name == "index" else f"{name}_id"] = self.ids[row[name]]
        return rows

    def __str__(self) -> str:
        text = f"{self.result}\nIn .view: {several(len(self.view), 'sample')}"
        text += f"; in .views: {several(len(self.views), 'more view')}" if self.views else ""
        text += "; item i is the sample .ids[i]."
        if self.fields:
            text += f" Written: {', '.join(self.fields)}."
        return text + (f" Tagged: {self.tag!r}." if self.tag else "")


@dataclass(frozen=True)
class Coded:
    """The samples of a collection that have a code, and the dictionary of their codes.

    Attributes:
        samples: The flat collection of images.
        key: The dictionary's key.
        config: What is known about the dictionary.
        dictionary: K atoms of d dimensions.
        names: K names of its atoms.
        ids: N sample ids, in the order of the collection.
        codes: (N, K) int16.
    """

    samples: SampleCollection
    key: str
    config: runs.SMICRunConfig
    dictionary: SemanticDictionary
    names: list[str]
    ids: list[str]
    codes: csr_matrix

    @classmethod
    def read(
        cls,
        samples: SampleCollection,
        key: str,
        report: Callable[[float], None] = lambda fraction: None,
    ) -> Coded:
        """Read the codes of a dataset or view.

        Args:
            samples: A dataset or view of images.
            key: A dictionary of the dataset.
            report: Gets the fraction done.

        Raises:
            ValueError: The view is empty, the key is not known, or no sample has a code.
        """
        samples = image_samples(samples)
        config, dictionary = runs.load_config(samples, key), runs.load_dictionary(samples, key)
        runs.check_of_images(config, key)
        ids, _, codes = read_codes(samples, key, int(dictionary.n_atoms_), report)
        return cls(samples, key, config, dictionary, runs.atom_names(samples, key), ids, codes)

    def of(self, ids: Container[str]) -> Coded:
        """Return those of the samples that have one of these ids.

        Raises:
            ValueError: There are none.
        """
        rows = [row for row, item in enumerate(self.ids) if item in ids]
        if not rows:
            raise ValueError(
                f"none of these samples has a code of dictionary {self.key!r}; run "
                f"fiftyone_smic.encode(view, key={self.key!r}) on them first"
            )
        return replace(self, ids=[self.ids[row] for row in rows], codes=self.codes[rows])

    @cached_property
    def latents(self) -> np.ndarray | None:
        """(N, d) float32 latents, or None unless all N samples still have the ones coded."""
        name, boxed = self.config.latents_field, self.config.patches_field
        held = self.samples
        if boxed is None:
            if name not in held.get_field_schema():
                return None
            held = coded_samples(held, self.key).exists(name)
            if len(held) < len(self.ids):
                return None
        found = read_latents(held, name, boxed)
        values = found.values
        if found.ids != self.ids:
            place = {item: row for row, item in enumerate(found.ids)}
            rows = [place[i] for i in self.ids if i in place]
            if len(rows) < len(self.ids):
                return None
            values = values[rows]
        return values if self._made_of(values, found.encoder) else None

    def _made_of(self, latents: np.ndarray, encoder: str) -> bool:
        """Tell whether the codes are those of these latents (N, d) of an encoder.

        Where nobody knows the encoder, as with embeddings of another tool, the codes of a hundred
        latents are made again and compared.
        """
        if latents.shape[1] != self.config.dim:
            return False
        ours = EncoderIdentity.parse(self.config.encoder)
        if ours.known:
            return ours.matches(encoder)
        some = np.unique(np.linspace(0, len(latents) - 1, 100).astype(int))
        differing = csr_matrix(self.dictionary.transform(latents[some]) != self.codes[some])
        return float((np.diff(differing.indptr) == 0).mean()) > 0.9

    @cached_property
    def distortion(self) -> np.ndarray | None:
        """(N,) squared distances of latents and what codes rebuild, where latents are there."""
        if self.latents is None:
            return None
        return item_distortion(self.dictionary, self.latents, self.codes)

    def view(self, items: Sequence[int] | np.ndarray) -> fo.DatasetView:
        """Return the samples of these positions, in this order.

        Raises:
            ValueError: They are more than a view can list.
        """
        if len(items) > MOST_LISTED and not np.any(np.diff(items) < 0):
            rest = np.setdiff1d(np.arange(len(self.ids)), items)
            if len(rest) <= MOST_LISTED:
                held = coded_samples(self.samples, self.key)
                return held.exclude([self.ids[i] for i in rest])
        return listed(self.samples, [self.ids[i] for i in items])

    def uses(self, atom: int, sign: int) -> np.ndarray:
        """Return the positions of samples whose code has an atom (sign 1) or lacks it (-1)."""
        column = self.codes[:, [atom]].toarray().ravel()
        return np.flatnonzero(np.sign(column) == sign)

    def atom(self, atom: int, sign: int) -> str:
        """Return what an atom is called: ``night``, or ``not night`` for sign -1."""
        return signed(self.names[atom], sign)

    def values(self, path: str) -> list[Any]:
        """Return N values of a sample field."""
        found = dict(zip(*self.samples.values(["id", path]), strict=True))
        return [found[i] for i in self.ids]

    def labels(self, name: str) -> list[Any]:
        """Return the label of each sample.

        Args:
            name: A field of classifications, strings, whole numbers or truth values.

        Raises:
            ValueError: There is no such field, it holds something else, or labels are missing.
        """
        if not isinstance(name, str):
            raise ValueError(f"labels are the values of one field, given by its name, not {name!r}")
        known = self.samples.get_field(name)
        path = name
        if isinstance(known, fo.EmbeddedDocumentField):
            if issubclass(known.document_type, fo.Classification):
                path = f"{name}.label"
            else:
                known = None if known is None else known.document_type
        values = []
        kinds = (fo.StringField, fo.IntField, fo.BooleanField)
        if path != name or isinstance(known, kinds):
            values = self.values(path)
        # A path into a list, as of the labels of detections, has several values for each sample.
        if not values or any(isinstance(value, list) for value in values):
            why = "there is no such field" if self.samples.get_field(name) is None else (
                "it does not hold one label for each sample"
            )  # fmt: skip
            raise ValueError(
                f"{name!r} cannot be used as labels: {why}; choose a field of classifications, "
                f"strings or whole numbers, such as {_label_fields(self.samples)}"
            )
        missing = sum(value is None for value in values)
        if missing == len(values):
            raise ValueError(
                f"none of the {len(values)} samples has a label in {name!r}; label them, or choose "
                "another field or view"
            )
        if missing:
            raise ValueError(
                f"{missing} of {len(values)} samples have no label in {name!r}; leave them out "
                f"with view.exists({path!r}), or label them"
            )
        return values

    def report(
        self,
        result: Any,
        found: Sequence[int] | np.ndarray,
        views: Mapping[str, Sequence[int] | np.ndarray] | None = None,
        *,
        columns: Mapping[str, Sequence[Any]] | None = None,
        field: bool = False,
        tag: str | None = None,
        tagged: Sequence[int] | np.ndarray | None = None,
        by: str | None = None,
    ) -> CurationReport:
        """Write what is asked for, and return the report.

        Args:
            result: The library's result.
            found: Positions of the samples that were found, in their order.
            views: Name -> positions of further views.
            columns: Field suffix -> N values; where they are written, other samples lose theirs.
            field: Write them now; the report's ``save`` writes them later.
            tag: A tag to add to what was found.
            tagged: Positions of the samples that get the tag, by default ``found``.
            by: The field suffix of a score that sorts the samples as ``found`` does. With it, and
                where ``field`` writes it, more samples can be found than a view can list.
        """
        check_tag(tag)
        if by is not None and field and len(found) > MOST_LISTED:
            self.write(columns or {})
            name = fields.field_name(self.key, by)
            view = self.samples.exists(name).sort_by(name, reverse=True)
            written = tuple(fields.field_name(self.key, suffix) for suffix in columns or {})
            if tag is not None:
                view.tag_samples(tag)
            views = dict.fromkeys(views or {}, view)
            return CurationReport(
                self.key, view, result, tuple(self.ids), views, fields=written, tag=tag
            )
        report = CurationReport(
            key=self.key,
            view=self.view(found),
            result=result,
            ids=tuple(self.ids),
            views={name: self.view(items) for name, items in (views or {}).items()},
            # A copy has none of the latents that this one may have read.
            _found=_Found(
                replace(self), columns or {}, self.view(found if tagged is None else tagged)
            ),
        )
        return report.save(field=field, tag=tag) if field or tag is not None else report

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write scores; what an earlier run left on other samples goes, so that none are mixed."""
        dataset = self.samples._root_dataset
        names = {suffix: fields.field_name(self.key, suffix) for suffix in columns}
        new = [name for name in names.values() if not dataset.has_sample_field(name)]

        def check() -> None:
            runs.check_current(dataset, self.key, self.config.digest)

        try:
            check()
            fields.declare(dataset, self.key, columns)
            held = set(self.ids)
            others = [
                i
                for i in fields.everything(dataset).values("id")
                if i not in held
            ] if len(new) < len(names) else []  # fmt: skip
            values = {
                names[suffix]: [*column, *[None] * len(others)]
                for suffix, column in columns.items()
            }
            fields.write(dataset, [*self.ids, *others], values, check=check)
        except BaseException:
            fields.delete(dataset, new)
            raise


@dataclass(frozen=True)
class _Found:
    """What a report can still write."""

    coded: Coded
    columns: Mapping[str, Sequence[Any]]
    tagged: fo.DatasetView


def check_tag(tag: str | None) -> None:
    """Raise ``ValueError`` unless samples can be tagged so; None stands for no tag."""
    if tag is not None and (not isinstance(tag, str) or not tag.strip()):
        raise ValueError(f"tag must be a word, like 'review', not {tag!r}")


def _label_fields(samples: SampleCollection) -> str:
    schema = samples.get_field_schema()
    there = [
        name
        for name, known in schema.items()
        if isinstance(known, fo.EmbeddedDocumentField)
        and issubclass(known.document_type, fo.Classification)
    ]
    return ", ".join(map(repr, there)) or "'ground_truth'"


def distortions_of(samples: SampleCollection, key: str) -> np.ndarray:
    """Compute what the codes of a flat collection leave out.

    Args:
        samples: A flat collection.
        key: A key of its dictionaries.

    Returns:
        (N,) squared distances of latents and what codes rebuild, of all samples, or objects, that
        have a code, in the order of ``read_codes``.

    Raises:
        ValueError: Some of them no longer have the latents that were coded.
    """
    config, dictionary = runs.load_config(samples, key), runs.load_dictionary(samples, key)
    ids, _, codes = read_codes(samples, key, int(dictionary.n_atoms_))
    found = Coded(samples, key, config, dictionary, [], ids, codes).distortion
    if found is None:
        raise ValueError(
            f"distortions need the latents of all samples that have a code, and some of these "
            f"have none in {config.latents_field!r}: compute latents with the dictionary's "
            f"encoder ({config.encoder}), or export without distortions"
        )
    return found
