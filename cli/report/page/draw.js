// Step lines and marks on a canvas. What is drawn is reduced to columns of pixels: the time it takes grows with the screen.

// Where times and amounts are on a figure's canvas.
class Plane {
  constructor(context, area, [from, to], {low, high, log}) {
    Object.assign(this, {context, area, from, to, low, high, log});
    this.x_scale = area.w / (to - from);
    this.y_low = log ? Math.log10(low) : low;
    this.y_scale = area.h / ((log ? Math.log10(high) : high) - this.y_low);
  }
  x(time) {
    return this.area.x + (time - this.from) * this.x_scale;
  }
  y(amount) {
    const height = this.log ? Math.log10(Math.max(amount, this.low)) : amount;
    return this.area.y + this.area.h - (height - this.y_low) * this.y_scale;
  }
}

// Adds `line` between two times to the path: of each column of pixels how it enters, its least and greatest, and how it leaves.
function trace_steps(plane, line, from, to) {
  const {times, values} = line;
  from = Math.max(from, plane.from);
  to = Math.min(to, plane.to);
  let k = step_at(line, from);
  if (k < 0) [k, from] = [0, times[0]];
  if (!(from <= to)) return;
  const {context} = plane;
  let y = plane.y(values[k]);
  context.moveTo(plane.x(from), y);
  while (k + 1 < times.length && times[k + 1] <= to) {
    const x = plane.x(times[++k]);
    const column = Math.floor(x);
    let least = values[k], greatest = values[k];
    while (k + 1 < times.length && times[k + 1] <= to && plane.x(times[k + 1]) < column + 1) {
      ++k;
      if (values[k] < least) least = values[k];
      if (values[k] > greatest) greatest = values[k];
    }
    context.lineTo(x, y);
    if (least !== greatest) {
      context.lineTo(x, plane.y(least));
      context.lineTo(x, plane.y(greatest));
    }
    y = plane.y(values[k]);
    context.lineTo(x, y);
  }
  context.lineTo(plane.x(to), y);
}

function stroke_steps(plane, line, from, to, {style, width, opacity = 1}) {
  const {context} = plane;
  context.save();
  context.strokeStyle = color(style.variable);
  context.lineWidth = width;
  context.lineJoin = "round";
  context.globalAlpha = opacity;
  context.setLineDash(style.dash);
  context.beginPath();
  trace_steps(plane, line, from, to);
  context.stroke();
  context.restore();
}

// A move is a disc, a flight a triangle that stands on its tip; the selected one has a ring.
function draw_mark(context, {x, y, flight, selected, variable, scale}) {
  const radius = (flight ? 7 : 5) * scale;
  context.save();
  context.beginPath();
  if (flight) {
    context.moveTo(x - radius, y - radius * 0.8);
    context.lineTo(x + radius, y - radius * 0.8);
    context.lineTo(x, y + radius * 0.9);
    context.closePath();
  } else {
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.fillStyle = flight ? color("flight") : color(variable);
  context.strokeStyle = color("paper");
  context.lineWidth = 3 * scale;
  context.stroke();
  context.fill();
  if (selected) {
    context.beginPath();
    context.arc(x, y, 11, 0, 2 * Math.PI);
    context.strokeStyle = color("ink");
    context.lineWidth = 2;
    context.stroke();
  }
  context.restore();
}

// Least and greatest of `lines` within [from, to]; null: they have nothing there.
function extent_of(lines, [from, to]) {
  let least = Infinity, greatest = -Infinity, positive = Infinity;
  for (const {times, values} of lines) {
    let k = Math.max(step_at({times}, from), 0);
    for (; k < times.length && times[k] <= to; ++k) {
      const value = values[k];
      if (value < least) least = value;
      if (value > greatest) greatest = value;
      if (value > 0 && value < positive) positive = value;
    }
  }
  return least <= greatest ? {least, greatest, positive} : null;
}

// Amounts worth a label: about one for each 45 pixels.
function amount_ticks(low, high, pixels, log) {
  const wanted = Math.max(2, pixels / 45);
  if (log) {
    for (const digits of [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power) {
        for (const digit of digits) {
          const value = digit * 10 ** power;
          if (value >= low && value <= high) ticks.push({v: value, label: String(Number(value.toPrecision(2)))});
        }
      }
      if (ticks.length >= 2 && ticks.length <= wanted + 1 || digits.length === 1 && ticks.length >= 2) return ticks;
    }
  }
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((digit) => digit * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let k = Math.ceil(Math.max(low, 0) / step - 1e-9); k * step <= high; ++k) {
    ticks.push({v: k * step, label: (k * step).toFixed(digits)});
  }
  return ticks;
}

const time_steps = [second, 5 * second, 15 * second, 30 * second, minute, 5 * minute, 15 * minute, 30 * minute, hour, 3 * hour,
                    6 * hour, 12 * hour, day, 2 * day, 4 * day, 7 * day, 14 * day, 28 * day, 91 * day, 365 * day];

// Times worth a label: days by their date, hours by the clock; grid lines between them have none.
function time_ticks(from, to, pixels) {
  const step = time_steps.find((each) => (to - from) / each * 74 <= pixels) || time_steps.at(-1);
  const ticks = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    ticks.push({v: time, label: time % day === 0 ? day_text(time) : clock_text(time)});
  }
  return ticks;
}
