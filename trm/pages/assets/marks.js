// Marks of many points: plotly draws an element a point, here a trace's marks are one path; hover, zoom and legend stay plotly's.
"use strict";

(() => {
  const MOST_ELEMENTS = 20; // points of a trace that plotly draws itself

  /** A mark around the point where the pen is, of a radius; the pen is back there or anywhere. */
  const SHAPES = {
    circle: (r) => `m${r},0a${r},${r} 0 1,1 ${-2 * r},0a${r},${r} 0 1,1 ${2 * r},0z`,
    square: (r) => `m${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
    diamond: (r) => `m0,${-1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
    "triangle-up": (r) => `m0,${-r}l${1.15 * r},${1.5 * r}h${-2.3 * r}z`,
    x: (r) => `m0,${-0.45 * r}l${0.55 * r},${-0.55 * r}l${0.45 * r},${0.45 * r}l${-0.55 * r},${0.55 * r}l${0.55 * r},${0.55 * r}l${-0.45 * r},${0.45 * r}l${-0.55 * r},${-0.55 * r}l${-0.55 * r},${0.55 * r}l${-0.45 * r},${-0.45 * r}l${0.55 * r},${-0.55 * r}l${-0.55 * r},${-0.55 * r}l${0.45 * r},${-0.45 * r}z`,
  };

  const isMany = (trace) => trace.type === "scatter" && /markers/.test(trace.mode) && !/text/.test(trace.mode) && trace.x.length > MOST_ELEMENTS
    && !trace.error_x && !trace.error_y && typeof trace.marker?.size === "number" && typeof trace.marker.color === "string" && SHAPES[trace.marker.symbol.replace("-open", "")];

  /** Places of the outermost points, and of one point a name: by them plotly leaves room at the edges, and knows the legend's mark. */
  function outermost(trace) {
    const found = new Set();
    for (const values of [trace.x, trace.y]) {
      const firsts = new Map();
      let low = -1, high = -1;
      values.forEach((value, place) => {
        if (trace.x[place] === null || trace.y[place] === null) return;
        if (typeof value === "string" && !firsts.has(value)) firsts.set(value, place);
        if (low < 0 || value < values[low]) low = place;
        if (high < 0 || value > values[high]) high = place;
      });
      for (const place of firsts.size ? firsts.values() : [low, high]) if (place >= 0) found.add(place);
    }
    return found;
  }

  const PER_POINT = ["x", "y", "text", "customdata"];

  /** Some points of a trace, each by itself: no line joins two of them. */
  function pointsAt(trace, places) {
    const apart = places.flatMap((place) => [place, -1]);
    return Object.fromEntries(PER_POINT.filter((name) => trace[name]).map((name) => [name, apart.map((place) => (place < 0 ? null : trace[name][place]))]));
  }

  /**
   * Traces as plotly gets them: those of many marks without their marks, but for the outermost points. `paint(plot)` draws what is missing,
   * each time that plotly has drawn.
   */
  function lightened(traces) {
    const drawn = [], many = [];
    for (const [place, trace] of traces.entries()) {
      if (!isMany(trace)) { drawn.push(trace); continue; }
      const uid = `many${place}`, legendgroup = trace.legendgroup ?? uid, few = outermost(trace);
      many.push({ trace, uid, few });
      drawn.push({ ...trace, uid, legendgroup, showlegend: false, mode: /lines/.test(trace.mode) ? "lines" : "none", hoveron: "points" });
      drawn.push({ ...trace, ...pointsAt(trace, [...few]), uid: `few${place}`, legendgroup, hoverinfo: "skip", hovertemplate: null });
    }
    return { traces: drawn, paint: (plot) => many.forEach((one) => paint(plot, one)) };
  }

  function paint(plot, { trace, uid, few }) {
    const holder = plot.querySelector(`.scatterlayer .trace${uid}`), points = plot.calcdata?.find((one) => one[0].trace.uid === uid);
    if (holder === null || !points) return; // hidden by the legend
    holder.querySelector(":scope > .many")?.remove();
    const axis = (name, id) => plot._fullLayout[id ? `${name}axis${id.slice(1)}` : `${name}axis`];
    const across = axis("x", trace.xaxis), up = axis("y", trace.yaxis);
    const { symbol, size, color, line } = trace.marker, isOpen = symbol.endsWith("-open");
    const shape = SHAPES[symbol.replace("-open", "")](size / 2);
    let path = "";
    points.forEach((point, place) => {
      const x = across.c2p(point.x), y = up.c2p(point.y);
      if (!few.has(place) && Number.isFinite(x) && Number.isFinite(y)) path += `M${x.toFixed(1)},${y.toFixed(1)}${shape}`;
    });
    holder.append(TRM.element("svg:path", { class: "many", d: path, style: { fill: isOpen ? "none" : color, stroke: line?.color ?? color, "stroke-width": `${line?.width ?? (isOpen ? 1 : 0)}px`, "pointer-events": "none" } }));
  }

  Object.assign(TRM, { lightened });
})();
