// When which leg ran, a row a slot: gaps are slots that waited.
"use strict";

(() => {
  const { safe } = TRM;
  const NAMES = { trial: "trials", confirmation: "fresh seeds", audit: "controls" };
  const SHAPES = ["", "/", "x", ".", "-", "+", "|", "\\"];

  const on = (span) => (span.beside.length ? `, on ${1 + span.beside.length} slots` : "");

  function spec(data) {
    const kinds = [...new Set(data.spans.map((span) => span.what))].sort((one, other) => (other in NAMES) - (one in NAMES));
    const end = Math.max(...data.spans.map((span) => span.start_seconds + span.seconds));
    const [unit, seconds] = end > 2 * 86400 ? ["days", 86400] : end > 7200 ? ["hours", 3600] : end > 120 ? ["minutes", 60] : ["seconds", 1];
    const trace = (what, place, c) => {
      const own = data.spans.filter((span) => span.what === what).flatMap((span) => [span.slot, ...span.beside].map((slot) => ({ ...span, slot })));
      return {
        type: "bar", orientation: "h", name: safe(NAMES[what] ?? what.replaceAll("_", " ")),
        y: own.map((span) => span.slot + 1), base: own.map((span) => span.start_seconds / seconds), x: own.map((span) => span.seconds / seconds), width: 0.8,
        text: own.map((span) => `trial ${span.trial}, to rung ${span.rung}: ${TRM.duration(span.seconds)}, of it ${TRM.duration(span.busy_seconds)} training and scoring${on(span)}`),
        customdata: own.map((span) => span.trial), textposition: "none", hovertemplate: "%{text}<extra></extra>",
        marker: { color: what in NAMES ? c.series[place % c.series.length] : c.bad, line: { color: c.paper, width: 1 }, pattern: { shape: SHAPES[place % SHAPES.length], fgcolor: c.paper, fillmode: "overlay", size: 6 } },
      };
    };
    const isWide = data.spans.some((span) => span.beside.length);
    return {
      label: `${data.sentence}. A bar is a leg of a trial, from one rung to the next${isWide ? ", or where it stopped to go on with more workers: on each of its slots" : ""}; ${data.spans.length} legs.`,
      height: Math.min(700, 120 + 26 * data.slots),
      draw: (c) => ({
        traces: kinds.map((what, place) => trace(what, place, c)),
        layout: { barmode: "overlay", xaxis: { title: `${unit} since the first leg began` }, yaxis: { title: "slot", autorange: "reversed", dtick: data.slots > 20 ? 10 : 1 } },
      }),
      table: () => ({
        columns: [{ name: "trial" }, { name: "rung" }, { name: "what", isText: true }, { name: "slot" }, ...(isWide ? [{ name: "slots", title: "slots" }] : []), { name: "start_seconds", title: "began after", show: TRM.duration }, { name: "seconds", title: "took", show: TRM.duration }, { name: "busy_seconds", title: "training and scoring", show: TRM.duration }],
        rows: data.spans.map((span) => ({ ...span, slot: span.slot + 1, slots: 1 + span.beside.length })),
      }),
    };
  }

  TRM.section("timeline", async (holder, data) => {
    const made = await TRM.chart(holder, spec(data));
    return { update: (next) => made.update(spec(next)) };
  });
})();
