"""The panel "SMIC": originals beside what their codes draw, sizes, concepts, mixes, curation."""

from __future__ import annotations

import uuid
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from .. import findings
from ..layouts import PLUGIN, output, sentence
from ..show_glossary import ShowGlossary, glossary
from ..words import TERMS
from . import atoms, compare, counting, curate, head, items, memory, mix, storage, views
from .drawn import Drawn
from .generators import chosen_generator
from .parts import NARROW, row
from .states import missing
from .turns import Turns

#: Name -> label and the module that lays it out.
TABS: dict[str, tuple[str, Any]] = {
    "compare": ("Compare", compare),
    "storage": ("Storage", storage),
    "atoms": ("Concepts", atoms),
    "mix": ("Mix", mix),
    "curate": ("Curate", curate),
}

#: Terms that the panel's "?" explains.
HELP = ("embedding", "concept", "dictionary", "code", "bits", "fidelity", "drawn fidelity")

#: Keeps the tabs, which come first, in sight while what is below them scrolls. The App passes no
#: settings on to an item of this container, so the container says it of its first one.
STICKY = {"position": "sticky", "top": 0, "zIndex": 10, "bgcolor": "background.level2", "pb": 1}
#: Without it, things end at the very edge.
ROOM = types.ObjectView(
    componentsProps={
        "gridContainer": {
            "sx": {"pl": 1, "pr": 2, "pb": 2, "& > .MuiGrid-item:first-of-type": STICKY}
        }
    }
)

_TURNS = Turns()
_DRAWN = Drawn()
#: Events after which the window may show anything.
ALWAYS_DRAWN = ("on_load", "on_change_dataset", "refresh")
#: Events that say nothing of the dictionary that is shown: they go on when it was deleted.
OF_ANY_KEY = {*ALWAYS_DRAWN, "on_choice", "on_back", "prompt", "on_change_view"}
OF_ANY_KEY |= {"on_change_selected", "on_change_current_sample", "on_glossary"}
#: What the map asks for. It travels beside the layout, because it is large and seldom changes.
ANSWERS = ("on_map_data", "on_map_picture")


