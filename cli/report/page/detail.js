// What held at one moment: prices, where the VM was, why, what else could have been chosen, and what was paid by then.

function fact(name, ...value) {
  return element("div", {class: "fact"}, element("dt", {}, name), element("dd", {}, ...value));
}

function prices_then(view, time, stay) {
  const here = stay && drawn(stay.place);
  const rows = view.data.lines.map((place) => {
    const price = value_at(place.line, time);
    return element("tr", {class: place === here ? "here" : null},
                   element("td", {}, swatch(line_style(place.tone), place === here ? 5 : 3), place.name,
                           place === here ? element("span", {class: "badge"}, `${view.vm} is here`) : null),
                   element("td", {class: "number"}, price === null ? "–" : price_text(price)));
  });
  return element("table", {}, element("thead", {}, element("tr", {}, element("th", {}, "Price"), element("th", {class: "number"}, "USD/h"))),
                 element("tbody", {}, ...rows));
}

function candidates_of(stay) {
  const rows = stay.candidates.map(({place, cost, gain, excluded}) => {
    const name = element("td", {title: place.id}, place.label, place === stay.place ? element("span", {class: "badge"}, "chosen") : null);
    if (!excluded) {
      return element("tr", {class: place === stay.place ? "here" : null}, name, element("td", {class: "number"}, price_text(cost)),
                     element("td", {class: "number"}, `${gain > 0 ? "+" : ""}${price_text(gain)}`));
    }
    name.append(element("span", {class: "excluded"}, `no choice: ${excluded}`));
    return element("tr", {}, name, element("td", {class: "number"}, cost ? price_text(cost) : "–"), element("td", {class: "number"}, "–"));
  });
  return element("table", {},
                 element("thead", {}, element("tr", {}, element("th", {}, "Candidates"), element("th", {class: "number"}, "cost"),
                                              element("th", {class: "number"}, "gain"))),
                 element("tbody", {}, ...rows));
}

function place_then(view, stay) {
  if (!stay) {
    return [element("p", {class: "where"}, element("b", {}, view.vm), " ran nowhere at this moment.")];
  }
  const came = stay.previous ? [stay.flight ? "Fled here" : "Moved here", ` ${time_text(stay.from)}, from ${stay.previous.place.label}`] : ["Began here ", time_text(stay.from)];
  const parts = [
    element("p", {class: "where"}, element("b", {}, view.vm), " at ", element("b", {title: stay.place.id}, stay.place.label),
            stay.flight ? element("span", {class: "badge alarm"}, "flight") : null),
    element("p", {class: "quiet-text"}, ...came, `; stayed ${duration_text(stay.to - stay.from)}.`),
  ];
  if (stay.reason) parts.push(element("p", {class: "reason"}, stay.reason));
  if (stay.candidates.length > 0) parts.push(candidates_of(stay));
  if (stay.decision) parts.push(element("p", {class: "quiet-text"}, "Decision ", element("code", {}, stay.decision)));
  return parts;
}

function paid_then(view, time) {
  const {strategies} = view.data;
  const rows = strategies.map((strategy, index) => {
    const paid = value_at(strategy.paid, time);
    const chosen = strategy === view.strategy;
    return element("tr", {class: chosen ? "here" : null},
                   element("td", {}, swatch(strategy_style(strategies, index), chosen ? 5 : 3), strategy.name),
                   element("td", {class: "number"}, sum_text(paid === null ? 0 : paid)));
  });
  return element("table", {}, element("thead", {}, element("tr", {}, element("th", {}, "Paid by then"), element("th", {class: "number"}, "USD"))),
                 element("tbody", {}, ...rows));
}

function detail_parts(view, time) {
  const stay = view.vm === null ? null : stay_at(view.stays(), time);
  const parts = [element("h2", {}, weekday_text(time), element("span", {class: "unit"}, " UTC"))];
  if (view.vm !== null) parts.push(...place_then(view, stay));
  if (view.data.lines.length > 0) parts.push(prices_then(view, time, stay));
  if (view.data.strategies.length > 0) parts.push(paid_then(view, time));
  return parts;
}
