// The page: what is chosen, and how a change of it reaches figures, detail and tables.

const data = decode(JSON.parse(find("#data").textContent));

// A replay of one moment still has a width.
const whole_period = data.to > data.from ? [data.from, data.to] : [data.from - 30 * minute, data.from + 30 * minute];
const shortest_period = Math.min(minute, whole_period[1] - whole_period[0]);

const view = {
  data,
  strategy: data.strategies[0] || null,
  vm: null,
  whole: whole_period,
  period: whole_period,
  log: false,
  hidden: new Set(),  // places and strategies
  selected: null,     // a move
  pointed: null,      // the moment under the pointer or the keyboard's cursor
  stays() {
    return this.strategy && this.vm !== null ? this.strategy.stays_of.get(this.vm) || [] : [];
  },
  // The moment that the detail tells of.
  moment() {
    if (this.pointed !== null) return this.pointed;
    return this.selected ? this.selected.from : data.to;
  },
};

let prices = null, costs = null, marks = [], moves = null, frame = null;
const figures = () => [prices, costs].filter((figure) => figure);

function show_moment() {
  frame = null;
  const time = view.moment();
  const shown = view.pointed === null && !view.selected ? null : time;
  const stay = stay_at(view.stays(), time);
  const price = stay ? value_at(drawn(stay.place).line, time) : null;
  // A selected move has its mark.
  if (prices) prices.show_cursor(shown, view.pointed === null ? null : price, stay ? line_style(stay.place.tone).variable : "ink");
  if (costs) {
    const index = data.strategies.indexOf(view.strategy);
    costs.show_cursor(shown, value_at(view.strategy.paid, time), strategy_style(data.strategies, index).variable);
  }
  find("#detail").replaceChildren(...detail_parts(view, time));
}

// Once a frame, however often the pointer moves.
function show_moment_soon() {
  if (frame === null) frame = requestAnimationFrame(show_moment);
}

function draw_figures() {
  for (const figure of figures()) figure.draw();
  const [from, to] = view.period;
  const whole = from === whole_period[0] && to === whole_period[1];
  find("#reset").disabled = find("#zoom-out").disabled = find("#earlier").disabled = find("#later").disabled = whole;
  show_moment_soon();
}

// Within the replay, and no shorter than shows something; a period that is moved over an edge keeps its length.
function set_period([from, to]) {
  const length = Math.min(Math.max(to - from, shortest_period), whole_period[1] - whole_period[0]);
  from = Math.min(Math.max(from, whole_period[0]), whole_period[1] - length);
  view.period = length >= whole_period[1] - whole_period[0] ? whole_period : [from, from + length];
  draw_figures();
}

function zoom(factor) {
  const [from, to] = view.period;
  const cursor = view.pointed === null && !view.selected ? (from + to) / 2 : view.moment();
  const middle = cursor >= from && cursor <= to ? cursor : (from + to) / 2;
  set_period([middle - (middle - from) * factor, middle + (to - middle) * factor]);
}

function shift(share) {
  const [from, to] = view.period;
  set_period([from + share * (to - from), to + share * (to - from)]);
}

// Moves the view so that `time` can be seen.
function reveal(time) {
  const [from, to] = view.period;
  if (time >= from && time <= to) return;
  set_period([time - (to - from) / 2, time + (to - from) / 2]);
}

function select(stay) {
  view.selected = stay;
  view.pointed = null;
  if (stay) reveal(stay.from);
  if (prices) prices.draw();
  moves.mark(stay);
  show_moment_soon();
}

// To the minute, unless a pixel is less than that.
function point(time) {
  const [from, to] = view.period;
  const grain = to - from > 1000 * minute ? minute : second;
  view.pointed = Math.min(Math.max(Math.round(time / grain) * grain, data.from), data.to);
  show_moment_soon();
}

// Where the cursor of the keyboard is; it comes in from the edge.
function cursor(direction) {
  if (view.pointed !== null || view.selected) return view.moment();
  return direction > 0 ? view.period[0] : view.period[1];
}

// The next move in this direction; the last one, if there is no other.
function next_move(direction) {
  const steps = view.stays().filter((stay) => stay.previous);
  const time = cursor(direction);
  const next = direction > 0 ? steps.find((stay) => stay.from > time) : steps.findLast((stay) => stay.from < time);
  return next || view.selected;
}

function point_by_key(direction) {
  const [from, to] = view.period;
  point(cursor(direction) + direction * (to - from) / 100);
  reveal(view.pointed);
}

const keys = {
  ArrowLeft: (event) => (event.shiftKey ? select(next_move(-1)) : point_by_key(-1)),
  ArrowRight: (event) => (event.shiftKey ? select(next_move(1)) : point_by_key(1)),
  "+": () => zoom(0.5),
  "=": () => zoom(0.5),
  "-": () => zoom(2),
  PageUp: () => shift(-0.5),
  PageDown: () => shift(0.5),
  Home: () => (point(data.from), reveal(data.from)),
  End: () => (point(data.to), reveal(data.to)),
  0: () => set_period(whole_period),
  Escape: () => select(null),
  Enter: () => select(stay_at(view.stays(), view.moment())),
};

