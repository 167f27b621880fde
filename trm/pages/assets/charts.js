// Charts: plotly under our theme, each with a caption, a text for who does not see it, and its figures as a table.
"use strict";

(() => {
  const { element } = TRM;

  /** A text as plotly shows it: nothing in it is markup. */
  const safe = (value) => String(value).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const isDark = TRM.theme === "dark";
    return {
      ink: of("ink"), soft: of("soft"), faint: of("faint"), line: of("line"), paper: of("paper"), panel: of("panel"),
      best: of("best"), good: of("good"), bad: of("bad"), plain: of("accent"),
      scale: isDark ? [[0, "#1d3a5f"], [0.5, "#7b8b6f"], [1, "#f3dc5b"]] : [[0, "#f2e9a0"], [0.5, "#6aa5a9"], [1, "#123c69"]],
      series: isDark ? ["#6db4f2", "#ffa35c", "#5fcf98", "#d9a2ea", "#e8d35c"] : ["#0b62a8", "#b3410a", "#1a7a4c", "#8f3fae", "#7a6500"],
    };
  }

  /** How trials of a status are drawn: by a mark and by a colour. */
  const LOOKS = {
    best: { mark: "star", size: 13, colour: "best", label: "best" },
    finished: { mark: "circle", size: 6, colour: "plain", label: "finished" },
    stopped: { mark: "circle-open", size: 6, colour: "faint", label: "stopped" },
    paused: { mark: "square-open", size: 6, colour: "faint", label: "paused" },
    running: { mark: "triangle-up", size: 7, colour: "good", label: "running" },
    trouble: { mark: "x", size: 7, colour: "bad", label: "in trouble" },
    confirmation: { mark: "diamond-open", size: 6, colour: "good", label: "a fresh seed" },
  };
  const ORDER = ["stopped", "paused", "trouble", "running", "finished", "best"];

  function lookOf(trial, best) {
    if (trial.number === best) return "best";
    return trial.status in LOOKS ? trial.status : "trouble";
  }

  // labels and titles fit into these: where they would not, plotly finds it out when it has drawn, and draws all of it again
  const FONT = "system-ui, DejaVu Sans, sans-serif";
  const MARGIN = { l: 66, r: 16, t: 34, b: 54 };
  const AXIS = { zeroline: false, automargin: true, ticks: "outside", ticklen: 4 };

  function themed(layout) {
    const c = colours();
    const axes = {};
    for (const [name, value] of Object.entries({ xaxis: {}, yaxis: {}, ...layout })) {
      if (!/^[xy]axis\d*$/.test(name)) continue;
      axes[name] = { ...AXIS, gridcolor: c.line, linecolor: c.line, tickcolor: c.line, ...value };
      if (typeof value.title === "string") axes[name].title = { text: safe(value.title), standoff: 8 };
    }
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: c.ink, family: FONT, size: 12 },
      margin: MARGIN, hovermode: "closest", uirevision: "kept", dragmode: "zoom",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" }, hoverlabel: { bgcolor: c.panel, bordercolor: c.line, font: { color: c.ink } },
      ...layout, ...axes,
    };
  }

  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

  /**
   * A chart below `holder`. spec: {label: what it shows, in a sentence, height?, draw(colours) -> {traces, layout},
   * table?: () -> {columns, rows}}. Gives {update(spec)}: zoom and the open table stay.
   */
  async function chart(holder, spec) {
    const plot = element("div", { class: "plot", role: "img", style: { height: `${spec.height ?? 380}px` } });
    const caption = element("figcaption", { class: "note" });
    const figure = element("figure", { class: "chart" }, plot, caption);
    const figures = spec.table ? element("details", { class: "figures" }, element("summary", { text: "as a table" })) : null;
    let table = null, many = null;
    holder.append(figure);
    if (figures) figure.append(figures);
    figures?.addEventListener("toggle", () => {
      if (!figures.open || table) return;
      const { columns, rows } = spec.table();
      table = TRM.table(figures, columns, rows, { most: 30 });
    });
    const plotly = await TRM.plotly();

    function show() {
      plot.setAttribute("aria-label", TRM.sentence(spec.label));
      caption.textContent = TRM.sentence(spec.label);
      plot.style.height = `${spec.height ?? 380}px`;
      const { traces, layout } = spec.draw(colours());
      many = TRM.lightened(traces);
      return plotly.react(plot, many.traces, themed(layout), CONFIG).then(finish);
    }

    function finish() {
      many.paint(plot);
      TRM.markChart(plot);
      scalable();
    }

    /** On paper a chart is as wide as the page: its parts say how large they were drawn. */
    function scalable() {
      const { width, height } = plot._fullLayout ?? {};
      if (!width) return;
      plot.style.setProperty("--ratio", `${width} / ${height}`);
      for (const part of plot.querySelectorAll(".main-svg")) part.setAttribute("viewBox", `0 0 ${width} ${height}`);
    }

    document.addEventListener("trm:theme", show);
    await show();
    plot.on?.("plotly_afterplot", finish);
    TRM.chooseable(plot);
    return {
      async update(next) {
        spec = next;
        await show();
        if (table && spec.table) table.update(spec.table().rows);
      },
    };
  }

  /** Buttons of which one is pressed: names -> a row of them; `pick(name)` is called. */
  function choice(holder, label, options, chosen, pick) {
    const buttons = options.map(([name, text]) => element("button", { type: "button", "aria-pressed": String(name === chosen), onclick: () => press(name) }, text));
    function press(name) {
      buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(options[index][0] === name)));
      pick(name);
    }
    holder.append(element("div", { class: "choice", role: "group", "aria-label": label }, element("span", { class: "note", text: label }), ...buttons));
  }

  /** Positions of labels on a log axis between two values: 1, 2, 5 times powers of ten, or the ends. */
  function logTicks(low, high, show) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const times of high / low > 100 ? [1] : [1, 2, 5]) {
        const value = times * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    const ticks = found.length > 1 ? found : [low, high];
    return { tickmode: "array", tickvals: ticks, ticktext: ticks.map(show) };
  }

  const pen = document.createElement("canvas").getContext("2d");

  /** Room for the labels of an axis at the left, in pixels. */
  function labelRoom(labels) {
    pen.font = `12px ${FONT}`;
    return 20 + Math.ceil(Math.max(0, ...labels.map((label) => pen.measureText(label).width)));
  }

  /** An axis of a figure by its name: FLOPs, seconds and counts on a log scale with units. */
  function costAxis(name, values) {
    const known = values.filter((value) => value > 0);
    if (!/flops|params|seconds/i.test(name) || known.length === 0) return { title: name };
    const show = /flops/i.test(name) ? TRM.flops : /seconds/.test(name) ? TRM.duration : TRM.scaled;
    return { title: name, type: "log", ...logTicks(Math.min(...known), Math.max(...known), show) };
  }

  Object.assign(TRM, { chart, choice, safe, colours, LOOKS, ORDER, lookOf, logTicks, costAxis, labelRoom });
})();
