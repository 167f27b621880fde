// Lines with their bands, or points: one section for whatever is a score against steps, forms, votes or FLOPs.
"use strict";

(() => {
  const e = TRM.element;
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
  const MARKS = ["circle", "square", "diamond", "cross", "triangle-up"];

  const faded = (colour) => `${colour}33`;

  /** A line, and before it the band between its low and high ends. */
  function traces(one, index, colours) {
    const colour = colours.series[index % colours.series.length];
    const name = TRM.safe(one.name);
    const made = [];
    if (one.low) {
      made.push({ x: one.x, y: one.high, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false });
      made.push({ x: one.x, y: one.low, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faded(colour), hoverinfo: "skip", showlegend: false });
    }
    const shown = one.points ? "markers" : one.step || one.x.length > 60 ? "lines" : "lines+markers";
    const marker = { symbol: MARKS[index % MARKS.length], size: 7, color: colour };
    made.push({ x: one.x, y: one.y, name, mode: shown, connectgaps: true, marker, line: { color: colour, width: 2, dash: DASHES[index % DASHES.length], shape: one.step ? "hv" : "linear" }, text: one.text?.map(TRM.safe), hovertemplate: `${one.text ? "%{text}<br>" : ""}%{x}: %{y}<extra>${name}</extra>` });
    return made;
  }

  /** data: {lines?, plots: [{x, y, log?, series: [{name, x, y, low?, high?, points?, step?, text?}]}], rows?} */
  TRM.section("lines", async (holder, data) => {
    for (const line of data.lines ?? []) holder.append(e("p", { text: line }));
    for (const plot of TRM.chart ? data.plots : []) {
      const names = plot.series.map((one) => one.name).join(", ");
      await TRM.chart(holder, {
        label: plot.label ?? `${names} against ${plot.x}${plot.log ? " (logarithmic)" : ""}`,
        draw: (colours) => ({
          traces: plot.series.flatMap((one, index) => traces(one, index, colours)),
          layout: { xaxis: { title: plot.x, type: plot.log ? "log" : "linear" }, yaxis: { title: plot.y, rangemode: "nonnegative" } },
        }),
      });
    }
    if (data.rows?.length) {
      const columns = [...new Set(data.rows.flatMap(Object.keys))];
      const isText = (name) => data.rows.some((row) => typeof row[name] === "string");
      TRM.table(holder, columns.map((name) => ({ name, isText: isText(name), show: /FLOPs|flops/.test(name) ? TRM.flops : undefined })), data.rows, {});
    }
  });
})();
