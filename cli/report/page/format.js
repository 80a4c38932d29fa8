// Times, durations and amounts as text; and elements.

const day_names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const month_names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;

const two = (number) => String(number).padStart(2, "0");

// "14 Aug"
function day_text(time) {
  const date = new Date(time);
  return `${date.getUTCDate()} ${month_names[date.getUTCMonth()]}`;
}

// "03:10", "03:10:05"
function clock_text(time) {
  const date = new Date(time);
  const seconds = date.getUTCSeconds();
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}${seconds ? ":" + two(seconds) : ""}`;
}

// "14 Aug 2016, 03:10"
const time_text = (time) => `${day_text(time)} ${new Date(time).getUTCFullYear()}, ${clock_text(time)}`;
const weekday_text = (time) => `${day_names[new Date(time).getUTCDay()]} ${time_text(time)}`;

// The two greatest units that are not zero: "3 d 4 h", "12 min 30 s", "0.35 s".
function duration_text(milliseconds) {
  if (milliseconds < minute) return `${Number((milliseconds / second).toPrecision(3))} s`;
  const units = [["d", day], ["h", hour], ["min", minute], ["s", second]];
  const first = units.findIndex(([, unit]) => milliseconds >= unit);
  const [greater, lesser] = [units[first], units[first + 1]];
  let count = Math.floor(milliseconds / greater[1]);
  let rest = lesser ? Math.round((milliseconds - count * greater[1]) / lesser[1]) : 0;
  if (lesser && rest * lesser[1] === greater[1]) [count, rest] = [count + 1, 0];
  return `${count} ${greater[0]}${rest ? ` ${rest} ${lesser[0]}` : ""}`;
}

const count_text = (count) => count.toLocaleString("en-US");
const counted = (count, thing) => `${count_text(count)} ${thing}${count === 1 ? "" : "s"}`;

// A sum, with the digits that suit the greatest one of the page: "1,234.50", "9.432", "0.0312".
let sum_digits = 2;
const suit_sums = (greatest_usd) => { sum_digits = greatest_usd >= 100 ? 2 : greatest_usd >= 10 ? 3 : 4; };
function sum_text(usd) {
  return usd.toLocaleString("en-US", {minimumFractionDigits: sum_digits, maximumFractionDigits: sum_digits}).replace("-", "−");
}

// A price: four digits after the point, more only where they say something.
function price_text(usd) {
  if (usd !== 0 && Math.abs(usd) < 0.001) return String(Number(usd.toPrecision(3))).replace("-", "−");
  return usd.toFixed(Number(usd.toFixed(4)) === Number(usd.toFixed(6)) ? 4 : 5).replace("-", "−");
}

function percent_text(share) {
  return `${Number((100 * share).toFixed(1))} %`.replace("-", "−");
}

// element("td", {class: "number"}, "12", child...): text is set as text, never as HTML.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const cell = (...content) => element("td", {}, ...content);
const number_cell = (...content) => element("td", {class: "number"}, ...content);
const badge = (text, kind = "") => element("span", {class: `badge ${kind}`}, text);

// A table with a heading of names; "#name": of numbers.
function table_of(names, rows, kind = null) {
  const headings = names.map((name) => (name.startsWith("#")
    ? element("th", {scope: "col", class: "number"}, name.slice(1))
    : element("th", {scope: "col"}, name)));
  const heading = element("thead", {}, element("tr", {}, ...headings));
  return element("table", {class: kind}, names.length > 0 ? heading : null, element("tbody", {}, ...rows));
}

// A row of a table; `here`: it is the one that is meant.
const row_of = (here, ...cells) => element("tr", {class: here ? "here" : null}, ...cells);

const find = (selector) => document.querySelector(selector);
