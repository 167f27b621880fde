// The playground: a puzzle is posed by mouse and keyboard, the network and our own solver answer it.
"use strict";

(() => {
  const e = TRM.element;
  const by = (id) => document.getElementById(id);
  const SIDE = 360;
  const PAIR_SIDE = 150;
  const { server } = TRM;

  let model = null;
  let posed = null;
  let editor = null;
  let panel = null;
  let tool = null;
  let pictures = new Map(); // grid -> its picture
  let examples = null;
  let nextExample = 0;
  let asking = 0; // number of the last question: what comes back late is of none

  const say = (words) => (by("problem").textContent = words);

  // ---- the puzzle, drawn and edited

  function picture(grid, label, side) {
    const spec = { legend: model.legend, height: grid.height, width: grid.width, cells: grid.cells, question: posed.kind === "board" ? grid.cells : undefined };
    const drawn = TRM.puzzle(spec, {
      label, side,
      onCell: (index, { kind }) => {
        if (kind !== "drag") posed.keep();
        if (kind === "drag") editor.drag(grid, index, tool);
        else editor.press(grid, index, tool);
        told();
      },
      onKey: (index, key) => editor.key(grid, index, key),
    });
    drawn.grid = grid;
    pictures.set(grid, drawn);
    drawn.addEventListener("focusin", () => (posed.last = drawn));
    return drawn;
  }

  function sized(grid, label, side) {
    const field = (name, value, change) => e("input", { type: "number", min: 1, max: 30, value, "aria-label": `${label}, ${name}`, onchange: (event) => change(event.target.value) });
    const sizes = e("span", { class: "playbar" }, field("rows", grid.height, (rows) => posed.resize(grid, rows, grid.width)), "\u00d7", field("columns", grid.width, (columns) => posed.resize(grid, grid.height, columns)));
    return e("figure", {}, e("figcaption", { text: label }), sizes, picture(grid, label, side));
  }

  function pairOf([input, output], number) {
    const remove = e("button", { type: "button", text: "Remove", "aria-label": `remove demonstration ${number + 1}`, onclick: () => posed.removePair(number) });
    return e("div", { class: "pair" }, e("div", { class: "playbar" }, e("span", { text: `Demonstration ${number + 1}` }), remove),
      e("div", { class: "grids" }, sized(input, `demonstration ${number + 1}, question`, PAIR_SIDE), sized(output, `demonstration ${number + 1}, answer`, PAIR_SIDE)));
  }

  function draw() {
    pictures = new Map();
    if (posed.kind !== "colours") {
      by("editor").replaceChildren(picture(posed.question, "the puzzle", SIDE));
    } else {
      const add = e("button", { type: "button", id: "add-pair", text: "Add a demonstration", onclick: () => posed.addPair() });
      by("editor").replaceChildren(sized(posed.question, "the question", SIDE));
      by("pairs").replaceChildren(...posed.pairs.map(pairOf), add); // below the button that asks, however many there are
    }
    posed.last = pictures.get(posed.question);
  }

  /** A change of the puzzle: the answers are of another one from here on. */
  function changed(grid, isWhole) {
    if (isWhole) draw();
    else {
      const drawn = pictures.get(grid);
      drawn.redraw({ legend: model.legend, height: grid.height, width: grid.width, cells: grid.cells, question: posed.kind === "board" ? grid.cells : undefined });
    }
    asking += 1;
    by("playground").removeAttribute("aria-busy");
    panel.clear("The puzzle has changed since; ask again.");
    showIdentifier();
    say("");
    told();
  }

  /** Which buttons have something to do. */
  function told() {
    by("undo").disabled = !posed.past.length;
    by("redo").disabled = !posed.future.length;
  }

  function drawTools() {
    tool = editor.tools[0].token;
    const made = editor.tools.map((one) => {
      const chip = one.chip ? e("span", { class: "chip", style: { "background-color": one.chip } }) : null;
      const button = e("button", { type: "button", class: one.chip ? "swatch" : null, "aria-label": one.said ?? null, title: one.said ?? null }, chip, one.label);
      button.addEventListener("click", () => take(one.token));
      button.dataset.token = one.token;
      return button;
    });
    by("tools").replaceChildren(...made);
    markTool();
  }

  function markTool() {
    if (editor.isSetting) return;
    for (const button of by("tools").children) button.setAttribute("aria-pressed", String(Number(button.dataset.token) === tool));
  }

  /** A tool is what a click draws; of a board it goes to the cell at the cursor. */
  function take(token) {
    tool = token;
    markTool();
    if (!editor.isSetting) return;
    const drawn = posed.last;
    posed.keep();
    posed.set(drawn.grid, drawn.cursor, token);
    told();
  }

  // ---- asking

  const hasIdentifiers = () => model.has_demonstrations && model.identifiers > 1;

  function showIdentifier() {
    by("identifier-label").hidden = !hasIdentifiers();
    if (!hasIdentifiers()) return;
    const known = posed.identifier === null ? [] : [e("option", { value: "own", text: `task ${posed.identifier}` })];
    by("identifier").replaceChildren(...known, e("option", { value: "mean", text: "no task it knows: the mean row" }));
  }

  function identifier() {
    if (!hasIdentifiers()) return {};
    return { identifier: by("identifier").value === "own" ? posed.identifier : "mean" };
  }

  async function ask() {
    const mine = (asking += 1);
    const isMine = () => mine === asking;
    const body = posed.body();
    const question = posed.kind === "colours" ? undefined : [...posed.question.cells];
    const right = posed.right;
    panel.clear("Asking ...");
    by("playground").setAttribute("aria-busy", "true");
    say("");
    const answered = server.post("predict", { ...body, ...identifier(), steps: Number(by("steps").value) || model.steps, trace: true, tokens: true })
      .then((result) => isMine() && panel.show(result, question))
      .catch((error) => {
        if (!isMine()) return;
        panel.clear("No answer.");
        say(error.message);
      });
    const solved = right ? Promise.resolve({ right, words: "As the data set has it." }) : solution(body);
    await answered;
    const found = await solved;
    if (!isMine()) return;
    by("playground").removeAttribute("aria-busy");
    panel.solve(found.right, found.words);
  }

  /** Our own solver's answer, or why there is none in its words. */
  async function solution(body) {
    try {
      const found = await server.post("solve", body);
      return { right: found, words: "By our own solver, which is no network." };
    } catch (error) {
      return { right: null, words: error.message };
    }
  }

  async function pose(source) {
    const mine = (asking += 1);
    by("playground").setAttribute("aria-busy", "true");
    say("");
    try {
      const found = await source();
      if (mine !== asking) return;
      posed.take(found);
      await ask();
    } catch (error) {
      if (mine !== asking) return;
      by("playground").removeAttribute("aria-busy");
      say(error.message);
    }
  }

  const taken = (one) => ({ tokens: one.tokens, grid: one.grid, demonstrations: one.demonstrations, identifier: one.identifier, right: one.right ? { tokens: one.right_tokens, answer: one.right } : null });

  async function random() {
    return taken(await server.post("random", {}));
  }

  async function example() {
    examples ??= (await server.get("examples")).examples;
    if (!examples.length) throw new server.ServerError("The server has no examples: its data set is not near.", 404);
    return taken(examples[nextExample++ % examples.length]);
  }

  // ---- the page

  function onKey(event) {
    if (!(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    const act = { z: () => (event.shiftKey ? posed.redo() : posed.undo()), y: () => posed.redo(), enter: ask }[key];
    if (!act || (key !== "enter" && event.target.matches("input"))) return;
    event.preventDefault();
    act();
  }

  function wire() {
    by("theme").addEventListener("click", () => TRM.switchTheme());
    by("random").addEventListener("click", () => pose(random));
    by("example").addEventListener("click", () => pose(example));
    by("clear").addEventListener("click", () => posed.clear());
    by("undo").addEventListener("click", () => posed.undo());
    by("redo").addEventListener("click", () => posed.redo());
    by("asking").addEventListener("submit", (event) => {
      event.preventDefault();
      ask();
    });
    document.addEventListener("keydown", onKey);
  }

  async function boot() {
    try {
      model = await server.get("model");
    } catch (error) {
      by("about").textContent = "";
      say(error.message);
      return;
    }
    document.title = `${model.data}: playground`;
    by("title").textContent = model.data;
    by("about").textContent = `${model.architecture} of ${model.parameters.toLocaleString("en")} weights, for ${model.task} puzzles of ${model.height} x ${model.width} cells`;
    by("steps").value = model.steps;
    by("steps").max = model.most.steps;
    by("random").hidden = model.has_demonstrations; // nobody makes such tasks
    panel = new TRM.AnswerPanel(model);
    posed = new TRM.PosedPuzzle(model, changed);
    editor = TRM.puzzleEditor(posed);
    by("hint").textContent = editor.hint;
    drawTools();
    draw();
    showIdentifier();
    told();
    wire();
    document.documentElement.dataset.ready = "true";
  }

  window.addEventListener("DOMContentLoaded", boot);
})();
