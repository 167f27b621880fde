// The page: unpacks its data, makes a section of each part and draws it when it comes near; theme, contents, keyboard, print.
"use strict";

const TRM = (() => {
  const renderers = new Map();
  const sections = [];
  const events = new EventTarget();
  let plotly = null;

  // ---- what every renderer uses

  /** An element with attributes, listeners (on...) and children; a child that is no node becomes text. */
  function element(tag, attributes = {}, ...children) {
    const made = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "text") made.textContent = value;
      else if (name === "style") for (const [key, one] of Object.entries(value)) made.style.setProperty(key, one);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  async function unpack(text) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function block(id) {
    const holder = document.getElementById(id);
    if (holder === null) return null;
    const text = await unpack(holder.textContent);
    holder.remove();
    return text;
  }

  // plotly brings the style sheet of its maps, unless there is an element of this id; the page's policy has no place for it
  const MAP_STYLE = /getElementById\("([0-9a-f]{40,})"\)/g;

  /** plotly, unpacked and run at the first call. */
  function loadPlotly() {
    plotly ??= block("plotly").then((text) => {
      if (text === null) throw new Error("the page was made without charts (Section.needs_charts)");
      for (const [, id] of text.matchAll(MAP_STYLE)) document.head.append(element("meta", { id }));
      const script = document.createElement("script");
      script.textContent = text;
      document.head.append(script);
      return window.Plotly;
    });
    return plotly;
  }

  // ---- theme

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const KEPT = "trm-theme";

  function kept() {
    try {
      return window.localStorage.getItem(KEPT);
    } catch {
      return null; // a browser that keeps nothing for files
    }
  }

  function setTheme(theme, { keep = false } = {}) {
    if (keep) {
      try {
        window.localStorage.setItem(KEPT, theme);
      } catch {
        // it lasts as long as the page
      }
    }
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    api.theme = theme;
    document.dispatchEvent(new CustomEvent("trm:theme", { detail: theme }));
  }

  const wanted = () => kept() ?? (dark.matches ? "dark" : "light");

  function watchTheme() {
    setTheme(wanted());
    dark.addEventListener("change", () => setTheme(wanted()));
    window.addEventListener("beforeprint", () => {
      setTheme("light");
      for (const section of sections) draw(section);
    });
    window.addEventListener("afterprint", () => setTheme(wanted()));
  }

  // ---- sections

  function section(name, renderer) {
    renderers.set(name, renderer);
  }

  /** Draws a section once; a second call gives the first one's promise. */
  function draw(one) {
    one.drawn ??= (async () => {
      try {
        const text = one.data === undefined ? await block(`section-${one.index}`) : null;
        if (text !== null) one.data = JSON.parse(text);
        await render(one);
      } finally {
        one.element.removeAttribute("aria-busy");
        document.dispatchEvent(new CustomEvent("trm:section", { detail: one.name }));
      }
    })();
    return one.drawn;
  }

  async function render(one) {
    const renderer = renderers.get(one.name);
    const body = one.element.querySelector(".body");
    try {
      if (renderer === undefined) throw new Error(`nothing draws a section "${one.name}"`);
      body.replaceChildren();
      one.live = (await renderer(body, one.data, api.page)) ?? null;
    } catch (error) {
      body.replaceChildren(element("p", { class: "failed", text: `This section could not be drawn: ${error.message}` }));
      console.error(error);
    }
  }

  /** New data for a section: given to what its renderer returned ({update(data)}), else drawn anew; one out of sight waits. */
  async function update(one, data) {
    one.data = data;
    one.isStale = one.drawn !== undefined;
    if (one.isNear) await freshen(one);
  }

  async function freshen(one) {
    if (!one.isStale) return;
    one.isStale = false;
    await one.drawn;
    if (one.live && one.live.update) await one.live.update(one.data);
    else await render(one);
  }

  /** The sections as they are now: [{name, title, data}]; what is new is added in its place, what is gone goes. */
  async function sync(next) {
    const keyOf = (head) => `${head.name} ${head.title}`, keys = new Set(next.map(keyOf));
    for (const one of sections.filter((each) => !keys.has(keyOf(each)))) {
      one.element.remove();
      sections.splice(sections.indexOf(one), 1);
    }
    for (const [place, head] of next.entries()) {
      const known = sections.find((one) => keyOf(one) === keyOf(head));
      if (known) await update(known, head.data);
      else await draw(addSection(head, place, head.data));
    }
    fillContents();
  }

  function addSection(head, index, data = undefined) {
    const id = `s-${head.name}${sections.some((one) => one.name === head.name) ? `-${index}` : ""}`;
    const made = element("section", { id, "aria-labelledby": `${id}-title`, "aria-busy": "true" },
      element("h2", { id: `${id}-title`, tabindex: "-1" }, head.title), element("div", { class: "body" }));
    const one = { index, name: head.name, title: head.title, id, element: made, drawn: undefined, data, live: null, isNear: false, isStale: false };
    document.getElementById("main").insertBefore(made, sections[index]?.element ?? null);
    sections.splice(index, 0, one);
    near.observe(made);
    return one;
  }

  let isEager = false; // what is in the window comes first
  const near = new IntersectionObserver((seen) => {
    for (const change of seen) {
      const one = sections.find((each) => each.element === change.target);
      if (!one) continue;
      one.isNear = change.isIntersecting;
      if (one.isNear && isEager) draw(one).then(() => freshen(one));
    }
  }, { rootMargin: "300px" });
  const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const isSeen = (one) => one.element.getBoundingClientRect().top < window.innerHeight && one.element.getBoundingClientRect().bottom > 0;

  /** Near sections are drawn at once, the others one by one when the browser has nothing else to do. */
  async function drawAll() {
    // behind what a reader does, and not behind the next frame, as an idle callback is
    const idle = () => window.scheduler?.postTask?.(() => {}, { priority: "background" }) ?? new Promise((resolve) => setTimeout(resolve));
    await painted();
    for (const one of sections) if (isSeen(one)) await draw(one); // what is drawn may push the next one out of the window
    await painted();
    performance.mark("trm:seen"); // all that is in the window is painted
    isEager = true;
    for (const one of sections.filter((each) => each.isNear)) draw(one);
    for (const one of sections) {
      await draw(one);
      await idle();
    }
    performance.mark("trm:drawn");
    document.documentElement.dataset.drawn = "all";
    document.dispatchEvent(new CustomEvent("trm:drawn"));
  }

  // ---- head, contents, keyboard

  const HELP = [
    ["j  k", "next, previous section"],
    ["m  M", "mark the next, previous trial by rank in all charts and tables; Escape clears"],
    ["/", "filter the table in view"],
    ["t", "light or dark"],
    ["arrows", "between the rows of a table; Enter opens one and marks its trial"],
    ["?", "these keys"],
  ];

  function showHelp() {
    const rows = HELP.flatMap(([keys, told]) => [element("dt", {}, element("kbd", { text: keys })), element("dd", { text: told })]);
    const close = element("button", { type: "button", text: "Close", onclick: () => dialog.close() });
    const dialog = element("dialog", { class: "help", "aria-label": "Keys", onclose: () => dialog.remove() }, element("dl", {}, ...rows), close);
    document.body.append(dialog);
    dialog.showModal();
  }

  function switchTheme() {
    setTheme(api.theme === "dark" ? "light" : "dark", { keep: true });
  }

  function drawHead(page) {
    const tools = element("div", { class: "tools" },
      element("span", { id: "live", role: "status" }),
      element("button", { type: "button", text: "Light / dark", title: "t", onclick: switchTheme }),
      element("button", { type: "button", text: "Keys", title: "?", onclick: showHelp }));
    document.getElementById("head").append(element("div", {}, element("h1", { text: page.title }), element("p", { class: "about", text: page.about })), tools);
  }

  function drawContents() {
    const folded = element("details", { open: window.innerWidth > 1000 }, element("summary", { text: "Sections" }), element("ol"));
    document.getElementById("contents").append(folded);
    fillContents();
    window.addEventListener("scroll", () => requestAnimationFrame(markCurrent), { passive: true });
  }

  function fillContents() {
    const links = sections.map((one) => element("li", {}, element("a", { href: `#${one.id}`, text: one.title })));
    document.querySelector("#contents ol").replaceChildren(...links);
    markCurrent();
  }

  function currentIndex() {
    const tops = sections.map((one) => one.element.getBoundingClientRect().top);
    return Math.max(0, tops.findLastIndex((top) => top < 120));
  }

  function markCurrent() {
    const current = currentIndex();
    document.querySelectorAll("#contents a").forEach((link, index) => {
      if (index === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }

  function step(by) {
    const next = sections[Math.min(sections.length - 1, Math.max(0, currentIndex() + by))];
    if (next === undefined) return;
    next.element.scrollIntoView();
    next.element.querySelector("h2").focus({ preventScroll: true });
  }

  function focusFilter() {
    const filters = [...document.querySelectorAll("input[type=search]")];
    const height = window.innerHeight;
    const seen = filters.find((one) => one.getBoundingClientRect().bottom > 0 && one.getBoundingClientRect().top < height) ?? filters[0];
    seen?.focus();
  }

  const KEYS = { j: () => step(1), k: () => step(-1), "/": focusFilter, t: switchTheme, "?": showHelp };

  function onKey(event) {
    const isTyping = event.target.closest?.("input, select, textarea, dialog, [contenteditable]");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  }

  async function boot() {
    watchTheme();
    api.page = JSON.parse(await block("page-data"));
    drawHead(api.page);
    api.page.sections.forEach((head, index) => addSection(head, index));
    drawContents();
    document.addEventListener("keydown", onKey);
    if (window.location.hash) document.getElementById(window.location.hash.slice(1).split("&")[0])?.scrollIntoView();
    events.dispatchEvent(new Event("ready"));
    await drawAll();
  }

  const api = { section, element, sync, plotly: loadPlotly, events, boot, unpack, watchTheme, switchTheme, theme: "light", page: null, sections };
  return api;
})();

window.TRM = TRM;
// a page of sections is made by page.py; the playground is a page of its own
window.addEventListener("DOMContentLoaded", () => (document.getElementById("page-data") ? TRM.boot() : TRM.watchTheme()));
