
// One model: its answer to the image where it is, the probabilities, and the plane of all its answers.

function percent(share) {
  if (share === 0 || share === 1) return `${100 * share} %`;
  const digits = (100 * share).toFixed(1);
  if (digits === "0.0") return "< 0.1 %";
  return digits === "100.0" ? "> 99.9 %" : `${digits} %`;
}

// modelPanel(source, number, { onSelect, onModel, onSeen }) returns
// { root, load(model, key, border), show(dy, dx, border, interpolation), nearestChange(), finished() }.
function modelPanel(source, number, { onSelect, onModel, onSeen }) {
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
  const inside = mountMaps(source);
  const root = element("section", { class: "model", "aria-label": `model ${number + 1}` }, heading, element("p", { class: "answer" }, value, share, verdict), chart, host, progress, inside.root);
  const plane = mountPlane(host, planeData(), { onSelect: (dy, dx) => onSelect(dy, dx) });
  picker.addEventListener("change", () => onModel(Number(picker.value)));

  function className(k) {
    return start.models[model].classes[k] ?? `class ${k}`;
  }

  // `reduce` passes over the places that have no answer yet.
  function nKnown() {
    return answers.reduce((sum) => sum + 1, 0);
  }

  function known(answer) {
    return answer !== undefined && answer.length > 0;
  }

  // With many classes a cell has no room for a name: letters in the order in which the answers come.
  function marks() {
    const { classes } = start.models[model];
    if (classes.length && classes.length <= 10 && classes.every((name) => name.length <= 2)) {
      return (k) => [k, className(k)];
    }
    const seen = new Map();
    const mark = (k) => {
      if (!seen.has(k)) seen.set(k, seen.size);
      const rank = seen.get(k);
      return [rank, rank < 26 ? String.fromCharCode(65 + rank) : "…"];
    };
    if (known(answers[centre])) mark(answers[centre][0]);
    return mark;
  }

  function planeData() {
    const mark = marks();
    const cells = Array.from({ length: side * side }, (_, place) => (known(answers[place]) ? answers[place] : null));
    const marked = cells.map((answer) => answer && mark(answer[0]));
    const told = cells.map((answer, place) => (answer ? `${className(answer[0])} (${percent(answer[1])})` : ""));
    const absent = nKnown() < side * side ? "not computed yet" : "no answer: the model fails here";
    const few = (start.models[model].classes.length || 11) <= 10;
    const first = known(answers[centre]) ? answers[centre][0] : null;
    const of = (answer) => (few ? answer[1 + answer.findIndex((each, k) => k % 2 === 0 && each === first)] : answer[1]);
    const shares = cells.map((answer) => (answer && (first !== null || !few) ? of(answer) : null));
    const name = few ? `probability of ${first === null ? "the unshifted prediction" : className(first)}` : "probability of the prediction";
    return {
      dy: offsets,
      dx: offsets,
      colours: start.colours,
      bright: start.bright,
      metrics: [
        { name: "prediction", title: "prediction", classes: true, absent, value: marked.map((each) => each && each[0]), cell: marked.map((each) => (each ? each[1] : "")), text: told },
        { name, title: name, ends: [0, 1], end_texts: ["0 %", "100 %"], better: "more", absent, value: shares, cell: shares.map((each) => (each === null ? "" : String(Math.round(100 * each)))), text: shares.map((each) => (each === null ? "" : percent(each))) },
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
    const n = answer.length / 2;
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
    const [first, chance] = answer;
    value.textContent = className(first);
    value.classList.toggle("long", className(first).length > 12);
    share.textContent = percent(chance);
    const unshifted = answers[centre];
    if (known(unshifted)) {
      const same = unshifted[0] === first;
      verdict.textContent = same ? "✓ as unshifted" : `✗ unshifted: ${className(unshifted[0])}`;
      verdict.classList.toggle("pass", same);
      verdict.classList.toggle("fail", !same);
    }
    if (bars.length !== answer.length / 2) {
      chart.replaceChildren();
      makeBars(answer);
    }
    for (let k = 0; k < answer.length; k += 2) {
      const { name, bar, told } = bars[bars.inOrder ? answer[k] : k / 2];
      name.textContent = className(answer[k]);
      name.classList.toggle("first", k === 0);
      bar.style.transform = `scaleX(${answer[k + 1]})`;
      told.textContent = percent(answer[k + 1]);
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
      if (here()) write(here());
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
      if (known(answer) && known(unshifted) && answer[0] !== unshifted[0] && (!best || far < best.far)) best = { dy, dx, far };
    });
    return best;
  }

  return { root, load, show, nearestChange, finished: () => nKnown() === side * side };
}
