const board = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const NONE = "–";

/* Elements are built from text, never from markup: names come from files. */
function make(space, tag, attributes, children) {
  const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const h = (tag, attributes, ...children) => make(null, tag, attributes, children);
const svg = (tag, attributes, ...children) =>
  make("http://www.w3.org/2000/svg", tag, attributes, children);
const option = (value, text) => h("option", { value }, text);

const percent = (figure) => (figure ? figure[0].toFixed(1) : NONE);
const ends = (figure) => (figure ? `${figure[1].toFixed(1)}–${figure[2].toFixed(1)}` : NONE);
const short = (n) =>
  n >= 1e9 ? `${(n / 1e9).toFixed(1)}B` : n >= 1e6 ? `${(n / 1e6).toFixed(1)}M`
    : n >= 1e3 ? `${(n / 1e3).toFixed(1)}K` : `${n}`;
const time = (ms) => (ms === null ? "–" : ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2));

/* State: what is shown, kept in the address so that a view can be passed on. */
const state = { dataset: "", protocol: "", shots: "", tier: "all", sort: "miou", down: "1", cost: "ms", row: "" };
/* What a row opens to says the same as these columns. */
const hidden = new Set(["hardware", "dtype", "date", "weights"]);
function fromAddress() {
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (key in state) state[key] = value;
  }
}
fromAddress();
const address = (changes) =>
  `#${new URLSearchParams(Object.entries({ ...state, ...changes }).filter(([, value]) => value))}`;

const unique = (values) => [...new Set(values)];
const protocolOf = (s) => (s.limit === null ? s.protocol : `${s.protocol}, first ${s.limit}`);
const ofDataset = () => board.settings.filter((s) => s.dataset === state.dataset);
const ofProtocol = () => ofDataset().filter((s) => protocolOf(s) === state.protocol);
const setting = () => ofProtocol().find((s) => String(s.shots) === state.shots);

function choices() {
  const pick = (id, values, label) => {
    if (!values.includes(state[id])) state[id] = values.length ? values[0] : "";
    at(id).replaceChildren(...values.map((value) => option(value, label ? label(value) : value)));
    at(id).value = state[id];
  };
  const datasets = unique([
    ...board.settings.map((s) => s.dataset),
    ...board.reported.map((n) => n.dataset),
  ]);
  pick("dataset", datasets);
  pick("protocol", unique(ofDataset().map(protocolOf)), (name) =>
    name.includes(", first ") ? `${name}: not comparable` : name);
  const shots = ofProtocol().length
    ? ofProtocol().map((s) => s.shots)
    : board.reported.filter((n) => n.dataset === state.dataset).map((n) => n.shots);
  pick("shots", unique(shots).sort((a, b) => a - b).map(String), (k) => `${k}-shot`);
  at("tier").value = state.tier;
}

function shown(s) {
  if (!s) return [];
  const text = at("search").value.trim().toLowerCase();
  return s.rows.filter((row) =>
    (state.tier === "all" || (state.tier === "strict") === row.strict) &&
    (at("extras").checked || (row.kind === "model" && row.comparable) || row.kind === "predictions") &&
    `${row.name} ${row.title}`.toLowerCase().includes(text));
}

/* `at least 12 of 80` as a number. */
function share(text) {
  const [part, whole] = text.match(/\d+/g).map(Number);
  return part / Math.max(whole, 1);
}

/* Columns: how a row is read, shown and sorted. `wide` ones are left out on phones. */
function columns(s) {
  const folds = s.folds.length > 1 && s.folds.length <= 5 ? s.folds : [];
  return [
    { id: "rank", head: "Rank", value: (r) => r.rank && 1000 * r.rank[0] + r.rank[1], show: (r) => (r.rank ? unique(r.rank).join("–") : NONE), up: true },
    { id: "name", head: "Model", value: (r) => r.name.toLowerCase(), up: true, name: true },
    { id: "miou", head: "mIoU", value: (r) => r.miou && r.miou[0], show: (r) => percent(r.miou) },
    { id: "interval", head: "95% interval", value: (r) => r.miou && r.miou[1], show: (r) => ends(r.miou) },
    { id: "bar", head: "Interval", bar: true, wide: true },
    ...folds.map((f, place) => ({
      id: `fold${f}`, group: "folds", head: s.parts[place], wide: true,
      value: (r) => r.folds[f] && r.folds[f][0], show: (r) => percent(r.folds[f]),
    })),
    { id: "fb", head: "FB-IoU", value: (r) => r.fb_iou && r.fb_iou[0], show: (r) => percent(r.fb_iou), wide: true },
    { id: "ms", head: "ms", up: true, wide: true, value: (r) => r.ms, show: (r) => time(r.ms) },
    { id: "parameters", head: "Parameters", up: true, wide: true, value: (r) => r.parameters, show: (r) => short(r.parameters) },
    { id: "seen", head: "Test classes seen", text: true, wide: true, value: (r) => (/ of /.test(r.seen) ? share(r.seen) : null), show: (r) => r.seen, up: true },
    { id: "text", head: "Text", text: true, wide: true, value: (r) => r.text, show: (r) => r.text, up: true },
    { id: "hardware", head: "Device", text: true, wide: true, value: (r) => r.hardware, show: (r) => r.hardware, up: true },
    { id: "dtype", head: "dtype", text: true, wide: true, value: (r) => r.dtype, show: (r) => r.dtype, up: true },
    { id: "date", head: "Date", text: true, wide: true, value: (r) => r.date, show: (r) => r.date },
    { id: "weights", head: "Weights", text: true, wide: true, value: (r) => r.weights, show: (r) => r.weights, up: true },
  ];
}
const group = (column) => column.group || column.id;

