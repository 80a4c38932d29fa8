// The data of the page (cli/report/replay_data.h), decoded. Times are milliseconds since 1970, UTC; money is in USD.

// A step line: each value is held until the next.
function decode_steps(steps) {
  const count = steps.t ? steps.t.length + 1 : 0;
  const times = new Float64Array(count), values = new Float64Array(count);
  let time = steps.t0, nano_usd = steps.v0;
  for (let k = 0; k < count; ++k) {
    times[k] = time;
    values[k] = nano_usd / 1e9;
    if (k + 1 === count) break;
    time += steps.t[k] * steps.dt;
    nano_usd += steps.v[k] * steps.dv;
  }
  return {times, values};
}

// The last step at or before `time`; -1: there is none.
function step_at(line, time) {
  let low = 0, high = line.times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (line.times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// null: nothing is known by then.
function value_at(line, time) {
  const step = step_at(line, time);
  return step < 0 ? null : line.values[step];
}

function decode_candidates(flat, places, strings) {
  const candidates = [];
  for (let k = 0; k < flat.length; k += 4) {
    candidates.push({place: places[flat[k]], cost: flat[k + 1] / 1e6, gain: flat[k + 2] / 1e6, excluded: strings[flat[k + 3]]});
  }
  return candidates;
}

function decode_looks(flat, from, strings) {
  const looks = [];
  for (let k = 0, at = from; k < flat.length; k += 2) looks.push({at: (at += flat[k]), reason: strings[flat[k + 1]]});
  return looks;
}

function decode_stay([vm, place, from, to, reason, flight, decision, candidates, looks], places, strings) {
  return {
    vm: strings[vm],
    place: places[place],
    from,
    to,
    reason: strings[reason],
    flight: flight === 1,
    decision,
    candidates: decode_candidates(candidates, places, strings),
    looks: decode_looks(looks, from, strings),  // decisions to stay
    previous: null,  // of the same VM; null: it began here
  };
}

function decode_strategy(strategy, places, strings) {
  const stays_of = new Map();  // by VM, in order
  for (const encoded of strategy.stays) {
    const stay = decode_stay(encoded, places, strings);
    const stays = stays_of.get(stay.vm) || [];
    stay.previous = stays.at(-1) || null;
    stays.push(stay);
    stays_of.set(stay.vm, stays);
  }
  const usd = {};
  for (const part of ["cost", "instances", "transfer", "downtime"]) usd[part] = strategy[part] / 1e9;
  return {...strategy, ...usd, stays_of, paid: decode_steps(strategy.paid)};
}

// On-demand prices that are the same all the time, as those of one region are, become one line.
function merge_on_demand(places) {
  const by_steps = new Map();
  for (const place of places) {
    if (place.spot || place.line.times.length === 0) continue;
    const key = JSON.stringify(place.steps);
    const first = by_steps.get(key);
    if (first) {
      place.drawn_as = first;
      first.name = "on-demand";
    } else {
      by_steps.set(key, place);
    }
  }
}

function decode(data) {
  const places = data.places.map((place) => ({...place, line: decode_steps(place.steps), name: place.label, drawn_as: null}));
  let spot_count = 0;
  for (const place of places) place.tone = place.spot && place.line.times.length > 0 ? spot_count++ : null;
  merge_on_demand(places);
  const strategies = data.strategies.map((strategy) => decode_strategy(strategy, places, data.strings));
  const vms = [...new Set(strategies.flatMap((strategy) => [...strategy.stays_of.keys()]))];
  const lines = places.filter((place) => place.line.times.length > 0 && !place.drawn_as);
  const on_demand = data.on_demand / 1e9;
  const hours = (data.to - data.from) / 3.6e6;
  if (lines.length > 0 && on_demand > 0 && hours > 0 && lines.every((place) => place.spot)) {
    const rate = on_demand / hours / Math.max(data.vms, 1);
    lines.push({id: "on-demand", label: "on-demand", name: "on-demand, on average", spot: false, tone: null,
                line: {times: Float64Array.of(data.from), values: Float64Array.of(rate)}});
  }
  return {...data, places, lines, strategies, vm_names: vms, on_demand, clairvoyant: data.clairvoyant / 1e9};
}

// The stay that holds at `time`; null: the VM was nowhere.
function stay_at(stays, time) {
  let found = null;
  for (const stay of stays) {
    if (stay.from > time) break;
    found = stay;
  }
  return found && (time < found.to || found === stays.at(-1) && time === found.to) ? found : null;
}
