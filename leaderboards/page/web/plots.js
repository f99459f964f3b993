/* Plots */
const LINE = 15, PAD = { left: 52, right: 190, top: 20, bottom: 44 };
let W = 860, H = 420; /* narrower on phones, taller where that many names need it */
function fit() {
  const narrow = at("cost").clientWidth < 560;
  [W, PAD.right] = narrow ? [430, 150] : [860, 190];
}
const colour = (index) => `var(--c${Math.min(index, 5)})`;
const niceStep = (span) => [1, 2, 5, 10, 20].find((step) => span / step <= 7) || 25;

function frame(label, rows, ticks, caption) {
  H = Math.max(420, PAD.top + PAD.bottom + LINE * new Set(rows.map((row) => row.name)).size);
  const low = Math.min(...rows.map((row) => row.miou[1]));
  const high = Math.max(...rows.map((row) => row.miou[2]));
  const step = niceStep(high - low);
  const [from, to] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const y = (value) => H - PAD.bottom - ((value - from) / (to - from)) * (H - PAD.top - PAD.bottom);
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": label });
  for (let value = from; value <= to; value += step) {
    root.append(
      svg("line", { class: "axis", x1: PAD.left, x2: W - PAD.right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: PAD.left - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (const [x, text] of ticks) {
    root.append(
      svg("line", { class: "axis", x1: x, x2: x, y1: H - PAD.bottom, y2: H - PAD.bottom + 5 }),
      svg("text", { class: "tick", x, y: H - PAD.bottom + 19, "text-anchor": "middle" }, text));
  }
  root.append(
    svg("text", { class: "tick", x: PAD.left, y: 14 }, "mIoU, %"),
    svg("text", { class: "tick", x: (PAD.left + W - PAD.right) / 2, y: H - 6, "text-anchor": "middle" }, caption));
  return [root, y];
}

function symbol(row, x, y, fill) {
  const common = { fill: row.rank ? fill : "var(--card)", stroke: fill, "stroke-width": 2 };
  return row.strict
    ? svg("circle", { cx: x, cy: y, r: 6, ...common })
    : svg("rect", { x: x - 6, y: y - 6, width: 12, height: 12, transform: `rotate(45 ${x} ${y})`, ...common });
}

function point(row, x, y, fill, text) {
  return svg("g", { tabindex: 0, role: "img", "aria-label": text },
    svg("title", {}, text),
    svg("line", { class: "spread", stroke: fill, x1: x, x2: x, y1: y(row.miou[1]), y2: y(row.miou[2]) }),
    symbol(row, x, y(row.miou[0]), fill));
}

/* Names in a column at the right, in the order of their points and never on one another. */
function labels(root, marks) {
  marks.sort((a, b) => a.y - b.y);
  const bottom = H - PAD.bottom;
  let next = PAD.top;
  for (const mark of marks) {
    mark.at = Math.max(mark.y, next);
    next = mark.at + LINE;
  }
  let most = bottom;
  for (const mark of [...marks].reverse()) {
    mark.at = Math.min(mark.at, most);
    most = mark.at - LINE;
  }
  const x = W - PAD.right + 26;
  for (const { x: from, y, at: to, text, fill } of marks) {
    root.append(
      svg("path", { class: "leader", stroke: fill, d: `M${from + 8} ${y}L${x - 20} ${to}H${x - 4}` }),
      svg("text", { class: "label", x, y: to + 4, style: `fill: ${fill}` }, shortened(text, W > 500 ? 20 : 14)));
  }
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function drawCost(rows) {
  const kind = state.cost;
  const usable = rows.filter((row) => row.miou && row[kind] > 0);
  const left = rows.filter((row) => row.miou).length - usable.length;
  if (!usable.length) {
    at("cost").replaceChildren(h("p", { class: "hint" }, "Nothing to plot."));
    return;
  }
  const logs = usable.map((row) => Math.log10(row[kind]));
  const from = Math.floor(Math.min(...logs) * 2) / 2 - 0.05;
  const to = Math.max(Math.ceil(Math.max(...logs) * 2) / 2, from + 1) + 0.05;
  const x = (value) => PAD.left + ((Math.log10(value) - from) / (to - from)) * (W - PAD.left - PAD.right);
  const ticks = [];
  for (let power = Math.floor(from); power <= to; power += 1) {
    for (const factor of to - from > 3 ? [1] : [1, 3]) {
      const value = factor * 10 ** power;
      const logged = Math.log10(value);
      if (logged >= from && logged <= to) {
        ticks.push([x(value), kind === "ms" ? String(Number(value.toPrecision(1))) : short(value).replace(".0", "")]);
      }
    }
  }
  const devices = unique(usable.map((row) => row.hardware));
  const [root, y] = frame("mIoU against cost; the table holds the same numbers", usable, ticks,
    kind === "ms" ? "milliseconds per episode" : "parameters");
  const marks = [];
  for (const row of usable) {
    const fill = colour(kind === "ms" ? devices.indexOf(row.hardware) : row.strict ? 0 : 1);
    const cost = kind === "ms" ? `${time(row.ms)} ms on ${row.hardware}` : `${short(row.parameters)} parameters`;
    root.append(point(row, x(row[kind]), y, fill, `${row.name}: ${percent(row.miou)} (${ends(row.miou)}), ${cost}`));
    marks.push({ x: x(row[kind]), y: y(row.miou[0]), text: row.name, fill });
  }
  labels(root, marks);
  const keys = kind === "ms"
    ? devices.map((name, index) => [name, colour(index)])
    : [["strict", colour(0)], ["generalist", colour(1)]];
  at("cost").replaceChildren(root, h("p", { class: "legend" },
    ...keys.map(([name, fill]) => {
      const box = h("i", {});
      box.style.background = fill;
      return h("span", {}, box, name);
    }),
    h("span", {}, "● strict  ◆ generalist  ○ not ranked"),
    left ? h("span", {}, `${left} without ${kind === "ms" ? "a time" : "parameters"} not drawn`) : null));
}

function drawCurve() {
  const all = ofProtocol();
  const shots = unique(all.map((s) => s.shots)).sort((a, b) => a - b);
  const lines = new Map();
  for (const s of all) {
    for (const row of shown(s)) {
      if (row.miou) lines.set(row.name, [...(lines.get(row.name) || []), [s.shots, row]]);
    }
  }
  const rows = [...lines.values()].flat().map(([, row]) => row);
  if (shots.length < 2 || !rows.length) {
    at("curve").replaceChildren(h("p", { class: "hint" }, "Measured at one number of shots only."));
    return;
  }
  const [first, last] = [Math.log2(shots[0]), Math.log2(shots[shots.length - 1])];
  const x = (k) => PAD.left + 30 + ((Math.log2(k) - first) / (last - first)) * (W - PAD.left - PAD.right - 60);
  const [root, y] = frame("mIoU against the number of shots", rows, shots.map((k) => [x(k), String(k)]), "shots");
  const marks = [];
  [...lines.entries()].forEach(([name, points], index) => {
    const fill = colour(index % 6);
    points.sort((a, b) => a[0] - b[0]);
    root.append(svg("polyline", {
      fill: "none", stroke: fill, "stroke-width": 2, "stroke-dasharray": index > 5 ? "6 4" : null,
      points: points.map(([k, row]) => `${x(k)},${y(row.miou[0])}`).join(" "),
    }));
    for (const [k, row] of points) {
      root.append(point(row, x(k), y, fill, `${name}, ${k}-shot: ${percent(row.miou)} (${ends(row.miou)})`));
    }
    const [k, row] = points[points.length - 1];
    marks.push({ x: x(k), y: y(row.miou[0]), text: name, fill });
  });
  labels(root, marks);
  at("curve").replaceChildren(root, ...curveTables(new Set(rows.map((row) => row.name))));
}

/* Below the curves: what more shots bring to models that were measured at three numbers of them. */
function curveTables(names) {
  const tiers = board.curves.filter((own) => own.dataset === state.dataset && own.protocol === state.protocol)
    .map((own) => [own, own.rows.filter((row) => names.has(row.name))])
    .filter(([, rows]) => rows.length);
  return [
    ...tiers.map(([own, rows]) => h("div", { class: "scroll", role: "group", "aria-label": "Gain over shots", tabindex: 0 }, h("table", { class: "gains" },
      h("caption", {}, own.strict ? "Strict" : "Generalist"),
      h("thead", {}, h("tr", {}, ...["Model", ...own.shots, ...own.heads].map((text, place) =>
        h("th", { scope: "col", class: place ? null : "name" }, String(text))))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, h("th", { scope: "row", class: "name" }, row.name),
        ...[...own.shots.map((k) => percent(row.miou[k])), ...row.answers].map((text) => h("td", {}, text)))))))),
    ...tiers.slice(0, 1).map(([own]) => h("p", { class: "hint" }, own.note)),
  ];
}
