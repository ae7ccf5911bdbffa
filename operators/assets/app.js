// What the App's Python operators cannot do: close the dialog of a result.
(() => {
  const { Operator, OperatorConfig, executeOperator, registerOperator, usePromptOperatorInput } =
    window.__foo__;
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

  registerOperator(CloseResult, PLUGIN);
  registerOperator(GoOn, PLUGIN);
})();
