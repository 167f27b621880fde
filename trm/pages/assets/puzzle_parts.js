// Parts of one puzzle's picture: demonstrations, votes, augmentations, and what it said after each supervision step.
"use strict";

(() => {
  const e = TRM.element;
  const parts = (TRM.puzzleParts = {});

  /** Tokens of a grid that was sent as text: a letter each, from "0" on. */
  parts.cellsOf = (text) => Array.from(text, (letter) => letter.charCodeAt(0) - 48);
  parts.plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  parts.figure = (caption, spec, options = {}) => e("figure", {}, e("figcaption", { text: caption }), TRM.puzzle(spec, { label: caption, ...options }));

  const { cellsOf, plural, figure } = parts;
  const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 1 : 0)} %`;
  const arrow = () => e("span", { class: "puzzles-arrow", "aria-hidden": "true", text: "\u2192" });

  parts.demonstrations = (one, data) => {
    const { height, width, legend } = data;
    const pairs = one.demonstrations.map(([question, answer], number) => {
      const drawn = [question, answer].map((text, side) => TRM.puzzle({ legend, height, width, cells: cellsOf(text) }, { side: 120, label: `demonstration ${number + 1}, ${side ? "answer" : "question"}` }));
      return e("figure", {}, e("figcaption", { text: `demonstration ${number + 1}` }), e("div", { class: "puzzles-row" }, drawn[0], arrow(), drawn[1]));
    });
    return e("details", { open: true }, e("summary", { text: `${plural(pairs.length, "demonstration")} of the task` }), e("div", { class: "puzzles-row" }, ...pairs));
  };

  /** Who was voted for, the two attempts first. */
  parts.ballot = (ballot, data, title) => {
    const { height, width, legend } = data;
    const { votes, grids, candidates } = ballot;
    const made = candidates.map((candidate, number) => {
      const told = [number < 2 ? `attempt ${number + 1}` : `place ${number + 1}`, `${plural(candidate.votes, "vote")} (${percent(candidate.votes / votes)})`, `halting ${candidate.probability.toFixed(2)}`, candidate.right ? "right" : "wrong"];
      return figure(`${candidate.right ? "\u2713" : "\u2717"} ${told.join(", ")}`, { legend, height, width, cells: cellsOf(candidate.cells) }, { side: 130 });
    });
    const right = candidates.findIndex((candidate) => candidate.right);
    const place = ballot.rank ? `the right grid has place ${ballot.rank}` : "nobody voted for the right grid";
    const more = grids > candidates.length ? `, the first ${candidates.length} of them drawn` : "";
    const told = `Ballot: ${plural(votes, "vote")} for ${plural(grids, "grid")}${more}; ${place}. ${right >= 0 && right < 2 ? "Solved within two attempts." : "Not solved within two attempts."}`;
    return e("div", {}, e("h4", { text: title }), e("p", { class: "puzzles-told", text: told }), e("div", { class: "puzzles-row" }, ...made));
  };

  /** Augmentations beside the original. */
  parts.forms = (one, data) => {
    const { height, width, legend } = data;
    const drawn = one.forms.map(({ label, question, truth }) => {
      const both = [question, truth].filter(Boolean).map((text) => TRM.puzzle({ legend, height, width, cells: cellsOf(text), question: cellsOf(question) }, { side: 120, label }));
      return e("figure", {}, e("figcaption", { text: label }), e("div", { class: "puzzles-row" }, ...both));
    });
    return e("div", {}, e("h4", { text: "Augmentations: as training meets it" }), e("div", { class: "puzzles-row" }, ...drawn));
  };

  /** Halting probability and wrong cells, by step. */
  parts.drawSteps = (known, most, now, told) => {
    const [w, h, left, right, top, bottom] = [640, 110, 30, 34, 18, 18];
    const x = (step) => left + ((step - 1) / (most - 1)) * (w - left - right);
    const y = (share) => h - bottom - share * (h - top - bottom);
    const svg = e("svg:svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `halting probability by supervision step; step ${now}: ${told}` });
    const dot = (cx, cy, side) => (side ? e("svg:rect", { x: cx - 3, y: cy - 3, width: 6, height: 6, class: "dot second" }) : e("svg:circle", { cx, cy, r: 3, class: "dot" }));
    const text = (at, height, anchor, words) => e("svg:text", { x: at, y: height, "text-anchor": anchor, text: words });
    for (const share of [0, 0.5, 1]) {
      svg.append(e("svg:path", { d: `M${left} ${y(share)}H${w - right}`, class: "rule" }), text(left - 4, y(share) + 4, "end", String(share)));
    }
    const worst = Math.max(1, ...known.flatMap((own) => own.wrong || [0]));
    svg.append(text(w - right + 4, y(1) + 4, "start", String(worst)), text(w - right + 4, y(0) + 4, "start", "0"), text(x(now), 12, now < most / 2 ? "start" : "end", `step ${now}: ${told}`));
    svg.append(e("svg:path", { d: `M${x(now)} ${top - 2}V${h - bottom + 3}`, class: "now" }));
    for (const [index, own] of known.entries()) {
      const look = index ? " second" : "";
      const line = (values, scale) => values.map((value, index) => `${index ? "L" : "M"}${x(index + 1).toFixed(1)} ${y(value / scale).toFixed(1)}`).join("");
      if (own.wrong) svg.append(e("svg:path", { d: line(own.wrong, worst), class: `wrong${look}` }));
      svg.append(e("svg:path", { d: line(own.halting, 1), class: `line${look}` }));
      if (most <= 64) svg.append(...own.halting.map((value, at) => dot(x(at + 1), y(value), index)));
    }
    return svg;
  };
})();
