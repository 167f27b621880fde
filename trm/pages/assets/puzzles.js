// Puzzles drawn as SVG: TRM.puzzle(spec, options) gives an element. What tokens mean comes as data (trm/tasks/legend.py).
"use strict";
window.TRM = window.TRM || {};

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const CELL = 20; // units of the drawing a cell
  const LARGE = 24; // cells of a side from which on a picture is larger
  const LONG_ROW = 40; // a table of one row that is longer is drawn in several lines
  const LINE = 30;
  const MOST_FRAMED = 30; // coloured cells that have a frame too where they are wrong
  const MOST_SAID = 100; // cells of a puzzle that is read out whole
  const settings = { palette: "published", numbers: false };

  /** How colours are drawn on this page; `TRM.setPuzzles({palette: "safe", numbers: true})` changes it everywhere. */
  TRM.puzzleSettings = settings;
  TRM.setPuzzles = (changes) => {
    Object.assign(settings, changes);
    for (const one of document.querySelectorAll(".puzzle")) if (one.redraw) one.redraw();
    document.dispatchEvent(new CustomEvent("trm:puzzles", { detail: { ...settings } }));
  };

  function node(name, attributes = {}, parent = null) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent && attributes.d !== "") parent.append(made); // nothing is drawn of no cells
    return made;
  }

  const square = (x, y, inset = 0, side = CELL) =>
    `M${x * CELL + inset} ${y * CELL + inset}h${side - 2 * inset}v${side - 2 * inset}h${2 * inset - side}z`;

  /** What is drawn of the canvas: rows and columns of it, and where a cell of the picture stands in `cells`. */
  function frame(spec) {
    const { legend } = spec;
    let { height, width } = spec;
    if (legend.kind === "table" && height === 1 && width > LONG_ROW) {
      height = Math.ceil(width / LINE);
      width = LINE;
    }
    const box = [0, 0, height, width];
    const crops = legend.kind === "colours" ? ["colour"] : legend.kind === "table" ? ["symbol", "empty"] : null;
    if (crops && !spec.isWhole) {
      const all = [spec.cells, ...(spec.truth ? [spec.truth] : [])];
      const bounds = [height, width, -1, -1];
      for (const cells of all) {
        cells.forEach((token, index) => {
          if (!crops.includes(roleOf(legend, token))) return;
          const [y, x] = [Math.floor(index / width), index % width];
          bounds[0] = Math.min(bounds[0], y);
          bounds[1] = Math.min(bounds[1], x);
          bounds[2] = Math.max(bounds[2], y);
          bounds[3] = Math.max(bounds[3], x);
        });
      }
      if (bounds[2] < 0) return { top: 0, left: 0, rows: 1, columns: 1, width };
      box.splice(0, 4, bounds[0], bounds[1], bounds[2] + 1, bounds[3] + 1);
    }
    return { top: box[0], left: box[1], rows: box[2] - box[0], columns: box[3] - box[1], width };
  }

  const tokenOf = (legend, token) => legend.tokens[token] || { name: String(token), role: "unknown", shown: "?", said: `token ${token}` };
  const roleOf = (legend, token) => tokenOf(legend, token).role;

  /** Cells of the picture: place, index into the spec's arrays, token, and whether it is wrong. */
  function* cellsOf(spec, view) {
    for (let y = 0; y < view.rows; y++) {
      for (let x = 0; x < view.columns; x++) {
        const index = (y + view.top) * view.width + x + view.left;
        if (index >= spec.cells.length) return;
        yield { x, y, index, token: tokenOf(spec.legend, spec.cells[index]), isWrong: isWrong(spec, index) };
      }
    }
  }

  function isWrong(spec, index) {
    if (spec.wrong) return Boolean(spec.wrong[index]);
    return false;
  }

  function gridLines(view, every, className, parent) {
    const [w, h] = [view.columns * CELL, view.rows * CELL];
    let path = "";
    for (let y = every[0]; y < view.rows; y += every[0]) path += `M0 ${y * CELL}h${w}`;
    for (let x = every[1]; x < view.columns; x += every[1]) path += `M${x * CELL} 0v${h}`;
    node("path", { d: path, class: className }, parent);
  }

  function letter(text, cell, className, parent) {
    const size = Math.min(0.68, 1.5 / Math.max(text.length, 1)) * CELL;
    const made = node("text", { x: (cell.x + 0.5) * CELL, y: (cell.y + 0.5) * CELL + size * 0.36, class: className }, parent);
    made.setAttribute("font-size", size.toFixed(1));
    made.textContent = text;
    return made;
  }

  /** Cells that are wrong: a frame and a cross in the corner, so that they are told without colour. */
  function markWrong(cells, parent) {
    let frames = "";
    let crosses = "";
    for (const { x, y } of cells) {
      frames += square(x, y, 1.4);
      const [left, top] = [x * CELL + CELL - 7.4, y * CELL + 2.4];
      crosses += `M${left} ${top}l5 5m0 -5l-5 5`;
    }
    node("path", { d: frames, class: "wrong-frame" }, parent);
    node("path", { d: crosses, class: "wrong-cross" }, parent);
  }

  function drawBoard(spec, view, parent) {
    const cells = [...cellsOf(spec, view)];
    const isClue = (cell) => spec.question && roleOf(spec.legend, spec.question[cell.index]) === "symbol";
    node("path", { d: cells.filter(isClue).map(({ x, y }) => square(x, y)).join(""), class: "clue-ground" }, parent);
    const wrong = cells.filter((cell) => cell.isWrong);
    node("path", { d: wrong.map(({ x, y }) => square(x, y)).join(""), class: "wrong-ground" }, parent);
    gridLines(view, [1, 1], "thin", parent);
    if (spec.legend.box) gridLines(view, spec.legend.box, "thick", parent);
    for (const cell of cells) {
      if (cell.token.shown) letter(cell.token.shown, cell, isClue(cell) ? "clue" : "filled", parent);
    }
    markWrong(wrong, parent);
  }

  function drawMaze(spec, view, parent) {
    const cells = [...cellsOf(spec, view)];
    const of = (...roles) => cells.filter((cell) => roles.includes(cell.token.role));
    const onPath = new Set(of("path", "start", "goal").map((cell) => cell.y * view.columns + cell.x));
    node("path", { d: of("wall").map(({ x, y }) => square(x, y)).join(""), class: "wall" }, parent);
    let line = "";
    for (const { x, y, token } of of("path", "start", "goal")) {
      const [cx, cy] = [(x + 0.5) * CELL, (y + 0.5) * CELL];
      const next = (dx, dy) => onPath.has((y + dy) * view.columns + x + dx);
      if (x + 1 < view.columns && next(1, 0)) line += `M${cx} ${cy}h${CELL}`;
      if (next(0, 1)) line += `M${cx} ${cy}v${CELL}`;
      if (token.role === "path") line += `M${cx} ${cy}h0.01`;
    }
    node("path", { d: line, class: "way" }, parent);
    for (const cell of of("pad", "unknown")) letter("?", cell, "strange", parent);
    const r = Math.min(18, Math.max(9, view.rows / 2)); // of start and goal: to be seen in large mazes
    for (const cell of of("start", "goal")) {
      const [x, y] = [cell.x * CELL + CELL / 2, cell.y * CELL + CELL / 2];
      if (cell.token.role === "start") node("circle", { cx: x, cy: y, r, class: "start" }, parent);
      else node("path", { d: `M${x} ${y - r - 2}l${r + 2} ${r + 2}l${-r - 2} ${r + 2}l${-r - 2} ${-r - 2}z`, class: "goal" }, parent);
      letter(cell.token.shown, cell, "end-letter", parent);
    }
    let crosses = "";
    let rings = "";
    for (const { x, y, token } of cells.filter((cell) => cell.isWrong)) {
      const [left, top] = [x * CELL, y * CELL];
      if (token.role === "space") rings += `M${left + 4} ${top + 10}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0`;
      else crosses += `M${left + 3} ${top + 3}l14 14m0 -14l-14 14`;
    }
    node("path", { d: rings, class: "missing" }, parent);
    node("path", { d: crosses, class: "wrong-cross strong" }, parent);
  }

  const inkOn = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
    return 0.3 * r + 0.59 * g + 0.11 * b > 0.5 ? "#000" : "#fff";
  };

  function drawColours(spec, view, parent) {
    const grounds = new Map();
    const cells = [...cellsOf(spec, view)];
    const colourOf = (token) => (settings.palette === "safe" ? token.safe_colour : token.colour);
    for (const cell of cells) {
      if (cell.token.role !== "colour") continue;
      const colour = colourOf(cell.token);
      grounds.set(colour, (grounds.get(colour) || "") + square(cell.x, cell.y));
    }
    for (const [colour, d] of grounds) node("path", { d, fill: colour }, parent);
    const empty = spec.isBare ? [] : cells.filter((cell) => cell.token.role !== "colour");
    node("path", { d: empty.map(({ x, y }) => `M${x * CELL + 7} ${y * CELL + 10}h6`).join(""), class: "nothing" }, parent);
    gridLines(view, [1, 1], "thin on-colour", parent);
    if (settings.numbers && !spec.isSmall) {
      for (const cell of cells) {
        if (cell.token.role !== "colour") continue;
        letter(cell.token.shown, cell, "number", parent).style.fill = inkOn(colourOf(cell.token));
      }
    }
    const wrong = cells.filter((cell) => cell.isWrong);
    if (wrong.length <= MOST_FRAMED) {
      node("path", { d: wrong.map(({ x, y }) => square(x, y, 2.5)).join(""), class: "wrong-halo" }, parent);
      node("path", { d: wrong.map(({ x, y }) => square(x, y, 2.5)).join(""), class: "wrong-frame on-colour" }, parent);
    }
    const cross = wrong.map(({ x, y }) => `M${x * CELL + 6} ${y * CELL + 6}l8 8m0 -8l-8 8`).join("");
    node("path", { d: cross, class: "wrong-halo" }, parent);
    node("path", { d: cross, class: "wrong-cross on-colour" }, parent);
  }

  function drawTable(spec, view, parent) {
    const cells = [...cellsOf(spec, view)];
    const wrong = cells.filter((cell) => cell.isWrong);
    node("path", { d: wrong.map(({ x, y }) => square(x, y)).join(""), class: "wrong-ground" }, parent);
    gridLines(view, [1, 1], "thin", parent);
    for (const cell of cells) {
      if (cell.token.shown) letter(cell.token.shown.slice(0, 6), cell, "filled", parent);
    }
    markWrong(wrong, parent);
  }

  const DRAWN = { board: drawBoard, maze: drawMaze, colours: drawColours, table: drawTable };

  const placeText = (index, view) =>
    `row ${Math.floor(index / view.width) - view.top + 1}, column ${(index % view.width) - view.left + 1}`;

  /** The puzzle in words: all of a small one, what there is of a large one, and what is wrong. */
  function saidOf(spec, view) {
    const cells = [...cellsOf(spec, view)];
    const parts = [`${view.rows} by ${view.columns} cells`];
    if (cells.length <= MOST_SAID) {
      for (let y = 0; y < view.rows; y++) {
        parts.push(cells.filter((cell) => cell.y === y).map((cell) => cell.token.said).join(" "));
      }
    } else {
      const counts = new Map();
      for (const { token } of cells) counts.set(token.said, (counts.get(token.said) || 0) + 1);
      parts.push([...counts].map(([said, count]) => `${count} ${said}`).join(", "));
    }
    const wrong = cells.filter((cell) => cell.isWrong);
    if (spec.wrong) parts.push(wrong.length ? `${wrong.length} wrong` : "nothing wrong");
    if (wrong.length && wrong.length <= 10) parts.push(wrong.map((cell) => placeText(cell.index, view)).join("; "));
    return parts.join(". ");
  }

  /**
   * An element that shows a grid.
   *
   * spec: {legend, height, width, cells, question?, truth?, wrong?}: cells, question and truth are tokens, wrong is booleans;
   * where wrong is left out and `options.marks` is true, what differs from truth is marked.
   * options: {label, marks, isSmall, side (pixels of the longer side), isWhole (the padding too),
   *   onCell(index, {kind: "press" | "drag" | "enter", event}), onKey(index, key, event) -> handled?}: with one of the last
   *   two the element takes focus; arrows, Home and End move its cursor.
   * The element has redraw(spec?), focusCell(index) and cursor (an index, or null).
   */
  TRM.puzzle = (spec, options = {}) => {
    const element = document.createElement("div");
    const isEdited = Boolean(options.onCell || options.onKey);
    element.className = `puzzle puzzle-${spec.legend.kind}${options.isSmall ? " small" : ""}${isEdited ? " edited" : ""}`;
    const svg = node("svg", {}, null);
    element.append(svg);
    let view = null;
    let shown = spec;
    element.cursor = isEdited ? 0 : null;

    element.redraw = (next = null) => {
      shown = next || shown;
      let full = { ...shown, isWhole: options.isWhole || isEdited, isSmall: options.isSmall };
      if (!full.wrong && options.marks && full.truth) full.wrong = full.cells.map((token, index) => token !== full.truth[index]);
      view = frame(full);
      const [w, h] = [view.columns * CELL, view.rows * CELL];
      svg.replaceChildren();
      svg.setAttribute("viewBox", `-1 -1 ${w + 2} ${h + 2}`);
      const most = Math.max(view.rows, view.columns);
      const unit = Math.min((options.side || (most > LARGE ? 380 : 260)) / most, options.isSmall ? 14 : 36);
      svg.setAttribute("width", Math.round(unit * view.columns));
      svg.setAttribute("height", Math.round(unit * view.rows));
      node("rect", { x: 0, y: 0, width: w, height: h, class: "ground" }, svg);
      DRAWN[full.legend.kind](full, view, svg);
      node("rect", { x: 0, y: 0, width: w, height: h, class: "frame" }, svg);
      if (isEdited) drawCursor();
      if (options.isSmall) return; // a thumbnail is named by its button
      svg.setAttribute("role", isEdited ? "application" : "img");
      const words = isEdited ? "arrow keys move, Enter or a key changes a cell" : saidOf(full, view);
      svg.setAttribute("aria-label", [options.label, words].filter(Boolean).join(": "));
    };

    function drawCursor() {
      const [y, x] = [Math.floor(element.cursor / view.width), element.cursor % view.width];
      node("path", { d: square(x - view.left, y - view.top, 1), class: "cursor" }, svg);
    }
    const showCursor = () => {
      svg.querySelector(".cursor")?.remove();
      drawCursor();
    };
    if (isEdited) TRM.editPuzzle(element, svg, options, { now: () => ({ view, spec: shown }), showCursor, placeText, tokenOf, CELL });
    element.redraw();
    return element;
  };
})();
