// One trial, chosen anywhere, is marked everywhere: in every chart, line and table, in the address (#trial=17), and said aloud.
"use strict";

(() => {
  const { element } = TRM;
  const RING = 8; // pixels
  let chosen = null, bar = null, said = null;

  const trials = () => TRM.page?.shared?.trials ?? [];
  const trialOf = (number) => trials().find((one) => one.number === number) ?? null;
  /** The trial that a number stands for: a fresh seed stands for the trial that it confirms. */
  const meant = (number) => trialOf(number)?.confirms ?? number;
  const isChosen = (number) => chosen !== null && typeof number === "number" && meant(number) === chosen;

  // ---- the address: #trial=17, or #s-curves&trial=17 where a section is named too

  const parts = () => window.location.hash.slice(1).split("&").filter(Boolean);
  const isOfTrial = (part) => /^trial=\d+$/.test(part);

  function writeAddress() {
    const next = [...parts().filter((part) => !isOfTrial(part)), ...(chosen === null ? [] : [`trial=${chosen}`])].join("&");
    window.history.replaceState(null, "", window.location.href.split("#")[0] + (next && `#${next}`));
  }

  /** A fragment, with the marked trial behind it. */
  const withMark = (fragment) => (chosen === null ? fragment : `${fragment}&trial=${chosen}`);

  function readAddress() {
    const found = parts().find(isOfTrial);
    if (found) choose(Number(found.split("=")[1]));
    else if (chosen !== null) writeAddress(); // a link to a section took its place
  }

  // ---- what is said

  function words(trial) {
    const { metric, trials: all } = TRM.page.shared;
    const rungs = Object.keys(trial.rungs).map(Number), last = Math.max(...rungs);
    const score = rungs.length ? `${metric} ${TRM.score(trial.rungs[last][1])} at rung ${last}` : "no score";
    const ranked = all.filter((one) => (one.rank ?? null) !== null).length;
    return `Trial ${trial.number} is marked in all charts and tables: ${trial.status.replaceAll("_", " ")}, ${score}${(trial.rank ?? null) === null ? "" : `, rank ${trial.rank} of ${ranked}`}.`;
  }

  function makeBar() {
    said = element("span", { role: "status" });
    bar = element("div", { class: "chosen-bar", hidden: true }, said,
      element("button", { type: "button", onclick: showRow }, "its row"),
      element("button", { type: "button", title: "Escape", onclick: () => choose(null) }, "clear"));
    document.body.append(bar);
  }

  function showRow() {
    const row = document.querySelector("#s-leaderboard tr.chosen");
    row?.scrollIntoView({ block: "center" });
    row?.focus({ preventScroll: true });
  }

  /** Mark a trial everywhere; null marks none. */
  function choose(number) {
    if (!bar) makeBar();
    const trial = number === null ? null : trialOf(meant(number));
    chosen = trial?.number ?? null;
    bar.hidden = number === null;
    said.textContent = trial ? words(trial) : number === null ? "No trial is marked." : `There is no trial ${number} here.`;
    writeAddress();
    document.dispatchEvent(new CustomEvent("trm:chosen", { detail: chosen }));
  }

  // ---- keys: m and M walk through the trials by rank

  function walk(by) {
    const ranked = trials().filter((one) => (one.rank ?? null) !== null).sort((a, b) => a.rank - b.rank);
    if (ranked.length === 0) return;
    const place = ranked.findIndex((one) => one.number === chosen);
    choose(ranked[place < 0 ? 0 : Math.min(ranked.length - 1, Math.max(0, place + by))].number);
  }

  function onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog")) return;
    if (event.key === "Escape" && bar && !bar.hidden) choose(null);
    else if (trials().length && event.key === "m") walk(1);
    else if (trials().length && event.key === "M") walk(-1);
  }

  // ---- charts: a point belongs to the trial that its customdata names

  /** Rings around a chart's points of the chosen trial, joined where its line is drawn, and a frame around its bars. */
  function markChart(plot) {
    for (const old of plot.querySelectorAll(".chosen-marks")) old.remove();
    for (const old of plot.querySelectorAll(".point.chosen")) old.classList.remove("chosen");
    if (chosen === null) return;
    for (const points of plot.calcdata ?? []) {
      const { trace } = points[0];
      if (!Array.isArray(trace.customdata)) continue;
      if (trace.type === "bar") markBars(plot, trace);
      else if (trace.type === "scatter") markPoints(plot, trace, points);
    }
  }

  function markPoints(plot, trace, points) {
    const axis = (name, id) => plot._fullLayout[`${name}axis${id.slice(1)}`];
    const across = axis("x", trace.xaxis), up = axis("y", trace.yaxis), isLine = /lines/.test(trace.mode), hasMarks = trace.mode !== "lines" || trace.uid.startsWith("many");
    let rings = "", line = "", isOn = false;
    points.forEach((point, place) => {
      const x = across.c2p(point.x), y = up.c2p(point.y);
      const isOwn = isChosen(trace.customdata[place]) && Number.isFinite(x) && Number.isFinite(y);
      if (isOwn && hasMarks) rings += `M${x},${y}m${RING},0a${RING},${RING} 0 1,1 ${-2 * RING},0a${RING},${RING} 0 1,1 ${2 * RING},0z`;
      if (isOwn && isLine) line += `${isOn ? "L" : "M"}${x},${y}`;
      isOn = isOwn;
    });
    const layer = plot.querySelector(`.cartesianlayer .subplot.${trace.xaxis}${trace.yaxis} .scatterlayer`);
    const drawn = [line, rings].filter(Boolean).flatMap((d) => [element("svg:path", { class: "halo", d }), element("svg:path", { d })]);
    if (layer && drawn.length) layer.parentNode.append(element("svg:g", { class: "chosen-marks" }, ...drawn));
  }

  function markBars(plot, trace) {
    for (const holder of plot.querySelectorAll(".barlayer .trace.bars")) {
      if (holder.__data__?.[0]?.trace.uid !== trace.uid) continue;
      for (const point of holder.querySelectorAll(".point")) point.classList.toggle("chosen", isChosen(trace.customdata[point.__data__?.i]));
    }
  }

  /** A chart marks the chosen trial from now on, and a click on a point of one chooses it. */
  function chooseable(plot) {
    plot.on?.("plotly_click", ({ points }) => {
      const number = points.map((point) => point.customdata).find((one) => typeof one === "number");
      if (number !== undefined) choose(isChosen(number) ? null : number);
    });
    document.addEventListener("trm:chosen", () => markChart(plot));
  }

  TRM.events.addEventListener("ready", () => {
    if (!trials().length && TRM.page.live === null) return;
    makeBar();
    document.addEventListener("keydown", onKey);
    window.addEventListener("hashchange", readAddress);
    readAddress();
  });

  Object.assign(TRM, { withMark, choose, isChosen, markChart, chooseable });
})();
