// Puzzles that are edited: what TRM.puzzle does with pointer and keyboard where it has onCell or onKey.
"use strict";

(() => {
  /** Pointer and keyboard on a puzzle: one tab stop, a cursor, and what is at it said aloud. */
  TRM.editPuzzle = (element, svg, options, { now, showCursor, placeText, tokenOf, CELL }) => {
    const said = document.createElement("span");
    said.className = "visually-hidden";
    said.setAttribute("aria-live", "polite");
    element.append(said);
    svg.setAttribute("tabindex", "0");
    let last = null; // the cell that a drag was at last

    element.focusCell = (index) => {
      const { view, spec } = now();
      element.cursor = Math.max(0, Math.min(index, spec.cells.length - 1));
      showCursor();
      said.textContent = `${placeText(element.cursor, view)}: ${tokenOf(spec.legend, spec.cells[element.cursor]).said}`;
    };
    const cellAt = (event) => {
      const { view } = now();
      const place = svg.getBoundingClientRect();
      const scale = (view.columns * CELL + 2) / place.width; // the border's unit each side
      const x = Math.floor(((event.clientX - place.left) * scale - 1) / CELL);
      const y = Math.floor(((event.clientY - place.top) * scale - 1) / CELL);
      if (x < 0 || y < 0 || x >= view.columns || y >= view.rows) return null;
      return (y + view.top) * view.width + x + view.left;
    };
    svg.addEventListener("pointerdown", (event) => {
      const index = cellAt(event);
      if (index === null || event.button > 0) return;
      event.preventDefault();
      svg.focus({ preventScroll: true });
      svg.setPointerCapture(event.pointerId);
      last = index;
      element.focusCell(index);
      if (options.onCell) options.onCell(index, { kind: "press", event });
    });
    svg.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const index = cellAt(event);
      if (index === null || index === last) return;
      last = index;
      element.focusCell(index);
      if (options.onCell) options.onCell(index, { kind: "drag", event });
    });
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => (last = null));
    svg.addEventListener("focus", () => element.focusCell(element.cursor));
    svg.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { view } = now();
      const [y, x] = [Math.floor(element.cursor / view.width), element.cursor % view.width];
      const bottom = view.top + view.rows - 1;
      const right = view.left + view.columns - 1;
      const moves = {
        ArrowUp: [Math.max(view.top, y - 1), x],
        ArrowDown: [Math.min(bottom, y + 1), x],
        ArrowLeft: [y, Math.max(view.left, x - 1)],
        ArrowRight: [y, Math.min(right, x + 1)],
        Home: [y, view.left],
        End: [y, right],
      };
      if (event.key in moves) {
        event.preventDefault();
        element.focusCell(moves[event.key][0] * view.width + moves[event.key][1]);
      } else if (options.onKey && options.onKey(element.cursor, event.key, event)) {
        event.preventDefault();
      } else if ((event.key === "Enter" || event.key === " ") && options.onCell) {
        event.preventDefault();
        options.onCell(element.cursor, { kind: "enter", event });
      }
    });
  };
})();