class SMICPanel(foo.Panel):
    """Shows what the dataset holds now.

    ``panel.state`` holds the choices that a workspace keeps, and :mod:`.memory` the passing ones.
    Everything that is shown is read again by :meth:`render` and travels inside the layout, never
    beside it in ``panel.state`` or ``panel.data``: those arrive on their own, and a layout without
    its data, or with that of an earlier event, is a broken panel. Slow work is left to operators,
    which show their progress.
    """

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="smic_panel",
            label="SMIC",
            icon="auto_awesome_mosaic",  # of Material: the App shows no files here
            surfaces="grid modal",
            category=foo.Categories.ANALYZE,
            help_markdown=(
                "Compares samples with the pictures drawn again from their codes, shows what the "
                "collection takes and which concepts it is made of, mixes new pictures, and finds, "
                "chooses, cleans and compares samples.\n\n"
                + "\n\n".join(TERMS[term] for term in HELP)
            ),
            allow_multiple=False,
        )

    def execute(self, ctx: Any) -> Any:
        from fiftyone_smic.fiftyone.keys import asked_once

        event = ctx.params.get("__method__")
        if event is None or event == "on_startup":
            return self.on_startup(ctx)
        if event in ANSWERS:
            return getattr(self, event)(ctx)
        with _TURNS.turn(ctx.panel.state.window) as followed:
            key, turned = current_key(ctx), False
            views.keep_filters(ctx, event == "on_choice")
            if event not in OF_ANY_KEY and _DRAWN.of_another(ctx.panel.state.window, key):
                # Another process has deleted it. A click on its atom 5 is no click on another's.
                ctx.ops.notify("The dictionary that was shown is gone.", variant="warning")
            else:
                try:
                    turned = bool(getattr(self, event)(ctx))
                except ValueError as error:  # of what the window still shows and is gone
                    ctx.ops.notify(sentence(str(error)), variant="warning")
            if event in ALWAYS_DRAWN:
                _DRAWN.forget(ctx.panel.state.window)
            if turned or (event != "on_load" and followed()):
                return  # the event that follows draws
            with asked_once():
                layout, key = self.render(ctx), current_key(ctx)
            if _DRAWN.differs(ctx.panel.state.window, layout, key):
                ctx.ops.show_panel_output(layout)

    # --- events: each is followed by ``render`` -----------------------------------------------
    # But for those that return true: the grid will show another view, of which the App then tells.

    def on_load(self, ctx: Any) -> None:
        former, same = ctx.panel.state.window, ctx.panel.state.dataset == ctx.dataset.name
        self._begin(ctx, uuid.uuid4().hex, former if same else None)

    def _begin(self, ctx: Any, window: str, former: str | None = None) -> None:
        memory.begin(window, former)
        ctx.panel.state.window = window
        ctx.panel.state.dataset = ctx.dataset.name
        key = current_key(ctx)
        if key is not None:
            counting.read_ahead(ctx, key)

    def on_change_view(self, ctx: Any) -> None:
        """Shown by ``render``."""

    on_change_selected = on_change_current_sample = refresh = on_change_view

    def on_change_dataset(self, ctx: Any) -> None:
        """The App also says so when the panel comes back from behind another one."""
        if ctx.panel.state.dataset != ctx.dataset.name:
            window = ctx.panel.state.window
            ctx.panel.state.clear()
            self._begin(ctx, window)

    def on_choice(self, ctx: Any) -> None:
        """A tab, a dictionary or another choice: ``panel.state`` may not have it yet."""
        path, value = ctx.params["path"], ctx.params["value"]
        if ctx.panel.state.get(path) != value:
            ctx.panel.state.set(path, value)
            if path == "key":
                memory.of(ctx).atom = None

    def on_page(self, ctx: Any) -> None:
        memory.of(ctx).page = ctx.params["page"]

    def on_jump(self, ctx: Any) -> None:
        compare.jump(ctx)

    def on_back(self, ctx: Any) -> bool:
        """Lead back to what the grid showed before an atom or a lasso narrowed it."""
        memory.of(ctx).atom = None
        return views.back(ctx)

    def on_atom(self, ctx: Any) -> bool:
        """Narrow the grid to the samples that have the atom that was clicked, or lack it."""
        atom = str(ctx.params.get("id") or "")  # dots of samples on the map have none
        if not atom.isdigit():
            return False
        return self._show_atom(ctx, int(atom), ctx.params.get("sign") or "has")

    def _show_atom(self, ctx: Any, atom: int, sign: Any) -> bool:
        from fiftyone_smic.fiftyone.atom_views import match_atom
        from fiftyone_smic.fiftyone.keys import asked_once
        from fiftyone_smic.fiftyone.runs import atom_names

        memory.of(ctx).atom = atom
        with asked_once():
            key = current_key(ctx) or ""
            view = match_atom(views.shown(ctx), atom, key, sign=sign)
            view = items.shown_as(view, items.objects_of(ctx, key))
            name = atom_names(ctx.dataset, key)[atom]
        what = f"that {'have' if sign == 'has' else 'lack'} “{name}”"
        return views.narrow(ctx, view, what)

    def on_describe(self, ctx: Any) -> None:
        """Describe an atom of the list, and leave the grid as it is."""
        memory.of(ctx).atom = int(ctx.params["atom"])

    def on_list_page(self, ctx: Any) -> None:
        memory.of(ctx).list_page = ctx.params["page"]

    def on_lasso(self, ctx: Any) -> bool:
        """Narrow the grid to what was encircled on the map."""
        key = current_key(ctx)
        view = atoms.lassoed(ctx, key, views.shown(ctx)) if key else None
        if not key or view is None:
            return False
        memory.of(ctx).atom = None
        view = items.shown_as(view, items.objects_of(ctx, key))
        return views.narrow(ctx, view, "that were encircled on the map")

    def on_map_data(self, ctx: Any) -> dict[str, Any]:
        """Return the traces of the map."""
        return {"traces": atoms.map_data_of(ctx, ctx.params["key"])}

    def on_map_picture(self, ctx: Any) -> dict[str, str]:
        """Return the picture and the name of what the mouse is over."""
        return atoms.pointed_at(ctx, ctx.params["key"])

    def on_glossary(self, ctx: Any) -> None:
        """Show the glossary in a dialog."""
        said = {"summary": glossary()}
        ctx.ops.show_output(outputs=output(ShowGlossary.label, said).to_json(), results=said)

    def on_rename(self, ctx: Any) -> None:
        atom = ctx.params["atom"]
        name = ctx.panel.state.get(f"{atoms.RENAME}{atom}")
        params = {"source": "hand", "atom": int(atom), "name": name, "key": current_key(ctx)}
        self._now(ctx, "name_atoms", params)

    def on_draw_atom(self, ctx: Any) -> None:
        params = {"key": current_key(ctx), "atom": int(ctx.params["atom"])}
        self._now(ctx, "draw_atom", {**params, **self._generator(ctx)})

    def _generator(self, ctx: Any) -> dict[str, str]:
        """The generator that was chosen, as a parameter of an operator."""
        from fiftyone_smic.fiftyone.runs import load_config

        encoder = load_config(ctx.dataset, current_key(ctx) or "").encoder
        chosen = chosen_generator(ctx, encoder)
        return {"generator": chosen} if chosen else {}

    def on_point(self, ctx: Any) -> None:
        """Learn the dictionary of another point of the curve."""
        lam = storage.lam_of(ctx, current_key(ctx))
        if lam is not None:
            self._run(ctx, "learn_dictionary", {"control": "lam", "lam": lam, "whole": True})

    def on_objects(self, ctx: Any) -> bool:
        """Show the objects of what the grid shows, each by itself, so that they can be selected."""
        boxed = items.objects_of(ctx, current_key(ctx) or "")
        if boxed is None:
            return False
        view = items.shown_as(views.shown(ctx), boxed)
        return views.narrow(ctx, view, "of these images")

    def on_take(self, ctx: Any) -> None:
        ctx.panel.state.taken = list(ctx.selected)[: len(mix.ROLES)]

    def on_mix(self, ctx: Any) -> None:
        key = current_key(ctx) or ""
        recipe = mix.recipe(ctx, key)
        if not {"plus", "text", "atom"} & recipe.keys():
            another = "an object" if items.objects_of(ctx, key) else "a sample"
            ctx.ops.notify(f"Add {another}, a text or a concept to mix.", variant="warning")
            return
        ctx.panel.state.mixed = recipe
        ids = f"{compare.ID_OF[items.noun(ctx, key)]}_ids"
        params = {"key": key, ids: [recipe["start"]], **recipe, **self._generator(ctx)}
        self._run(ctx, "mix_samples", {**params, "quiet": True}, skip_prompt=True)

    def on_keep(self, ctx: Any) -> None:
        key = current_key(ctx)
        if key and mix.keep(ctx, key, int(ctx.params["index"])) is not None:
            ctx.ops.notify("The picture is a sample of this dataset now.", variant="success")
            ctx.trigger("reload_dataset")

    def on_search(self, ctx: Any) -> None:
        """Search the dataset for the text that was typed, and show what is found in the grid."""
        text = curate.typed(ctx)
        if not text:
            ctx.ops.notify("Type what to search for.", variant="warning")
            return
        self._search(ctx, {"query": text, "by": "text"})

    def on_like(self, ctx: Any) -> None:
        """Search for samples like those that are selected."""
        self._search(ctx, {"by": "selected"})

    def _search(self, ctx: Any, params: dict[str, Any]) -> None:
        given = {**params, "key": current_key(ctx), "whole": True, "quiet": True}
        ctx.prompt(
            f"{PLUGIN}/search_samples",
            params=given,
            on_success=self.on_searched,
            skip_prompt=True,
        )

    def on_searched(self, ctx: Any) -> bool:
        """Show in the grid what the search that has just ended found."""
        found = findings.of_card(ctx.dataset, current_key(ctx) or "", "find")
        if found is None or not len(found.report.view):
            return False
        return views.narrow(ctx, found.part(None), found.title)

    def on_found(self, ctx: Any) -> bool:
        """Narrow the grid to what was found, or to a part of it."""
        found = findings.get(ctx.dataset, ctx.params["found"])
        view = found.part(ctx.params.get("part"))
        return views.narrow(ctx, view, ctx.params["what"])

    def on_groups(self, ctx: Any) -> bool:
        """Show near duplicates as FiftyOne shows groups: one after the other, each with its own."""
        view = findings.get(ctx.dataset, ctx.params["found"]).grouped()
        what = "that stand for a group of near duplicates each"
        return views.narrow(ctx, view, what)

    def prompt(self, ctx: Any) -> None:
        """Open the form of the operator that a button names."""
        self._run(ctx, ctx.params["operator"], ctx.params["with"])

    def _now(self, ctx: Any, operator: str, params: dict[str, Any]) -> None:
        """Run an operator without its form, on the dataset; the panel shows its result."""
        self._run(ctx, operator, {**params, "whole": True, "quiet": True}, skip_prompt=True)

    def _run(self, ctx: Any, operator: str, params: dict[str, Any], **how: Any) -> None:
        ctx.prompt(f"{PLUGIN}/{operator}", params=params, on_success=self.refresh, **how)

    # --- layout -------------------------------------------------------------------------------

    def render(self, ctx: Any) -> types.Property:
        from fiftyone_smic.fiftyone.codes import UnreadableCodes

        panel = types.Object()
        tab = ctx.panel.state.tab if ctx.panel.state.tab in TABS else "compare"
        tabs = types.TabsView()
        for name, (label, _) in TABS.items():
            tabs.add_choice(name, label=label)
        # The default is what was chosen: in a page that was loaded again, the App takes the default
        # of whatever nobody has touched there, and forgets the choice that it had kept.
        panel.str("tab", default=tab, view=tabs, on_change=self.on_choice)
        key = current_key(ctx)
        head.choose_key(self, ctx, panel, key)
        needed = missing(ctx.dataset, key)
        if needed is not None:
            panel.md(needed.why, name="message")
            buttons = row(panel, "offers")
            for i, offer in enumerate(needed.offers):
                look = {"variant": "outlined"} if i else {}
                name = f"next{i}"
                props = {"componentsProps": NARROW}
                self.offer(
                    buttons, name, offer.label, offer.operator, offer.params, **look, **props
                )
            return types.Property(panel, view=ROOM)
        assert key is not None  # without one, something is missing
        head.lay_out(self, ctx, panel, key)
        try:
            TABS[tab][1].lay_out(self, ctx, panel, key)
        except ValueError as error:  # no samples in the view, or no images: it says what to do
            panel.md(sentence(str(error)), name="message")
            if isinstance(error, UnreadableCodes):
                given = {"key": key, "whole": True}
                self.offer(panel, "again", "Encode again", "encode_samples", given)
        return types.Property(panel, view=ROOM)

    def offer(
        self,
        panel: types.Object,
        name: str,
        label: str,
        operator: str,
        params: dict[str, Any],
        **look: Any,
    ) -> None:
        """A button that opens an operator's form."""
        panel.btn(
            name,
            label=label,
            on_click=self.prompt,
            params={"operator": operator, "with": params},
            **{"variant": "contained", **look},
        )


def current_key(ctx: Any) -> str | None:
    """The dictionary that is shown: the chosen one, else the first."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    keys = list_dictionaries(ctx.dataset)
    return ctx.panel.state.key if ctx.panel.state.key in keys else next(iter(keys), None)
