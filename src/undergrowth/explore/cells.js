/* The table of inputs: squares are trained on, discs are held out. */
function cellsIn(c, box, facts, colourOf, { gap = .1 } = {}) {
  const p = facts.p, size = Math.min(box.wide, box.high) / p;
  const left = box.x + (box.wide - size * p) / 2, top = box.y + (box.high - size * p) / 2;
  const byColour = new Map();
  for (let cell = 0; cell < p * p; cell++) {
    if (facts.heldOut[cell] < 0) continue;
    const colour = colourOf(cell);
    if (!byColour.has(colour)) byColour.set(colour, []);
    byColour.get(colour).push(cell);
  }
  for (const [colour, its] of byColour) {
    c.fillStyle = colour;
    c.beginPath();
    for (const cell of its) {
      const x = left + (cell % p) * size, y = top + Math.floor(cell / p) * size;
      if (facts.heldOut[cell]) {
        c.moveTo(x + size * .94, y + size / 2);
        c.arc(x + size / 2, y + size / 2, size * .44, 0, 2 * Math.PI);
      } else c.rect(x + size * gap / 2, y + size * gap / 2, size * (1 - gap), size * (1 - gap));
    }
    c.fill();
  }
  return { left, top, size, p };
}

function outlined(c, grid, cell, colour, dash = []) {
  const { left, top, size, p } = grid;
  c.strokeStyle = colour;
  c.lineWidth = 2;
  c.setLineDash(dash);
  c.strokeRect(left + (cell % p) * size - 1, top + Math.floor(cell / p) * size - 1, size + 2, size + 2);
  c.setLineDash([]);
}

/* The chosen example and its mirror image; pressing chooses another. */
function chooses(view, c, grid, facts) {
  const { left, top, size, p } = grid;
  if (state.example >= 0 && state.example < p * p) {
    const x = Math.floor(state.example / p), y = state.example % p;
    outlined(c, grid, y * p + x, ink("soft"), [3, 2]);
    outlined(c, grid, state.example, ink("ink"));
  }
  view.spots.push({ x: left, y: top, wide: size * p, high: size * p, press: (x, y, kind) => {
    const column = Math.floor((x - left) / size), row = Math.floor((y - top) / size);
    if (column < 0 || row < 0 || column >= p || row >= p) return;
    const cell = row * p + column;
    set({ example: kind === "pointerdown" && cell === state.example ? -1 : cell });
  } });
}

function exampleSays(facts, right) {
  const cell = state.example, p = facts.p;
  if (cell < 0 || cell >= p * p || facts.heldOut[cell] < 0) return "";
  const x = Math.floor(cell / p), y = cell % p;
  const side = facts.heldOut[cell] ? "held out" : "trained on";
  return ` ${facts.sign.replace("x", x).replace("y", y)} = ${facts.label[cell]} (${side}): ${right(cell) ? "right" : "wrong"}.`;
}

/* Pale to full, in so few shades that a table is drawn colour by colour. */
const SHADES = 9;
function shade(from, to, part) {
  const key = from + to;
  if (!shade.known.has(key)) shade.known.set(key, Array.from({ length: SHADES + 1 }, (_, i) => mixed(from, to, i / SHADES)));
  return shade.known.get(key)[Math.round(Math.min(Math.max(part, 0), 1) * SHADES)];
}
shade.known = new Map();

/* From one colour by way of a pale middle to another. */
function diverging(from, to, part) {
  const pale = middle(ink("paper"), ink("line"));
  return part < .5 ? shade(from, pale, 2 * part) : shade(pale, to, 2 * part - 1);
}
const middles = new Map();
function middle(paper, line) {
  if (!middles.has(paper)) middles.set(paper, hex(mixed(hex(paper), hex(line), .45)));
  return middles.get(paper);
}
const hex = (colour) => colour.startsWith("#") ? colour : "#" + colour.match(/\d+/g).map((value) => Number(value).toString(16).padStart(2, "0")).join("");
