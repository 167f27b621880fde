// The browser of puzzles: a list that is drawn as it is scrolled to, one puzzle with its answers at every step, links to each.
"use strict";

(() => {
  const e = TRM.element;
  const BATCH = 400; // buttons of the list that are made at a time
  const PRINTED = 24;

  const { cellsOf, plural, figure, demonstrations, ballot, forms, drawSteps } = TRM.puzzleParts;

  class Browser {
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
      this.marks = true;
    }

    draw() {
      const { data } = this;
      const told = [data.chosen, ...(data.notes || [])].map((text) => e("p", { class: "puzzles-told", text }));
      if (!this.puzzles.length) return this.body.append(...told);
      this.list = e("div", { class: "puzzles-list", role: "group", "aria-label": "Puzzles" });
      this.one = e("div", { class: "puzzles-one", role: "region", "aria-label": "Puzzle" });
      this.count = e("span", { class: "count", role: "status" });
      const keys = this.sides.length ? "n, p: next and previous puzzle; comma, full stop: step back and on" : "n, p: next and previous puzzle";
      this.body.append(...told, this.bar(), this.one, this.list, e("p", { class: "puzzles-key", text: keys }));
      this.watchList();
      this.body.addEventListener("keydown", (event) => this.onKey(event));
      this.filter();
      this.open(this.named(location.hash) || this.chosen[0] || this.puzzles[0]);
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
      this.chosen = this.puzzles.filter((one) => holds(one) && isFound(one) && isPart(one));
      const [fact, way] = this.order === "given" ? [null, 1] : [this.order.slice(1), this.order[0] === "-" ? -1 : 1];
      if (fact) {
        const value = (one) => (fact === "wrong cells" ? this.wrongCells(one) : (one.facts || {})[fact]) ?? -Infinity;
        this.chosen.sort((one, other) => way * (value(one) - value(other)) || one.index - other.index);
      }
      this.count.textContent = `${this.chosen.length} of ${plural(this.puzzles.length, "puzzle")} shown`;
      this.fillList();
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
      const facts = new Set(this.puzzles.flatMap((one) => Object.entries(one.facts || {}).filter(([, value]) => typeof value === "number").map(([name]) => name)));
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
        const button = e("button", { type: "button", title: one.name, "aria-label": [one.name, told].filter(Boolean).join(", "), onclick: () => this.open(one, { link: true }) });
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

    markList() {
      for (const [index, button] of this.buttons) {
        if (this.current && index === this.current.index) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
    }

    // ---- one puzzle

    named(hash) {
      const asked = /^#puzzle=([^&]*)(?:&step=(\d+))?/.exec(hash);
      if (!asked) return null;
      let key = asked[1];
      try {
        key = decodeURIComponent(asked[1]);
      } catch {
        // a link that was cut
      }
      const found = this.puzzles.find((one) => this.key(one) === key) || null;
      if (found && asked[2]) this.asked = Number(asked[2]);
      return found;
    }

    key(one) {
      return this.data.key ? `${this.data.key}/${one.name}` : one.name;
    }

    link() {
      const most = this.steps();
      return `#puzzle=${encodeURIComponent(this.key(this.current))}${most > 1 ? `&step=${this.step}` : ""}`;
    }

    spec(one, cells, more = {}) {
      const { legend, height, width } = this.data;
      return { legend, height, width, cells, question: cellsOf(one.question), ...more };
    }

    steps() {
      return Math.max(0, ...(this.current.answers || []).map((answer) => (answer ? answer.steps.length : 0)));
    }

    verdict(one) {
      return this.sides.map((side, index) => {
        const own = one.answers[index];
        const told = !own ? "no answer" : own.solved ? "solved" : own.wrong ? `failed, ${plural(own.wrong[own.wrong.length - 1], "cell")} wrong` : "failed";
        return this.sides.length > 1 ? `${"AB"[index]} ${told}` : told;
      }).join("; ");
    }

    open(one, { link = false } = {}) {
      if (!one) return;
      this.current = one;
      this.step = Math.min(this.asked || Infinity, this.steps()) || this.steps();
      this.asked = null;
      this.markList();
      const place = this.chosen.indexOf(one);
      const go = (by, text, key) => e("button", { type: "button", text, title: key, disabled: place < 0 || !this.chosen[place + by], onclick: () => this.go(by) });
      const copy = e("button", { type: "button", text: "Copy link", onclick: () => this.copy(copy) });
      const facts = Object.entries(one.facts || {}).map(([name, value]) => `${name} ${value}`).join(", ");
      const head = e("div", { class: "puzzles-head" }, e("h3", { text: one.name }), e("span", { class: "puzzles-verdict", role: "status", text: this.verdict(one) }), e("span", { class: "facts", text: facts }), go(-1, "Previous", "p"), go(1, "Next", "n"), copy);
      this.answers = e("div", {});
      this.one.replaceChildren(head, ...(one.demonstrations ? [demonstrations(one, this.data)] : []), this.answers, ...this.stepper(), ...(one.ballot ? [ballot(one, this.data)] : []), ...(one.forms ? [forms(one, this.data)] : []));
      this.showAnswers();
      if (link) this.putLink();
    }

    putLink() {
      try {
        history.replaceState(null, "", this.link());
      } catch {
        // a browser that lets no file do so: the link is copied all the same
      }
    }

    async copy(button) {
      this.putLink();
      const text = location.href.split("#")[0] + this.link();
      let isCopied = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        isCopied = false; // no permission: it stands in the address, from where it is copied
      }
      button.textContent = isCopied ? "Copied" : "It stands in the address";
      setTimeout(() => (button.textContent = "Copy link"), 1600);
    }

    /** Question, right answer, what was answered after the step, and where that differs. */
    showAnswers() {
      const one = this.current;
      const truth = one.truth ? cellsOf(one.truth) : null;
      const row = [figure("question", this.spec(one, cellsOf(one.question)))];
      if (truth) row.push(e("span", { class: "puzzles-arrow", "aria-hidden": "true", text: "\u2192" }), figure("right answer", this.spec(one, truth)));
      this.sides.forEach((side, index) => {
        const own = one.answers[index];
        if (!own) return;
        const at = Math.min(this.step, own.steps.length);
        const cells = cellsOf(own.steps[at - 1]);
        const wrong = truth ? cells.map((token, place) => this.isAsked(truth[place]) && token !== truth[place]) : null;
        const name = this.sides.length > 1 ? `${"AB"[index]}'s answer` : "answer";
        const after = own.steps.length > 1 ? ` after step ${at} of ${own.steps.length}` : own.after ? ` after ${plural(own.after, "step")}` : "";
        row.push(figure(name + after, this.spec(one, cells, { truth, ...(this.marks && wrong ? { wrong } : {}) })));
        if (wrong && wrong.some(Boolean)) row.push(this.difference(one, truth, wrong, index));
      });
      this.answers.replaceChildren(e("div", { class: "puzzles-row" }, ...row));
      this.showStep();
    }

    isAsked(token) {
      return this.data.legend.tokens[token] === undefined || this.data.legend.tokens[token].role !== "pad";
    }

    /** What would be right in the cells that are wrong; the others are left out. */
    difference(one, truth, wrong, index) {
      const name = this.sides.length > 1 ? `${"AB"[index]}: difference` : "difference";
      const count = wrong.filter(Boolean).length;
      const blank = this.data.legend.tokens.findIndex((token) => token.role === (this.data.legend.kind === "maze" ? "space" : "empty"));
      const left = blank < 0 ? 0 : blank;
      const isKept = (place) => wrong[place] || (this.data.legend.kind === "maze" && !["path", "space"].includes(this.data.legend.tokens[truth[place]].role));
      const cells = truth.map((token, place) => (isKept(place) ? token : left));
      return figure(`${name}: ${plural(count, "cell")}, what is right there`, { ...this.spec(one, cells, { truth, isBare: true }), question: null });
    }

    // ---- steps

    stepper() {
      const most = this.steps();
      if (most < 2) return [];
      this.plot = e("div", {});
      this.slider = e("input", { type: "range", min: 1, max: most, value: this.step, "aria-label": "supervision step", oninput: (event) => this.goStep(Number(event.target.value)) });
      const told = e("p", { class: "puzzles-key", text: this.sides.length > 1 ? "Lines with round (A) and square marks (B): probability to halt after each supervision step; dashed red: cells wrong." : "Line: probability to halt after each supervision step; dashed: cells wrong." });
      return [e("div", { class: "puzzles-steps" }, this.plot, this.slider, told)];
    }

    goStep(step) {
      this.step = Math.max(1, Math.min(this.steps(), step));
      this.showAnswers();
    }

    showStep() {
      const most = this.steps();
      if (most < 2) return;
      this.slider.value = this.step;
      const known = this.current.answers.filter(Boolean);
      const told = known.map((own, index) => {
        const at = Math.min(this.step, own.steps.length) - 1;
        const name = known.length > 1 ? `${"AB"[index]}: ` : "";
        return `${name}halting ${own.halting[at].toFixed(3)}${own.wrong ? `, ${plural(own.wrong[at], "cell")} wrong` : ""}`;
      });
      this.slider.setAttribute("aria-valuetext", `step ${this.step} of ${most}: ${told.join("; ")}`);
      this.plot.replaceChildren(drawSteps(known, most, this.step, told.join("; ")));
    }

    // ---- keyboard

    go(by) {
      const next = this.chosen[this.chosen.indexOf(this.current) + by];
      if (!next) return;
      const had = document.activeElement && this.one.contains(document.activeElement) ? document.activeElement.textContent : null;
      while (!this.buttons.has(next.index) && this.buttons.size < this.chosen.length) this.moreButtons();
      this.open(next, { link: true });
      const button = this.buttons.get(next.index);
      if (button) this.list.scrollTop = button.offsetTop - this.list.clientHeight / 2;
      if (had) [...this.one.querySelectorAll("button")].find((one) => one.textContent === had && !one.disabled)?.focus();
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=search], select")) return;
      const keys = { n: () => this.go(1), p: () => this.go(-1), ",": () => this.goStep(this.step - 1), ".": () => this.goStep(this.step + 1) };
      if (!(event.key in keys)) return;
      if (this.steps() < 2 && [",", "."].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    }
  }

  const browsers = [];

  /** data: {legend, height, width, key?, chosen, notes?, sides: [names], puzzles: [{name, facts, question, truth, answers, ...}]} */
  TRM.section("puzzles", (body, data) => {
    const browser = new Browser(body, data);
    browsers.push(browser);
    browser.draw();
  });

  /** A link to a puzzle brings its section into view; which of several has it, these say when they are drawn. */
  function follow() {
    if (!location.hash.startsWith("#puzzle=")) return;
    const found = browsers.find((one) => one.named(location.hash));
    if (found) found.open(found.named(location.hash));
    const section = found ? found.body : TRM.sections.find((one) => one.name === "puzzles")?.element;
    section?.scrollIntoView();
  }
  window.addEventListener("hashchange", follow);
  TRM.events.addEventListener("ready", follow);
  document.addEventListener("trm:drawn", () => {
    const found = browsers.find((one) => one.named(location.hash));
    found?.body.scrollIntoView();
  });

  // n and p work wherever no other key is meant, on the browser that is in view
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.target.closest?.("input, select, textarea, dialog")) return;
    const seen = browsers.find((one) => {
      const place = one.body.getBoundingClientRect();
      return place.bottom > 80 && place.top < window.innerHeight - 80;
    });
    if (seen && seen.one) seen.onKey(event);
  });
})();
