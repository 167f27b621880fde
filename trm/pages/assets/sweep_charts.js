// A sweep's charts: what compute bought, knobs one by one, what mattered, depth, fronts, fresh seeds, earlier sweeps, the ledger.
"use strict";

(() => {
  const { element, safe, LOOKS } = TRM;
  const shared = () => TRM.page.shared;
  const plain = (trials) => trials.filter((trial) => trial.confirms === null);
  const isNarrow = () => document.getElementById("main").clientWidth < 640;
  const better = () => (shared().mode === "max" ? "more is better" : "less is better");

  function mark(look, c) {
    const { mark: symbol, size, colour } = LOOKS[look];
    return { symbol, size, color: c[colour], line: { width: 1.3, color: c[colour] } };
  }

  /** Trials by how they are drawn, the best last, so that it lies on top. */
  function byLook(trials) {
    const found = new Map(TRM.ORDER.map((look) => [look, []]));
    for (const trial of trials) found.get(TRM.lookOf(trial, shared().best)).push(trial);
    return [...found].filter(([, one]) => one.length);
  }

  const hovers = new WeakMap(); // trial -> what a chart says of it
  function hover(trial) {
    if (!hovers.has(trial)) hovers.set(trial, `trial ${trial.number} (${safe(trial.status)})<br>${safe(TRM.paramsText(trial.params)).replaceAll(", ", "<br>")}`);
    return hovers.get(trial);
  }
  const nameOf = (look) => (look === "best" ? `best: trial ${shared().best}` : LOOKS[look].label);

  // ---- learning curves: the objective on compute, a line a trial

  function curveTraces(c) {
    return byLook(plain(shared().trials).filter((trial) => Object.keys(trial.rungs).length)).map(([look, trials]) => {
      const x = [], y = [], text = [], up = [], down = [], customdata = [];
      for (const trial of trials) {
        for (const [rung, [flops, score, low, high]] of Object.entries(trial.rungs)) {
          x.push(flops); y.push(score); customdata.push(trial.number); text.push(`rung ${rung}, ${hover(trial)}`);
          up.push(high === null ? 0 : high - score); down.push(low === null ? 0 : score - low);
        }
        x.push(null); y.push(null); customdata.push(null); text.push(""); up.push(0); down.push(0);
      }
      const isBest = look === "best";
      const bars = isBest ? { error_y: { type: "data", symmetric: false, array: up, arrayminus: down, color: c.best, thickness: 1.2, width: 4 } } : {};
      return { x, y, text, customdata, type: "scatter", mode: "lines+markers", name: nameOf(look), marker: mark(look, c), hovertemplate: "%{y:.4f} at %{x:.3s}FLOP<br>%{text}<extra></extra>",
        line: { color: c[LOOKS[look].colour], width: isBest ? 2.6 : 1, dash: look === "stopped" ? "dot" : "solid" }, opacity: isBest ? 1 : 0.75, ...bars };
    });
  }

  function curvesSpec() {
    const { metric, best, trials, amounts } = shared();
    const scored = plain(trials).filter((trial) => Object.keys(trial.rungs).length);
    const flops = scored.flatMap((trial) => Object.values(trial.rungs).map((one) => one[0]));
    const reached = amounts.map((_, rung) => `${scored.filter((trial) => trial.rungs[rung]).length} at rung ${rung}`);
    return {
      label: scored.length ? `${metric} (${better()}) against the training FLOPs of a trial, a line a trial: ${reached.join(", ")}${best === null ? "" : `; the best, trial ${best}, with its 95 % intervals`}.` : "No trial has a result yet.",
      height: 440,
      draw: (c) => ({ traces: curveTraces(c), layout: { xaxis: TRM.costAxis("training FLOPs of the trial", flops), yaxis: { title: metric } } }),
      table: () => ({ columns: [{ name: "trial" }, { name: "status", isText: true }, { name: "rung" }, { name: "flops", show: TRM.flops }, { name: "score", title: metric, show: TRM.score }, { name: "low", show: TRM.score }, { name: "high", show: TRM.score }],
        rows: scored.flatMap((trial) => Object.entries(trial.rungs).map(([rung, [at, score, low, high]]) => ({ trial: trial.number, status: trial.status, rung: Number(rung), flops: at, score, low, high }))) }),
    };
  }

  TRM.section("curves", async (holder) => {
    const made = await TRM.chart(holder, curvesSpec());
    return { update: () => made.update(curvesSpec()) };
  });

  // ---- training curves

  const SHOWN = { loss: "training loss", exact_accuracy: "exact, of training rows that halted" };

  function trainingSpec(data, name) {
    const { best } = shared();
    const drawn = Object.entries(data.curves).filter(([, curve]) => curve[name]);
    const every = drawn.flatMap(([, curve]) => curve.train_flops);
    const joined = (curves) => ({
      x: curves.flatMap(([, curve]) => [...curve.train_flops, null]), y: curves.flatMap(([, curve]) => [...curve[name], null]),
      customdata: curves.flatMap(([trial, curve]) => [...curve.train_flops.map(() => Number(trial)), null]),
    });
    const others = drawn.filter(([trial]) => Number(trial) !== best), own = drawn.filter(([trial]) => Number(trial) === best);
    const template = "%{y:.4g} at %{x:.3s}FLOP<br>trial %{customdata}<extra></extra>";
    return {
      label: `${SHOWN[name]} against training FLOPs while trials trained, of ${drawn.length} trials${own.length ? `; thick: the best, trial ${best}` : ""}.`,
      draw: (c) => ({
        traces: [{ ...joined(others), type: "scatter", mode: "lines", name: "trials", line: { color: c.faint, width: 0.8 }, opacity: 0.8, hovertemplate: template },
          { ...joined(own), type: "scatter", mode: "lines", name: `best: trial ${best}`, line: { color: c.best, width: 2.6 }, hovertemplate: template }].filter((one) => one.x.length),
        layout: { xaxis: TRM.costAxis("training FLOPs", every), yaxis: { title: SHOWN[name] } },
      }),
      table: () => ({ columns: [{ name: "trial" }, { name: "points" }, { name: "last", title: `last ${name}` }],
        rows: drawn.map(([trial, curve]) => ({ trial: Number(trial), points: curve[name].length, last: curve[name].findLast((value) => value !== null) ?? null })) }),
    };
  }

  TRM.section("training", async (holder, data) => {
    let shown = "loss", current = data;
    TRM.choice(holder, "of training:", Object.entries(SHOWN), shown, (name) => { shown = name; made.update(trainingSpec(current, shown)); });
    const made = await TRM.chart(holder, trainingSpec(data, shown));
    return { update(next) { current = next; return made.update(trainingSpec(current, shown)); } };
  });

  // ---- slices: each knob against the objective, at one rung

  const MOST_SLICES = 16;

  function isVaried(trials, path) {
    return new Set(trials.map((trial) => JSON.stringify(trial.params[path]))).size > 1;
  }

  function slicesSpec(rung) {
    const { knobs, metric, trials } = shared();
    const there = plain(trials).filter((trial) => trial.rungs[rung]);
    const drawn = knobs.filter((knob) => isVaried(there, knob.path)).slice(0, MOST_SLICES);
    const columns = Math.max(1, Math.min(4, drawn.length, Math.floor((document.getElementById("main").clientWidth || 1000) / 250)));
    const rows = Math.max(1, Math.ceil(drawn.length / columns));
    const short = TRM.shortNames(knobs.map((knob) => knob.path));
    const layout = { grid: { rows, columns, pattern: "independent", xgap: 0.12, ygap: Math.min(0.35, 0.2 + 0.02 * rows) }, showlegend: true };
    const draw = (c) => {
      const traces = [];
      drawn.forEach((knob, place) => {
        const n = place === 0 ? "" : place + 1;
        const isNamed = knob.kind === "choice";
        layout[`xaxis${n}`] = { title: short.get(knob.path), ...(isNamed ? { type: "category", categoryorder: "array", categoryarray: knob.values.map((value) => safe(TRM.text(value ?? "null"))) } : knob.log ? { type: "log", ...TRM.logTicks(knob.low, knob.high, TRM.number) } : knob.kind === "int" && knob.high - knob.low <= 8 ? { dtick: 1 } : {}) };
        layout[`yaxis${n}`] = { title: place % columns === 0 ? metric : "" };
        for (const [look, some] of byLook(there)) {
          const having = some.filter((trial) => trial.params[knob.path] !== undefined);
          const at = having.map((trial) => trial.params[knob.path]);
          traces.push({ x: isNamed ? at.map((value) => safe(TRM.text(value ?? "null"))) : at, y: having.map((trial) => trial.rungs[rung][1]), text: having.map(hover), customdata: having.map((trial) => trial.number), xaxis: `x${n}`, yaxis: `y${n}`,
            type: "scatter", mode: "markers", name: nameOf(look), legendgroup: look, showlegend: place === 0, marker: mark(look, c), hovertemplate: "%{x}: %{y:.4f}<br>%{text}<extra></extra>" });
        }
      });
      return { traces, layout };
    };
    const left = knobs.filter((knob) => isVaried(there, knob.path)).length - drawn.length;
    return {
      label: drawn.length ? `${metric} at rung ${rung} against each knob, of the ${there.length} trials that were scored there${left > 0 ? `; ${left} further knobs are left out` : ""}.` : `Nothing to see at rung ${rung}: ${there.length} trials were scored there, and differ in no knob.`,
      height: drawn.length ? 90 + 230 * rows : 60, draw,
      table: () => ({ columns: [{ name: "trial" }, { name: "score", title: metric, show: TRM.score }, ...drawn.map((knob) => ({ name: knob.path, title: short.get(knob.path) }))],
        rows: there.map((trial) => ({ trial: trial.number, score: trial.rungs[rung][1], ...trial.params })) }),
    };
  }

  /** A chart with a button a rung, the telling one pressed. */
  async function byRung(holder, rungs, telling, specOf) {
    let rung = telling ?? rungs[0] ?? 0;
    let made = null;
    if (rungs.length > 1) TRM.choice(holder, "at rung", rungs.map((one) => [one, String(one)]), rung, (one) => { rung = one; made?.update(specOf(rung)); });
    made = await TRM.chart(holder, specOf(rung));
    return { update: () => made.update(specOf(rung)) };
  }

  TRM.section("slices", (holder, data) => byRung(holder, shared().amounts.map((_, rung) => rung), data.telling, slicesSpec));

  // ---- what mattered

  function importanceSpec(data, rung) {
    const told = data.rungs.find((one) => one.rung === rung);
    const axes = (told?.axes ?? []).slice(0, 16).toReversed();
    const title = (axis) => safe(data.derived[axis.name] ?? axis.name);
    const say = (axis) => (axis.probability > 0.5 ? `${Math.round(100 * axis.importance)} %` : `not clear (${Math.round(100 * axis.probability)} % likely to matter)`);
    return {
      label: told ? `${data.sentence ?? ""}. Shown: rung ${rung} (${told.amount_text}), ${told.trials} trials; a bar is the share of differences that an axis accounts for by itself, beyond chance, and behind it how likely it is that the axis matters at all.` : "Nothing can be told yet: fewer than 10 trials were scored at any rung.",
      height: axes.length ? 80 + 30 * axes.length : 60,
      draw: (c) => ({
        traces: axes.length ? [["knob", "a knob", c.plain, ""], ["derived", "what knobs imply", c.good, "/"]].map(([kind, name, color, shape]) => ({
          type: "bar", orientation: "h", name, y: axes.map(title), x: axes.map((axis) => (axis.kind === kind ? axis.importance : null)), marker: { color, pattern: { shape, fillmode: "overlay", fgcolor: c.paper, size: 7 } },
          text: axes.map((axis) => (axis.kind === kind ? say(axis) : "")), textposition: "outside", cliponaxis: false, hovertemplate: "%{y}: %{x:.1%}<extra></extra>" })) : [],
        layout: { barmode: "overlay", xaxis: { tickformat: ".0%", rangemode: "tozero", range: [0, Math.max(0.1, 1.35 * Math.max(0, ...axes.map((axis) => axis.importance)))] }, yaxis: { automargin: true, type: "category" }, margin: { l: TRM.labelRoom(axes.map((axis) => data.derived[axis.name] ?? axis.name)), r: 20, t: 34, b: 36 } },
      }),
      table: () => ({ columns: [{ name: "name", title: "axis", isText: true }, { name: "kind", isText: true }, { name: "importance", show: TRM.percent }, { name: "probability", title: "likely to matter", show: TRM.percent }, { name: "trials" }], rows: told?.axes ?? [] }),
    };
  }

  TRM.section("importance", (holder, data) => {
    let current = data;
    const made = byRung(holder, data.rungs.map((one) => one.rung), data.telling, (rung) => importanceSpec(current, rung));
    return made.then((one) => ({ update(next) { current = next; return one.update(); } }));
  });

  function depthSpec(data, rung) {
    const told = data.rungs.find((one) => one.rung === rung) ?? data.rungs[0];
    const values = (name) => [...new Set(told.cells.map((cell) => cell[name]))].sort((a, b) => a - b);
    const rows = values("H_cycles"), columns = values("L_cycles");
    const cell = (high, low) => told.cells.find((one) => one.H_cycles === high && one.L_cycles === low);
    const text = rows.map((high) => columns.map((low) => { const one = cell(high, low); return one ? isNarrow() ? TRM.number(Number(one.mean.toPrecision(2))) : `${TRM.number(one.mean)}<br>best ${TRM.number(one.best)}, n ${one.trials}` : ""; }));
    const best = [...told.cells].sort((a, b) => (data.mode === "max" ? b.mean - a.mean : a.mean - b.mean))[0];
    return {
      label: `Mean ${data.metric} by recursion at equal compute: rung ${told.rung}, ${told.amount_text}. Highest mean rank: H_cycles ${best.H_cycles}, L_cycles ${best.L_cycles} with ${TRM.number(best.mean)} over ${best.trials} trials.`.replace("Highest mean rank", "Best mean"),
      height: 110 + 62 * rows.length,
      draw: (c) => ({
        traces: [{ type: "heatmap", x: columns.map(String), y: rows.map(String), z: rows.map((high) => columns.map((low) => cell(high, low)?.mean ?? null)), text, texttemplate: "%{text}", colorscale: c.scale, reversescale: data.mode === "min", xgap: 2, ygap: 2, hoverinfo: "skip", colorbar: { thickness: 12, outlinewidth: 0, title: { text: safe(data.metric) } } }],
        layout: { xaxis: { title: "L_cycles", type: "category", showgrid: false }, yaxis: { title: "H_cycles", type: "category", showgrid: false } },
      }),
      table: () => ({ columns: ["H_cycles", "L_cycles", "trials", "mean", "best"].map((name) => ({ name })), rows: told.cells }),
    };
  }

  TRM.section("depth_map", (holder, data) => {
    let current = data;
    const made = byRung(holder, data.rungs.map((one) => one.rung), data.telling, (rung) => depthSpec(current, rung));
    return made.then((one) => ({ update(next) { current = next; return one.update(); } }));
  });

  // ---- fronts

  function frontSpec(data, name) {
    const { metric } = shared();
    const points = (rows) => rows.filter((row) => row.against[name] !== null && row.against[name] !== undefined && row.objective !== null);
    const members = points(data.members).toSorted((a, b) => a.against[name] - b.against[name]), others = points(data.others);
    const trace = (rows, look, more) => ({ type: "scatter", x: rows.map((row) => row.against[name]), y: rows.map((row) => row.objective), text: rows.map((row) => String(row.trial)), customdata: rows.map((row) => row.trial), hovertemplate: "trial %{text}: %{y:.4f}<extra></extra>", ...more });
    return {
      label: `${metric} (${better()}) against ${name} (less is better): the ${members.length} trials of the front, which none beats in everything, are named; ${others.length} stand behind it.`,
      height: 400,
      draw: (c) => ({
        traces: [trace(others, "stopped", { mode: "markers", name: "behind the front", marker: { symbol: "circle-open", size: 6, color: c.faint } }),
          trace(members, "best", { mode: shared().against.length === 1 ? "lines+markers+text" : "markers+text", name: "the front", textposition: "top right", marker: { symbol: "diamond", size: 10, color: c.best }, line: { color: c.best, width: 1.4, shape: "linear" } })],
        layout: { xaxis: TRM.costAxis(name, [...members, ...others].map((row) => row.against[name])), yaxis: { title: metric } },
      }),
      table: () => ({ columns: [{ name: "trial" }, { name: "objective", title: metric, show: TRM.score }, ...shared().against.map((one) => ({ name: one })), { name: "rung" }],
        rows: data.members.map((row) => ({ ...row, ...row.against })) }),
    };
  }

  TRM.section("front", async (holder, data) => {
    const names = shared().against;
    let shown = names[0], current = data;
    let made = null;
    if (names.length > 1) TRM.choice(holder, "against", names.map((name) => [name, name]), shown, (name) => { shown = name; made?.update(frontSpec(current, shown)); });
    made = await TRM.chart(holder, frontSpec(data, shown));
    return { update(next) { current = next; return made.update(frontSpec(current, shown)); } };
  });

  function testTimeSpec(data) {
    const { trial, metric, plain: own } = data.notes[0];
    const front = data.points.filter((point) => point.is_on_front).toSorted((a, b) => a.inference_flops - b.inference_flops);
    const behind = data.points.filter((point) => !point.is_on_front);
    const say = (point) => `${point.steps} steps, ${point.rollouts} rollouts${point.forms > 1 ? `, ${point.forms} forms` : ""}, noise ${point.noise}, starts ${safe(point.starts)}${point.select ? `, by ${safe(point.select)}` : ""}`;
    const trace = (points, more) => ({ type: "scatter", x: points.map((point) => point.inference_flops), y: points.map((point) => point.value), text: points.map(say), hovertemplate: "%{y:.4f} for %{x:.3s}FLOP<br>%{text}<extra></extra>", ...more });
    return {
      label: `${data.sentence ?? `Settings at test time of trial ${trial}'s weights`}. ${metric} against the FLOPs of an answer: ${data.points.length} settings, ${front.length} on the front with their 95 % intervals, and the plain answer.`,
      height: 420,
      draw: (c) => ({
        traces: [trace(behind, { mode: "markers", name: "settings", marker: { symbol: "circle-open", size: 4, color: c.faint } }),
          trace(front, { mode: "lines+markers", name: "the front", marker: { symbol: "diamond", size: 8, color: c.plain }, line: { color: c.plain, width: 1.4 }, error_y: { type: "data", symmetric: false, array: front.map((point) => point.high - point.value), arrayminus: front.map((point) => point.value - point.low), thickness: 1, width: 3 } }),
          trace([own], { mode: "markers", name: "as it was trained", marker: { symbol: "star", size: 14, color: c.best } })],
        layout: { xaxis: TRM.costAxis("inference flops a puzzle", data.points.map((point) => point.inference_flops)), yaxis: { title: metric } },
      }),
      table: () => ({ columns: ["inference_flops", ...(metric === "exact_accuracy" ? [] : ["value"]), "exact_accuracy", "low", "high", "steps", "rollouts", "forms", "noise", "starts", "select", "gain", "gain_low", "gain_high"].map((name) => ({ name, title: name === "value" ? metric : undefined, show: name === "inference_flops" ? TRM.flops : undefined })), rows: front }),
    };
  }

  TRM.section("test_time", async (holder, data) => {
    const made = await TRM.chart(holder, testTimeSpec(data));
    return { update: (next) => made.update(testTimeSpec(next)) };
  });

  // ---- fresh seeds

  function confirmationSpec(data) {
    const { metric } = shared();
    const rows = data.rows.toReversed(), names = rows.map((row) => `trial ${row.trial}`);
    const dots = (key) => ({ x: rows.flatMap((row) => row[key] ?? []), y: rows.flatMap((row, place) => (row[key] ?? []).map(() => names[place])), customdata: rows.flatMap((row) => (row[key] ?? []).map(() => row.trial)) });
    return {
      label: `${data.sentence}. A dot is a fresh seed, a bar the mean, a line its 95 % interval; ${data.rows.map((row) => `trial ${row.trial}: ${TRM.score(row.mean)} over ${row.seeds} seeds, P(best) ${row.p_best.toFixed(2)}`).join("; ")}.`,
      height: 110 + 44 * rows.length,
      draw: (c) => ({
        traces: [{ type: "scatter", mode: "markers", name: "mean, 95 % interval", x: rows.map((row) => row.mean), y: names, customdata: rows.map((row) => row.trial), marker: { symbol: "line-ns-open", size: 18, color: c.best, line: { width: 3, color: c.best } },
          error_x: { type: "data", symmetric: false, array: rows.map((row) => (row.interval_95 ? row.interval_95[1] - row.mean : 0)), arrayminus: rows.map((row) => (row.interval_95 ? row.mean - row.interval_95[0] : 0)), color: c.best, thickness: 1.6, width: 6 } },
          { type: "scatter", mode: "markers", name: "a fresh seed", ...dots("scores"), marker: { symbol: "circle", size: 8, color: c.plain, opacity: 0.7 } },
          { type: "scatter", mode: "markers", name: "the search's own", ...dots("own_scores"), marker: { symbol: "circle-open", size: 9, color: c.plain } }].filter((one) => one.x.length),
        layout: { xaxis: { title: metric }, yaxis: { type: "category", showgrid: true }, margin: { l: TRM.labelRoom(names), r: 16, t: 34, b: 54 } },
      }),
      table: () => ({ columns: [{ name: "trial" }, { name: "mean", show: TRM.score }, { name: "low", show: TRM.score }, { name: "high", show: TRM.score }, { name: "seeds" }, { name: "failed" }, { name: "p_best", title: "P(best)" }, { name: "scores", isText: true, show: (value) => value.map(TRM.score).join(", ") }],
        rows: data.rows.map((row) => ({ ...row, low: row.interval_95?.[0] ?? null, high: row.interval_95?.[1] ?? null })) }),
    };
  }

  TRM.section("confirmation", async (holder, data) => {
    const made = await TRM.chart(holder, confirmationSpec(data));
    for (const text of data.comparisons) holder.append(element("p", { text }));
    return { update: (next) => made.update(confirmationSpec(next)) };
  });

  // ---- earlier sweeps

  function transferSpec(one) {
    return {
      label: `${one.text}. Mean ${shared().metric} here of the configurations that both tried, by their place there.`,
      height: 320,
      draw: (c) => ({ traces: [{ type: "scatter", mode: "markers", x: one.points.map((point) => point[0]), y: one.points.map((point) => point[1]), marker: { symbol: "circle", size: 8, color: c.plain } }],
        layout: { xaxis: { title: "place in the earlier ranking" }, yaxis: { title: shared().metric }, showlegend: false } }),
      table: () => ({ columns: [{ name: "place" }, { name: "score", show: TRM.score }], rows: one.points.map(([place, score]) => ({ place, score })) }),
    };
  }

  TRM.section("transfer", async (holder, data) => {
    for (const one of data.earlier) {
      holder.append(element("h3", { text: one.name }));
      if (one.points.length) await TRM.chart(holder, transferSpec(one));
      else holder.append(element("p", { text: one.text }));
    }
  });

  // ---- the ledger

  const TOLD = { finished: "finished", stopped: "stopped early", paused: "paused", running: "running, or lost attempts", diverged: "diverged", out_of_memory: "out of memory", failed: "failed", audit: "audit: controls beyond their stop", confirmation: "fresh seeds" };

  function ledgerRows(data) {
    const seconds = (entry) => entry.train_seconds + entry.eval_seconds + entry.overhead_seconds;
    const every = data.entries.reduce((sum, entry) => sum + seconds(entry), 0);
    return data.entries.map((entry) => ({ ...entry, told: TOLD[entry.what] ?? entry.what, share: data.train_flops ? entry.train_flops / data.train_flops : 0, seconds: seconds(entry), time_share: every ? seconds(entry) / every : 0 }));
  }

  function ledgerSpec(data) {
    const rows = ledgerRows(data);
    const shapes = ["", "/", "x", "-", "|", "+", ".", "\\", "/"];
    return {
      label: rows.length ? `${TRM.flops(data.train_flops)} were spent: ${rows.map((row) => `${row.told} ${TRM.percent(row.share)}`).join(", ")}. ${TRM.sentence(data.sentence)}${data.full_flops ? `: ${TRM.flops(data.saved_flops)} of ${TRM.flops(data.full_flops)}` : ""}.` : "Nothing is spent yet.",
      height: isNarrow() ? 160 + 24 * rows.length : 190,
      draw: (c) => ({
        traces: rows.map((row, place) => ({ type: "bar", orientation: "h", name: safe(row.told), y: ["time", "compute"], x: [row.time_share, row.share], marker: { color: [...c.series, c.faint, c.bad, c.soft, c.line][place], pattern: { shape: shapes[place], fillmode: "overlay", fgcolor: c.paper, size: 7 } }, hovertemplate: `${safe(row.told)}: %{x:.1%}<extra></extra>` })),
        layout: { barmode: "stack", xaxis: { tickformat: ".0%", range: [0, 1] }, yaxis: { type: "category" }, margin: { l: 76, r: 16, t: isNarrow() ? 24 * rows.length : 50, b: 36 } },
      }),
    };
  }

  TRM.section("ledger", async (holder, data) => {
    const columns = [{ name: "told", title: "what", isText: true }, { name: "trials" }, { name: "train_flops", title: "compute", show: TRM.flops }, { name: "share", show: TRM.percent }, { name: "seconds", title: "workers' time", show: TRM.duration }, { name: "time_share", title: "share of it", show: TRM.percent },
      { name: "train_seconds", title: "training", show: TRM.duration }, { name: "eval_seconds", title: "evaluation", show: TRM.duration }, { name: "overhead_seconds", title: "anything else", show: TRM.duration }];
    const made = await TRM.chart(holder, ledgerSpec(data));
    const table = TRM.table(holder, columns, ledgerRows(data), { hasFilter: false, key: (row) => row.what });
    return { update(next) { table.update(ledgerRows(next)); return made.update(ledgerSpec(next)); } };
  });
})();
