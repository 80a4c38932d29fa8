// What pointers, wheel and keys do on a figure. A mouse drags out the period to zoom to, or moves it with Shift; fingers move it
// and pinch; an upright swipe and a plain wheel are left to the page.

const click_pixels = 4;

class Gestures {
  constructor(surface, figure, control) {
    Object.assign(this, {surface, figure, control, pointers: new Map(), drag: null});
    const on = (name, handle, options) => surface.addEventListener(name, handle, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.cancel(event));
    on("pointerleave", (event) => this.leave(event));
    on("dblclick", () => control.set_period(control.whole()));
    on("wheel", (event) => this.wheel(event), {passive: false});
    on("keydown", (event) => control.key(event, figure));
  }

  // Within the surface, in pixels.
  position(event) {
    const box = this.surface.getBoundingClientRect();
    return {x: Math.max(0, Math.min(event.clientX - box.left, box.width)), y: event.clientY - box.top};
  }

  down(event) {
    if (event.button !== 0) return;
    const {x, y} = this.position(event);
    this.pointers.set(event.pointerId, x);
    this.surface.setPointerCapture(event.pointerId);
    const touch = event.pointerType === "touch";
    const kind = this.pointers.size === 2 ? "pinch" : touch || event.shiftKey ? "pan" : "zoom";
    this.drag = {kind, x, y, moved: this.pointers.size === 2, period: this.control.period(), xs: [...this.pointers.values()]};
    if (touch) this.control.point(this.figure.time_at(x));
  }

  move(event) {
    const {x} = this.position(event);
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, x);
    if (!this.drag) {
      this.control.point(this.figure.time_at(x));
      return;
    }
    const {drag} = this;
    if (Math.abs(x - drag.x) > click_pixels) drag.moved = true;
    if (!drag.moved) return;
    const [from, to] = drag.period;
    const per_pixel = (to - from) / this.surface.clientWidth;
    if (drag.kind === "zoom") {
      this.figure.show_selection(drag.x, x);
    } else if (drag.kind === "pan") {
      const shift = (drag.x - x) * per_pixel;
      this.control.set_period([from + shift, to + shift]);
    } else {
      this.pinch([...this.pointers.values()], drag, per_pixel);
    }
  }

  // What was under the two fingers stays under them.
  pinch(xs, drag, per_pixel) {
    if (xs.length < 2) return;
    const spread = Math.max(Math.abs(xs[1] - xs[0]), 10), before = Math.max(Math.abs(drag.xs[1] - drag.xs[0]), 10);
    const middle = drag.period[0] + (drag.xs[0] + drag.xs[1]) / 2 * per_pixel;
    const zoomed = per_pixel * before / spread;
    const from = middle - (xs[0] + xs[1]) / 2 * zoomed;
    this.control.set_period([from, from + this.surface.clientWidth * zoomed]);
  }

  up(event) {
    const {drag} = this;
    const {x, y} = this.position(event);
    this.cancel(event);
    if (!drag) return;
    if (!drag.moved) {
      this.control.pick(this.figure, x, y);
    } else if (drag.kind === "zoom") {
      this.control.set_period([drag.x, x].sort((a, b) => a - b).map((each) => this.figure.time_at(each)));
    }
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.drag = null;
    this.figure.show_selection(null);
  }

  leave(event) {
    if (!this.drag && event.pointerType !== "touch") this.control.leave();
  }

  wheel(event) {
    const [from, to] = this.control.period();
    if (event.ctrlKey || event.metaKey) {
      const middle = this.figure.time_at(this.position(event).x);
      const factor = Math.exp(Math.max(-60, Math.min(event.deltaY, 60)) / 150);
      this.control.set_period([middle - (middle - from) * factor, middle + (to - middle) * factor]);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const shift = (event.deltaX || event.deltaY) * (to - from) / this.surface.clientWidth;
      this.control.set_period([from + shift, to + shift]);
    } else {
      return;
    }
    event.preventDefault();
  }
}