function sorted(rows, column) {
  const sign = state.down === "1" ? -1 : 1;
  const key = (row) => column.value(row) ?? null;
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return x < y ? -sign : x > y ? sign : 0;
  });
}

function drawTable(s, rows) {
  const table = at("results").querySelector("table");
  const [caption, head, body] = [table.caption, table.tHead, table.tBodies[0]];
  if (!s) {
    caption.textContent = "Nothing was measured on this dataset yet.";
    head.replaceChildren();
    body.replaceChildren();
    return;
  }
  caption.textContent =
    `${s.dataset}, ${protocolOf(s)}, ${s.shots}-shot; figures in percent` +
    (s.limit === null ? "" : "; only part of each list was run: not comparable");
  const all = columns(s);
  const visible = all.filter((column) => !hidden.has(group(column)));
  const by = all.find((column) => column.id === state.sort && column.value) || all[2];
  const axis = zoomed(rows);
  head.replaceChildren(h("tr", {}, ...visible.map((column) => {
    const classes = [column.name && "name", column.text && "text", column.wide && "wide"];
    const label = column.value
      ? h("button", { type: "button", "data-sort": column.id }, column.head)
      : h("span", { class: "axis" }, h("span", {}, String(axis.from)),
        `${column.head}, zoomed`, h("span", {}, String(axis.to)));
    const order = column === by ? (state.down === "1" ? "descending" : "ascending") : null;
    return h("th", { scope: "col", class: classes.filter(Boolean).join(" "), "aria-sort": order }, label);
  })));
  body.replaceChildren(...sorted(rows, by).flatMap((row) => {
    const open = row.name === state.row;
    const line = h("tr", { class: row.rank ? null : "faint" }, ...visible.map((column) => {
      const classes = [column.text && "text", column.wide && "wide"].filter(Boolean).join(" ");
      if (column.name) {
        return h("th", { scope: "row", class: "name", title: row.title, "data-name": row.name },
          h("button", { type: "button", class: "open", "data-row": row.name, "aria-expanded": String(open) }, row.name),
          ...[...row.marks, ...(row.rank && !row.strict ? ["generalist"] : [])]
            .map((mark) => h("span", { class: "mark" }, mark)));
      }
      if (!column.bar) return h("td", { class: classes }, String(column.show(row)));
      return h("td", { class: classes }, row.miou ? bar(row.miou, axis) : NONE);
    }));
    return open ? [line, h("tr", { class: "detail" }, h("td", { colspan: visible.length }, detail(s, row)))] : [line];
  }));
}

/* The axis of the bars: from the worst to the best that is ranked, so that intervals are seen. */
function zoomed(rows) {
  const whole = rows.filter((row) => row.miou);
  const ranked = whole.filter((row) => row.rank);
  const figures = (ranked.length ? ranked : whole).map((row) => row.miou);
  const low = Math.min(...figures.map((own) => own[1]), 100);
  const high = Math.max(...figures.map((own) => own[2]), 0);
  const step = niceStep(Math.max(high - low, 1));
  const from = Math.floor(Math.min(low, high) / step) * step;
  return { from, to: Math.max(Math.ceil(high / step) * step, from + step), step };
}

function bar(figure, axis) {
  const share = (value) => (100 * (value - axis.from)) / (axis.to - axis.from);
  const node = h("span", { class: "range", "aria-hidden": "true" });
  node.style.setProperty("--steps", (axis.to - axis.from) / axis.step);
  if (figure[2] < axis.from || figure[1] > axis.to) {
    node.append(h("span", { class: figure[2] < axis.from ? "below" : "above" }, figure[2] < axis.from ? "◂" : "▸"));
    return node;
  }
  const [left, right] = [Math.max(share(figure[1]), 0), Math.min(share(figure[2]), 100)];
  const [whole, dot] = [h("i", {}), h("b", {})];
  whole.style.left = `${left}%`;
  whole.style.width = `${right - left}%`;
  dot.style.left = `${Math.min(Math.max(share(figure[0]), 0), 100)}%`;
  node.append(whole, dot);
  return node;
}

