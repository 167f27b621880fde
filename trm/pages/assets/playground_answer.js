// What came back: the network's answer step by step, beside the right one, which our own solver finds.
"use strict";

(() => {
  const e = TRM.element;
  const by = (id) => document.getElementById(id);
  const PAUSE = 350; // milliseconds of a step that is played
  const plural = TRM.puzzleParts.plural;

  class AnswerPanel {
    constructor(model) {
      this.model = model;
      this.side = 360;
      this.timer = null;
      this.clear();
      by("step").addEventListener("input", () => {
        this.stop();
        this.goTo(Number(by("step").value));
      });
      by("play").addEventListener("click", () => (this.timer === null ? this.play() : this.stop()));
    }

    clear(words = "Nothing was asked yet.") {
      this.stop();
      Object.assign(this, { result: null, right: null, question: null, steps: [] });
      by("stepping").hidden = true;
      by("answer").replaceChildren(e("p", { class: "note", text: words }));
      by("solution").replaceChildren(e("p", { class: "note", text: "Our own solver is asked together with the network." }));
      by("verdict").replaceChildren();
    }

    /** A grid as TRM.puzzle draws it: tokens where the question's lie, or a grid of colours of its own size. */
    spec(one) {
      const { legend, height, width } = this.model;
      if (!this.isSized) return { legend, height, width, cells: one.tokens, question: this.question };
      const first = legend.tokens.findIndex((token) => token.role === "colour");
      const cells = one.answer.flat().map((colour) => colour + first);
      return { legend, height: one.answer.length, width: one.answer[0]?.length ?? 0, cells };
    }

    /** Which cells differ from the right answer: null while that is not known, or of another size. */
    differing(one) {
      if (!this.right) return null;
      const [mine, theirs] = [this.spec(one), this.spec(this.right)];
      if (mine.height !== theirs.height || mine.width !== theirs.width) return null;
      return mine.cells.map((token, index) => token !== theirs.cells[index]);
    }

    count(one) {
      const wrong = this.differing(one);
      return wrong && wrong.filter(Boolean).length;
    }

    /** How an answer stands to the right one, in words; null while that is not known. */
    comparison(one) {
      if (!this.right) return null;
      const count = this.count(one);
      if (count !== null) return count ? `${plural(count, "cell")} differ${count === 1 ? "s" : ""}` : "no cell differs";
      const size = ({ height, width }) => `${height} by ${width}`;
      return `its size is ${size(this.spec(one))}, not ${size(this.spec(this.right))}`;
    }

    /** The network's answer; `question` are its tokens, where they lie as the answer's do. */
    show(result, question) {
      this.stop();
      this.isSized = this.model.legend.kind === "colours";
      Object.assign(this, { result, question, steps: result.trace?.length ? result.trace : [result] });
      by("stepping").hidden = this.steps.length < 2;
      by("step").max = this.steps.length;
      this.goTo(this.steps.length);
      this.judge();
    }

    /** The right answer, {tokens, answer}, or null; and words about it. */
    solve(right, words) {
      this.right = right;
      this.isSized = this.model.legend.kind === "colours";
      const drawn = right ? TRM.puzzle(this.spec(right), { label: "the right answer", side: this.side }) : null;
      by("solution").replaceChildren(...[drawn, e("p", { class: "note", text: words })].filter(Boolean));
      if (this.result) {
        this.goTo(this.step);
        this.judge();
      }
    }

    goTo(step) {
      this.step = step;
      const one = this.steps[step - 1];
      const spec = this.spec(one);
      const picture = spec.cells.length ? TRM.puzzle({ ...spec, wrong: this.differing(one) ?? undefined }, { label: "the network's answer", side: this.side }) : e("p", { text: "No grid: there is no colour in the canvas's corner." });
      by("answer").replaceChildren(picture);
      const told = [`halting probability ${one.halting_probability.toFixed(3)}`, this.comparison(one)].filter(Boolean).join(", ");
      by("step").value = step;
      by("step-label").textContent = `step ${step} of ${this.steps.length}: ${told}`;
      by("step").setAttribute("aria-valuetext", by("step-label").textContent);
      if (this.steps.length < 2) return;
      const counts = this.steps.map((each) => this.count(each));
      const known = { halting: this.steps.map((each) => each.halting_probability), ...(counts.every((count) => count !== null) ? { wrong: counts } : {}) };
      by("halting").replaceChildren(TRM.puzzleParts.drawSteps([known], this.steps.length, step, one.halting_probability.toFixed(3)));
    }

    /** In words: whether the answer keeps the rules, and how it stands to the right one. */
    judge() {
      const { valid, broken, steps, halted_at: halted, seconds, notes } = this.result;
      const word = { true: ["good", "Valid: it keeps every rule of the puzzle."], false: ["bad", "Not valid:"], null: ["", "No rule says whether it is right."] }[String(valid)];
      const compared = this.comparison(this.result);
      const another = valid && this.count(this.result) ? ": another right one" : "";
      const halt = halted ? `it first wanted to halt after step ${halted}` : "it never wanted to halt";
      by("verdict").replaceChildren(
        e("p", { class: word[0], text: word[1] }),
        ...(broken?.length ? [e("ul", {}, ...broken.map((rule) => e("li", { text: rule })))] : []),
        ...(compared ? [e("p", { text: `Beside the right answer, ${compared}${another}.` })] : []),
        ...(notes ?? []).map((note) => e("p", { class: "note", text: note })),
        e("p", { class: "note", text: `${plural(steps, "step")} in ${seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(2)} s`}; ${halt}.` }),
      );
    }

    play() {
      by("play").textContent = "Pause";
      by("play").setAttribute("aria-pressed", "true");
      if (this.step >= this.steps.length) this.goTo(1);
      this.timer = setInterval(() => {
        if (this.step >= this.steps.length) this.stop();
        else this.goTo(this.step + 1);
      }, PAUSE);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      by("play").textContent = "Play";
      by("play").setAttribute("aria-pressed", "false");
    }
  }

  TRM.AnswerPanel = AnswerPanel;
})();
