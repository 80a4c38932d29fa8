// A figure over time: dygraphs draws axes and grid, `paint` the rest. Its surface takes pointer and keys.

// The others draw what figures here draw themselves, and set styles that the page's policy forbids.
Dygraph.PLUGINS = [Dygraph.Plugins.Axes, Dygraph.Plugins.Grid];

class Figure {
  // about: {name, edges: {top, bottom} in pixels kept free, extent(period) -> {least, greatest, positive}, log() -> bool,
  // paint(plane)}. control: {period(), whole(), set_period(period), point(time, figure), leave(), pick(figure, x, y), key(event)}.
  constructor(host, about, control) {
    Object.assign(this, {host, about, control, plane: null});
    this.cursor = element("div", {class: "cursor", hidden: true});
    this.dot = element("div", {class: "dot", hidden: true});
    this.selection = element("div", {class: "selection", hidden: true});
    this.surface = element("div", {class: "surface", tabindex: "0", role: "application", "aria-label": about.name},
                           this.selection, this.cursor, this.dot);
    const graph_host = element("div", {class: "graph"});
    host.append(graph_host, this.surface);
    const [from, to] = control.whole();
    this.graph = new Dygraph(graph_host, [[new Date(from), 1], [new Date(to), 1]], {
      labels: ["time", "amount"],
      labelsUTC: true,
      interactionModel: {},
      resizable: "passive",
      highlightCircleSize: 0,
      rightGap: 12,
      axisLineWidth: 1,
      gridLineWidth: 1,
      axes: {
        x: {ticker: (a, b, pixels) => time_ticks(a, b, pixels), axisLabelFontSize: 12, axisLabelWidth: 70},
        y: {ticker: (a, b, pixels) => this.amount_ticks(a, b, pixels), axisLabelFontSize: 12, axisLabelWidth: 46},
      },
      ...this.options(),
      plotter: ({dygraph, drawingContext, plotArea}) => this.paint(dygraph, drawingContext, plotArea),
      drawCallback: () => this.place_surface(),
    });
    new Gestures(this.surface, this, control);
  }

  get log() {
    return this.about.log();
  }

  // Low and high of the amounts, so that the edges stay free of lines.
  range(height) {
    const extent = this.about.extent(this.control.period()) || {least: 0, greatest: 1, positive: 0.1};
    const {top, bottom} = this.about.edges;
    const to_scale = this.log ? Math.log10 : Number, from_scale = this.log ? (value) => 10 ** value : Number;
    let low = to_scale(this.log ? Math.min(extent.positive, 1e9) : extent.least), high = to_scale(extent.greatest);
    if (!(high - low > 1e-9)) {
      const room = this.log ? 0.2 : Math.max(Math.abs(high) * 0.2, 1e-4);
      [low, high] = [low - room, low + room];
    }
    const per_pixel = (high - low) / Math.max(height - top - bottom, 20);
    return [from_scale(low - bottom * per_pixel), from_scale(high + top * per_pixel)];
  }

  // None among the labels of time, and none in the edge that is kept free at the bottom.
  amount_ticks(low, high, pixels) {
    const share = Math.max(this.about.edges.bottom - 8, 0) / pixels;
    const lowest = this.log ? low * (high / low) ** share : low + (high - low) * share;
    return amount_ticks(low, high, pixels, this.log).filter((tick) => tick.v >= lowest);
  }

  options() {
    const height = this.graph ? this.graph.getArea().h : this.host.clientHeight - 20;
    return {
      dateWindow: [...this.control.period()],
      valueRange: this.range(height),
      logscale: this.log,
      axisLineColor: color("axis"),
      gridLineColor: color("grid"),
    };
  }

  draw() {
    this.graph.updateOptions(this.options());
  }

  paint(graph, context, area) {
    const [low, high] = graph.yAxisRange();
    this.plane = new Plane(context, area, this.control.period(), {low, high, log: this.log});
    this.about.paint(this.plane);
  }

  place_surface() {
    if (!this.plane) return;
    const {area} = this.plane;
    Object.assign(this.surface.style, {left: `${area.x}px`, top: `${area.y}px`, width: `${area.w}px`, height: `${area.h}px`});
    this.show_cursor(this.time, this.amount, this.variable);
  }

  // A line at `time`, null: none; a dot at `amount`, null: none.
  show_cursor(time, amount = null, variable = "ink") {
    Object.assign(this, {time, amount, variable});
    const {plane} = this;
    const seen = plane && time !== null && time !== undefined && time >= plane.from && time <= plane.to;
    this.cursor.hidden = !seen;
    this.dot.hidden = !seen || amount === null;
    if (!seen) return;
    const x = plane.x(time) - plane.area.x;
    this.cursor.style.transform = `translateX(${x}px)`;
    if (amount === null) return;
    this.dot.style.transform = `translate(${x}px, ${plane.y(amount) - plane.area.y}px)`;
    this.dot.style.background = `var(--${variable})`;
  }

  show_selection(from_x, to_x) {
    this.selection.hidden = from_x === null;
    if (from_x === null) return;
    this.selection.style.left = `${Math.min(from_x, to_x)}px`;
    this.selection.style.width = `${Math.abs(to_x - from_x)}px`;
  }

  time_at(x) {  // of the surface
    return this.plane.from + x / this.plane.x_scale;
  }
}