const control = {
  period: () => view.period,
  whole: () => whole_period,
  set_period,
  point,
  leave() {
    view.pointed = null;
    show_moment_soon();
  },
  pick(figure, x, y) {
    const {area} = figure.plane;
    const move = figure === prices ? mark_at(marks, x + area.x, y + area.y) : null;
    select(move);
    if (!move) point(figure.time_at(x));
  },
  key(event) {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  },
};

function toggle(line) {
  if (!view.hidden.delete(line)) view.hidden.add(line);
  show_legends();
  draw_figures();
}

function show_legends() {
  find("#prices .legend").replaceChildren(...prices_legend(view, toggle));
  find("#costs .legend").replaceChildren(...costs_legend(view, toggle));
}

function set_log(log) {
  view.log = log;
  find("#log").setAttribute("aria-pressed", String(log));
  find("#linear").setAttribute("aria-pressed", String(!log));
}

// Everything that depends on strategy and VM.
function choose(strategy, vm) {
  Object.assign(view, {strategy, vm, selected: null, pointed: null});
  if (strategy) find("#strategy").value = String(data.strategies.indexOf(strategy));
  if (vm !== null) find("#vm").value = vm;
  find("#strategies .scroll").replaceChildren(strategies_table(view, (chosen) => choose(chosen, view.vm)));
  show_legends();
  moves.show(view);
  draw_figures();
}

// What a page that was thinned out does not show.
function thinning_note(lines) {
  const left_out = lines.reduce((sum, line) => sum + (line.left_out || 0), 0);
  if (left_out === 0) return "";
  return `${counted(left_out, "point")} closer together than a screen shows were left out; every extreme is there.`;
}

function add_figures() {
  const shown = (lines) => lines.filter((line) => !view.hidden.has(line));
  if (data.lines.length > 0) {
    prices = new Figure(find("#prices .plot"), {
      name: "Prices over time, and where the VM was",
      edges: {top: 12, bottom: strip_height + 14},
      extent: (period) => extent_of(shown(data.lines).map((place) => place.line), period),
      log: () => view.log,
      paint: (plane) => { marks = paint_prices(plane, view); },
    }, control);
  } else {
    find("#prices .plot").replaceWith(element("p", {class: "notice"}, "There is no price within this period."));
  }
  const paid = data.strategies.filter((strategy) => strategy.paid.times.length > 0);
  if (paid.length > 0) {
    costs = new Figure(find("#costs .plot"), {
      name: "What each strategy had paid, over time",
      edges: {top: 12, bottom: 4},
      extent: (period) => extent_of(shown(paid).map((strategy) => strategy.paid), period),
      log: () => false,
      paint: (plane) => paint_costs(plane, view),
    }, control);
  } else {
    find("#costs .plot").replaceWith(element("p", {class: "notice"}, "Nothing was paid."));
  }
  find("#prices .note").textContent = thinning_note(data.places);
  find("#costs .note").textContent = thinning_note(data.strategies);
}

function start() {
  suit_sums(Math.max(data.on_demand, ...data.strategies.map((strategy) => strategy.cost)));
  find("#title").textContent = data.title;
  const facts = [`${time_text(data.from)} – ${time_text(data.to)} UTC`];
  if (data.to > data.from) facts.push(duration_text(data.to - data.from));
  facts.push(counted(data.vms, "VM"), counted(data.prices_read, "price"));
  find("#period").textContent = facts.join(" · ");
  find("#headline").replaceChildren(...headline(data));
  find("#model .scroll").replaceChildren(model_table(data));
  find("#strategy").append(...data.strategies.map((strategy, index) => element("option", {value: index}, strategy.name)));
  find("#vm").append(...data.vm_names.map((name) => element("option", {value: name}, name)));
  find("#vm-label").hidden = data.vm_names.length < 2;
  find("#strategy").addEventListener("change", (event) => choose(data.strategies[Number(event.target.value)], view.vm));
  find("#vm").addEventListener("change", (event) => choose(view.strategy, event.target.value));
  const on_click = (id, act) => find(id).addEventListener("click", act);
  on_click("#linear", () => (set_log(false), draw_figures()));
  on_click("#log", () => (set_log(true), draw_figures()));
  on_click("#reset", () => set_period(whole_period));
  on_click("#zoom-in", () => zoom(0.5));
  on_click("#zoom-out", () => zoom(2));
  on_click("#earlier", () => shift(-0.5));
  on_click("#later", () => shift(0.5));

  moves = new MovesTable(find("#moves .scroll"), find("#moves-title"), select);
  find("#strategies").hidden = data.strategies.length === 0;
  find(".bar").hidden = find(".hint").hidden = data.strategies.length === 0 && data.lines.length === 0;
  find("main").hidden = false;
  start_theme(find("#theme"), () => figures().forEach((figure) => figure.draw()));
  // Spikes would press the rest of a linear scale flat.
  const extent = extent_of(data.lines.map((place) => place.line), whole_period);
  view.log = extent !== null && extent.greatest / extent.positive > 12;
  view.vm = data.vm_names[0] ?? null;
  add_figures();
  set_log(view.log);
  choose(view.strategy, view.vm);
}

start();
