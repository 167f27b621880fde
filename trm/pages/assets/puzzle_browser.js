// The browser of puzzles: its list, one puzzle with its answers at every step, links to each.
"use strict";

(() => {
  const e = TRM.element;

  const { cellsOf, plural, figure, demonstrations, ballot, forms, drawSteps } = TRM.puzzleParts;

  class Browser extends TRM.PuzzleList {
    draw() {
      const { data } = this;
      const told = [data.chosen, ...(data.notes || [])].map((text) => e("p", { class: "puzzles-told", text }));
      if (!this.puzzles.length) return this.body.append(...told);
      this.list = e("div", { class: "puzzles-list", role: "group", "aria-label": "Puzzles" });
      this.one = e("div", { class: "puzzles-one", role: "region", "aria-label": "Puzzle" });
      this.count = e("span", { class: "count", role: "status" });
      const keys = `n, p: next and previous puzzle; arrows: from picture to picture${this.sides.length ? "; comma, full stop: step back and on" : ""}`;
      this.body.append(...told, this.bar(), this.one, this.list, e("p", { class: "puzzles-key", text: keys }));
      this.watchList();
      this.list.addEventListener("keydown", (event) => this.onListKey(event));
      this.body.addEventListener("keydown", (event) => this.onKey(event));
      this.filter();
      this.open(this.named(location.hash) || this.chosen[0] || this.puzzles[0]);
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

    tell(text) {
      this.body.prepend(e("p", { class: "failed", role: "alert", text }));
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
      this.one.replaceChildren(head, ...(one.demonstrations ? [demonstrations(one, this.data)] : []), this.answers, ...this.stepper(), ...this.ballots(one), ...(one.forms ? [forms(one, this.data)] : []));
      this.showAnswers();
      if (link) this.putLink();
    }

    ballots(one) {
      const made = (one.ballots || []).map((own, side) => own && ballot(own, this.data, this.sides.length > 1 ? `Votes of ${"AB"[side]}` : "Votes"));
      return made.filter(Boolean);
    }

    putLink() {
      try {
        history.replaceState(null, "", TRM.withMark(this.link()));
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
      const told = this.sides.map((side, index) => this.rules(one.answers[index], index)).filter(Boolean);
      this.answers.replaceChildren(e("div", { class: "puzzles-row" }, ...row), ...told);
      this.showStep();
    }

    /** Which of the puzzle's own rules the last answer breaks; one that breaks none is right by them, another than the recorded one. */
    rules(own, index) {
      if (!own || !own.breaks) return null;
      const name = this.sides.length > 1 ? `${"AB"[index]}'s last answer` : "The last answer";
      const told = own.breaks.length ? `breaks the rules: ${own.breaks.join("; ")}.` : "keeps every rule of the puzzle: it is another than the recorded one.";
      return e("p", { class: "puzzles-told", text: `${name} ${told}` });
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
      const wasListed = this.list.contains(document.activeElement);
      const had = document.activeElement && this.one.contains(document.activeElement) ? document.activeElement.textContent : null;
      while (!this.buttons.has(next.index) && this.buttons.size < this.chosen.length) this.moreButtons();
      this.open(next, { link: true });
      const button = this.buttons.get(next.index);
      if (button) this.list.scrollTop = button.offsetTop - this.list.clientHeight / 2;
      if (wasListed && button) button.focus({ preventScroll: true });
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
    if (!location.hash.startsWith("#puzzle=")) return;
    const found = browsers.find((one) => one.named(location.hash));
    if (found) found.body.scrollIntoView();
    else if (browsers[0]) browsers[0].tell("The puzzle of the link is not on this page, which has a choice of them.");
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
