"""SMIC: name concepts."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import estimates, forms
from .base import DictionaryOperator
from .layouts import sentence
from .words import amount, listed

SOURCES = {
    "words": "The built-in list of words",
    "file": "The words in a text file",
    "labels": "Labels or tags of this dataset",
    "hand": "One concept, by hand",
}


class NameAtoms(DictionaryOperator):
    """Give atoms names."""

    operator_name = "name_atoms"
    label = "SMIC: name concepts"
    description = "Set names of the concepts: the nearest words, your labels, or by hand"
    icon = "name"
    doing = "Naming concepts"
    action = "Name the concepts of"
    function = "name_atoms"
    parameters = ("key", "vocabulary", "labels", "weak", "overwrite")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.durations import measured
        from fiftyone_smic.fiftyone.runs import load_config
        from fiftyone_smic.models.encoders import EncoderIdentity, describe

        config = load_config(ctx.dataset, key)
        source = forms.radio(ctx, inputs, "source", SOURCES, self._source(ctx, key), "Name after")
        if source == "hand":
            self._by_hand(ctx, inputs, key)
            return
        if source == "labels":
            if not forms.embedded(ctx, inputs, samples, key) or not self._labels(
                ctx, inputs, samples
            ):
                return
        elif not EncoderIdentity.parse(config.encoder).known:
            why = (
                "The embeddings do not say which model made them, so words cannot be compared "
                "with them. Name the concepts after labels, or adopt the embeddings and say "
                "which model made them."
            )
            forms.stop(inputs, "no_encoder", "Words cannot be compared", why)
            return
        elif source == "file":
            self._file(ctx, inputs)
        else:
            about = describe(config.encoder)
            words = f"Words for {about.vocabulary}" if about.vocabulary else "The model's own words"
            forms.note(inputs, "words", f"{words} are compared with the concepts")
        forms.checkbox(
            inputs,
            "weak",
            "Name every concept",
            about="Otherwise a concept stays without a name where the nearest one fits no better "
            "than by chance",
        )
        if config.own_names:
            forms.checkbox(
                inputs,
                "overwrite",
                f"Replace {amount(len(config.own_names), 'name')} given by hand too",
            )
        estimates.cost(
            inputs,
            amount(config.n_atoms, "concept")
            + ("" if config.patches_field else ", and the labels of all coded samples"),
            len(ctx.dataset),
            measured=measured(ctx.dataset, "name"),
            guess=0.001,
            loading=1 if source == "labels" else 10,
        )

    def _source(self, ctx: Any, key: str) -> str:
        """What concepts are named after, unless that was chosen."""
        from fiftyone_smic.fiftyone.runs import load_config
        from fiftyone_smic.models.identity import EncoderIdentity

        known = EncoderIdentity.parse(load_config(ctx.dataset, key).encoder).known
        given = {"labels": "labels", "vocabulary": "file"}
        default = "words" if known else "labels"  # nobody knows which words would be near
        return next((source for name, source in given.items() if ctx.params.get(name)), default)

    def _by_hand(self, ctx: Any, inputs: types.Object, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import atom_names

        names = atom_names(ctx.dataset, key)
        forms.number(
            inputs, ctx.params, "atom", default=0, least=0, most=len(names) - 1, label="Concept"
        )
        atom = ctx.params.get("atom", 0)
        now = names[atom] if isinstance(atom, int) and 0 <= atom < len(names) else ""
        inputs.str(
            "name",
            default=None,
            label="New name",
            description=f"Now: {now}. Leave empty to remove the name",
        )

    def _labels(self, ctx: Any, inputs: types.Object, samples: Any) -> bool:
        from fiftyone_smic.fiftyone.names import label_path

        boxed = forms.objects_of(ctx)
        every = [boxed] if boxed else samples.get_field_schema()
        names = [name for name in every if self._can_name(ctx, samples, name)]
        labels = [n for n in names if "." in label_path(samples, n)]
        names = [*labels, *(n for n in names if n not in labels)]
        able = next((name for name in names if self._tells_apart(samples, name)), None)
        default = able or names[0]
        prop = forms.dropdown(inputs, "labels", names, default, "Labels")
        chosen = ctx.params.get("labels", default)
        if chosen not in names:
            forms.wrong(prop, f"choose one of {', '.join(names)}")
            return False
        if chosen != able and not self._tells_apart(samples, chosen):
            why = "it needs two values or more that some have and others have not"
            forms.wrong(prop, f"{chosen!r} cannot name concepts: {why}; choose another field")
            return False
        return True

    def _tells_apart(self, samples: Any, name: str) -> bool:
        """Whether a field has two values or more that several have, and not all."""
        from fiftyone_smic.fiftyone.names import label_path

        counts = samples.count_values(label_path(samples, name))
        counts.pop(None, None)
        total = sum(counts.values())
        return sum(n > 1 for n in counts.values()) > 1 and total > max(counts.values())

    def _can_name(self, ctx: Any, samples: Any, name: str) -> bool:
        """Whether a field holds labels, strings or tags that somebody gave to the samples."""
        from fiftyone_smic.fiftyone.fields import existing_fields
        from fiftyone_smic.fiftyone.names import label_path
        from fiftyone_smic.fiftyone.runs import list_dictionaries

        own = [f for key in list_dictionaries(ctx.dataset) for f in existing_fields(samples, key)]
        if name in ("id", "filepath", *own):
            return False
        field = samples.get_field(name)
        inner = field.field if isinstance(field, fo.ListField) else field
        if not isinstance(inner, (fo.StringField, fo.EmbeddedDocumentField)):
            return False
        try:
            label_path(samples, name)
        except ValueError:
            return False
        return True

    def _file(self, ctx: Any, inputs: types.Object) -> None:
        from fiftyone_smic.semantics.names import read_vocabulary

        path = forms.whole_path(
            ctx,
            inputs,
            "vocabulary",
            default=None,
            label="Text file",
            about="One word or phrase on each line",
        )
        if path is None:
            return
        try:
            words = read_vocabulary(path)
        except (OSError, ValueError) as error:
            forms.stop(inputs, "unreadable", "This file cannot be used", sentence(str(error)))
        else:
            count = amount(len(words), "word or phrase", "words and phrases")
            forms.note(inputs, "words", f"{count}, the first: {words[0]}")

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        source = ctx.params.get("source") or self._source(ctx, given["key"])
        if source != "file":
            given.pop("vocabulary", None)
        if source != "labels":
            given.pop("labels", None)
        return given

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        if ctx.params.get("source") != "hand":
            return super().work(ctx, progress)
        from fiftyone_smic.fiftyone.names import set_atom_names
        from fiftyone_smic.fiftyone.runs import atom_names

        key, atom = forms.default_key(ctx), ctx.params.get("atom", 0)
        set_atom_names(ctx.dataset, key, {atom: ctx.params.get("name")})
        text = f"Concept {atom} is called **{atom_names(ctx.dataset, key)[atom]}**."
        return {"summary": text, "buttons": [list(forms.PANEL)]}

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        from fiftyone_smic.fiftyone.fields import is_unnamed

        shown = listed([name for name in done.names if not is_unnamed(name)])
        kept = ""
        if done.kept:
            kept = f" {amount(done.kept, 'name given by hand stays', 'names given by hand stay')}."
        named = sum(not is_unnamed(name) for name in done.names)
        rest = len(done.names) - named
        weak = (
            f" {amount(rest, 'has', 'have')} no name: nothing fits better than by chance."
            if rest
            else ""
        )
        sidebar = f"filter the grid by `{done.key}_labels` in the sidebar, or "
        return (
            f"**{amount(named, 'concept is', 'concepts are')}** named after "
            f"{amount(done.candidates, 'candidate')}.{weak}{kept}\n\n{shown}\n\n"
            f"Next: {sidebar if arguments['noun'] == 'sample' else ''}look at the "
            "concepts in the **SMIC** panel, where each can be renamed."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