/* What a row opens to. */
function detail(s, row) {
  const { commands, verified, facts, tables } = row.provenance;
  const fact = (what, ...value) => [h("dt", {}, what), h("dd", {}, ...value)];
  const folds = Object.entries(row.folds).map(([fold, own]) => `${s.parts[s.folds.indexOf(Number(fold))]} ${percent(own)} (${ends(own)})`);
  return h("div", { class: "provenance" },
    h("dl", {},
      ...fact(commands.length > 1 ? "Commands" : "Command", ...commands.map((text) => h("code", {}, text))),
      ...fact("Verified by", verified),
      ...(folds.length > 1 ? fact("mIoU", folds.join(", ")) : []),
      ...fact("FB-IoU", `${percent(row.fb_iou)} (${ends(row.fb_iou)})`),
      ...fact("Time and size", `${time(row.ms)} ms an episode, ${short(row.parameters)} parameters`),
      ...Object.entries(facts).flatMap(([what, text]) => fact(what, text)),
      ...fact("Episode tables", ...(tables.length
        ? tables.map(([name, href]) => h("a", { href }, name)) : ["not committed"])),
      ...fact("Pictures", pictured(s).length ? h("a", { href: "#gallery", "data-jump": "gallery" }, "episodes below") : "not committed")),
    h("p", {}, h("a", { href: address({ row: row.name }) }, "Link to this row")));
}

function drawClasses(s, rows) {
  if (!s || !rows.length || !s.classes.length) {
    at("classes").replaceChildren(h("p", { class: "hint" }, "Nothing to show."));
    return;
  }
  const crowded = rows.length > 24; /* no room for a decimal */
  const body = [];
  for (const [part, classes] of s.classes) {
    if (s.classes.length > 1) {
      body.push(h("tr", { class: "fold" }, h("th", { scope: "rowgroup", colspan: rows.length + 1 }, part)));
    }
    for (const [index, name] of classes) {
      body.push(h("tr", {}, h("th", { scope: "row", class: "name text" }, name), ...rows.map((row) => {
        const figure = row.classes[index];
        if (!figure) return h("td", {}, NONE);
        const cell = h("td", { title: `${row.name}, ${name}: ${percent(figure)} (${ends(figure)})` },
          crowded ? figure[0].toFixed(0) : percent(figure));
        cell.style.setProperty("--v", figure[0]);
        return cell;
      })));
    }
  }
  at("classes").replaceChildren(h("table", { class: rows.length > 10 ? "heat many" : "heat" },
    h("caption", {}, `Class IoU in percent${crowded ? ", rounded" : ""}, the stronger the colour, the higher`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "name" }, "Class"),
      ...rows.map((row) => h("th", { scope: "col" }, h("span", {}, row.name))))),
    h("tbody", {}, ...body)));
}

function drawReported() {
  const rows = board.reported.filter((n) => n.dataset === state.dataset && String(n.shots) === state.shots &&
    (state.tier === "all" || n.setting === state.tier));
  if (!rows.length) {
    at("reported").replaceChildren(h("p", { class: "hint" }, "Nothing is recorded for this choice."));
    return;
  }
  rows.sort((a, b) => (b.miou ?? 0) - (a.miou ?? 0));
  at("reported").replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, ...["Method", "mIoU", "FB-IoU", "Setting", "Protocol as published", "Read in", "Note"]
      .map((text, index) => h("th", { scope: "col", class: index ? (index > 2 ? "text" : null) : "name" }, text)))),
    h("tbody", {}, ...rows.map((n) => h("tr", {},
      h("th", { scope: "row", class: "name" }, n.method),
      h("td", {}, n.miou === null ? NONE : String(n.miou)),
      h("td", {}, n.fb_iou === null ? NONE : String(n.fb_iou)),
      h("td", { class: "text" }, n.setting),
      h("td", { class: "text wrap" }, n.protocol),
      h("td", { class: "text wrap" }, n.source),
      h("td", { class: "text wrap" }, n.note))))));
}

const pictures = JSON.parse(at("pictures").textContent);

function pictured(s) {
  const folder = s && (s.limit === null ? s.protocol : `${s.protocol}-first${s.limit}`);
  return (s && pictures[`${s.dataset}/${folder}/${s.shots}`]) || [];
}

