// The first figure: every place's price, and over it where the VM was.

const strip_height = 10;  // of the band of places at the bottom
const mark_pixels = 14;  // that a mark takes; where there are more than fit in, they are smaller, and fewer

// A place that on-demand places share one line with is drawn as that.
const drawn = (place) => place.drawn_as || place;

function paint_prices(plane, view) {
  for (const place of view.data.lines) {
    if (view.hidden.has(place)) continue;
    stroke_steps(plane, place.line, ...view.whole,
                 {style: line_style(place.tone), width: place.tone === null ? 1.5 : 1.25, opacity: 0.9});
  }
  const stays = view.stays();
  paint_path(plane, stays, "paper", 8);
  for (const stay of stays) paint_hop(plane, stay);
  paint_path(plane, stays, null, 4);
  paint_strip(plane, stays);
  return paint_marks(plane, stays, view.selected);
}

// Over the prices that the VM met; in the places' own colours where no other is given.
function paint_path(plane, stays, variable, width) {
  for (const {place, from, to} of stays) {
    if (from > plane.to || to < plane.from) continue;
    const style = {...line_style(place.tone), dash: []};
    if (variable) style.variable = variable;
    stroke_steps(plane, drawn(place).line, from, to, {style, width});
  }
}

// From the price that it left to the one it came to.
function paint_hop(plane, stay) {
  if (!stay.previous || stay.from < plane.from || stay.previous.to > plane.to) return;
  const left = value_at(drawn(stay.previous.place).line, stay.previous.to), come = value_at(drawn(stay.place).line, stay.from);
  if (left === null || come === null) return;
  const {context} = plane;
  context.save();
  context.strokeStyle = color("hop");
  context.lineWidth = 1.5;
  context.setLineDash(stay.previous.to < stay.from ? [2, 3] : []);
  context.beginPath();
  context.moveTo(plane.x(stay.previous.to), plane.y(left));
  context.lineTo(plane.x(stay.from), plane.y(come));
  context.stroke();
  context.restore();
}

// The same once more as a band: it can be read where prices lie close together. A gap: the VM was nowhere.
function paint_strip(plane, stays) {
  const {context, area} = plane;
  for (const {place, from, to} of stays) {
    const begin = Math.max(plane.x(Math.max(from, plane.from)), area.x), end = plane.x(Math.min(to, plane.to));
    if (end <= begin) continue;
    context.fillStyle = color(line_style(place.tone).variable);
    context.fillRect(begin, area.y + area.h - strip_height, Math.max(end - begin, 1), strip_height);
  }
}

// Marks of moves where there is room, and of all flights. Returns where each move is: [{x, y, stay}...].
function paint_marks(plane, stays, selected) {
  const marks = [];
  for (const stay of stays) {
    if (!stay.previous || stay.from < plane.from || stay.from > plane.to) continue;
    const price = value_at(drawn(stay.place).line, stay.from);
    const y = price === null ? plane.area.y + plane.area.h - strip_height : plane.y(price);
    marks.push({x: plane.x(stay.from), y, stay});
  }
  const scale = marks.length * mark_pixels > plane.area.w ? 0.6 : 1;
  let last = null;
  const shown = marks.filter((mark) => {
    const crowded = last && Math.hypot(mark.x - last.x, mark.y - last.y) < mark_pixels / 2;
    if (!mark.stay.flight && crowded && mark.stay !== selected) return false;
    last = mark;
    return true;
  });
  const rank = ({stay}) => (stay === selected ? 2 : stay.flight ? 1 : 0);
  for (const {x, y, stay} of shown.sort((a, b) => rank(a) - rank(b))) {
    const {variable} = line_style(stay.place.tone);
    const chosen = stay === selected;
    draw_mark(plane.context, {x, y, flight: stay.flight, selected: chosen, variable, scale: chosen ? 1 : scale});
  }
  return marks;
}

// The move whose mark is at (x, y) of the canvas; null: none is near.
function mark_at(marks, x, y) {
  let nearest = null, least = 14;
  for (const mark of marks) {
    const distance = Math.hypot(mark.x - x, mark.y - y);
    if (distance < least) [nearest, least] = [mark.stay, distance];
  }
  return nearest;
}

// A button that shows or hides a line.
function legend_button(text, style, width, hidden, toggle, note) {
  const about = {type: "button", class: "key", "aria-pressed": String(!hidden), title: "Show or hide", onclick: toggle};
  const button = element("button", about, swatch(style, width), text);
  if (note) button.append(element("b", {}, note));
  return button;
}

function mark_key(shape, text) {
  return element("span", {class: "key"}, element("span", {class: shape, "aria-hidden": "true"}), text);
}

function prices_legend(view, toggle) {
  const keys = view.data.lines.map(
    (place) => legend_button(place.name, line_style(place.tone), 3, view.hidden.has(place), () => toggle(place)));
  const stays = view.stays();
  if (stays.length > 0) {
    const path = element("span", {class: "path", "aria-hidden": "true"});
    keys.push(element("span", {class: "key apart"}, path, `where ${view.vm} was`), mark_key("disc", "move"));
    if (stays.some((stay) => stay.flight)) keys.push(mark_key("triangle", "flight from a revocation"));
  }
  return keys;
}
