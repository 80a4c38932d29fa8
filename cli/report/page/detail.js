// What held at one moment: prices, where the VM was, why, what else could have been chosen, and what was paid by then.

function prices_then(view, time, stay) {
  const here = stay && drawn(stay.place);
  const rows = view.data.lines.map((place) => {
    const price = value_at(place.line, time);
    const mark = place === here ? badge(`${view.vm} is here`) : null;
    return row_of(place === here, cell(swatch(line_style(place.tone), place === here ? 5 : 3), place.name, mark),
                  number_cell(price === null ? "–" : price_text(price)));
  });
  return table_of(["Price", "#USD/h"], rows);
}

function candidate_row({place, cost, gain, excluded}, chosen) {
  const name = element("td", {title: place.id}, place.label, chosen ? badge("chosen") : null);
  if (excluded) {
    name.append(element("span", {class: "excluded"}, `no choice: ${excluded}`));
    return row_of(false, name, number_cell(cost ? price_text(cost) : "–"), number_cell("–"));
  }
  return row_of(chosen, name, number_cell(price_text(cost)), number_cell(`${gain > 0 ? "+" : ""}${price_text(gain)}`));
}

function arrival_text(stay) {
  if (!stay.previous) return `Began here ${time_text(stay.from)}`;
  return `${stay.flight ? "Fled" : "Moved"} here ${time_text(stay.from)}, from ${stay.previous.place.label}`;
}

// The last decision to stay by then; at the moment of its arrival it has just come.
function look_then(stay, time) {
  return stay.looks.findLast((look) => look.at <= time && look.at > stay.from) || null;
}

function place_then(view, stay, time) {
  if (!stay) return [element("p", {class: "where"}, element("b", {}, view.vm), " ran nowhere at this moment.")];
  const place = element("b", {title: stay.place.id}, stay.place.label);
  const parts = [
    element("p", {class: "where"}, element("b", {}, view.vm), " at ", place, stay.flight ? badge("flight", "alarm") : null),
    element("p", {class: "quiet-text"}, `${arrival_text(stay)}; stayed ${duration_text(stay.to - stay.from)}.`),
  ];
  if (stay.reason) parts.push(element("p", {class: "reason"}, stay.reason));
  if (stay.candidates.length > 0) {
    const rows = stay.candidates.map((candidate) => candidate_row(candidate, candidate.place === stay.place));
    parts.push(table_of(["Candidates", "#cost", "#gain"], rows));
  }
  const look = look_then(stay, time);
  if (look) {
    parts.push(element("p", {class: "quiet-text"}, `Looked at again ${time_text(look.at)}:`), element("p", {class: "reason"}, look.reason));
  }
  if (stay.decision) parts.push(element("p", {class: "quiet-text"}, "Decision ", element("code", {}, stay.decision)));
  return parts;
}

function paid_then(view, time) {
  const {strategies} = view.data;
  const rows = strategies.map((strategy, index) => {
    const chosen = strategy === view.strategy;
    return row_of(chosen, cell(swatch(strategy_style(strategies, index), chosen ? 5 : 3), strategy.name),
                  number_cell(sum_text(value_at(strategy.paid, time) ?? 0)));
  });
  return table_of(["Paid by then", "#USD"], rows);
}

function detail_parts(view, time) {
  const stay = view.vm === null ? null : stay_at(view.stays(), time);
  const parts = [element("h2", {}, weekday_text(time), element("span", {class: "unit"}, " UTC"))];
  if (view.vm !== null) parts.push(...place_then(view, stay, time));
  if (view.data.lines.length > 0) parts.push(prices_then(view, time, stay));
  if (view.data.strategies.length > 0) parts.push(paid_then(view, time));
  return parts;
}
