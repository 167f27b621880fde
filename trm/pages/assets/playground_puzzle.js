// The puzzle that is posed: its grids, what changes them, and every earlier state of it.
"use strict";

(() => {
  const MOST_KEPT = 200;
  const MOST_SIDE = 30;
  const NEW_SIDE = 3;

  /** Grids of one puzzle; `changed(grid, isWhole)` hears of each change, `isWhole` where more than cells of one grid did. */
  class PosedPuzzle {
    constructor(model, changed) {
      this.legend = model.legend;
      [this.height, this.width] = [model.height, model.width];
      this.kind = model.legend.kind;
      this.changed = changed;
      this.past = [];
      this.future = [];
      this.identifier = null;
      this.right = null;
      Object.assign(this, this.empty());
    }

    /** Numbers of the tokens with a role. */
    tokens(role) {
      return this.legend.tokens.flatMap((token, number) => (token.role === role ? [number] : []));
    }

    get blank() {
      const role = { board: "empty", maze: "space", colours: "colour" }[this.kind];
      return (role && this.tokens(role)[0]) ?? this.tokens("empty")[0] ?? 1;
    }

    grid(height, width, cells = null) {
      return { height, width, cells: cells ? [...cells] : new Array(height * width).fill(this.blank) };
    }

    empty() {
      if (this.kind === "colours") {
        return { question: this.grid(NEW_SIDE, NEW_SIDE), pairs: [[this.grid(NEW_SIDE, NEW_SIDE), this.grid(NEW_SIDE, NEW_SIDE)]] };
      }
      const question = this.grid(this.height, this.width);
      if (this.kind === "maze") {
        question.cells[0] = this.tokens("start")[0];
        question.cells[question.cells.length - 1] = this.tokens("goal")[0];
      }
      return { question, pairs: [] };
    }

    /** As the server takes it. */
    body() {
      if (this.kind !== "colours") return { row: this.question.cells };
      const pairs = this.pairs.map(([input, output]) => ({ input: this.rows(input), output: this.rows(output) }));
      return { grid: this.rows(this.question), ...(pairs.length ? { demonstrations: pairs } : {}) };
    }

    /** Rows of colours. */
    rows(grid) {
      const first = this.tokens("colour")[0];
      return Array.from({ length: grid.height }, (_, y) => grid.cells.slice(y * grid.width, (y + 1) * grid.width).map((token) => token - first));
    }

    /** A grid of rows of colours. */
    ofRows(rows) {
      const first = this.tokens("colour")[0];
      return this.grid(rows.length, rows[0].length, rows.flat().map((colour) => colour + first));
    }

    /** The puzzle becomes what the server posed: tokens of a whole row, or rows of colours with demonstrations. */
    take({ tokens, grid, demonstrations, identifier, right }) {
      this.keep();
      this.question = this.kind === "colours" ? this.ofRows(grid) : this.grid(this.height, this.width, tokens);
      this.pairs = (demonstrations ?? []).map(({ input, output }) => [this.ofRows(input), this.ofRows(output)]);
      this.identifier = identifier ?? null;
      this.right = right ?? null;
      this.changed(null, true);
    }

    clear() {
      this.keep();
      Object.assign(this, this.empty());
      this.identifier = null;
      this.right = null;
      this.changed(null, true);
    }

    // ---- earlier states

    snapshot() {
      const copy = (grid) => this.grid(grid.height, grid.width, grid.cells);
      const { identifier, right } = this;
      return { question: copy(this.question), pairs: this.pairs.map((pair) => pair.map(copy)), identifier, right };
    }

    /** What comes next may be undone up to here. */
    keep() {
      this.past.push(this.snapshot());
      if (this.past.length > MOST_KEPT) this.past.shift();
      this.future = [];
    }

    undo() {
      this.go(this.past, this.future);
    }

    redo() {
      this.go(this.future, this.past);
    }

    go(from, to) {
      if (!from.length) return;
      to.push(this.snapshot());
      Object.assign(this, from.pop());
      this.changed(null, true);
    }

    // ---- changes

    set(grid, index, token) {
      if (grid.cells[index] === token) return;
      grid.cells[index] = token;
      if (grid === this.question) this.right = null;
      this.changed(grid, false);
    }

    /** The start or the goal of a maze goes to another cell; where it was is free. */
    move(grid, index, token) {
      const other = this.tokens(token === this.tokens("start")[0] ? "goal" : "start")[0];
      if (grid.cells[index] === other) return;
      grid.cells.forEach((cell, at) => {
        if (cell === token) grid.cells[at] = this.blank;
      });
      this.set(grid, index, token);
    }

    resize(grid, height, width) {
      const [h, w] = [height, width].map((side) => Math.max(1, Math.min(MOST_SIDE, Math.round(side) || 1)));
      this.keep();
      const cells = Array.from({ length: h * w }, (_, index) => {
        const [y, x] = [Math.floor(index / w), index % w];
        return y < grid.height && x < grid.width ? grid.cells[y * grid.width + x] : this.blank;
      });
      Object.assign(grid, { height: h, width: w, cells });
      if (grid === this.question) this.right = null;
      this.changed(null, true);
    }

    addPair() {
      this.keep();
      this.pairs.push([this.grid(NEW_SIDE, NEW_SIDE), this.grid(NEW_SIDE, NEW_SIDE)]);
      this.changed(null, true);
    }

    removePair(number) {
      this.keep();
      this.pairs.splice(number, 1);
      this.changed(null, true);
    }
  }

  // ---- what a press, a drag and a key do, by the kind of puzzle

  /** How a puzzle is edited: `tools` are what a click draws, `hint` says it, `press`, `drag` and `key` do it. */
  const EDITORS = {
    board: (posed) => {
      const digits = posed.tokens("symbol");
      return {
        hint: `Click a cell, then type 1 to ${digits.length} or take a digit above; 0, Delete or Space empties it. Arrows move.`,
        isSetting: true,
        tools: [...digits.map((token) => ({ token, label: posed.legend.tokens[token].shown })), { token: posed.blank, label: "\u232b", said: "empty the cell" }],
        press: () => {},
        drag: () => {},
        key: (grid, index, key) => write(posed, grid, index, erases(key) ? posed.blank : digits[Number(key) - 1]),
      };
    },
    maze: (posed) => {
      const [wall, start, goal] = ["wall", "start", "goal"].map((role) => posed.tokens(role)[0]);
      let stroke = wall;
      const draw = (grid, index) => {
        if (stroke === start || stroke === goal) posed.move(grid, index, stroke);
        else if (![start, goal].includes(grid.cells[index])) posed.set(grid, index, stroke);
      };
      return {
        hint: `Drag to draw walls, or over walls to open them; drag the start or the goal elsewhere. Keys: Enter or W a wall, S start, G goal, Delete opens. This network takes ${posed.height} x ${posed.width} cells, no others.`,
        tools: [{ token: wall, label: "Walls" }, { token: start, label: "Start" }, { token: goal, label: "Goal" }],
        press: (grid, index, tool) => {
          const there = grid.cells[index];
          stroke = [start, goal].includes(there) ? there : tool === wall && there === wall ? posed.blank : tool;
          draw(grid, index);
        },
        drag: draw,
        key: (grid, index, key) => {
          const token = { w: wall, s: start, g: goal }[key.toLowerCase()] ?? (erases(key) && key !== " " ? posed.blank : undefined);
          if (token === undefined) return false;
          posed.keep();
          stroke = token;
          draw(grid, index);
          return true;
        },
      };
    },
    colours: (posed) => {
      const colours = posed.tokens("colour");
      return {
        hint: "Take a colour, then click or drag; or type 0 to 9 at the cursor. Arrows move.",
        tools: colours.map((token) => ({ token, label: posed.legend.tokens[token].shown, said: posed.legend.tokens[token].said, chip: posed.legend.tokens[token].colour })),
        press: (grid, index, tool) => posed.set(grid, index, tool),
        drag: (grid, index, tool) => posed.set(grid, index, tool),
        key: (grid, index, key) => write(posed, grid, index, ["Delete", "Backspace"].includes(key) ? posed.blank : /^\d$/.test(key) ? colours[Number(key)] : undefined),
      };
    },
    table: (posed) => {
      const tokens = [...posed.tokens("empty"), ...posed.tokens("symbol")];
      const named = (key) => tokens.find((token) => posed.legend.tokens[token].name === key);
      return {
        hint: "Take a token, then click or drag; or type it where it is one letter. Delete empties a cell.",
        tools: tokens.map((token) => ({ token, label: posed.legend.tokens[token].name })),
        press: (grid, index, tool) => posed.set(grid, index, tool),
        drag: (grid, index, tool) => posed.set(grid, index, tool),
        key: (grid, index, key) => write(posed, grid, index, ["Delete", "Backspace"].includes(key) ? posed.blank : named(key)),
      };
    },
  };

  const erases = (key) => ["0", ".", " ", "Delete", "Backspace"].includes(key);

  /** Whether a key meant a token, which is then at the cursor. */
  function write(posed, grid, index, token) {
    if (token === undefined) return false;
    posed.keep();
    posed.set(grid, index, token);
    return true;
  }

  TRM.PosedPuzzle = PosedPuzzle;
  TRM.puzzleEditor = (posed) => EDITORS[posed.kind](posed);
})();