function drawAcross() {
  const found = board.across.filter((own) => own.protocol === state.protocol && String(own.shots) === state.shots &&
    (state.tier === "all" || (state.tier === "strict") === own.strict));
  at("across").hidden = !found.length;
  at("across").querySelector(".scroll").replaceChildren(...found.map((own) => h("table", { class: "across" },
    h("caption", {}, `${own.strict ? "Strict" : "Generalist"}, ${own.protocol}, ${own.shots}-shot. ${own.note}`),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "name" }, "Model"), h("th", { scope: "col" }, "Mean rank"),
      ...own.datasets.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...own.rows.map((row) => h("tr", {}, h("th", { scope: "row", class: "name" }, row.name),
      h("td", {}, row.rank),
      ...own.datasets.map((name) => h("td", { class: /^\d+\.\d$/.test(row.cells[name]) ? null : "missing" }, row.cells[name]))))))));
}

function drawGallery(s, rows) {
  const episodes = pictured(s);
  const shown = new Set([null, ...rows.map((row) => row.name)]);
  const details = at("gallery").querySelector("details");
  at("gallery").hidden = !episodes.length;
  details.querySelector("summary").textContent = `${episodes.length} episodes`;
  /* Decoding waits until someone looks. */
  at("episodes").replaceChildren(...(details.open ? episodes : []).map((episode) =>
    h("figure", { class: "episode" }, h("figcaption", {}, episode.title),
      h("div", { class: "strip", tabindex: 0, role: "group", "aria-label": episode.title },
        ...episode.panels.filter(([, model]) => shown.has(model)).map(([label, , src]) =>
          h("span", {}, h("img", { src, alt: `${episode.title}: ${label}` }), label))))));
}

function drawFacts(s) {
  const facts = s ? Object.entries(s.facts) : [];
  at("facts").replaceChildren(...facts.flatMap(([what, value]) => [h("dt", {}, what), h("dd", {}, value)]));
}

function drawColumns(s) {
  if (!s) return;
  const names = new Map(columns(s).filter((column) => !column.name)
    .map((column) => [group(column), column.group ? "Folds" : column.head]));
  at("columns").querySelector("div").replaceChildren(...[...names].map(([id, name]) => {
    const box = h("input", { type: "checkbox", value: id });
    box.checked = !hidden.has(id);
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(id);
      else hidden.add(id);
      draw();
    });
    return h("label", { class: "check" }, box, name);
  }));
}

function draw() {
  choices();
  const s = setting();
  const rows = shown(s);
  const best = [...rows].sort((a, b) => (b.miou ? b.miou[0] : -1) - (a.miou ? a.miou[0] : -1));
  drawTable(s, rows);
  fit();
  drawCost(rows);
  drawCurve();
  drawClasses(s, best);
  drawGallery(s, rows);
  drawAcross();
  drawReported();
  drawFacts(s);
  at("status").textContent = s ? `${rows.length} of ${s.rows.length} models shown` : "";
  remember();
}

function remember() {
  try {
    history.replaceState(null, "", address({}));
  } catch {
    /* Some browsers refuse this for files; the page works without it. */
  }
}

/* Sorting and opening touch the table alone. */
function redraw() {
  const s = setting();
  drawTable(s, shown(s));
  remember();
}

at("filters").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["dataset", "protocol", "shots", "tier"]) {
  at(id).addEventListener("change", () => {
    state[id] = at(id).value;
    draw();
    drawColumns(setting());
  });
}
at("search").addEventListener("input", draw);
at("extras").addEventListener("change", draw);
for (const radio of document.querySelectorAll("input[name=cost]")) {
  radio.checked = radio.value === state.cost;
  radio.addEventListener("change", () => {
    state.cost = radio.value;
    draw();
  });
}
at("results").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { sort, row } = button.dataset;
  if (row !== undefined) {
    state.row = state.row === row ? "" : row;
  } else {
    const column = columns(setting()).find((own) => own.id === sort);
    state.down = state.sort === sort ? (state.down === "1" ? "0" : "1") : column.up ? "0" : "1";
    state.sort = sort;
  }
  redraw();
  const again = [...at("results").querySelectorAll("button")];
  again.find((own) => own.dataset.sort === sort && own.dataset.row === row).focus();
});
document.addEventListener("click", (event) => {
  const jump = event.target.closest("[data-jump]");
  if (!jump) return;
  event.preventDefault();
  at(jump.dataset.jump).querySelector("details").open = true;
  at(jump.dataset.jump).scrollIntoView();
});
addEventListener("hashchange", () => {
  fromAddress();
  draw();
  drawColumns(setting());
  show();
});
function show() {
  const open = state.row && at("results").querySelector(".detail");
  if (open) open.previousElementSibling.scrollIntoView({ block: "start" });
}
at("gallery").querySelector("details").addEventListener("toggle", draw);
document.addEventListener("click", (event) => {
  if (!at("columns").contains(event.target)) at("columns").open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") at("columns").open = false;
});
draw();
drawColumns(setting());
show();
