// The list of a browser of puzzles: which are chosen by whom they were solved, part, name and order; drawn as it is scrolled to.
"use strict";

(() => {
  const e = TRM.element;
  const BATCH = 400; // buttons of the list that are made at a time
  const PRINTED = 24;
  const { cellsOf, plural } = TRM.puzzleParts;

  /** What a browser is made of besides the one puzzle that it shows (`open`, `showAnswers`, `spec`, `verdict`). */
  TRM.PuzzleList = class {
    constructor(body, data) {
      this.data = data;
      this.body = body;
      this.sides = data.sides || [];
      this.puzzles = data.puzzles.map((one, index) => ({ ...one, index }));
      this.chosen = this.puzzles;
      this.current = null;
      this.step = null;
      this.only = "all";
      this.text = "";
      this.part = "";
      this.order = "given";
      this.third = "";
      this.marks = true;
    }

    // ---- what is chosen

    isSolved(one, side) {
      return Boolean(one.answers && one.answers[side] && one.answers[side].solved);
    }

    kinds() {
      const first = (one) => this.isSolved(one, 0);
      const second = (one) => this.isSolved(one, 1);
      const kinds = [["all", "all", () => true]];
      if (this.sides.length === 1) kinds.push(["solved", "solved", first], ["unsolved", "unsolved", (one) => !first(one)]);
      if (this.sides.length === 2) {
        kinds.push(
          ["a", "A beats B", (one) => this.beats(one, 0, 1)],
          ["b", "B beats A", (one) => this.beats(one, 1, 0)],
          ["both", "both solve", (one) => first(one) && second(one)],
          ["neither", "neither solves", (one) => !first(one) && !second(one)],
        );
      }
      return kinds;
    }

    beats(one, side, other) {
      const scores = one.scores || [Number(this.isSolved(one, 0)), Number(this.isSolved(one, 1))];
      return scores[side] > scores[other];
    }

    filter() {
      const holds = this.kinds().find(([key]) => key === this.only)[2];
      const text = this.text.toLowerCase();
      const isFound = (one) => !text || one.name.toLowerCase().includes(text);
      const isPart = (one) => !this.part || String((one.facts || {}).part) === this.part;
      const isHard = this.inThird();
      this.chosen = this.puzzles.filter((one) => holds(one) && isFound(one) && isPart(one) && isHard(one));
      const [fact, way] = this.order === "given" ? [null, 1] : [this.order.slice(1), this.order[0] === "-" ? -1 : 1];
      if (fact) {
        const value = (one) => (fact === "wrong cells" ? this.wrongCells(one) : (one.facts || {})[fact]) ?? -Infinity;
        this.chosen.sort((one, other) => way * (value(one) - value(other)) || one.index - other.index);
      }
      this.count.textContent = `${this.chosen.length} of ${plural(this.puzzles.length, "puzzle")} shown`;
      this.fillList();
    }

    /** Facts that are numbers and differ: rating, clues, length of the path ... */
    numbers() {
      const values = new Map();
      for (const one of this.puzzles) {
        for (const [name, value] of Object.entries(one.facts || {})) {
          if (typeof value !== "number") continue;
          if (!values.has(name)) values.set(name, []);
          values.get(name).push(value);
        }
      }
      return new Map([...values].filter(([, some]) => new Set(some).size > 2));
    }

    /** Whether a puzzle lies in the third of a fact that was chosen: "0 rating" is the lowest. */
    inThird() {
      if (!this.third) return () => true;
      const [place, fact] = [Number(this.third[0]), this.third.slice(2)];
      const sorted = (this.numbers().get(fact) || []).toSorted((one, other) => one - other);
      const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
      const [low, high] = [place ? at(place / 3) : -Infinity, place < 2 ? at((place + 1) / 3) : Infinity];
      return (one) => {
        const value = (one.facts || {})[fact];
        return typeof value === "number" && value >= low && value < high;
      };
    }

    wrongCells(one) {
      const last = one.answers && one.answers[0] && one.answers[0].wrong;
      return last ? last[last.length - 1] : 0;
    }

    // ---- controls

    bar() {
      const choice = (label, options, change) => {
        const made = e("select", { onchange: (event) => change(event.target.value) }, ...options.map(([value, text]) => e("option", { value, text })));
        return e("label", {}, label, made);
      };
      const parts = [];
      if (this.sides.length) {
        const kinds = this.kinds().map(([key, text, holds]) => [key, `${text} (${this.puzzles.filter(holds).length})`]);
        parts.push(choice("show", kinds, (value) => this.set({ only: value })));
      }
      const named = [...new Set(this.puzzles.map((one) => (one.facts || {}).part).filter((part) => part !== undefined))];
      if (named.length > 1) parts.push(choice("part", [["", "every part"], ...named.map((name) => [String(name), String(name)])], (value) => this.set({ part: value })));
      const facts = new Set(this.numbers().keys());
      if (facts.size) {
        const thirds = [...facts].flatMap((name) => ["lowest", "middle", "highest"].map((word, place) => [`${place} ${name}`, `${name}: ${word} third`]));
        parts.push(choice("only", [["", "any difficulty"], ...thirds], (value) => this.set({ third: value })));
      }
      if (this.sides.length) facts.add("wrong cells");
      if (facts.size) {
        const orders = [...facts].flatMap((name) => [[`-${name}`, `most ${name} first`], [`+${name}`, `least ${name} first`]]);
        parts.push(choice("order", [["given", "as chosen"], ...orders], (value) => this.set({ order: value })));
      }
      const search = e("input", { type: "search", placeholder: "name", oninput: (event) => this.set({ text: event.target.value }) });
      parts.push(e("label", {}, "find", search));
      if (this.sides.length) parts.push(this.switch("mark what is wrong", this.marks, (on) => this.set({ marks: on })));
      if (this.data.legend.kind === "colours") {
        const now = TRM.puzzleSettings;
        parts.push(this.switch("colour-blind safe", now.palette === "safe", (on) => TRM.setPuzzles({ palette: on ? "safe" : "published" })));
        parts.push(this.switch("numbers", now.numbers, (on) => TRM.setPuzzles({ numbers: on })));
      }
      return e("div", { class: "puzzles-bar" }, ...parts, this.count);
    }

    switch(label, checked, change) {
      return e("label", {}, e("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked) }), label);
    }

    set(changes) {
      const { current } = this;
      Object.assign(this, changes);
      if ("marks" in changes) return this.showAnswers();
      this.filter();
      if (!this.chosen.includes(current) && this.chosen.length) this.open(this.chosen[0]);
      else this.markList();
      return null;
    }

    // ---- the list

    watchList() {
      this.watcher = new IntersectionObserver((seen) => {
        for (const { target, isIntersecting } of seen) if (isIntersecting) this.fill(target);
      }, { root: this.list, rootMargin: "200px" });
      this.ender = new IntersectionObserver((seen) => {
        if (seen.some((one) => one.isIntersecting)) this.moreButtons();
      }, { root: this.list, rootMargin: "400px" });
      window.addEventListener("beforeprint", () => [...this.list.children].slice(0, PRINTED).forEach((made) => this.fill(made)));
    }

    fillList() {
      this.watcher.disconnect();
      this.ender.disconnect();
      this.list.replaceChildren();
      this.buttons = new Map();
      this.moreButtons();
    }

    /** Makes the next buttons of the list, empty; each is drawn when it is scrolled to. */
    moreButtons() {
      this.ender.disconnect();
      const start = this.buttons.size;
      const made = this.chosen.slice(start, start + BATCH).map((one) => {
        const told = this.verdict(one);
        const button = e("button", { type: "button", tabindex: -1, title: one.name, "aria-label": [one.name, told].filter(Boolean).join(", "), onclick: () => this.open(one, { link: true }) });
        button.puzzle = one;
        this.buttons.set(one.index, button);
        this.watcher.observe(button);
        return button;
      });
      this.list.append(...made);
      if (this.buttons.size < this.chosen.length) this.ender.observe(made[made.length - 1]);
    }

    fill(button) {
      this.watcher.unobserve(button);
      if (button.firstChild || !button.puzzle) return;
      const one = button.puzzle;
      const drawn = TRM.puzzle(this.spec(one, cellsOf(one.question)), { isSmall: true, side: 72 });
      drawn.firstChild.setAttribute("aria-hidden", "true");
      const marks = this.sides.map((_, side) => (this.isSolved(one, side) ? "\u2713" : "\u2717")).join(" ");
      button.append(drawn, e("span", { class: "name", text: marks ? `${marks} ${one.name}` : one.name }));
    }

    /** Arrows, Home and End go from button to button; Enter opens the one with the focus. */
    onListKey(event) {
      const all = [...this.list.children];
      const place = all.indexOf(event.target.closest("button"));
      if (place < 0) return;
      const columns = Math.max(1, all.filter((one) => one.offsetTop === all[0].offsetTop).length);
      const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: all.length - 1 - place };
      const next = event.key in moves ? all[place + moves[event.key]] : null;
      if (!next) return;
      event.preventDefault();
      all[place].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }

    markList() {
      for (const [index, button] of this.buttons) {
        const isCurrent = this.current && index === this.current.index;
        if (isCurrent) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
        button.tabIndex = isCurrent ? 0 : -1; // one tab stop: arrows go on from there
      }
      if (!this.list.querySelector("button[tabindex='0']") && this.list.firstChild) this.list.firstChild.tabIndex = 0;
    }
  };
})();
