// The plane of shifts: one cell for each offset of the image. The same widget in reports and in the page.
//
// mountPlane(host, data, { onSelect }) fills an element and returns { select, set, selected, unmount }.
//
// data.dy, data.dx      offsets of the rows and columns in px, ascending, with 0
// data.start            optional, the offset that is selected first; the unshifted image by default
// data.colours          the scale of colours, "#rrggbb", from low to high
// data.bright           the part of the scale, 0 to 1, from which on ink on it is dark
// data.metrics[]        what can be shown; every list has a place for each cell, row by row:
//   .name .title        what it is, and with its unit
//   .ends .end_texts    of the scale of colours, as numbers and as text
//   .value              numbers, null where there is none (yet): the cell is hatched
//   .cell .text         what stands in the cell, and what is said about it
//   .absent             optional, what is said where there is no number
//   .classes            instead of a scale: the value is a class, drawn in the colour of that number
// data.images           optional, which images change their answer where:
//   .size_px            [height, width]
//   .moves              whether a picture that is moved looks as the model saw it
//   .names .answers     of each image; its unshifted answer
//   .pictures           of each image an address "data:…", or ""
//   .counts             how many change at each cell
//   .examples           at each cell a few of them: [[number of the image, answer there], …]
//
// Every text comes with the data: what is on the screen is what the record says.

const STEP = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const FAR = 5;
const CLASS_COLOURS = [
  "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#5d5d5d", "#8a4f9e", "#b8c4ce",
];
const DARK_INK = "#111820";
const BRIGHT_INK = "#ffffff";
// Smaller cells have no room for a number, or for one letter, in px of the screen.
const NUMBERED_FROM = 24;
const LETTERED_FROM = 12;
const PICTURE = 96;
let mounted = 0;

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function minus(number) {
  return String(number).replace("-", "−");
}

function mixed(colours, part) {
  const place = Math.min(Math.max(part, 0), 1) * (colours.length - 1);
  const below = Math.min(Math.floor(place), colours.length - 2);
  const channel = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
  const mix = (k) => {
    const [a, b] = [channel(colours[below], k), channel(colours[below + 1], k)];
    return Math.round(a + (place - below) * (b - a));
  };
  return `rgb(${mix(0)} ${mix(1)} ${mix(2)})`;
}

function brightness(colour) {
  const [r, g, b] = [0, 1, 2].map((k) => parseInt(colour.slice(1 + 2 * k, 3 + 2 * k), 16) / 255);
  return 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2;
}

