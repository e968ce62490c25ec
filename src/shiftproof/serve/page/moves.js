
// An image that is moved, pixel by pixel as the model sees it.

// Where each row or column reads its pixel from; -1 is outside, and black.
function sources(size, shift, border) {
  const from = new Int32Array(size);
  const period = border === "circular" ? size : Math.max(1, 2 * (size - 1));
  for (let k = 0; k < size; k += 1) {
    let place = k - shift;
    if (border === "zeros") place = place < 0 || place >= size ? -1 : place;
    else if (border === "edge") place = Math.min(Math.max(place, 0), size - 1);
    else {
      place = ((place % period) + period) % period;
      if (border === "reflect") place = Math.min(place, period - place);
    }
    from[k] = place;
  }
  return from;
}

function copied(image, dy, dx, border) {
  const { width, height } = image;
  const read = new Uint32Array(image.data.buffer);
  const black = new Uint32Array(new Uint8ClampedArray([0, 0, 0, 255]).buffer)[0];
  const [rows, columns] = [sources(height, dy, border), sources(width, dx, border)];
  const made = new ImageData(width, height);
  const written = new Uint32Array(made.data.buffer);
  for (let y = 0; y < height; y += 1) {
    const start = rows[y] * width;
    for (let x = 0; x < width; x += 1) {
      written[y * width + x] = rows[y] < 0 || columns[x] < 0 ? black : read[start + columns[x]];
    }
  }
  return made;
}

// By whole pixels a copy; between them the four neighbours, weighed.
function moved(image, dy, dx, border) {
  const [down, right] = [Math.floor(dy), Math.floor(dx)];
  const [v, u] = [dy - down, dx - right];
  if (!v && !u) return copied(image, down, right, border);
  const near = [[down, right, (1 - v) * (1 - u)], [down, right + 1, (1 - v) * u], [down + 1, right, v * (1 - u)], [down + 1, right + 1, v * u]];
  const parts = near.filter(([, , weight]) => weight).map(([y, x, weight]) => [copied(image, y, x, border).data, weight]);
  const made = new ImageData(image.width, image.height);
  for (let k = 0; k < made.data.length; k += 1) {
    let sum = 0;
    for (const [data, weight] of parts) sum += weight * data[k];
    made.data[k] = sum;
  }
  return made;
}
