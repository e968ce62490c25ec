
// One model: its answer to the image where it is, the probabilities, and the plane of all its answers.

function percent(share) {
  if (share === 0 || share === 1) return `${100 * share} %`;
  const digits = (100 * share).toFixed(1);
  if (digits === "0.0") return "< 0.1 %";
  return digits === "100.0" ? "> 99.9 %" : `${digits} %`;
}

// modelPanel(source, number, { onSelect, onModel, onSeen, onExample }) returns
// { root, load(model, key, border), show(dy, dx, border, interpolation), nearestChange(), finished() }.
function modelPanel(source, number, { onSelect, onModel, onSeen, onExample }) {
  const { start } = source;
  const radius = start.radius_px;
  const side = 2 * radius + 1;
  const centre = (side * side - 1) / 2;
  const offsets = Array.from({ length: side }, (_, k) => k - radius);
  let model = 0;
  let key = null;
  let answers = []; // by place; undefined until it is known
  let failure = "";
  let loading = null; // aborts the plane that is on its way
  let asking = false; // whether a question about one shift is on its way
  let asked = null; // what it is, or was the last time
  let at = { dy: 0, dx: 0 };
  let bars = [];
  let drawn = false; // whether the plane waits for a frame to be drawn again

  const picker = element("select", { id: `model-${number}` });
  start.models.forEach((each, k) => picker.append(element("option", { value: k }, each.name)));
  const value = element("span", { class: "value" });
  const share = element("span", { class: "share" });
  const verdict = element("span", { class: "verdict" });
  const chart = element("div", { class: "bars" });
  const host = element("div", {});
  const progress = element("p", { class: "progress" });
  const heading = element("h2", {}, element("label", { for: picker.id }, number ? "and " : "model ", picker));
  const inside = mountMaps(source, { onExample });
  const root = element("section", { class: "model", "aria-label": `model ${number + 1}` }, heading, element("p", { class: "answer" }, value, share, verdict), chart, host, progress, inside.root);
  const plane = mountPlane(host, planeData(), { onSelect: (dy, dx) => onSelect(dy, dx) });
  picker.addEventListener("change", () => onModel(Number(picker.value)));

  function className(k) {
    return start.models[model].classes[k] ?? `class ${k}`;
  }

  // Of classes and labels a probability, of embeddings a cosine.
  function numberText(number) {
    return start.models[model].task === "embedding" ? minus(number.toFixed(3)) : percent(number);
  }

  // What is predicted: a class, the labels of a set in their order, or the nearest image.
  function predicted({ n, ranked }) {
    const first = ranked.filter((_, k) => k % 2 === 0 && k < 2 * n).sort((a, b) => a - b);
    const more = n > first.length ? [`${n - first.length} more`] : [];
    return [...first.map(className), ...more].join(", ") || "none";
  }

  // How sure it is of that, or how much the answer is like that to the unshifted image.
  function measure({ ranked, alike }) {
    if (alike === null) return ["multi-label", "embedding"].includes(start.models[model].task) ? "" : percent(ranked[1]);
    return start.models[model].task === "embedding" ? `cosine ${numberText(alike)}` : `overlap ${percent(alike)}`;
  }

  // `reduce` passes over the places that have no answer yet.
  function nKnown() {
    return answers.reduce((sum) => sum + 1, 0);
  }

  function known(answer) {
    return answer !== undefined && answer !== null;
  }

  // With many classes a cell has no room for a name: letters in the order in which the answers come.
  function marks() {
    const { classes, task } = start.models[model];
    const one = task === "single-label" || task === "binary";
    if (one && classes.length && classes.length <= 10 && classes.every((name) => name.length <= 2)) {
      return ({ ranked: [k] }) => [k, className(k)];
    }
    const seen = new Map();
    const mark = ({ key: what }) => {
      if (!seen.has(what)) seen.set(what, seen.size);
      const rank = seen.get(what);
      return [rank, rank < 26 ? String.fromCharCode(65 + rank) : "…"];
    };
    if (known(answers[centre])) mark(answers[centre]);
    return mark;
  }

  // What the colours can stand for beside the prediction: how much, from where on, and what it is called.
  function strength() {
    const { classes, task } = start.models[model];
    if (task === "multi-label") return { name: "labels in common with the unshifted image", low: 0, of: ({ alike }) => alike };
    if (task === "embedding") {
      const lowest = answers.reduce((least, answer) => (known(answer) ? Math.min(least, answer.alike ?? 1) : least), 0.95);
      return { name: "cosine to the unshifted image", low: Math.floor(10 * lowest) / 10, of: ({ alike }) => alike };
    }
    const few = (classes.length || 11) <= 10;
    if (!few) return { name: "probability of the prediction", low: 0, of: ({ ranked }) => ranked[1] };
    const first = known(answers[centre]) ? answers[centre].ranked[0] : null;
    const name = `probability of ${first === null ? "the unshifted prediction" : className(first)}`;
    return { name, low: 0, of: ({ ranked }) => (first === null ? null : ranked[1 + ranked.findIndex((each, k) => k % 2 === 0 && each === first)]) };
  }

  function planeData() {
    const mark = marks();
    const cells = Array.from({ length: side * side }, (_, place) => (known(answers[place]) ? answers[place] : null));
    const marked = cells.map((answer) => answer && mark(answer));
    const told = cells.map((answer) => (answer ? `${predicted(answer)} (${measure(answer)})`.replace(" ()", "") : ""));
    const absent = nKnown() < side * side ? "not computed yet" : "no answer: the model fails here";
    const { name, low, of } = strength();
    const shares = cells.map((answer) => (answer ? of(answer) : null));
    const what = start.models[model].answer;
    return {
      dy: offsets,
      dx: offsets,
      colours: start.colours,
      bright: start.bright,
      metrics: [
        { name: what, title: what, classes: true, absent, value: marked.map((each) => each && each[0]), cell: marked.map((each) => (each ? each[1] : "")), text: told },
        { name, title: name, ends: [low, 1], end_texts: [numberText(low), numberText(1)], better: "more", absent, value: shares, cell: shares.map((each) => (each === null ? "" : String(Math.round(100 * each)))), text: shares.map((each) => (each === null ? "" : numberText(each))) },
      ],
    };
  }

  function drawSoon() {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => {
      drawn = false;
      plane.set(planeData());
      const n = nKnown();
      progress.textContent = failure || (n < side * side ? `${n} of ${side * side} shifts computed` : start.models[model].notes.join("; "));
    });
  }

  function makeBars(answer) {
    const classes = start.models[model].classes;
    const n = answer.ranked.length / 2;
    bars = Array.from({ length: n }, () => {
      const [name, bar, told] = [element("span", { class: "name" }), element("span", {}), element("span", { class: "share" })];
      chart.append(name, element("div", { class: "bar" }, bar), told);
      return { name, bar, told };
    });
    bars.inOrder = classes.length === n;
  }

  function write(answer) {
    if (!known(answer)) {
      value.textContent = answer === undefined ? "…" : "none";
      share.textContent = answer === undefined ? "being computed" : "the model fails here";
      verdict.textContent = "";
      for (const { bar, told } of bars) {
        bar.style.transform = "scaleX(0)";
        told.textContent = "";
      }
      return;
    }
    value.textContent = predicted(answer);
    value.classList.toggle("long", value.textContent.length > 12);
    share.textContent = measure(answer);
    const unshifted = answers[centre];
    if (known(unshifted)) {
      const same = unshifted.key === answer.key;
      verdict.textContent = same ? "✓ as unshifted" : `✗ unshifted: ${predicted(unshifted)}`;
      verdict.classList.toggle("pass", same);
      verdict.classList.toggle("fail", !same);
    }
    const { n, ranked } = answer;
    if (bars.length !== ranked.length / 2) {
      chart.replaceChildren();
      makeBars(answer);
    }
    for (let k = 0; k < ranked.length; k += 2) {
      const { name, bar, told } = bars[bars.inOrder ? ranked[k] : k / 2];
      name.textContent = className(ranked[k]);
      name.classList.toggle("first", k < 2 * n);
      bar.style.transform = `scaleX(${Math.max(0, ranked[k + 1])})`;
      told.textContent = numberText(ranked[k + 1]);
    }
  }

  // The answer of the plane where the image is; undefined between pixels, or until it comes.
  function here() {
    return answers[(at.dy + radius) * side + at.dx + radius];
  }

  // Between pixels, or where the plane has not come yet: this answer alone. One question at a time, and then
  // the next about where the image is by then.
  async function ask() {
    if (asking) return;
    asking = true;
    while (here() === undefined && nKnown() && asked !== at) {
      const [move, image, by] = [at, key, model];
      asked = move;
      try {
        const told = await source.shift(by, image, move);
        if (move !== at || image !== key || by !== model) continue;
        write(told.answer);
        onSeen(told.seen);
      } catch (error) {
        if (move === at) progress.textContent = error.message;
      }
    }
    asking = false;
  }

  function show(dy, dx, border, interpolation) {
    at = { dy, dx, border, interpolation };
    plane.select(Math.round(dy), Math.round(dx));
    write(here());
    if (source.shift) ask();
    inside.show(model, key, at);
  }

  async function load(chosen, image, border) {
    loading?.abort();
    loading = new AbortController();
    const { signal } = loading;
    [model, key, answers, failure, asked] = [chosen, image, [], "", null];
    picker.value = model;
    chart.replaceChildren();
    bars = [];
    drawSoon();
    const tell = (part) => {
      if (signal.aborted) return;
      const first = !nKnown();
      for (const [place, answer] of part.cells) answers[place] = answer;
      failure = part.failure || failure;
      if (here() !== undefined) write(here());
      else if (first && source.shift) ask();
      drawSoon();
    };
    try {
      await source.plane(model, key, border, tell, signal);
    } catch (error) {
      if (!signal.aborted) tell({ cells: [], failure: error.message });
    }
  }

  // The smallest move after which the answer is another one; null where none is known.
  function nearestChange() {
    const unshifted = answers[centre];
    let best = null;
    answers.forEach((answer, place) => {
      const [dy, dx] = [Math.floor(place / side) - radius, (place % side) - radius];
      const far = Math.hypot(dy, dx);
      if (known(answer) && known(unshifted) && answer.key !== unshifted.key && (!best || far < best.far)) best = { dy, dx, far };
    });
    return best;
  }

  return { root, load, show, nearestChange, finished: () => nKnown() === side * side };
}
