
// What a layer of a model holds: its maps of the image, and those of the moved image, moved back over them.

// So long the image has to rest before maps are asked for, in ms.
const MAPS_REST = 120;
const MAP_PX = 64;

// mountMaps(source, { onExample }) returns { root, show(model, key, move) }.
function mountMaps(source, { onExample }) {
  const picker = element("select", {});
  const list = element("ul", { class: "maps" });
  const hint = "Left: the unshifted image. Right: the shifted one, moved back. Alike where the layer moves with the image; the ring is the maximum.";
  const note = element("p", { class: "maps-note" }, hint);
  const example = element("button", { type: "button" }, `${source.start.example}, moved by 1 px`);
  example.hidden = !source.start.example;
  const choice = element("div", { class: "row" }, element("label", {}, "layer ", picker), example);
  const root = element("details", {}, element("summary", {}, "Feature maps"), choice, note, list);
  root.hidden = !source.maps;
  let wanted = null; // [model, key, move]
  let offered = null; // the model whose layers are in the list
  let layers = [];
  let timer = 0;
  let asked = 0; // counts what was asked for: only the last one is shown

  // In positions of the map; beside it where the maximum lies outside.
  function ring(picture, [row, column]) {
    const mark = element("span", { class: "ring" });
    const [wide, high] = [picture.naturalWidth, picture.naturalHeight];
    if (row < 0 || column < 0 || row > high - 1 || column > wide - 1) return mark;
    mark.style.left = `${((column + 0.5) * MAP_PX) / wide}px`;
    mark.style.top = `${((row + 0.5) * MAP_PX) / high}px`;
    mark.classList.add("inside");
    return mark;
  }

  async function framed(address, at, alt) {
    const picture = element("img", { src: address, alt, class: "pixelated" });
    await picture.decode();
    return element("span", { class: "map" }, picture, ring(picture, at));
  }

  async function offer(model) {
    if (offered === model) return;
    offered = model;
    layers = await source.layers(model);
    picker.replaceChildren(...layers.map(({ name }) => element("option", { value: name }, name)));
    note.textContent = layers.length ? hint : "The layers of this model cannot be followed one by one.";
  }

  function expectMaps() {
    list.setAttribute("aria-busy", "true");
    asked += 1;
    return asked;
  }

  async function draw() {
    if (!root.open || !wanted || wanted[1] === null) return;
    const [model, key, move] = wanted;
    const number = expectMaps();
    try {
      await offer(model);
      const maps = picker.value ? await source.maps(model, key, move, picker.value) : [];
      const items = await Promise.all(
        maps.map(async (each) => {
          const still = await framed(each.still, each.still_at, `channel ${each.channel}, unshifted`);
          const back = await framed(each.back, each.back_at, `channel ${each.channel}, shifted and moved back`);
          return element("li", {}, still, back);
        }),
      );
      if (number === asked) list.replaceChildren(...items);
    } catch (error) {
      if (number === asked) note.textContent = error.message;
    }
    if (number === asked) list.setAttribute("aria-busy", "false");
  }

  function soon() {
    expectMaps();
    clearTimeout(timer);
    timer = setTimeout(draw, MAPS_REST);
  }

  root.addEventListener("toggle", draw);
  picker.addEventListener("change", draw);
  // After the first layer that pools, a move by one pixel is hidden, or not.
  example.addEventListener("click", async () => {
    await offer(wanted[0]);
    const pooled = layers.find(({ stride_px }) => Math.max(...stride_px) > 1);
    if (pooled) picker.value = pooled.name;
    onExample();
  });
  return {
    root,
    show(model, key, move) {
      wanted = [model, key, move];
      if (root.open) soon();
    },
  };
}
