// Any two knobs: a mark a trial, coloured by its score, and behind the marks a smooth of them only where trials are near.
"use strict";

(() => {
  const { element, safe } = TRM;
  const WIDTH = 0.07; // of a range: the standard deviation of the weights
  const LEAST = 1.5; // trials' worth of weight that a cell needs
  const CELLS = 36, SHADES = 7, EDGE = 0.04, SPREAD = 0.6;

  const isThere = (trial, knobs, rung) => trial.confirms === null && trial.rungs[rung] && knobs.every((knob) => (trial.params[knob.path] ?? null) !== null || knob.values?.includes(null));
  const named = (value) => TRM.text(value ?? "null");

  /** Where values of a knob stand from 0 to 1, and the cells along it; names stand alone, no smooth goes from one to the other. */
  function scaleOf(knob, trials) {
    const own = trials.map((trial) => trial.params[knob.path] ?? null);
    if (knob.kind === "choice") {
      const names = knob.values.map(named);
      const places = names.map((_, place) => place);
      return { at: (value) => names.indexOf(named(value)), cells: places, values: places, names: names.map(safe), isNamed: true, isCounted: true };
    }
    const go = knob.log ? Math.log : (value) => value, back = knob.log ? Math.exp : (value) => value;
    const low = go(Math.min(...own)), range = go(Math.max(...own)) - low || 1;
    const isCounted = knob.kind === "int" && !knob.log && range <= CELLS;
    const cells = isCounted ? Array.from({ length: range + 1 }, (_, place) => place / range) : Array.from({ length: CELLS + 1 }, (_, place) => -EDGE + (1 + 2 * EDGE) * (place / CELLS));
    return { at: (value) => (go(value) - low) / range, cells, values: cells.map((cell) => back(low + cell * range)), isNamed: false, isCounted };
  }

  const nearness = (scale, distance) => (scale.isNamed ? Number(distance === 0) : Math.exp((-0.5 * distance * distance) / (WIDTH * WIDTH)));

  /** Weighted means over the cells, a row a cell of `up`; null where less than LEAST trials' worth of weight is near. */
  function smoothed(points, across, up) {
    const rows = points.map(([x, y]) => [across.cells.map((cell) => nearness(across, cell - x)), up.cells.map((cell) => nearness(up, cell - y))]);
    return up.cells.map((_, row) => across.cells.map((_, column) => {
      let sum = 0, weight = 0;
      rows.forEach(([xs, ys], place) => {
        const own = xs[column] * ys[row];
        sum += own * points[place][2];
        weight += own;
      });
      return weight < LEAST ? null : sum / weight;
    }));
  }

  function axisOf(knob, title, scale) {
    if (scale.isNamed) return { title, tickmode: "array", tickvals: scale.values, ticktext: scale.names };
    return { title, ...(knob.log ? { type: "log", ...TRM.logTicks(knob.low, knob.high, TRM.number) } : knob.kind === "int" && knob.high - knob.low <= 12 ? { dtick: 1 } : {}) };
  }

  /** A colour of a scale of three, at 0 to 1. */
  function shade(scale, share) {
    const place = Math.min(1, Math.floor(share * 2)), rest = share * 2 - place;
    const parts = [scale[place][1], scale[place + 1][1]].map((text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16)));
    return `rgb(${parts[0].map((value, index) => Math.round(value + rest * (parts[1][index] - value))).join(",")})`;
  }

  /** Where a mark stands along an axis of few places: beside that place, by the trial's number, so that marks do not hide each other. */
  const beside = (number, turns) => SPREAD * (((number + 1) * turns) % 1) - SPREAD / 2;

  function marks(trials, rung, x, y, [across, up], [low, high], c) {
    const { mode, best } = TRM.page.shared;
    const share = (trial) => (trial.rungs[rung][1] - low) / (high - low || 1);
    const value = (knob, scale, trial, turns) => {
      const own = trial.params[knob.path] ?? null;
      return (scale.isNamed ? scale.at(own) : own) + (scale.isCounted ? beside(trial.number, turns) : 0);
    };
    const said = (trial) => [x, y].map((knob) => safe(`${knob.path} ${named(trial.params[knob.path])}`)).join("<br>");
    const trace = (some, marker) => ({ type: "scatter", mode: "markers", showlegend: false, x: some.map((trial) => value(x, across, trial, 0.618034)), y: some.map((trial) => value(y, up, trial, 0.754878)), customdata: some.map((trial) => trial.number),
      text: some.map((trial) => `${TRM.score(trial.rungs[rung][1])}: trial ${trial.number} (${safe(trial.status)})<br>${said(trial)}`), hovertemplate: "%{text}<extra></extra>", marker });
    const step = (trial) => Math.min(SHADES - 1, Math.floor(share(trial) * SHADES));
    const shades = Array.from({ length: SHADES }, (_, index) => (mode === "max" ? index : SHADES - 1 - index));
    const found = shades.map((index) => [index, trials.filter((trial) => trial.number !== best && step(trial) === index)]).filter(([, some]) => some.length);
    const tone = (index) => shade(c.scale, mode === "max" ? (index + 0.5) / SHADES : 1 - (index + 0.5) / SHADES);
    const own = trials.filter((trial) => trial.number === best);
    return [...found.map(([index, some]) => trace(some, { symbol: "circle", size: 8, color: tone(index), line: { width: 0.7, color: c.ink } })),
      ...(own.length ? [trace(own, { symbol: "star", size: 15, color: c.best, line: { width: 1, color: c.paper } })] : [])];
  }

  function specOf(chosen, rung) {
    const { metric, mode, trials, knobs } = TRM.page.shared;
    const [x, y] = chosen.map((path) => knobs.find((knob) => knob.path === path));
    const drawn = trials.filter((trial) => isThere(trial, [x, y], rung));
    const scores = drawn.map((trial) => trial.rungs[rung][1]), ends = [Math.min(...scores), Math.max(...scores)];
    return {
      label: drawn.length ? `${metric} at rung ${rung} of ${drawn.length} trials over ${x.path} and ${y.path}: a mark is a trial, its colour the score, beside its place where many share one. The ground is a mean of those scores weighted by nearness (a normal curve of ${Math.round(100 * WIDTH)} % of each range; names apart), left out where fewer than ${LEAST} trials' worth are near. The other knobs differ too: it is what was seen there, not what these two knobs do.` : `No trial with ${x.path} and ${y.path} was scored at rung ${rung}.`,
      height: drawn.length ? 480 : 60,
      draw: (c) => {
        if (!drawn.length) return { traces: [], layout: {} };
        const [across, up] = [x, y].map((knob) => scaleOf(knob, drawn));
        const points = drawn.map((trial) => [across.at(trial.params[x.path] ?? null), up.at(trial.params[y.path] ?? null), trial.rungs[rung][1]]);
        const ground = { type: "heatmap", x: across.values, y: up.values, z: smoothed(points, across, up), zmin: ends[0], zmax: ends[1], colorscale: c.scale, reversescale: mode === "min", opacity: 0.55, hoverinfo: "skip", colorbar: { thickness: 12, outlinewidth: 0, title: { text: safe(metric) } } };
        return { traces: [ground, ...marks(drawn, rung, x, y, [across, up], ends, c)], layout: { xaxis: { ...axisOf(x, x.path, across), showgrid: false }, yaxis: { ...axisOf(y, y.path, up), showgrid: false }, uirevision: `${chosen} ${rung}` } };
      },
      table: () => ({ columns: [{ name: "trial" }, { name: "score", title: metric, show: TRM.score }, { name: x.path }, { name: y.path }], rows: drawn.map((trial) => ({ trial: trial.number, score: trial.rungs[rung][1], ...trial.params })) }),
    };
  }

  TRM.section("pairs", async (holder, data) => {
    const paths = TRM.page.shared.knobs.map((knob) => knob.path), rungs = TRM.page.shared.amounts.map((_, rung) => rung);
    const chosen = [...new Set([...data.knobs.filter((path) => paths.includes(path)), ...paths])].slice(0, 2);
    let rung = data.telling ?? 0, made = null;
    const show = () => made?.update(specOf(chosen, rung));
    const menu = (place, label) => {
      const select = element("select", { "aria-label": `knob ${label}`, onchange: () => { chosen[place] = select.value; show(); } }, ...paths.map((path) => element("option", { value: path, text: path, selected: path === chosen[place] })));
      return element("label", { class: "note" }, `${label} `, select);
    };
    holder.append(element("div", { class: "choice" }, menu(0, "across"), menu(1, "up")));
    if (rungs.length > 1) TRM.choice(holder, "at rung", rungs.map((one) => [one, String(one)]), rung, (one) => { rung = one; show(); });
    made = await TRM.chart(holder, specOf(chosen, rung));
    return { update: show };
  });
})();
