// The headline and the tables.

const rows_at_first = 200;  // of moves; the others on request

// A strategy's saving as a share of what on-demand costs.
function saving_text(data, cost) {
  if (!(data.on_demand > 0)) return "–";
  return percent_text(1 - cost / data.on_demand);
}

function cost_bar(data, name, amount, kind, greatest) {
  const bar = element("span", {class: `fill ${kind}`});
  bar.style.width = `${greatest > 0 ? Math.max(100 * amount / greatest, 0.5) : 0}%`;
  const saving = data.on_demand > 0 && name !== "on-demand" ? `saves ${saving_text(data, amount)}` : "";
  return element("div", {class: "cost"}, element("span", {class: "name"}, name), element("span", {class: "track"}, bar),
                 element("span", {class: "amount"}, sum_text(amount)), element("span", {class: "share"}, saving));
}

function stat(value, name) {
  return element("div", {class: "stat"}, element("b", {}, value), element("span", {}, name));
}

// What the asked policy, the first strategy, achieved.
function headline(data) {
  const [asked] = data.strategies;
  if (!asked) return [element("p", {class: "notice"}, "No strategy was replayed.")];
  const greatest = Math.max(asked.cost, data.on_demand, data.clairvoyant);
  const [share, of_what] = data.saving_reached === null
    ? ["–", "nothing could be saved"]
    : [percent_text(data.saving_reached), "of the possible saving reached"];
  return [
    element("div", {class: "reached"}, element("b", {}, share), element("span", {}, of_what)),
    element("div", {}, element("p", {class: "unit"}, "Cost, USD"),
            element("div", {class: "costs"}, cost_bar(data, "on-demand", data.on_demand, "reference", greatest),
                    cost_bar(data, asked.name, asked.cost, "asked", greatest),
                    cost_bar(data, "clairvoyant", data.clairvoyant, "reference", greatest))),
    element("div", {class: "stats"}, stat(count_text(asked.moves), asked.moves === 1 ? "move" : "moves"),
            stat(count_text(asked.revocations), asked.revocations === 1 ? "revocation" : "revocations"),
            stat(count_text(asked.caught), asked.caught === 1 ? "VM caught" : "VMs caught"),
            stat(duration_text(asked.down_s * second), "down")),
  ];
}

function strategies_table(view, choose) {
  const {data} = view;
  const rows = data.strategies.map((strategy, index) => {
    const chosen = strategy === view.strategy;
    const about = {type: "button", class: "link", "aria-pressed": String(chosen), title: "Show its moves"};
    const button = element("button", {...about, onclick: () => choose(strategy)}, strategy.name);
    const parts = [strategy.instances, strategy.transfer, strategy.downtime].map((part) => sum_text(part));
    const numbers = [sum_text(strategy.cost), ...parts, sum_text(data.on_demand - strategy.cost), saving_text(data, strategy.cost),
                     count_text(strategy.moves), count_text(strategy.revocations), count_text(strategy.caught),
                     duration_text(strategy.down_s * second), count_text(strategy.events)];
    return row_of(chosen, cell(swatch(strategy_style(data.strategies, index), chosen ? 5 : 3), button),
                  ...numbers.map((number) => number_cell(number)));
  });
  return table_of(["Strategy", "#Cost, USD", "#Machines, USD", "#Transfer, USD", "#Downtime, USD", "#Saved, USD", "#Saved", "#Moves",
                   "#Revocations", "#Caught", "#Down", "#Events"], rows, "wide");
}

// One row for each move, and in it a button that has the row's keys.
class MovesTable {
  constructor(host, title, select) {
    Object.assign(this, {host, title, select, rows: new Map(), moves: [], shown: 0});
    host.addEventListener("keydown", (event) => this.key(event));
  }

  show(view) {
    this.moves = view.stays().filter((stay) => stay.previous);
    this.title.textContent =
      view.vm === null ? "Moves" : `Moves of ${view.vm} under ${view.strategy.name}: ${count_text(this.moves.length)}`;
    this.rows.clear();
    this.shown = 0;
    if (this.moves.length === 0) {
      const why = view.vm === null ? "Nothing ran." : "It stayed where it was.";
      this.host.replaceChildren(element("p", {class: "quiet-text"}, why));
      return;
    }
    const table = table_of(["Time, UTC", "From", "To", "Why", "Decision"], [], "wide");
    this.body = table.tBodies[0];
    this.more = element("button", {type: "button", class: "quiet", onclick: () => this.add_rows(this.moves.length)});
    this.host.replaceChildren(table, this.more);
    this.add_rows(Math.min(rows_at_first, this.moves.length));
    this.mark(view.selected);
  }

  add_rows(count) {
    for (; this.shown < count; ++this.shown) {
      const stay = this.moves[this.shown];
      const name = (place) => element("td", {title: place.id}, swatch(line_style(place.tone)), place.label);
      const about = {type: "button", class: "link nowrap", tabindex: this.shown === 0 ? "0" : "-1"};
      const button = element("button", about, time_text(stay.from));
      const row = element("tr", {class: "pick", onclick: () => this.select(stay)}, cell(button), name(stay.previous.place),
                          name(stay.place), cell(stay.flight ? badge("flight", "alarm") : null, stay.reason),
                          cell(element("code", {}, stay.decision)));
      this.rows.set(stay, {row, button});
      this.body.append(row);
    }
    this.more.hidden = this.shown === this.moves.length;
    this.more.textContent = `Show the other ${count_text(this.moves.length - this.shown)}`;
  }

  // Shows which move is selected; null: none.
  mark(selected) {
    if (selected && this.moves.includes(selected) && !this.rows.has(selected)) this.add_rows(this.moves.length);
    for (const [stay, {row, button}] of this.rows) {
      row.classList.toggle("selected", stay === selected);
      if (stay === selected) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      if (selected) button.tabIndex = stay === selected ? 0 : -1;
    }
    const found = this.rows.get(selected);
    if (!found) return;
    // Within its own box alone: the page stays where the reader has it.
    const {row} = found;
    const above = row.offsetTop - 40, below = row.offsetTop + row.offsetHeight - this.host.clientHeight;
    if (this.host.scrollTop > above) this.host.scrollTop = above;
    if (this.host.scrollTop < below) this.host.scrollTop = below;
  }

  key(event) {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    const current = [...this.rows].find(([, {button}]) => button === event.target);
    if (!step || !current) return;
    event.preventDefault();
    const next = this.moves[this.moves.indexOf(current[0]) + step];
    if (!next) return;
    this.select(next);
    this.rows.get(next).button.focus({preventScroll: true});
  }
}

function model_table(data) {
  const facts = [...data.model, ["Prices read", count_text(data.prices_read)]];
  if (data.rejected_rows > 0) facts.push(["Rejected rows", `${count_text(data.rejected_rows)}: damaged or in doubt`]);
  facts.push(["Replayed in", duration_text(data.wall_s * second)]);
  const rows = facts.map(([name, value]) => row_of(false, element("th", {scope: "row"}, name), cell(value)));
  return table_of([], rows, "wide model");
}
