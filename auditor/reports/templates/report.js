"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // The flagged table: filter by text and rule, sort by any column.
  const table = byId("flagged-table");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const rules = rows.map((row) => [...row.cells[6].querySelectorAll("code")].map((c) => c.textContent));
    const apply = () => {
      const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      const rule = byId("filter-rule").value;
      let shown = 0;
      rows.forEach((row, i) => {
        const fits = words.every((w) => texts[i].includes(w)) && (!rule || rules[i].includes(rule));
        row.hidden = !fits;
        shown += fits;
      });
      byId("filter-count").textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
    };
    byId("filter").addEventListener("input", apply);
    byId("filter-rule").addEventListener("change", apply);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const value = (row) => row.cells[column].dataset.rank || row.cells[column].textContent;
        const order = new Intl.Collator("en", { numeric: true });
        const compare = (a, b) => order.compare(value(a), value(b)) * (up ? 1 : -1);
        body.append(...[...rows].sort(compare));
      });
    });
  }

  // The map: points on a canvas, drawn in the page's colours, named on hover.
  const canvas = byId("map-canvas");
  if (!canvas) return;
  const data = JSON.parse(byId("map-data").textContent);
  const tip = byId("map-tip");
  const pen = canvas.getContext("2d");
  let placed = [];

  const draw = () => {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const palette = Array.from({ length: 10 }, (_, i) => colour(`--c${i}`));
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = box.width * ratio;
    canvas.height = box.height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const only = Number(byId("map-class").value);
    const flaggedOnly = byId("map-flagged").checked;
    // One scale for both axes: a UMAP has no units, but its shape should not be stretched.
    const scale = Math.min((box.width - 28) / data.width, (box.height - 28) / data.height);
    const left = (box.width - scale * data.width) / 2;
    const top = (box.height - scale * data.height) / 2;
    placed = data.x.map((x, i) => [left + x * scale, top + data.y[i] * scale, i]);
    const flagged = ([, , i]) => data.score[i] !== null;
    const chosen = ([, , i]) => only === -2 || data.label[i] === only;
    pen.clearRect(0, 0, box.width, box.height);
    for (const [x, y, i] of placed.filter((p) => !flagged(p))) {
      const label = data.label[i];
      pen.globalAlpha = flaggedOnly ? 0.06 : chosen([x, y, i]) ? 0.62 : 0.07;
      pen.fillStyle = data.coloured && label >= 0 ? palette[label] : palette[9];
      pen.beginPath();
      pen.arc(x, y, 2.4, 0, 7);
      pen.fill();
    }
    pen.fillStyle = colour("--flag");
    pen.strokeStyle = colour("--flag-line");
    for (const point of placed.filter(flagged)) {
      const [x, y] = point;
      pen.globalAlpha = chosen(point) ? 0.95 : 0.12;
      pen.beginPath();
      pen.moveTo(x, y - 4.6);
      pen.lineTo(x + 4.6, y);
      pen.lineTo(x, y + 4.6);
      pen.lineTo(x - 4.6, y);
      pen.closePath();
      pen.fill();
      pen.lineWidth = 0.8;
      pen.stroke();
    }
    pen.globalAlpha = 1;
  };

  const line = (text, tag = "div") => {
    const part = document.createElement(tag);
    part.textContent = text;
    return part;
  };

  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    let best = null;
    let nearest = 12 * 12;
    for (const place of placed) {
      // A flagged point wins over a plain one that is as near.
      const bonus = data.score[place[2]] !== null ? 0.5 : 1;
      const distance = ((place[0] - x) ** 2 + (place[1] - y) ** 2) * bonus;
      if (distance < nearest) [best, nearest] = [place, distance];
    }
    tip.hidden = !best;
    if (!best) return;
    const i = best[2];
    tip.replaceChildren();
    const image = byId(`t${data.row[i]}`);
    if (image) {
      const space = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(space, "svg");
      svg.setAttribute("viewBox", "0 0 64 64");
      svg.setAttribute("class", "thumb");
      const use = document.createElementNS(space, "use");
      use.setAttribute("href", `#t${data.row[i]}`);
      svg.append(use);
      tip.append(svg);
    }
    const record = data.record[i] === null ? "" : ` #${data.record[i]}`;
    tip.append(line(data.uris[data.uri[i]] + record, "b"));
    tip.append(line(data.label[i] < 0 ? "no label" : `class ${data.names[data.label[i]]}`));
    if (data.score[i] !== null) tip.append(line(`flagged, score ${data.score[i].toFixed(3)}`));
    const room = box.width - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(0, Math.min(best[0] + 14, room))}px`;
    const under = best[1] + 14 + tip.offsetHeight < box.height;
    tip.style.top = `${under ? best[1] + 14 : best[1] - 14 - tip.offsetHeight}px`;
  };

  canvas.addEventListener("mousemove", point);
  canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
  byId("map-class").addEventListener("change", draw);
  byId("map-flagged").addEventListener("change", draw);
  window.addEventListener("resize", draw);
  window.addEventListener("beforeprint", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
