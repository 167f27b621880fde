// Parallel coordinates: a line a trial over all searched knobs and the objective; ranges on the axes choose trials, by mouse or keys.
"use strict";

(() => {
  const { element } = TRM;
  const HEIGHT = 380, TOP = 46, BOTTOM = 26, LEAST_GAP = 78, SIDE = 56, STEP = 0.04, FIRST = 0.25, NEAR = 8;
  const CIVIDIS = [[0, 32, 76], [60, 77, 110], [124, 123, 120], [188, 175, 111], [255, 234, 70]];

  /** Dark blue to yellow: told apart by who sees no red or green. */
  function shade(share, alpha) {
    const place = Math.min(CIVIDIS.length - 1.001, Math.max(0, share * (CIVIDIS.length - 1)));
    const low = Math.floor(place), rest = place - low;
    const mixed = CIVIDIS[low].map((value, index) => Math.round(value + rest * (CIVIDIS[low + 1][index] - value)));
    return `rgba(${mixed.join(",")},${alpha})`;
  }

  /** Axes of knobs that differ, and of the objective; `at(trial)` is 0 (bottom) to 1, or null where a trial has no such knob. */
  function axesOf(shared, trials) {
    const short = TRM.shortNames(shared.knobs.map((knob) => knob.path));
    const varied = shared.knobs.filter((knob) => new Set(trials.map((trial) => JSON.stringify(trial.params[knob.path]))).size > 1);
    const axes = varied.map((knob) => ({ ...axisOf(knob, trials), name: knob.path, title: short.get(knob.path) }));
    const scores = trials.map(scoreOf);
    const low = Math.min(...scores), high = Math.max(...scores), range = high - low || 1;
    axes.push({ name: "objective", title: shared.metric, at: (trial) => (scoreOf(trial) - low) / range, ticks: [0, 0.5, 1].map((place) => [place, TRM.number(low + place * range)]), value: (place) => TRM.number(low + place * range) });
    return axes;
  }

  function axisOf(knob, trials) {
    if (knob.kind === "choice") {
      const names = knob.values.map((value) => TRM.text(value ?? "null"));
      const place = (index) => (names.length === 1 ? 0.5 : (index + 0.5) / names.length);
      return { at: (trial) => (knob.path in trial.params ? place(names.indexOf(TRM.text(trial.params[knob.path] ?? "null"))) : null), ticks: names.map((name, index) => [place(index), name]), value: (share) => names[Math.min(names.length - 1, Math.floor(share * names.length))] };
    }
    const own = trials.map((trial) => trial.params[knob.path]).filter((value) => typeof value === "number");
    const scale = knob.log ? Math.log : (value) => value, back = knob.log ? Math.exp : (value) => value;
    const low = scale(Math.min(knob.low, ...own)), range = scale(Math.max(knob.high, ...own)) - low || 1;
    const told = (share) => (knob.kind === "int" ? String(Math.round(back(low + share * range))) : TRM.number(Number(back(low + share * range).toPrecision(3))));
    const count = knob.kind === "int" && !knob.log && range <= 6 ? range : 2;
    const ticks = Array.from({ length: count + 1 }, (_, index) => [index / count, told(index / count)]);
    return { at: (trial) => (typeof trial.params[knob.path] === "number" ? (scale(trial.params[knob.path]) - low) / range : null), ticks, value: told };
  }

  function scoreOf(trial) {
    const rungs = Object.keys(trial.rungs).map(Number);
    return trial.rungs[Math.max(...rungs)][1];
  }

  function scoredTrials(shared) {
    return shared.trials.filter((trial) => trial.confirms === null && Object.keys(trial.rungs).length);
  }

  TRM.section("parallel", (holder) => {
    const ranges = new Map(); // axis -> [low, high] of those that are chosen
    const canvas = element("canvas", { "aria-hidden": "true" });
    const layer = element("svg:svg", { role: "group" });
    const frame = element("div", { class: "scrolled parallel" }, element("div", { class: "sheet" }, canvas, layer));
    const said = element("p", { class: "note", role: "status" });
    const clear = element("button", { type: "button", onclick: () => { ranges.clear(); drawAll(); } }, "clear ranges");
    const list = element("div");
    holder.append(element("p", { class: "note", text: "A line is a trial, the thick one the best; a click on one marks it. Draw a range on an axis to choose trials; by keys: Tab to an axis, arrows set and move its range, Shift with arrows makes it wider or narrower, Escape clears it." }),
      frame, element("div", { class: "filters" }, said, clear), list);
    let shared, trials, axes, width, table = null;

    const x = (index) => SIDE + (index * (width - 2 * SIDE)) / Math.max(1, axes.length - 1);
    const y = (share) => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    /** Where an axis has its title: above it, at the frame's sides within it. */
    const titleAt = (index) => (index === 0 ? { x: 4, "text-anchor": "start" } : index === axes.length - 1 ? { x: width - 4, "text-anchor": "end" } : { x: x(index), "text-anchor": "middle" });
    const shareAt = (pixel) => Math.min(1, Math.max(0, (HEIGHT - BOTTOM - pixel) / (HEIGHT - TOP - BOTTOM)));

    function isChosen(trial) {
      for (const axis of axes) {
        const range = ranges.get(axis.name);
        if (!range) continue;
        const at = axis.at(trial);
        if (at === null || at < range[0] - 1e-9 || at > range[1] + 1e-9) return false;
      }
      return true;
    }

    function read() {
      shared = TRM.page.shared;
      trials = scoredTrials(shared);
      axes = trials.length ? axesOf(shared, trials) : [];
    }

    function drawLines() {
      const scale = window.devicePixelRatio || 1;
      canvas.width = width * scale;
      canvas.height = HEIGHT * scale;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT}px`;
      const pen = canvas.getContext("2d"), c = TRM.colours();
      pen.scale(scale, scale);
      const order = [...trials].sort((a, b) => b.rank - a.rank);
      const chosen = new Set(order.filter(isChosen));
      const alpha = Math.max(0.25, Math.min(0.9, 60 / Math.max(1, chosen.size)));
      const isDark = TRM.theme === "dark";
      for (const isFront of [false, true]) {
        order.forEach((trial, rank) => {
          if (chosen.has(trial) !== isFront || trial.number === shared.best) return;
          const share = rank / Math.max(1, order.length - 1);
          pen.strokeStyle = isFront ? shade(isDark ? 0.25 + 0.75 * share : 0.85 * (1 - share), alpha) : c.line;
          pen.lineWidth = isFront ? 1.2 : 0.6;
          path(pen, trial);
        });
      }
      const best = trials.find((trial) => trial.number === shared.best), marked = trials.find((trial) => TRM.isChosen(trial.number));
      if (best) stroke(pen, best, chosen.has(best) ? c.best : c.faint, 3);
      if (!marked) return;
      stroke(pen, marked, c.paper, 7);
      stroke(pen, marked, c.ink, 3);
    }

    function stroke(pen, trial, colour, lineWidth) {
      Object.assign(pen, { strokeStyle: colour, lineWidth });
      path(pen, trial);
    }

    function path(pen, trial) {
      pen.beginPath();
      let isOn = false;
      axes.forEach((axis, index) => {
        const at = axis.at(trial);
        if (at === null) { isOn = false; return; }
        if (isOn) pen.lineTo(x(index), y(at));
        else pen.moveTo(x(index), y(at));
        isOn = true;
      });
      pen.stroke();
    }

    function rangeText(axis) {
      const range = ranges.get(axis.name);
      return range ? `${axis.value(range[0])} to ${axis.value(Math.min(range[1], 0.999999))}` : "no range chosen";
    }

    function drawAxes() {
      layer.setAttribute("width", width);
      layer.setAttribute("height", HEIGHT);
      layer.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      frame.style.setProperty("--ratio", `${width} / ${HEIGHT}`);
      layer.setAttribute("aria-label", `${trials.length} trials over ${axes.length} axes`);
      const focused = layer.contains(document.activeElement) ? document.activeElement.dataset.axis : null;
      layer.replaceChildren(...axes.map((axis, index) => {
        const at = x(index), range = ranges.get(axis.name);
        const ticks = axis.ticks.flatMap(([share, text]) => [
          element("svg:line", { x1: at - 3, x2: at + 3, y1: y(share), y2: y(share) }),
          element("svg:text", { x: at + 6, y: y(share) + 4, class: "tick", text }),
        ]);
        const group = element("svg:g", { class: "axis", tabindex: "0", role: "group", "data-axis": axis.name, "aria-label": `${axis.name}: ${rangeText(axis)}`, onkeydown: (event) => onKey(event, axis), onpointerdown: (event) => onDrag(event, axis) },
          element("svg:rect", { class: "hit", x: at - 16, y: TOP - 6, width: 32, height: HEIGHT - TOP - BOTTOM + 12 }),
          element("svg:line", { x1: at, x2: at, y1: y(0), y2: y(1) }), ...ticks,
          range ? element("svg:rect", { class: "range", x: at - 8, y: y(range[1]), width: 16, height: Math.max(3, y(range[0]) - y(range[1])) }) : null,
          element("svg:text", { class: "title", ...titleAt(index), y: index % 2 ? 30 : 14, text: axis.title }));
        return group;
      }));
      if (focused !== null) [...layer.children].find((one) => one.dataset.axis === focused)?.focus({ preventScroll: true });
    }

    /** A click between the axes marks the trial whose line is nearest. */
    function onClick(event) {
      if (event.target.closest(".axis")) return;
      const box = layer.getBoundingClientRect(), across = event.clientX - box.left, down = event.clientY - box.top;
      const index = axes.findIndex((_, place) => place > 0 && x(place) >= across);
      if (index < 1) return;
      const share = (across - x(index - 1)) / (x(index) - x(index - 1));
      const distance = (trial) => {
        const [left, right] = [axes[index - 1].at(trial), axes[index].at(trial)];
        return left === null || right === null ? Infinity : Math.abs(y(left + share * (right - left)) - down);
      };
      const [nearest] = trials.filter(isChosen).sort((a, b) => distance(a) - distance(b));
      if (nearest && distance(nearest) <= NEAR) TRM.choose(TRM.isChosen(nearest.number) ? null : nearest.number);
    }

    function onDrag(event, axis) {
      const box = layer.getBoundingClientRect(), start = shareAt(event.clientY - box.top);
      event.preventDefault();
      event.target.closest("g").focus({ preventScroll: true });
      const move = (next) => {
        const end = shareAt(next.clientY - box.top);
        if (Math.abs(end - start) > 0.01) ranges.set(axis.name, [Math.min(start, end), Math.max(start, end)]);
        else ranges.delete(axis.name);
        drawAll();
      };
      const stop = (last) => { move(last); window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", stop); };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", stop);
    }

    function onKey(event, axis) {
      const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if ((event.key === "Escape" || event.key === "Delete") && ranges.has(axis.name)) ranges.delete(axis.name);
      else if (direction === undefined) return;
      else {
        const [low, high] = ranges.get(axis.name) ?? (direction > 0 ? [1 - FIRST - STEP, 1 - STEP] : [STEP, FIRST + STEP]);
        const by = direction * STEP;
        const moved = event.shiftKey ? [low, Math.min(1, Math.max(low + STEP, high + by))] : [low + by, high + by];
        if (moved[0] >= -1e-9 && moved[1] <= 1 + 1e-9) ranges.set(axis.name, moved);
      }
      event.preventDefault();
      event.stopPropagation();
      drawAll();
    }

    function tell() {
      const chosen = trials.filter(isChosen);
      const scores = chosen.map(scoreOf).sort((a, b) => a - b);
      const middle = scores[Math.floor(scores.length / 2)];
      said.textContent = scores.length ? `${chosen.length} of ${trials.length} trials: ${shared.metric} from ${TRM.score(scores[0])} to ${TRM.score(scores.at(-1))}, median ${TRM.score(middle)}` : `0 of ${trials.length} trials`;
      clear.hidden = ranges.size === 0;
      const rows = chosen.sort((a, b) => a.rank - b.rank).map((trial) => ({ trial: trial.number, score: scoreOf(trial), ...trial.params }));
      if (table) table.update(rows);
      else {
        const columns = [{ name: "trial" }, { name: "score", title: shared.metric, show: TRM.score }, ...axes.slice(0, -1).map((axis) => ({ name: axis.name, title: axis.title, note: axis.name }))];
        table = TRM.table(list, columns, rows, { caption: "trials that are chosen", most: 5, key: (row) => row.trial, hasFilter: false, isMarked: (row) => (row.trial === TRM.page.shared.best ? "best" : "") });
      }
    }

    function drawAll() {
      if (!trials.length) {
        said.textContent = "No trial has a result yet.";
        frame.hidden = clear.hidden = true;
        return;
      }
      frame.hidden = false;
      width = Math.max(frame.clientWidth - 2, 2 * SIDE + LEAST_GAP * (axes.length - 1));
      drawLines();
      drawAxes();
      tell();
    }

    read();
    drawAll();
    new ResizeObserver(() => { if (trials.length && Math.max(frame.clientWidth - 2, 2 * SIDE + LEAST_GAP * (axes.length - 1)) !== width) drawAll(); }).observe(frame);
    layer.addEventListener("click", onClick);
    document.addEventListener("trm:theme", drawAll);
    document.addEventListener("trm:chosen", () => { if (trials.length) drawLines(); });
    return { update() { read(); drawAll(); } };
  });
})();
