
// Where images and answers come from: the server that the page is from, or the page itself.
//
// .start                                             what the page knows at its start
// .image(key)                                        { key, name, label, image }
// .plane(model, key, border, tell, signal)           tells { cells: [[place, answer], …], failure } as they come
// .shift(model, key, move)                           { answer, seen }: any shift, and the address of a picture
// .layers(model)                                     [{ name, stride_px }, …]: the layers that have maps
// .maps(model, key, move, layer)                     [{ channel, still, back, still_at, back_at }, …]
// .upload(file)                                      what .image says of it
//
// An answer is { key, n, ranked, alike }, or null where there is none. Of `ranked`, [class, probability, class, …], the
// first n classes are the prediction; answers with the same key are the same. `alike` is how much it is like the
// unshifted answer, null where the prediction says enough. Of an embedding: the nearest images, and cosines.

async function asked(path, options = {}) {
  const response = await fetch(path, options);
  if (response.ok) return response;
  const said = await response.text();
  let why = said;
  try {
    why = JSON.parse(said).error;
  } catch {
    // It is a sentence already.
  }
  throw new Error(why || `The server answers ${response.status}.`);
}

async function pixelsOf(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  return pen.getImageData(0, 0, picture.width, picture.height);
}

async function serverSource() {
  const start = await (await asked("start")).json();
  const withPixels = async (facts) => ({ ...facts, image: await pixelsOf(facts.png) });
  const post = (path, question, signal) => asked(path, { method: "POST", body: JSON.stringify(question), signal });
  return {
    start,
    image: async (key) => withPixels(await (await asked(`image/${encodeURIComponent(key)}`)).json()),
    async plane(model, key, border, tell, signal) {
      const response = await post("plane", { model, image: String(key), border }, signal);
      const reader = response.body.getReader();
      const text = new TextDecoder();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        const lines = (rest + text.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) tell(JSON.parse(line));
      }
    },
    shift: async (model, key, move) => (await post("shift", { model, image: String(key), ...move })).json(),
    layers: async (model) => (await asked(`layers/${model}`)).json(),
    maps: async (model, key, move, layer) => (await post("maps", { model, image: String(key), ...move, layer })).json(),
    upload: async (file) => withPixels(await (await asked("image", { method: "POST", body: file })).json()),
  };
}

function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// data: { start, images: [{ name, label }], pixels, answers: [of each model, …] }; grey bytes, and for each
// image, shift and class the probability in 65535ths, both in base64.
function packagedSource(data) {
  const [height, width] = data.start.size_px;
  const shifts = (2 * data.start.radius_px + 1) ** 2;
  const pixels = bytesOf(data.pixels);
  const unpacked = new Map();
  return {
    start: data.start,
    async image(key) {
      const image = new ImageData(width, height);
      for (let k = 0; k < width * height; k += 1) {
        const grey = pixels[key * width * height + k];
        image.data.set([grey, grey, grey, 255], 4 * k);
      }
      return { key, ...data.images[key], image };
    },
    async plane(model, key, border, tell) {
      if (!unpacked.has(model)) unpacked.set(model, new DataView(bytesOf(data.answers[model]).buffer));
      const classes = unpacked.get(model).byteLength / 2 / (data.images.length * shifts);
      const cells = [];
      for (let place = 0; place < shifts; place += 1) {
        const first = (key * shifts + place) * classes;
        const levels = Array.from({ length: classes }, (_, k) => [k, unpacked.get(model).getUint16(2 * (first + k), true)]);
        levels.sort((a, b) => b[1] - a[1] || a[0] - b[0]);
        // The middle of what is rounded to a level: never 0 or 1, which no probability here is.
        const ranked = levels.flatMap(([k, level]) => [k, (level + 0.5) / 65536]);
        cells.push([place, { key: String(ranked[0]), n: 1, ranked, alike: null }]);
      }
      tell({ cells, failure: "" });
    },
  };
}
