// What the App's Python operators cannot do: close the dialog of a result, put fields into their
// group of the sidebar, draw the map of concepts with a picture beside the mouse, and let the
// keyboard click pictures.
(() => {
  const {
    Operator,
    OperatorConfig,
    OperatorIO,
    executeOperator,
    registerOperator,
    types,
    usePromptOperatorInput,
    useTriggerPanelEvent,
  } = window.__foo__;
  const { PluginComponentType, registerComponent } = window.__fop__;
  const { usePanelId } = window.__fosp__;
  const { createElement, useCallback, useEffect, useMemo, useRef, useState } = window.React;
  const PLUGIN = "fiftyone_smic";

  // Returns whether there was one.
  function closeResult() {
    const dialog = document.querySelector('[data-cy="operators-prompt-view-modal"]');
    const buttons = dialog ? [...dialog.querySelectorAll("button")] : [];
    const done = buttons.find((button) => button.textContent.trim() === "Done");
    if (done) done.click();
    return Boolean(done);
  }

  class CloseResult extends Operator {
    get config() {
      const label = "SMIC: close the result";
      return new OperatorConfig({ name: "close_result", label, unlisted: true });
    }

    // A run that takes no time is over before the App has drawn its bar, so wait for that.
    async execute() {
      for (let i = 0, calm = 0; i < 40 && calm < 6; i++) {
        calm = closeResult() ? 0 : calm + 1;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  // A button of a result. The form of the next operator must not open over the result: the bar of
  // the next run would then lie below "Executing…".
  class GoOn extends Operator {
    get config() {
      return new OperatorConfig({ name: "go_on", label: "SMIC: go on", unlisted: true });
    }

    useHooks() {
      return { prompt: usePromptOperatorInput() };
    }

    async execute({ hooks, params }) {
      const { operator, params: given } = params;
      closeResult();
      if (operator.startsWith(`${PLUGIN}/`)) hooks.prompt(operator, given);
      else executeOperator(operator, given);
    }
  }

  // Reads the dataset again. For as long as a dataset is open the App keeps the sidebar's groups
  // that it has, and puts each new field among the others, so it is told of the groups of ours.
  class Reload extends Operator {
    get config() {
      return new OperatorConfig({ name: "reload", label: "SMIC: reload", unlisted: true });
    }

    useHooks() {
      const { recoil, __fos__: state } = window;
      return { set: recoil.useSetRecoilState(state.sidebarGroupsDefinition(false)) };
    }

    async execute({ hooks, params }) {
      const ours = Object.entries(params.groups);
      const taken = new Set(ours.flatMap(([, paths]) => paths));
      hooks.set((groups) => {
        const others = groups.filter(({ name }) => !(name in params.groups));
        const without = ({ paths, ...group }) => ({
          ...group,
          paths: paths.filter((path) => !taken.has(path)),
        });
        const open = (name) => groups.find((group) => group.name === name)?.expanded ?? true;
        const added = ours
          .filter(([, paths]) => paths.length)
          .map(([name, paths]) => ({ name, paths, expanded: open(name) }));
        return [...others.map(without), ...added];
      });
      executeOperator("@voxel51/operators/reload_dataset", {});
    }
  }

  // Milliseconds that the mouse rests before a picture is asked for.
  const REST = 80;

  // Asks the panel's Python for something and calls back with it, unless it failed.
  function ask(operator, panel, params, answered) {
    // As a trigger of the panel sends them, but without the wheel that turns meanwhile.
    executeOperator(operator, { panel_id: panel, panel_state: {}, ...params }, {
      callback: ({ result }) => result && answered(result),
      skipErrorNotification: true,
      skipOutput: true,
    });
  }

  // The ring around the chosen concept.
  function mark(traces, chosen, accent) {
    for (const { ids = [], x, y } of traces) {
      const place = ids.indexOf(String(chosen));
      if (place >= 0) {
        const marker = { size: 26, color: accent, symbol: "circle-open", line: { width: 3 } };
        const at = { x: [x[place]], y: [y[place]], hoverinfo: "skip", showlegend: false, marker };
        return [...traces, { type: "scatter", mode: "markers", name: "chosen", ...at }];
      }
    }
    return traces;
  }

  // What a point of the plot stands for: a dot of samples, or a concept.
  function meaning({ data, pointIndex }) {
    if (data.ids) return { atom: Number(data.ids[pointIndex]) };
    return data.customdata ? { dot: data.customdata[pointIndex] } : {};
  }

  // A card beside the mouse. Without React, so that the plot is not drawn again for it.
  function makeCard(frame) {
    const card = document.createElement("div");
    card.dataset.cy = "smic-map-card";
    Object.assign(card.style, {
      position: "absolute",
      zIndex: 5,
      pointerEvents: "none",
      maxWidth: "180px",
      padding: "6px",
      borderRadius: "6px",
      font: "13px var(--fo-fontFamily-body)",
      color: "var(--fo-palette-text-primary)",
      background: "var(--fo-palette-background-level1)",
      boxShadow: "0 2px 10px rgba(0, 0, 0, .4)",
      overflowWrap: "anywhere",
    });
    const picture = document.createElement("img");
    picture.alt = "";
    Object.assign(picture.style, { display: "block", maxWidth: "168px", maxHeight: "168px" });
    const text = document.createElement("div");
    card.append(picture, text);
    return {
      show({ url, text: said }, x, y) {
        picture.style.display = url ? "block" : "none";
        if (url) picture.src = url;
        text.textContent = said;
        const right = x > frame.clientWidth / 2;
        card.style.left = right ? "auto" : `${x + 14}px`;
        card.style.right = right ? `${frame.clientWidth - x + 14}px` : "auto";
        card.style.top = `${Math.max(0, Math.min(y - 40, frame.clientHeight - 220))}px`;
        frame.append(card);
      },
      hide: () => card.remove(),
    };
  }

  // The App's own plot, with events that send a number instead of the whole plot. The layout of the
  // panel says which version of the data it shows; the data are asked for when it changes.
  function ConceptMap({ schema: { view } }) {
    const { dictionary: key, version, chosen, accent, layout, config } = view;
    const frame = useRef(null);
    const hover = useRef({ timer: 0, over: "", known: new Map() });
    const [held, setHeld] = useState({ traces: [], version: null });
    const panel = usePanelId();
    const trigger = useTriggerPanelEvent();
    const events = useRef(view);
    events.current = view;

    useEffect(() => {
      // Asked like an event, so that the panel's choices travel with it.
      trigger(view.on_data, { key }, false, ({ result }) => {
        if (result) setHeld({ traces: result.traces, version });
      });
      hover.current.known.clear();
    }, [version]);

    const card = useRef(null);
    const hide = useCallback(() => {
      clearTimeout(hover.current.timer);
      hover.current.over = "";
      card.current?.hide();
    }, []);
    const show = useCallback(({ points, event }) => {
      const what = meaning(points[0]);
      const name = JSON.stringify(what);
      if (name === "{}") return;
      card.current ??= makeCard(frame.current);
      clearTimeout(hover.current.timer);
      hover.current.over = name;
      const box = frame.current.getBoundingClientRect();
      const at = [event.clientX - box.left, event.clientY - box.top];
      const text = points[0].data.text?.[points[0].pointIndex];
      const known = hover.current.known.get(name);
      if (known) card.current.show(known, ...at);
      else if (text) card.current.show({ text }, ...at);
      else card.current.hide();
      if (known) return;
      hover.current.timer = setTimeout(() => {
        const given = { key: events.current.dictionary, ...what };
        ask(events.current.on_picture, panel, given, (found) => {
          hover.current.known.set(name, found);
          if (hover.current.over === name && found.text) card.current.show(found, ...at);
        });
      }, REST);
    }, []);
    const click = useCallback(({ points }) => {
      const { atom } = meaning(points[0]);
      if (atom !== undefined) trigger(events.current.on_atom, { id: String(atom) });
    }, []);
    const selected = useCallback((event) => {
      const found = (event?.points ?? []).map(meaning);
      const dots = found.flatMap(({ dot }) => (dot === undefined ? [] : [dot]));
      const atoms = found.flatMap(({ atom }) => (atom === undefined ? [] : [atom]));
      if (found.length) trigger(events.current.on_lasso, { dots, atoms });
    }, []);

    const looks = JSON.stringify([layout, config]);
    const plot = useMemo(() => {
      const inside = new types.Object();
      const plotly = {
        onClick: click,
        onHover: show,
        onUnhover: hide,
        onSelected: selected,
        useResizeHandler: true,
      };
      const data = mark(held.traces, chosen, accent);
      inside.defineProperty("plot", new types.Object(), {
        view: { name: "PlotlyView", data, layout, config, height: HEIGHT, componentsProps: { plotly } },
      });
      return new types.Property(inside);
    }, [held, chosen, looks]);

    // A layer of its own: what changes beside the map does not have all its dots painted again.
    const drawn = createElement(
      "div",
      { style: { contain: "content", willChange: "transform" } },
      createElement(OperatorIO, { schema: plot, data: {}, onChange: () => {} }),
    );
    const look = { position: "relative", width: "100%", minHeight: HEIGHT };
    return createElement("div", { ref: frame, style: look, onMouseLeave: hide }, drawn);
  }

  const HEIGHT = "max(420px, 60vh)";
  registerComponent({
    name: "SMICMap",
    label: "SMIC map",
    component: ConceptMap,
    type: PluginComponentType.Component,
    activator: () => true,
  });

  document.addEventListener("keydown", (event) => {
    const panel = '[data-cy="panel-content-smic_panel"]';
    if (event.key === "Enter" && event.target.matches?.(`${panel} img[role=button]`)) {
      event.target.click();
    }
  });

  registerOperator(CloseResult, PLUGIN);
  registerOperator(GoOn, PLUGIN);
  registerOperator(Reload, PLUGIN);
})();
