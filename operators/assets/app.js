// What the App's Python operators cannot do: close the dialog of a result.
(() => {
  const { Operator, OperatorConfig, executeOperator, registerOperator, usePromptOperatorInput } =
    window.__foo__;
  const PLUGIN = "fiftyone_smic";

  function closeResult() {
    const dialog = document.querySelector('[data-cy="operators-prompt-view-modal"]');
    const buttons = dialog ? [...dialog.querySelectorAll("button")] : [];
    const done = buttons.find((button) => button.textContent.trim() === "Done");
    if (done) done.click();
  }

  class CloseResult extends Operator {
    get config() {
      const label = "SMIC: close the result";
      return new OperatorConfig({ name: "close_result", label, unlisted: true });
    }

    async execute() {
      closeResult();
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

  registerOperator(CloseResult, PLUGIN);
  registerOperator(GoOn, PLUGIN);
})();
