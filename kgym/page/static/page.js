// Sorts the tables, and shows the completions. Text of models is only ever set as text, never read as markup.

(() => {
  for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
  const packed = document.getElementById("packed");
  if (packed) {
    unpack(packed.textContent).then(browse);
    packed.remove(); // frees its memory for the unpacked data
  }
  else done();

  function done() {
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }

  // --- tables ---

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const descending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => (descending ? -1 : 1) * compare(a.cells[place], b.cells[place], numeric, descending));
      table.tBodies[0].append(...rows);
    }));
  }

  function compare(a, b, numeric, descending) {
    if (!numeric) return a.textContent.localeCompare(b.textContent, undefined, { numeric: true });
    const last = descending ? -Infinity : Infinity; // unknown values come last
    const [x, y] = [a, b].map((cell) => (cell.dataset.sort === "" ? last : Number(cell.dataset.sort)));
    return x === y ? 0 : x - y;
  }

  // --- completions ---

  async function unpack(text) {
    const binary = atob(text.trim());
    const bytes = new Uint8Array(binary.length);
    for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place); // Uint8Array.from is many times slower
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function browse(data) {
    const PAGE = 25;
    const KINDS = { correct: "correct", partial: "partly right", wrong: "wrong", no_answer: "no answer", unscored: "unscored", truncated: "truncated" };
    const form = document.getElementById("filter");
    const list = document.getElementById("problems");
    const pages = document.getElementById("pages");
    const detail = document.getElementById("detail");
    const count = document.getElementById("count");
    const { problems, words, runs } = data;
    for (const run of runs) {
      run.rows = problems.map(() => []);
      run.problem.forEach((problem, row) => run.rows[problem].push(row));
      run.kind = run.status.map((word, row) => (run.worth[row] > 0 && run.worth[row] < 1 ? "partial" : words[word].split(":")[0]));
      run.colour = run.worth.map((worth, row) => (worth === null ? "unscored" : worth >= 1 ? "correct" : ["no_answer", "partial"].includes(run.kind[row]) ? run.kind[row] : "wrong"));
    }
    const haystacks = problems.map((problem) => `${problem[0]} ${problem[4]} ${problem[5]}`.toLowerCase());
    const subjects = [...new Set(problems.map((problem) => problem[1]))].filter(Boolean).sort();
    const levels = [...new Set(problems.map((problem) => problem[2]))].filter(Boolean).sort((a, b) => a - b);
    options("run", [["", "all"], ...runs.map((run, place) => [String(place), run.name])]);
    const kinds = Object.entries(KINDS).filter(([kind]) => kind !== "partial" || runs.some((run) => run.kind.includes(kind)));
    options("verdict", [["", "all"], ...kinds, ...(runs.length > 1 ? [["gained", "problem gained"], ["lost", "problem lost"]] : [])]);
    options("subject", [["", "all"], ...subjects.map((name) => [name, name])]);
    options("level", [["", "all"], ...levels.map((level) => [String(level), String(level)])]);
    let shown = []; // places of the problems that match
    let page = 0;
    let chosen = null;

    function options(name, entries) {
      for (const [value, label] of entries) {
        const option = element("option", label);
        option.value = value;
        form.elements[name].append(option);
      }
      form.elements[name].closest("label").hidden = entries.length < 3;
    }

    function share(run, problem) {
      const scored = run.rows[problem].map((row) => run.worth[row]).filter((worth) => worth !== null);
      return scored.length ? scored.reduce((sum, worth) => sum + worth, 0) / scored.length : null;
    }

    function moved(problem) {
      const [first, last] = [share(runs[0], problem), share(runs[runs.length - 1], problem)];
      return first === null || last === null ? 0 : last - first;
    }

    // Which completions of a problem match all filters.
    function matching(wanted, run, problem, named) {
      return run.rows[problem].filter((row) => {
        if (wanted.from !== null && run.tokens[row] < wanted.from) return false;
        if (wanted.to !== null && run.tokens[row] > wanted.to) return false;
        if (wanted.verdict === "truncated" ? !run.cut[row] : KINDS[wanted.verdict] && run.kind[row] !== wanted.verdict) return false;
        return named || !wanted.text || run.text[row].toLowerCase().includes(wanted.text);
      });
    }

    function asked() {
      const of = (name) => form.elements[name].value.trim();
      const number = (name) => (of(name) === "" ? null : Number(of(name)));
      return { run: of("run"), verdict: of("verdict"), subject: of("subject"), level: of("level"), from: number("from"), to: number("to"), text: of("text").toLowerCase() };
    }

    function filter() {
      const wanted = asked();
      const chosenRuns = wanted.run === "" ? runs : [runs[Number(wanted.run)]];
      let completions = 0;
      shown = [];
      problems.forEach((problem, place) => {
        if (wanted.subject && problem[1] !== wanted.subject) return;
        if (wanted.level && String(problem[2]) !== wanted.level) return;
        if (wanted.verdict === "gained" && !(moved(place) > 0)) return;
        if (wanted.verdict === "lost" && !(moved(place) < 0)) return;
        const named = !wanted.text || haystacks[place].includes(wanted.text);
        const found = chosenRuns.reduce((sum, run) => sum + matching(wanted, run, place, named).length, 0);
        if (found) {
          completions += found;
          shown.push(place);
        }
      });
      const total = runs.reduce((sum, run) => sum + run.problem.length, 0);
      count.textContent = `${completions.toLocaleString("en")} of ${total.toLocaleString("en")} completions; ${shown.length.toLocaleString("en")} of ${problems.length.toLocaleString("en")} problems`;
      page = Math.max(0, Math.floor(shown.indexOf(chosen) / PAGE));
      if (!shown.includes(chosen)) chosen = shown.length ? shown[0] : null;
      paint();
    }

    function paint() {
      const visibleProblems = shown.slice(page * PAGE, (page + 1) * PAGE);
      list.replaceChildren(...visibleProblems.map(entry));
      const last = Math.max(0, Math.ceil(shown.length / PAGE) - 1);
      const turn = (label, to) => {
        const button = element("button", label);
        button.type = "button";
        button.disabled = to < 0 || to > last;
        button.addEventListener("click", () => {
          page = to;
          paint();
          list.querySelector("button").focus(); // the pressed button is gone: the keyboard continues in the list
        });
        return button;
      };
      pages.replaceChildren(...(last ? [turn("‹ Back", page - 1), element("span", `page ${page + 1} of ${last + 1}`), turn("Next ›", page + 1)] : []));
      paintDetail();
    }

    function entry(place) {
      const item = element("li");
      const button = element("button");
      button.type = "button";
      if (place === chosen) button.setAttribute("aria-current", "true");
      button.append(element("span", problems[place][4], "question"));
      for (const run of runs) {
        const strip = element("span", undefined, "strip");
        if (runs.length > 1) strip.append(element("span", run.name, "name"));
        const marks = element("span");
        for (const row of run.rows[place].slice(0, 32)) marks.append(element("i", undefined, run.colour[row]));
        const right = share(run, place);
        const unknown = run.rows[place].length ? "not scored" : "not asked";
        strip.append(marks, element("span", right === null ? unknown : `${Math.round(100 * right)} %`, "share"));
        button.append(strip);
      }
      button.addEventListener("click", () => {
        chosen = place;
        paint();
        list.querySelector("[aria-current]").focus();
        if (getComputedStyle(detail.parentElement).gridTemplateColumns.split(" ").length === 1) detail.scrollIntoView(); // on a narrow screen it is below
        remember();
      });
      item.append(button);
      return item;
    }

    function paintDetail() {
      if (chosen === null) {
        detail.replaceChildren(element("p", "No completion matches."));
        return;
      }
      const wanted = asked();
      const [id, subject, level, year, question, gold] = problems[chosen];
      const about = [subject, level ? `level ${level}` : "", year ? String(year) : ""].filter(Boolean).join(", ");
      const parts = [element("h3", id), element("p", about, "note"), element("div", question, "text")];
      const answer = element("p", "Right answer: ", "gold");
      answer.append(element("strong", gold));
      parts.push(answer);
      const named = !wanted.text || haystacks[chosen].includes(wanted.text);
      runs.forEach((run, place) => {
        if (wanted.run !== "" && Number(wanted.run) !== place) return;
        const rows = matching(wanted, run, chosen, named);
        const all = run.rows[chosen].length;
        parts.push(element("h3", `${run.name}: ${rows.length === all ? all : `${rows.length} of ${all}`} completion${all === 1 ? "" : "s"}`));
        parts.push(...rows.map((row) => paintCompletion(run, row)));
      });
      detail.replaceChildren(...parts);
    }

    function paintCompletion(run, row) {
      const box = element("div", undefined, "answer");
      const head = element("p");
      head.append(element("span", KINDS[run.kind[row]] || run.kind[row], `badge ${run.kind[row]}`));
      if (run.kind[row] === "partial") head.append(element("span", `score ${Number(run.worth[row].toFixed(3))}`));
      if (run.cut[row]) head.append(element("span", "truncated", "badge cut"));
      const status = words[run.status[row]];
      const why = [status.includes(":") ? status.slice(status.indexOf(":") + 1) : "", words[run.reason[row]]].filter(Boolean).join(", ");
      if (why) head.append(element("span", why));
      if (run.answer[row] !== null) head.append(element("span", `read: ${run.answer[row]}`));
      head.append(element("span", `${run.tokens[row].toLocaleString("en")} tokens, ended by ${words[run.finish[row]]}, attempt ${run.attempt[row]}`));
      const replies = run.replies[row] || [];
      if (replies.length) head.append(element("span", `${replies.length + 1} turns`));
      box.append(head);
      let begin = 0;
      for (const [end, role, content] of replies) {
        box.append(element("pre", run.text[row].slice(begin, end)), paintReply(role, content));
        begin = end;
      }
      const body = element("pre");
      const text = run.text[row].slice(begin);
      const read = run.answer[row];
      const at = read && read.length <= 1000 ? placeOf(read, text) : -1;
      if (at < 0) body.append(visible(text));
      else body.append(visible(text.slice(0, at)), element("mark", read), visible(text.slice(at + read.length)));
      box.append(body);
      const trace = run.trace[row];
      if (trace) {
        const how = element("details");
        how.append(element("summary", "How it was judged"), element("pre", trace));
        box.append(how);
      }
      return box;
    }

    // A reply of the environment between two turns, folded: its first line, and the whole reply when it is opened.
    function paintReply(role, content) {
      const reply = element("details", undefined, "reply");
      const [first] = content.trim().split("\n");
      reply.append(element("summary", `${role}: ${first.length > 80 ? `${first.slice(0, 80)}…` : first}`), element("pre", content));
      return reply;
    }

    // Where the verifier read an answer: the last box that contains it, or the last place where it is a whole word, so 12 is not found in 120.
    function placeOf(read, text) {
      for (let box = text.lastIndexOf("boxed{"); box >= 0; box = box > 0 ? text.lastIndexOf("boxed{", box - 1) : -1) {
        const start = box + 6 + text.slice(box + 6).match(/^\s*/)[0].length;
        if (text.startsWith(read, start) && /^\s*\}/.test(text.slice(start + read.length, start + read.length + 20))) return start;
      }
      const joins = (one, other) => /[\p{L}\p{N}]/u.test(one || "") && /[\p{L}\p{N}]/u.test(other || "");
      for (let at = text.lastIndexOf(read); at >= 0; at = at > 0 ? text.lastIndexOf(read, at - 1) : -1) {
        if (!joins(text[at - 1], read[0]) && !joins(read[read.length - 1], text[at + read.length])) return at;
      }
      return -1;
    }

    // The fragment of the address contains the filters, so that a view can be shared.
    function remember() {
      const wanted = new URLSearchParams();
      for (const field of form.elements) if (field.name && field.value) wanted.set(field.name, field.value);
      if (chosen !== null) wanted.set("problem", problems[chosen][0]);
      history.replaceState(null, "", `#${wanted}`);
    }

    function recall() {
      const wanted = new URLSearchParams(location.hash.slice(1));
      for (const field of form.elements) if (field.name && wanted.has(field.name)) field.value = wanted.get(field.name);
      const place = problems.findIndex((problem) => problem[0] === wanted.get("problem"));
      if (place >= 0) chosen = place;
    }

    form.addEventListener("input", () => { filter(); remember(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
    addEventListener("hashchange", () => { recall(); filter(); });
    recall();
    filter();
    if (location.hash) document.getElementById("answers").scrollIntoView();
    done();
  }
})();
