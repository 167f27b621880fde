// Tables: sorted by a click or Enter on a heading, filtered by text and by a choice, rows by the arrow keys; numbers as people write them.
"use strict";

(() => {
  const { element } = TRM;
  const STEP = 1000;
  const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z"];

  // ---- numbers

  /** 1234567 -> "1.23 M", with a unit behind it. */
  function scaled(value, unit = "") {
    if (value === null || value === undefined) return "";
    let rest = value, place = 0;
    while (Math.abs(rest) >= STEP && place < PREFIXES.length - 1) { rest /= STEP; place++; }
    const text = Math.abs(rest) >= 100 || Number.isInteger(rest) ? String(Math.round(rest)) : rest.toPrecision(3);
    return `${text} ${PREFIXES[place]}${unit}`.trim();
  }

  const flops = (value) => scaled(value, "FLOP");

  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 90) return `${seconds < 10 ? seconds.toPrecision(2) : Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
  }

  function number(value) {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return Math.abs(value) < 1e6 ? String(value) : value.toPrecision(4);
    return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? String(Number(value.toPrecision(4))) : value.toPrecision(3);
  }

  const score = (value) => (value === null || value === undefined ? "" : Math.abs(value) < 100 ? value.toFixed(4) : number(value));
  const percent = (share) => (share === null || share === undefined ? "" : `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 1)} %`);

  const sentence = (words) => (/^\w*_/.test(words) ? words : words.slice(0, 1).toUpperCase() + words.slice(1)); // a metric keeps its name

  function text(value) {
    if (value === null || value === undefined) return "";
    if (Array.isArray(value) || typeof value === "object") return JSON.stringify(value);
    return number(value);
  }

  // ---- tables

  function compare(left, right) {
    const isNothing = [left, right].map((value) => value === null || value === undefined || value === "");
    if (isNothing[0] || isNothing[1]) return isNothing[0] - isNothing[1];
    if (typeof left === "number" && typeof right === "number") return left - right;
    return String(left).localeCompare(String(right), undefined, { numeric: true });
  }

  /**
   * A table below `holder`. columns: [{name, title, note?, show?(value, row) -> text or node, isText?, minor?: not on paper}];
   * rows: objects by column names. options: {caption, key(row), isMarked(row) -> label or "", choice: column name to filter by,
   *           onopen(row) -> node, sort: [name, -1 or 1], most: rows shown until more are asked for, hasFilter}.
   * Gives {update(rows, columns?)}: what a reader sorted, typed and opened stays.
   */
  function table(holder, columns, rows, options = {}) {
    const state = { sort: options.sort ?? null, query: "", choice: "", most: options.most ?? 50, open: new Set() };
    const key = options.key ?? ((row) => JSON.stringify(row));
    const shown = (column, row) => (column.show ?? text)(row[column.name] ?? null, row);
    const body = element("tbody");
    const count = element("span", { class: "count", role: "status" });
    const more = element("button", { type: "button", class: "more", onclick: () => { state.most = Infinity; fill(); } });

    const search = element("input", { type: "search", placeholder: "filter", "aria-label": `filter ${options.caption ?? "the table"}` });
    search.addEventListener("input", () => { state.query = search.value.toLowerCase(); fill(); });
    const chooser = options.choice ? element("select", { "aria-label": `only one ${options.choice}` }) : null;
    chooser?.addEventListener("change", () => { state.choice = chooser.value; fill(); });

    const kind = (column) => `${column.isText ? "" : "figure"}${column.minor ? " minor" : ""}`;
    let headings = [];
    const head = element("tr");
    const made = element("table", {}, options.caption ? element("caption", { text: options.caption }) : null, element("thead", {}, head), body);
    made.addEventListener("keydown", onKey);
    const filters = options.hasFilter === false ? null : element("div", { class: "filters" }, search, chooser, count);
    holder.append(...[filters, element("div", { class: "scrolled", tabindex: "-1" }, made), more].filter(Boolean));

    function fillHead() {
      headings = columns.map((column) => {
        const button = element("button", { type: "button", title: column.note ?? null, onclick: () => sortBy(column.name) }, column.title ?? column.name);
        return element("th", { scope: "col", class: kind(column) }, button);
      });
      head.replaceChildren(...headings);
    }

    function sortBy(name) {
      const isSame = state.sort && state.sort[0] === name;
      state.sort = [name, isSame ? -state.sort[1] : 1];
      fill();
    }

    function matches(row) {
      if (state.choice && String(row[options.choice]) !== state.choice) return false;
      if (!state.query) return true;
      return columns.some((column) => text(row[column.name]).toLowerCase().includes(state.query));
    }

    function fillChooser() {
      if (!chooser) return;
      const values = [...new Set(rows.map((row) => String(row[options.choice])))].sort();
      chooser.replaceChildren(element("option", { value: "", text: `every ${options.choice}` }), ...values.map((value) => element("option", { value, text: value })));
      chooser.value = values.includes(state.choice) ? state.choice : (state.choice = "");
    }

    function fill() {
      let found = rows.filter(matches);
      if (state.sort) {
        const [name, sign] = state.sort;
        const isNothing = (value) => value === null || value === undefined;
        found = found.toSorted((a, b) => (isNothing(a[name]) || isNothing(b[name]) ? compare(a[name], b[name]) : sign * compare(a[name], b[name])));
      }
      headings.forEach((heading, index) => {
        const isSorted = state.sort && state.sort[0] === columns[index].name;
        heading.setAttribute("aria-sort", isSorted ? (state.sort[1] > 0 ? "ascending" : "descending") : "none");
      });
      const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      // of the marked trial the row is there, however far down
      body.replaceChildren(...found.filter((row, place) => place < state.most || TRM.isChosen(row.trial)).flatMap(lines));
      const first = body.querySelector("tr[data-key]");
      if (first) first.tabIndex = 0;
      if (focused !== null) [...body.rows].find((one) => one.dataset.key === focused)?.focus({ preventScroll: true });
      count.textContent = found.length === rows.length ? `${rows.length} rows` : `${found.length} of ${rows.length} rows`;
      more.hidden = found.length <= state.most;
      more.textContent = `show all ${found.length}`;
    }

    function lines(row) {
      const name = String(key(row));
      const mark = options.isMarked?.(row) ?? "", isChosen = TRM.isChosen(row.trial);
      const cells = columns.map((column, index) => {
        const value = shown(column, row);
        return element(index === 0 ? "th" : "td", { scope: index === 0 ? "row" : null, class: kind(column) },
          value, index === 0 && mark ? element("span", { class: "mark", text: mark }) : null, index === 0 && isChosen ? element("span", { class: "mark own", text: "marked" }) : null);
      });
      const line = element("tr", { "data-key": name, tabindex: "-1", class: [mark ? "marked" : "", isChosen ? "chosen" : ""].join(" ").trim() || null, "aria-current": isChosen ? "true" : null, "data-trial": TRM.page?.shared?.trials ? row.trial : null }, ...cells);
      line.addEventListener("click", (event) => { if (!event.target.closest("a, button, input")) press(line); });
      if (!options.onopen) return [line];
      line.setAttribute("aria-expanded", state.open.has(name));
      if (!state.open.has(name)) return [line];
      return [line, element("tr", { class: "opened" }, element("td", { colspan: columns.length }, options.onopen(row)))];
    }

    function toggle(name) {
      if (!state.open.delete(name)) state.open.add(name);
      fill();
      [...body.rows].find((one) => one.dataset.key === name)?.focus({ preventScroll: true });
    }

    /** A row is opened or closed, and its trial is marked. */
    function press(line) {
      const { key: name, trial } = line.dataset, isOpening = options.onopen && !state.open.has(name);
      if (options.onopen) toggle(name);
      if (trial !== undefined && (isOpening || !options.onopen)) TRM.choose(!options.onopen && TRM.isChosen(Number(trial)) ? null : Number(trial));
    }

    function onKey(event) {
      const line = event.target.closest("tbody tr[data-key]");
      if (!line || event.target !== line) return;
      const all = [...body.querySelectorAll("tr[data-key]")], place = all.indexOf(line);
      const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: all.length - 1 }[event.key];
      if (next !== undefined && all[next]) {
        line.tabIndex = -1;
        all[next].tabIndex = 0;
        all[next].focus();
        event.preventDefault();
      } else if ((event.key === "Enter" || event.key === " ") && (options.onopen || line.dataset.trial !== undefined)) {
        press(line);
        event.preventDefault();
      }
    }

    fillHead();
    fillChooser();
    fill();
    const refill = () => (made.isConnected ? rows.some((row) => typeof row.trial === "number") && fill() : document.removeEventListener("trm:chosen", refill));
    document.addEventListener("trm:chosen", refill);
    return {
      update(next, nextColumns = null) {
        rows = next;
        if (nextColumns && nextColumns.map((column) => column.name).join() !== columns.map((column) => column.name).join()) {
          columns = nextColumns;
          fillHead();
        }
        fillChooser();
        fill();
      },
    };
  }

  Object.assign(TRM, { table, scaled, flops, duration, number, score, percent, sentence, text });

  /** Anything at all, for sections that have no renderer of their own: {rows: [...]}, {lines: [...]} or pairs of a name and a value. */
  TRM.section("values", (holder, data) => {
    for (const line of data.lines ?? []) holder.append(element("p", { text: line }));
    if (data.pairs) {
      holder.append(element("dl", { class: "pairs" }, ...data.pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: text(value) })])));
    }
    if (data.rows?.length) {
      const names = [...new Set(data.rows.flatMap(Object.keys))];
      const isText = (name) => data.rows.some((row) => typeof row[name] === "string");
      TRM.table(holder, names.map((name) => ({ name, isText: isText(name) })), data.rows, { caption: data.caption });
    }
  });
})();