export function mountPlane(host, data, { onSelect = () => {} } = {}) {
  const number = ++mounted;
  const rows = data.dy.length;
  const columns = data.dx.length;
  const centre = [data.dy.indexOf(0), data.dx.indexOf(0)];
  let metric = data.metrics[0];
  // Row and column of the selected cell.
  let at = data.start ? [data.dy.indexOf(data.start[0]), data.dx.indexOf(data.start[1])] : centre;
  let over = null; // of the cell under the pointer
  let cell = 0; // its side, in px of the screen

  const picker = element("select", { id: `plane-${number}-metric` });
  data.metrics.forEach((each, place) => picker.append(element("option", { value: place }, each.title)));
  const canvas = element("canvas", { tabindex: 0, role: "img" });
  const pen = canvas.getContext("2d");
  const painted = document.createElement("canvas"); // the cells alone, painted once
  const frame = element("div", { class: "plane-frame" }, canvas);
  const scale = element("div", { class: "plane-scale" });
  const readout = element("p", { class: "plane-readout", "aria-live": "polite" });
  const sliders = [slider("dy", data.dy, 0), slider("dx", data.dx, 1)];
  const home = element("button", { type: "button" }, "unshifted");
  const detail = element("div", { class: "plane-detail" });
  const choice = element("label", { for: picker.id }, "shown: ", picker);
  const controls = element("div", { class: "plane-controls" }, ...sliders.map((s) => s.label), home);
  const hint = element("p", { class: "plane-hint" }, "Point at a cell, tap it, or use the arrow keys (Shift: five cells, Home: unshifted).");
  const left = element("div", { class: "plane-left" }, choice, frame, scale);
  const right = element("div", { class: "plane-right" }, readout, controls, hint, detail);
  const root = element("div", { class: "plane-widget" }, left, right);
  host.replaceChildren(root);

  function slider(name, offsets, axis) {
    const input = element("input", { type: "range", min: 0, max: offsets.length - 1, step: 1, id: `plane-${number}-${name}` });
    const shown = element("output", { for: input.id });
    input.addEventListener("input", () => select(axis ? [at[0], Number(input.value)] : [Number(input.value), at[1]]));
    return { input, shown, offsets, label: element("label", { for: input.id }, `${name} `, input, shown) };
  }

  function place([row, column]) {
    return row * columns + column;
  }

  function offset([row, column]) {
    return [data.dy[row], data.dx[column]];
  }

  function named(where) {
    const [dy, dx] = offset(where);
    return `dy ${minus(dy)} px, dx ${minus(dx)} px`;
  }

  function said(where) {
    const index = place(where);
    if (metric.value[index] === null) {
      return where[0] === centre[0] && where[1] === centre[1] ? "the unshifted image" : (metric.absent ?? "no number here");
    }
    return `${metric.name} ${metric.text[index]}`;
  }

  function colourOf(value) {
    if (metric.classes) return CLASS_COLOURS[value % CLASS_COLOURS.length];
    const [low, high] = metric.ends;
    return mixed(data.colours, high > low ? (value - low) / (high - low) : 1);
  }

  function inkOn(value) {
    if (metric.classes) return brightness(colourOf(value)) > 0.2 ? DARK_INK : BRIGHT_INK;
    const [low, high] = metric.ends;
    return (value - low) / (high - low) >= data.bright ? DARK_INK : BRIGHT_INK;
  }

  function hatch(brush, x, y) {
    brush.save();
    brush.beginPath();
    brush.rect(x, y, cell, cell);
    brush.clip();
    brush.strokeStyle = "#8a929b";
    brush.beginPath();
    for (let d = -cell; d < cell; d += 6) {
      brush.moveTo(x + d, y + cell);
      brush.lineTo(x + d + cell, y);
    }
    brush.stroke();
    brush.restore();
  }

  function paint() {
    const ratio = window.devicePixelRatio || 1;
    const wide = frame.clientWidth || 320;
    cell = Math.max(1, Math.floor((wide * ratio) / columns) / ratio);
    for (const each of [canvas, painted]) {
      each.width = Math.round(cell * columns * ratio);
      each.height = Math.round(cell * rows * ratio);
    }
    canvas.style.width = `${cell * columns}px`;
    canvas.style.height = `${cell * rows}px`;
    const brush = painted.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.textAlign = "center";
    brush.textBaseline = "middle";
    const [from, size] = metric.classes ? [LETTERED_FROM, 0.62] : [NUMBERED_FROM, 0.42];
    brush.font = `${Math.min(13, cell * size)}px system-ui, sans-serif`;
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const index = place([row, column]);
        const value = metric.value[index];
        const [x, y] = [column * cell, row * cell];
        if (value === null) {
          hatch(brush, x, y);
          continue;
        }
        brush.fillStyle = colourOf(value);
        brush.fillRect(x, y, cell + 0.3, cell + 0.3);
        if (cell >= from) {
          brush.fillStyle = inkOn(value);
          brush.fillText(metric.cell[index], x + cell / 2, y + cell / 2, cell - 2);
        }
      }
    }
    show();
  }

  function outline([row, column], inner, outer) {
    // Two strokes, dark and bright: seen on every colour.
    for (const [width, colour] of [[4, outer], [2, inner]]) {
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.strokeRect(column * cell + 1, row * cell + 1, cell - 2, cell - 2);
    }
  }

  function show() {
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(painted, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [x, y] = [(centre[1] + 0.5) * cell, (centre[0] + 0.5) * cell];
    pen.beginPath();
    pen.arc(x, y, Math.max(2, cell * 0.38), 0, 2 * Math.PI);
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#8a929b";
    pen.stroke();
    if (over) outline(over, BRIGHT_INK, "#5d6670");
    outline(at, "#d55e00", BRIGHT_INK);
    const where = over ?? at;
    readout.textContent = `${named(where)}: ${said(where)}`;
    canvas.setAttribute("aria-label", `${metric.title} at each shift. ${named(at)}: ${said(at)}`);
    sliders.forEach(({ input, shown, offsets }, axis) => {
      input.value = at[axis];
      input.setAttribute("aria-valuetext", `${minus(offsets[at[axis]])} px`);
      shown.textContent = `${minus(offsets[at[axis]])} px`;
    });
  }

  function drawScale() {
    scale.replaceChildren();
    if (metric.classes) return;
    const bar = element("canvas", { width: 128, height: 1, "aria-hidden": "true" });
    const brush = bar.getContext("2d");
    for (let x = 0; x < 128; x += 1) {
      brush.fillStyle = mixed(data.colours, x / 127);
      brush.fillRect(x, 0, 1, 1);
    }
    const [low, high] = metric.end_texts;
    scale.append(element("span", {}, low), bar, element("span", {}, `${high}; ${metric.better} is better`));
  }

  function picture(images, index, [dy, dx]) {
    const side = Math.max(...images.size_px);
    const image = element("img", { src: images.pictures[index], alt: "" });
    const window_ = element("span", { class: "plane-picture" }, image);
    const [height, width] = images.size_px.map((size) => (PICTURE * size) / side);
    for (const each of [image, window_]) {
      each.style.width = `${width}px`;
      each.style.height = `${height}px`;
    }
    if (side <= 64) image.classList.add("pixelated");
    if (images.moves) image.style.transform = `translate(${(dx * PICTURE) / side}px, ${(dy * PICTURE) / side}px)`;
    return window_;
  }

  function drawDetail() {
    const images = data.images;
    detail.replaceChildren();
    if (!images) return;
    const index = place(at);
    const changed = images.counts[index];
    if (!changed) {
      const unmoved = at[0] === centre[0] && at[1] === centre[1];
      detail.append(element("p", {}, unmoved ? "Choose a shift to see which images change their prediction there." : "No image changes its prediction here."));
      return;
    }
    const list = element("ul", {});
    for (const [image, answer] of images.examples[index]) {
      const item = element("li", {});
      if (images.pictures[image]) item.append(picture(images, image, offset(at)));
      const change = element("b", {}, `${images.answers[image]} → ${answer}`);
      item.append(element("span", {}, images.names[image], element("br"), change));
      list.append(item);
    }
    const [n, shown] = [changed.toLocaleString("en"), images.examples[index].length];
    const which = shown < changed ? `; ${shown} of those that change most often` : "";
    detail.append(element("p", {}, `${n} ${changed === 1 ? "image changes its" : "images change their"} prediction here${which}:`), list);
  }

  function select(where) {
    at = [Math.min(Math.max(where[0], 0), rows - 1), Math.min(Math.max(where[1], 0), columns - 1)];
    over = null;
    show();
    drawDetail();
    onSelect(...offset(at));
  }

  function set(changed) {
    data = { ...data, ...changed };
    metric = data.metrics[Number(picker.value)] ?? data.metrics[0];
    data.metrics.forEach(({ title }, place) => {
      if (picker.options[place].textContent !== title) picker.options[place].textContent = title;
    });
    paint();
    drawScale();
    drawDetail();
  }

  function cellUnder(event) {
    const box = canvas.getBoundingClientRect();
    const where = [Math.floor((event.clientY - box.top) / cell), Math.floor((event.clientX - box.left) / cell)];
    return where[0] >= 0 && where[1] >= 0 && where[0] < rows && where[1] < columns ? where : null;
  }

  picker.addEventListener("change", () => set({}));
  home.addEventListener("click", () => select(centre));
  canvas.addEventListener("pointermove", (event) => {
    const where = cellUnder(event);
    if (event.buttons && where) select(where);
    else if (String(where) !== String(over)) {
      over = where;
      show();
    }
  });
  canvas.addEventListener("pointerleave", () => {
    over = null;
    show();
  });
  canvas.addEventListener("pointerdown", (event) => {
    const where = cellUnder(event);
    if (where) select(where);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Home") select(centre);
    else if (event.key in STEP) {
      const far = event.shiftKey ? FAR : 1;
      select([at[0] + far * STEP[event.key][0], at[1] + far * STEP[event.key][1]]);
    } else return;
    event.preventDefault();
  });
  const watcher = new ResizeObserver(paint);
  watcher.observe(frame);
  set({});

  return {
    select: (dy, dx) => select([data.dy.indexOf(dy), data.dx.indexOf(dx)]),
    selected: () => offset(at),
    set,
    unmount() {
      watcher.disconnect();
      root.remove();
    },
  };
}
