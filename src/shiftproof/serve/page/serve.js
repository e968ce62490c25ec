
// The page: what is shown, how it is moved, and the address that brings it back.

const BORDER_TEXTS = { zeros: "zeros (black)", edge: "edge (nearest pixel)", reflect: "reflect (mirrored)", circular: "circular (comes in again)" };
// The address is written when the image has rested for so long, in ms: browsers allow only so many changes.
const REST = 300;
const FRACTION = 0.25;
const get = (id) => document.getElementById(id);

async function main() {
  const inside = get("data");
  const source = inside ? packagedSource(JSON.parse(inside.textContent)) : await serverSource();
  const { start } = source;
  const radius = start.radius_px;
  const canvas = get("image");
  const pen = canvas.getContext("2d");
  [canvas.height, canvas.width] = start.size_px;
  canvas.classList.toggle("smooth", Math.min(...start.size_px) > 100);
  const state = { image: 0, dy: 0, dx: 0, border: "zeros", interpolation: "bilinear", models: [0, 1].slice(0, start.models.length) };
  let current = null; // the image that is shown
  let wanted = 0; // counts images that were asked for: only the last one is shown
  let moving = false; // while the planes are told, they are not listened to
  let frame = 0;
  let resting = 0;

  const panels = state.models.map((_, number) =>
    modelPanel(source, number, {
      onSelect: (dy, dx) => moving || moveTo(dy, dx),
      onModel(model) {
        state.models[number] = model;
        panels[number].load(model, state.image, state.border);
        moveTo(state.dy, state.dx);
      },
      onSeen: (address) => state.interpolation === "fourier" && drawSeen(address),
      onExample() {
        [state.dy, state.dx] = [0, 1];
        showImage("example");
      },
    }),
  );
  get("models").append(...panels.map((panel) => panel.root));
  for (const border of source.shift ? start.borders : ["zeros"]) get("border").append(element("option", { value: border }, BORDER_TEXTS[border] ?? border));
  for (const each of start.interpolations) get("interpolation").append(element("option", { value: each }, each));
  get("number").max = start.n_images - 1;
  if (source.shift) get("hint").textContent = "Drag it, or use the arrow keys. With Shift it moves by fractions of a pixel; Home: unshifted.";
  for (const id of source.shift ? [] : ["own", "interpolation"]) (id === "own" ? get(id) : get(id).parentElement).hidden = true;

  function say(text) {
    get("message").textContent = text;
  }

  function clamped(d) {
    return Math.min(Math.max(d, -radius), radius) + 0;
  }

  function draw() {
    if (current) pen.putImageData(moved(current.image, state.dy, state.dx, state.border), 0, 0);
  }

  async function drawSeen(address) {
    const [dy, dx] = [state.dy, state.dx];
    const pixels = await pixelsOf(address);
    if (dy === state.dy && dx === state.dx) pen.putImageData(pixels, 0, 0);
  }

  function moveTo(dy, dx) {
    [state.dy, state.dx] = [clamped(dy), clamped(dx)];
    draw();
    moving = true;
    for (const panel of panels) panel.show(state.dy, state.dx, state.border, state.interpolation);
    moving = false;
    const said = `${pixelsText(state.dy, "down", "up")}, ${pixelsText(state.dx, "right", "left")}`;
    get("where").textContent = state.dy || state.dx ? `moved ${said}` : "unshifted";
    canvas.setAttribute("aria-label", `The image, ${get("where").textContent}`);
    rest();
  }

  function pixelsText(d, positive, negative) {
    return `${+Math.abs(d).toFixed(2)} px ${d < 0 ? negative : positive}`;
  }

  function moveSoon(dy, dx) {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => moveTo(dy, dx));
  }

  function rest() {
    clearTimeout(resting);
    resting = setTimeout(() => history.replaceState(null, "", `#${addressOf(state)}`), REST);
  }

  function addressOf({ image, dy, dx, border, interpolation, models }) {
    const names = models.map((model) => start.models[model].name).join(",");
    return new URLSearchParams({ image, dy: +dy.toFixed(2), dx: +dx.toFixed(2), border, interpolation, models: names }).toString();
  }

  function readAddress() {
    const said = new URLSearchParams(location.hash.slice(1));
    const number = (name) => (Number.isFinite(Number(said.get(name))) ? clamped(Number(said.get(name))) : 0);
    const borders = [...get("border").options].map((option) => option.value);
    state.image = /^(\d{1,9}|u[0-9a-f]{16}|example)$/.test(said.get("image") ?? "") ? said.get("image") : 0;
    [state.dy, state.dx] = [number("dy"), number("dx")];
    if (!source.shift) [state.dy, state.dx] = [Math.round(state.dy), Math.round(state.dx)];
    state.border = borders.includes(said.get("border")) ? said.get("border") : "zeros";
    const between = said.get("interpolation");
    state.interpolation = start.interpolations.includes(between) && (between !== "fourier" || state.border === "circular") ? between : "bilinear";
    const names = (said.get("models") ?? "").split(",");
    state.models.forEach((_, k) => {
      const found = start.models.findIndex((model) => model.name === names[k]);
      state.models[k] = found < 0 ? k : found;
    });
  }

  // The planes are asked for at once, not when the picture has come.
  async function showImage(key, known) {
    const number = ++wanted;
    say("");
    const coming = known ?? source.image(key);
    state.image = key;
    reload();
    try {
      const facts = await coming;
      if (number === wanted) current = facts;
    } catch (error) {
      if (number !== wanted) return;
      if (current || String(key) !== "0") await showImage(current?.key ?? 0, current);
      say(error.message);
    }
    if (number !== wanted) return;
    const own = !/^\d+$/.test(String(current.key));
    get("number").value = own ? "" : current.key;
    get("about").textContent = `${current.name}${own ? "" : `, one of ${start.n_images}`}${current.label ? `, ${start.labelled} ${current.label}` : ""}`;
    draw();
  }

  function reload() {
    get("border").value = state.border;
    const fourier = [...get("interpolation").options].find((option) => option.value === "fourier");
    if (fourier) fourier.disabled = state.border !== "circular";
    if (state.border !== "circular") state.interpolation = "bilinear";
    get("interpolation").value = state.interpolation;
    panels.forEach((panel, k) => panel.load(state.models[k], state.image, state.border));
    moveTo(state.dy, state.dx);
  }

  // Moving it: pointer, touch, keys.
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    grip = { x: event.clientX, y: event.clientY, dy: state.dy, dx: state.dx, scale: canvas.clientWidth / canvas.width };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip || !event.buttons) return;
    const exact = [grip.dy + (event.clientY - grip.y) / grip.scale, grip.dx + (event.clientX - grip.x) / grip.scale];
    const step = event.shiftKey && source.shift ? FRACTION / 2 : 1;
    moveSoon(...exact.map((d) => Math.round(d / step) * step));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (grip = null));
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Home") moveTo(0, 0);
    else if (event.key in STEP) {
      const fine = event.shiftKey && source.shift;
      const [down, right] = STEP[event.key];
      const from = fine ? [state.dy, state.dx] : [Math.round(state.dy), Math.round(state.dx)];
      const far = fine ? FRACTION : 1;
      moveTo(from[0] + far * down, from[1] + far * right);
    } else return;
    event.preventDefault();
  });
  get("home").addEventListener("click", () => moveTo(0, 0));
  get("change").addEventListener("click", () => {
    const nearest = panels[0].nearestChange();
    if (nearest) moveTo(nearest.dy, nearest.dx);
    say(nearest ? "" : panels[0].finished() ? "No shift of the plane changes the answer of the first model." : "No change is known yet; the plane is not finished.");
  });
  get("link").addEventListener("click", async () => {
    const address = new URL(`#${addressOf(state)}`, location.href).href;
    history.replaceState(null, "", address);
    try {
      await navigator.clipboard.writeText(address);
      get("link").textContent = "copied";
      setTimeout(() => (get("link").textContent = "copy link"), 1500);
    } catch {
      say("The address of this page is the link.");
    }
  });

  // What is shown.
  const byNumber = (number) => {
    if (Number.isInteger(number) && number >= 0 && number < start.n_images) showImage(number);
  };
  get("number").addEventListener("change", () => byNumber(Number(get("number").value)));
  get("before").addEventListener("click", () => byNumber(Number(get("number").value || 0) - 1));
  get("after").addEventListener("click", () => byNumber(Number(get("number").value || 0) + 1));
  get("border").addEventListener("change", () => {
    state.border = get("border").value;
    reload();
  });
  get("interpolation").addEventListener("change", () => {
    state.interpolation = get("interpolation").value;
    moveTo(state.dy, state.dx);
  });
  async function receive(file) {
    try {
      const facts = await source.upload(file);
      [state.dy, state.dx] = [0, 0];
      await showImage(facts.key, facts);
    } catch (error) {
      say(error.message);
    }
  }
  get("file").addEventListener("change", () => get("file").files.length && receive(get("file").files[0]));
  mountDrawing(get("drawing"), get("wipe"), receive);
  window.addEventListener("hashchange", () => {
    readAddress();
    showImage(state.image);
  });

  readAddress();
  await showImage(state.image);
}

// A field to draw a digit in: as large as a digit of MNIST, ten times as fine until it is used.
function mountDrawing(canvas, wipe, receive) {
  const pen = canvas.getContext("2d");
  const clear = () => {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.width, canvas.height);
  };
  let last = null;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = point(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !event.buttons) return;
    const next = point(event);
    pen.strokeStyle = "#fff";
    pen.lineWidth = canvas.width / 12;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...next);
    pen.stroke();
    last = next;
  });
  canvas.addEventListener("pointerup", async () => {
    last = null;
    const small = new OffscreenCanvas(28, 28);
    const brush = small.getContext("2d");
    brush.imageSmoothingQuality = "high";
    brush.drawImage(canvas, 0, 0, 28, 28);
    receive(await small.convertToBlob());
  });
  wipe.addEventListener("click", clear);
  clear();
}

main().catch((error) => {
  get("message").textContent = `The page cannot be shown: ${error.message}`;
});
