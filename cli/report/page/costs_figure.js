// The second figure: what each strategy had paid by then.

// The asked policy in the first tone, what bounds it as references, the other baselines in the tones that follow.
function strategy_style(strategies, index) {
  const {name} = strategies[index];
  if (name === "clairvoyant") return {variable: "reference", dash: [2, 3], border: "dotted"};
  if (/^on[- ]demand$/i.test(name)) return line_style(null);
  return line_style(index);
}

function paint_costs(plane, view) {
  const {strategies} = view.data;
  const order = strategies.map((_, index) => index).filter((index) => !view.hidden.has(strategies[index]));
  order.sort((a, b) => (strategies[a] === view.strategy) - (strategies[b] === view.strategy));
  for (const index of order) {
    const chosen = strategies[index] === view.strategy;
    stroke_steps(plane, strategies[index].paid, ...view.whole,
                 {style: strategy_style(strategies, index), width: chosen ? 3.5 : 1.75, opacity: chosen ? 1 : 0.9});
  }
}

function costs_legend(view, toggle) {
  return view.data.strategies.map((strategy, index) =>
    legend_button(strategy.name, strategy_style(view.data.strategies, index), strategy === view.strategy ? 5 : 3,
                  view.hidden.has(strategy), () => toggle(strategy), sum_text(strategy.cost)));
}
