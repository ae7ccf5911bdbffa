"""The panel "SMIC": originals beside what their codes draw, sizes, and the atoms."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone import ViewField as F
from fiftyone.operators import types

from . import panel_content as content

PLUGIN = "fiftyone_smic"
TABS = {"compare": "Compare", "storage": "Storage", "atoms": "Atoms"}
PICTURE = "160px"
CLEAR = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": content.GREY},
}


class SMICPanel(foo.Panel):
    """Every event fills ``panel.state`` and ``panel.data``; ``render`` lays them out."""

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="smic_panel",
            label="SMIC",
            icon="auto_awesome_mosaic",  # of Material: the App shows no files here
            surfaces="grid",
            category=foo.Categories.ANALYZE,
            help_markdown=(
                "Compares samples with the pictures drawn again from their codes, and shows what "
                "the collection takes and which atoms it is made of."
            ),
            allow_multiple=False,
        )

    # --- events -------------------------------------------------------------------------------

    def on_load(self, ctx: Any) -> None:
        ctx.panel.state.tab = ctx.panel.state.tab or "compare"
        self._fill(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        ctx.panel.state.key = None
        self._fill(ctx)

    def on_change_selected(self, ctx: Any) -> None:
        self._fill(ctx)

    def on_change_view(self, ctx: Any) -> None:
        # A change of state makes FiftyOne fire this again: without the comparison, for ever.
        if ctx.panel.state.view_seen != self._view_id(ctx):
            self._fill(ctx)

    def on_tab(self, ctx: Any) -> None:
        # The App has changed state.tab already, and it also calls this when the tabs appear.
        if ctx.params["value"] != ctx.panel.state.filled_tab:
            ctx.panel.state.tab = ctx.params["value"]
            self._fill(ctx)

    def on_key(self, ctx: Any) -> None:
        if ctx.params["value"] != ctx.panel.state.filled_key:
            ctx.panel.state.key = ctx.params["value"]
            self._fill(ctx)

    def refresh(self, ctx: Any) -> None:
        self._fill(ctx)

    def run_next(self, ctx: Any) -> None:
        # What is missing may have been done from the operator browser in the meantime.
        offered = ctx.panel.state.next_label
        self._fill(ctx)
        key = ctx.panel.state.key
        step = content.next_step(ctx.dataset, key)
        if step is not None and step[2] == offered:
            self._prompt(ctx, step[1], {"key": key} if key else {})

    def regenerate(self, ctx: Any) -> None:
        state = ctx.panel.state
        self._prompt(ctx, "regenerate_samples", {"key": state.key, "sample_ids": state.shown})

    def make_map(self, ctx: Any) -> None:
        self._prompt(ctx, "visualize_atoms", {"key": ctx.panel.state.key})

    def encode_again(self, ctx: Any) -> None:
        self._prompt(ctx, "encode_samples", {"key": ctx.panel.state.key})

    def on_atom(self, ctx: Any) -> None:
        """Filter the view by the atom that was clicked."""
        atom = str(ctx.params.get("id") or "")
        key = ctx.panel.state.key
        if atom.isdigit() and ctx.dataset.has_field(f"{key}_atoms"):
            ctx.ops.set_view(ctx.dataset.match(F(f"{key}_atoms").contains(int(atom))))

    def _prompt(self, ctx: Any, operator: str, params: dict[str, Any]) -> None:
        ctx.prompt(f"{PLUGIN}/{operator}", params=params, on_success=self.refresh)

    # --- what to show -------------------------------------------------------------------------

    def _fill(self, ctx: Any) -> None:
        """Read what the open tab shows."""
        from fiftyone_smic.fiftyone.runs import list_dictionaries

        state = ctx.panel.state
        state.view_seen = self._view_id(ctx)
        keys = list_dictionaries(ctx.dataset)
        key: Any = state.key if state.key in keys else (keys[0] if keys else None)
        state.keys, state.key, state.shown, state.message = keys, key, [], None
        state.filled_tab, state.filled_key = state.tab, key
        step = content.next_step(ctx.dataset, key)
        state.next_label = step[2] if step else None
        if step is not None:
            state.message = step[0]
        elif state.tab == "storage":
            self._fill_storage(ctx, key)
        elif state.tab == "atoms":
            plot = content.map_plot(ctx.dataset, key)
            ctx.panel.data.map, state.mapped = plot, plot is not None
        else:
            self._fill_compare(ctx, key)

    def _fill_compare(self, ctx: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.reading import image_samples

        state = ctx.panel.state
        try:
            rows = content.compare_rows(image_samples(ctx.view), list(ctx.selected), key)
        except ValueError as error:
            state.message = str(error)
            return
        state.shown = [row["id"] for row in rows]
        state.missing = sum(row["regenerated"] is None for row in rows)
        state.selection = bool(ctx.selected)
        state.drawn = [row["regenerated"] is not None for row in rows]
        state.compare = {
            f"row{i}": {
                "before": {"original": row["original"]},
                "after": {"regenerated": row["regenerated"]},
            }
            for i, row in enumerate(rows)
        }
        state.about = [row["about"] for row in rows]

    def _fill_storage(self, ctx: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config

        storage = load_config(ctx.dataset, key).storage
        if not storage:
            ctx.panel.state.message = "Run *SMIC: encode samples*: it measures what the codes take."
            return
        rows = content.storage_rows(storage)
        ctx.panel.state.summary = content.storage_summary(storage)
        ctx.panel.state.table = [
            {name: row[name] for name in ("what", "size", "each")} for row in rows
        ]
        ctx.panel.data.sizes = content.storage_plot(rows)

    def _view_id(self, ctx: Any) -> str:
        request = ctx.request_params
        return str([request.get(part) for part in ("dataset_id", "view", "filters", "extended")])

    # --- layout -------------------------------------------------------------------------------

    def render(self, ctx: Any) -> types.Property:
        panel = types.Object()
        state = ctx.panel.state
        tabs = types.TabsView()
        for name, label in TABS.items():
            tabs.add_choice(name, label=label)
        panel.str("tab", default="compare", view=tabs, on_change=self.on_tab)
        if len(state.keys or []) > 1:
            choices = types.DropdownView()
            for key in state.keys:
                choices.add_choice(key, label=key)
            panel.enum(
                "key",
                state.keys,
                default=state.key,
                label="Dictionary",
                view=choices,
                on_change=self.on_key,
            )
        if state.message:
            panel.md(state.message, name="message")
            buttons = panel.h_stack("buttons", gap=1)
            if state.next_label:
                buttons.btn(
                    "next", label=state.next_label, variant="contained", on_click=self.run_next
                )
            buttons.btn("refresh", label="Refresh", icon="refresh", on_click=self.refresh)
        elif state.tab == "storage":
            self._render_storage(panel, state)
        elif state.tab == "atoms":
            self._render_atoms(panel, state)
        else:
            self._render_compare(panel, state)
        return types.Property(panel)

    def _render_compare(self, panel: types.Object, state: Any) -> None:
        what = "The selected samples" if state.selection else "The first samples of the view"
        panel.md(f"{what}, and what their codes draw", name="heading")
        grid = panel.v_stack("compare", gap=3)
        for i, about in enumerate(state.about or []):
            row = grid.h_stack(f"row{i}", gap=2, align_y="start")
            view = types.ImageView(width=PICTURE, height=PICTURE, alt="Original")
            row.v_stack("before").view("original", view)
            after = row.v_stack("after")
            if state.drawn[i]:
                view = types.ImageView(width=PICTURE, height=PICTURE, alt="Regenerated")
                after.view("regenerated", view)
            else:
                after.md("*not drawn yet*", name="pending")
            row.v_stack("text").md(about, name="about")
        buttons = panel.h_stack("buttons", gap=1)
        if state.missing:
            buttons.btn(
                "regenerate",
                label=f"Draw the {state.missing} missing",
                icon="brush",
                variant="contained",
                on_click=self.regenerate,
            )
        buttons.btn("refresh", label="Refresh", icon="refresh", on_click=self.refresh)

    def _render_storage(self, panel: types.Object, state: Any) -> None:
        panel.md(state.summary, name="summary_text")
        panel.plot(
            "sizes",
            layout={
                **CLEAR,
                "height": 280,
                "margin": {"l": 160, "r": 70, "t": 10, "b": 40},
                "xaxis": {"type": "log", "title": {"text": "bytes"}, "dtick": 1},
                "showlegend": False,
            },
            config={"displayModeBar": False},
        )
        table = types.TableView()
        for name, label in (("what", "What"), ("size", "Size"), ("each", "Per sample")):
            table.add_column(name, label=label)
        panel.list("table", types.Object(), view=table)
        panel.btn("again", label="Measure again", icon="refresh", on_click=self.encode_again)

    def _render_atoms(self, panel: types.Object, state: Any) -> None:
        if not state.mapped:
            panel.md("Atoms and samples have not been put on a map yet.", name="no_map")
            panel.btn("map_now", label="Make the map", variant="contained", on_click=self.make_map)
            return
        panel.md("Click an atom to see the samples that use it.", name="map_help")
        panel.plot(
            "map",
            layout={
                **CLEAR,
                "height": 520,
                "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
                "xaxis": {"visible": False},
                "yaxis": {"visible": False, "scaleanchor": "x"},
                "legend": {"orientation": "h"},
            },
            config={"displayModeBar": False},
            on_click=self.on_atom,
        )
