// Asks this machine every two seconds what is new, and draws it. Text of models is only ever set as text.

(() => {
  const EVERY_MS = 2000;
  const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [460, 240, 46, 24, 8, 10];
  const SVG = "http://www.w3.org/2000/svg";
  const of = (id) => document.getElementById(id);
  let seen = "";

  ask();

  async function ask() {
    try {
      const reply = await fetch(`state.json?seen=${encodeURIComponent(seen)}`, { cache: "no-store" });
      if (reply.status === 200) {
        const state = await reply.json();
        seen = state.seen;
        paint(state);
      }
      document.documentElement.dataset.reached = "yes";
    } catch {
      of("standing").textContent = "kgym runs view has ended; this is the last state of the runs.";
      document.documentElement.dataset.reached = "no";
    }
    setTimeout(ask, EVERY_MS);
  }

  function paint(state) {
    const counts = {};
    for (const run of state.runs) {
      const name = run.error ? "cannot be read" : run.state || "not finished";
      counts[name] = (counts[name] || 0) + 1;
    }
    const several = state.runs.length > 1;
    const words = Object.entries(counts).map(([name, n]) => (several ? `${n} ${name}` : name));
    of("standing").textContent = words.join(", ");
    of("runs").replaceChildren(...state.runs.map((run, place) => standing(run, place, several)));
    fill("hints", state.runs.flatMap((run) => (run.hints || []).map((hint) => element("li", several ? `${run.name}, ${hint}` : hint))));
    fill("charts", state.charts.map((chart) => figure(chart, state.runs)));
    fill("completions", state.runs.flatMap((run) => (run.completions || []).map((row) => completion(row, several ? run.name : ""))));
    document.documentElement.dataset.seen = state.seen;
  }

  function fill(id, children) {
    of(id).replaceChildren(...children);
    of(`${id}-section`).hidden = !children.length;
  }

  function standing(run, place, several) {
    const box = element("div", undefined, "run");
    const line = element("p");
    if (several) line.append(element("span", undefined, `key c${place % 8}`), element("span", `${run.name}: `, "name"));
    box.append(line);
    if (run.error) {
      line.append(element("span", run.error));
      return box;
    }
    const far = run.total ? `${run.done.toLocaleString("en")} of ${run.total.toLocaleString("en")} ${run.unit}` : `${run.done} ${run.unit}`;
    line.append(element("span", `${run.what}, ${far}${several && run.state ? `, ${run.state}` : ""}`));
    const bar = element("progress");
    bar.max = Math.max(run.total, 1);
    bar.value = run.done;
    bar.setAttribute("aria-label", far);
    box.append(bar);
    if (run.facts.length) {
      const list = element("dl", undefined, "facts");
      for (const [name, value] of run.facts) {
        const item = element("div");
        item.append(element("dt", name), element("dd", value));
        list.append(item);
      }
      box.append(list);
    }
    return box;
  }

  // --- curves ---

  function figure(chart, runs) {
    const factor = chart.unit === "%" ? 100 : 1;
    const lines = [];
    runs.forEach((run, place) => {
      const points = (run.curves && run.curves[chart.key]) || [];
      if (points.length) lines.push({ place, name: run.name, points: points.map(([x, y]) => [x, factor * y]) });
    });
    const made = element("figure");
    const caption = element("figcaption", chart.title);
    const newest = lines.map((line) => number(line.points[line.points.length - 1][1]));
    if (newest.length <= 3) caption.append(element("span", `${newest.join(", ")} ${chart.unit}`, "now"));
    made.append(caption, drawn(chart, lines));
    return made;
  }

  function drawn(chart, lines) {
    const xs = lines.flatMap((line) => line.points.map(([x]) => x));
    const ys = lines.flatMap((line) => line.points.map(([, y]) => y));
    const [low, high] = chart.unit === "%" ? [0, 100] : [Math.min(0, ...ys), Math.max(0, ...ys) || 1];
    const [first, last] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)];
    const x = (value) => LEFT + ((value - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low || 1)) * (HEIGHT - BOTTOM - TOP);
    const image = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img" });
    const said = lines.map((line) => `${line.name}: ${number(line.points[line.points.length - 1][1])}`).join("; ");
    image.setAttribute("aria-label", `${chart.title}, newest value in ${chart.unit}. ${said}`);
    for (const value of ticks(low, high)) {
      image.append(node("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "axis" }));
      image.append(node("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
    }
    for (const value of [first, last]) {
      image.append(node("text", { x: x(value), y: HEIGHT - 6, "text-anchor": value === first ? "start" : "end" }, value === first ? `step ${value}` : value));
    }
    for (const line of lines) {
      const path = line.points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" ");
      if (line.points.length > 1) image.append(node("polyline", { points: path, class: `line c${line.place % 8}` }));
      const [px, py] = line.points[line.points.length - 1];
      image.append(node("circle", { cx: x(px), cy: y(py), r: 3, class: `c${line.place % 8}` }));
    }
    return image;
  }

  function ticks(low, high) {
    const step = nice((high - low) / 4);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
    return found;
  }

  function nice(value) {
    const power = 10 ** Math.floor(Math.log10(value || 1));
    return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= value);
  }

  function number(value) {
    const size = Math.abs(value);
    if (size < 1e-12) return "0";
    if (size < 1e-3) return value.toExponential(1);
    return size < 1000 ? String(Number(value.toPrecision(3))) : Math.round(value).toLocaleString("en");
  }

  function node(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // --- completions ---

  function completion(row, name) {
    const box = element("div", undefined, "answer");
    const head = element("p");
    const status = row.status.split(":")[0];
    head.append(element("span", row.status, `badge ${["correct", "wrong", "unscored"].includes(status) ? status : "none"}`));
    for (const text of [name, row.when, row.problem_id, row.answer ? `answer ${row.answer}` : "", `gold ${row.gold}`, `${row.tokens} tokens`]) {
      if (text) head.append(element("span", text));
    }
    box.append(head, element("pre", `${row.question}\n\n${row.text}`));
    return box;
  }
})();
