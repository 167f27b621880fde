// A sweep's sections in words and tables: what the data support, running legs, the leaderboard, the ledger, what it is made of.
"use strict";

(() => {
  const { element } = TRM;

  /** Path -> its last part, unless another knob ends alike. */
  function shortNames(paths) {
    const last = (path) => path.split(".").at(-1);
    const counts = new Map();
    for (const path of paths) counts.set(last(path), (counts.get(last(path)) ?? 0) + 1);
    return new Map(paths.map((path) => [path, counts.get(last(path)) > 1 ? path : last(path)]));
  }

  const paramsText = (params) => Object.entries(params).map(([path, value]) => `${path.split(".").at(-1)} ${TRM.text(value)}`).join(", ");

  function interval(low, high) {
    return (low ?? null) === null || (high ?? null) === null ? "" : `${TRM.score(low)} to ${TRM.score(high)}`;
  }

  function copy(text, button) {
    const area = element("textarea", { class: "away", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const isDone = document.execCommand("copy");
    area.remove();
    button.textContent = isDone ? "copied" : "select it by hand";
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  }

  function commands(rows) {
    return element("div", { class: "commands" }, ...rows.map((row) => {
      const button = element("button", { type: "button", "aria-label": `copy: ${row.for}`, onclick: () => copy(row.command, button) }, "copy");
      return element("div", { class: "command" }, element("span", { class: "note", text: row.for }), element("div", {}, element("pre", { text: row.command }), button));
    }));
  }

  TRM.section("summary", (holder, data) => {
    const best = data.best;
    holder.append(element("p", { class: "lead", text: TRM.sentence(data.sentence) }));
    if (best) {
      const known = best.interval_95 ? ` (95 %: ${interval(...best.interval_95)})` : "";
      const seeds = best.seeds ? `, mean of ${best.seeds} ${best.is_fresh ? "fresh " : ""}seeds` : ", one seed";
      const breaks = best.breaks?.length ? `; it breaks ${best.breaks.join(" and ")}` : "";
      holder.append(element("p", {}, element("strong", { text: `Trial ${best.trial}` }), `: ${best.metric} ${TRM.score(best.objective)}${known}${seeds}, at rung ${best.rung}${breaks}`),
        element("p", { class: "note", text: paramsText(best.params) }));
    } else holder.append(element("p", { text: "No trial has a score yet." }));
    const of = (limit) => (limit === null || limit === undefined ? "" : ` of ${limit}`);
    const counts = Object.entries(data.statuses).map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`).join(", ");
    const spent = data.spent;
    const pairs = [
      ["state", data.state],
      ["trials", `${data.asked}${of(data.trials)}${counts ? `: ${counts}` : ""}`],
      ["compute", TRM.flops(spent.train_flops) + (spent.flops_budget ? ` of ${TRM.flops(spent.flops_budget)}` : "")],
      ["time", `${TRM.duration(spent.wall_clock_seconds)} of drivers' time${spent.seconds_budget ? `, of ${TRM.duration(spent.seconds_budget)}` : ""}${spent.gpu_hours ? `, ${spent.gpu_hours.toFixed(2)} GPU-hours` : ""}`],
    ];
    holder.append(element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })])));
    if (data.findings.length) holder.append(element("h3", { text: "What was found" }), element("ul", {}, ...data.findings.map((text) => element("li", { text: TRM.sentence(text) }))));
    if (data.commands.length) holder.append(element("h3", { text: "What may be typed next" }), commands(data.commands));
  });

  // ---- running legs

  function legRows(data) {
    return data.legs.map((leg) => {
      const isTold = leg.step !== undefined && leg.step !== null;
      const whole = leg.last_step - leg.first_step;
      const byClock = leg.expected_end === null ? null : (data.now - leg.started_at) / Math.max(1e-9, leg.expected_end - leg.started_at);
      const share = isTold && whole > 0 ? (leg.step - leg.first_step) / whole : byClock;
      return { ...leg, share: share === null ? null : Math.max(0, Math.min(1, share)), since: data.now - leg.started_at, left: leg.expected_end === null ? null : leg.expected_end - data.now };
    });
  }

  TRM.section("legs", (holder, data) => {
    let current = data, readAt = performance.now();
    const said = element("p", { class: "note" });
    const tell = (next) => {
      said.textContent = next.is_running ? `${TRM.page.live === null ? `As of ${new Date(1000 * next.now).toLocaleString()}: how` : "How"} far each leg is, by the speeds learned so far.` : "These were cut short: nobody drives the sweep now.";
    };
    const bar = (share) => (share === null ? "" : element("span", { class: "bar" }, element("progress", { max: 1, value: share, "aria-label": TRM.percent(share) }), ` ${Math.round(100 * share)} %`));
    const columns = [
      { name: "trial" }, { name: "rung", title: "to rung" }, { name: "share", title: "how far", show: bar },
      { name: "first_step", title: "from step" }, { name: "last_step", title: "to step" },
      { name: "since", title: "runs for", show: TRM.duration },
      { name: "left", title: "due in", show: (value) => (value === null ? "unknown" : value < 0 ? `${TRM.duration(-value)} over` : TRM.duration(value)) },
      { name: "attempt", show: (value) => String(value + 1) },
    ];
    holder.append(said);
    tell(data);
    const made = TRM.table(holder, columns, legRows(data), { key: (row) => row.trial, hasFilter: false });
    const show = () => made.update(legRows({ ...current, now: current.now + (performance.now() - readAt) / 1000 }));
    const clock = TRM.page.live === null ? null : setInterval(() => (holder.isConnected ? show() : clearInterval(clock)), 2000);
    return { update(next) { current = next; readAt = performance.now(); tell(next); show(); } };
  });

  // ---- leaderboard

  function boardColumns(rows, shared) {
    const knobs = shared.knobs.map((knob) => knob.path);
    const short = shortNames(knobs);
    const has = (name) => rows.some((row) => row[name] !== null && row[name] !== undefined && row[name] !== "");
    const figure = (name) => (/flops/.test(name) ? TRM.flops : /params/.test(name) ? TRM.scaled : TRM.number);
    const more = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => /^(against|outcome) /.test(name));
    const columns = [
      { name: "trial" }, { name: "rank" }, { name: "status", isText: true },
      { name: "score", title: shared.metric, show: TRM.score, note: "the last score; where fresh seeds confirmed it, their mean" },
      { name: "low", title: "95 % interval", show: (value, row) => interval(row.low, row.high) },
      { name: "seeds" }, { name: "p_best", title: "P(best)", show: (value) => (value === null ? "" : value.toFixed(2)) },
      { name: "objective", title: "own score", show: TRM.score, minor: true, note: "of the search's own seed" },
      { name: "validation", title: "validation", show: TRM.score, note: "all of it, of the winner" }, { name: "test", show: TRM.score },
      ...more.map((name) => ({ name, title: name.replace(/^(against|outcome) /, ""), show: figure(name) })),
      { name: "front" }, { name: "breaks", isText: true },
      { name: "rung" }, { name: "train_flops", title: "compute", show: TRM.flops }, { name: "seconds", title: "time", show: TRM.duration, minor: true },
      { name: "params", title: "weights", show: (value) => TRM.scaled(value) },
      ...knobs.map((path) => ({ name: `knob ${path}`, title: short.get(path), note: path })),
      { name: "loss", show: TRM.number, minor: true }, { name: "steps", minor: true }, { name: "seed", minor: true },
      { name: "source", isText: true, minor: true }, { name: "error", isText: true, show: (value) => (value ? value.slice(0, 80) : "") },
    ];
    return columns.filter((column) => has(column.name));
  }

  const flattened = (rows) => rows.map((row) => ({ ...row, ...Object.fromEntries(Object.entries(row.parameters).map(([path, value]) => [`knob ${path}`, value])) }));

  function openedTrial(row, shared) {
    const trial = shared.trials.find((one) => one.number === row.trial);
    const names = ["status", "reason", "error", "source", "seed", "steps", "checkpoint"];
    const pairs = [...names.filter((name) => row[name]).map((name) => [name, TRM.text(row[name])]), ...Object.entries(row.parameters).map(([path, value]) => [path, TRM.text(value)])];
    const holder = element("div", { class: "opened-trial" }, element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })])));
    const rungs = Object.entries(trial?.rungs ?? {}).map(([rung, [flops, score, low, high, loss]]) => ({ rung: Number(rung), flops, score, low, high, loss }));
    if (rungs.length) {
      const columns = [{ name: "rung" }, { name: "flops", title: "compute", show: TRM.flops }, { name: "score", title: shared.metric, show: TRM.score },
        { name: "low", title: "95 % interval", show: (value, one) => interval(one.low, one.high) }, { name: "loss" }];
      TRM.table(holder, columns, rungs, { hasFilter: false });
    }
    return holder;
  }

  TRM.section("leaderboard", (holder, data, page) => {
    if (data.rows.length === 0) holder.append(element("p", { text: "No trial was asked for yet." }));
    const shared = () => TRM.page.shared;
    const made = TRM.table(holder, boardColumns(flattened(data.rows), page.shared), flattened(data.rows), {
      caption: "trials, best first; Enter or a click opens one", key: (row) => row.trial, choice: "status",
      isMarked: (row) => (row.trial === shared().best ? "best" : ""), onopen: (row) => openedTrial(row, shared()),
    });
    return { update(next) { made.update(flattened(next.rows), boardColumns(flattened(next.rows), shared())); } };
  });

  // ---- replicates, audit, more search, what it is made of

  TRM.section("replicates", (holder, data) => {
    for (const text of data.lines) holder.append(element("p", { text }));
    const rows = data.rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Array.isArray(value) ? value.map(TRM.text).join(", ") : value])));
    if (rows.length) TRM.table(holder, Object.keys(rows[0]).map((name) => ({ name })), rows, { caption: "configurations on several seeds" });
  });

  TRM.section("audit", (holder, data) => {
    holder.append(element("p", { text: TRM.sentence(data.sentence) }));
    const pairs = [
      ["stopped early", data.early_stops], ["controls that ran on to the end", data.controls], ["false stops", data.false_stops],
      ["share of false stops", data.false_stop_rate === null ? "" : `${TRM.percent(data.false_stop_rate)} (95 %: ${data.interval_95.map(TRM.percent).join(" to ")})`],
      ["better than half of the others", data.above_median],
      ["what stopping cost at most", data.lost_interval_95 === null ? "" : `${TRM.score(data.lost)} (95 %: ${interval(...data.lost_interval_95)})`],
    ];
    holder.append(element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: TRM.text(value) })])));
    if (data.rungs.length) {
      const columns = Object.keys(data.rungs[0]).map((name) => ({ name, title: name.replaceAll("_", " "), show: (value) => (Array.isArray(value) ? value.map(TRM.number).join(" to ") : TRM.text(value)) }));
      TRM.table(holder, columns, data.rungs, { caption: "how far each rung foretold the last", hasFilter: false });
    }
  });

  TRM.section("more_search", (holder, data) => {
    holder.append(element("p", { text: TRM.sentence(data.sentence) }),
      element("p", { class: "note", text: "Of a Gaussian process over all scores: the most that it thinks possible, less the least that the best trial is. It ends no sweep." }));
  });

  TRM.section("about", (holder, data) => {
    const rows = data.knobs.map((knob) => ({ knob: knob.path, type: knob.type, values: knob.values ? knob.values.map(TRM.text).join(", ") : `${TRM.number(knob.low)} to ${TRM.number(knob.high)}${knob.log ? ", log" : ""}`, when: knob.when && Object.keys(knob.when).length ? JSON.stringify(knob.when) : "" }));
    if (rows.length) TRM.table(holder, ["knob", "type", "values", "when"].map((name) => ({ name, isText: true })), rows, { caption: "what was searched", hasFilter: false });
    for (const set of data.data) {
      holder.append(element("h3", { text: `Data: ${set.name}` }), element("dl", { class: "pairs" }, ...Object.entries(set).filter(([name]) => name !== "name").flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: TRM.text(value) })])));
    }
    const pairs = [["sweep's seed", data.seed], ["rungs", data.rungs.join(", ")], ["driver", data.driver ?? "none"], ["journal", `${data.events} events`],
      ["versions", Object.entries(data.versions).map(([name, value]) => `${name} ${value}`).join(", ")]];
    holder.append(element("h3", { text: "How" }), element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: TRM.text(value) })])));
    holder.append(element("details", {}, element("summary", { text: "the space as it was resolved" }), element("pre", { text: JSON.stringify(data.space, null, 1) })));
  });

  Object.assign(TRM, { shortNames, paramsText, interval, commands });
})();
