// Rows of which only those in sight exist: 10,000 cost what 40 do.

const BEYOND = 8;

export class WindowedRows {
  #body;
  #make;
  #rows = [];
  #drawn = new Map();
  #height = 0;
  #current = 0;

  /** `make` returns the element of a row and its place; the first button in it is what a keyboard reaches. */
  constructor(body, make) {
    this.#body = body;
    this.#make = make;
    addEventListener("scroll", () => this.draw(), { passive: true });
    addEventListener("resize", () => (this.#height === this.#measure() ? this.draw() : this.show(this.#rows)));
    body.addEventListener("keydown", (event) => this.#move(event));
    body.addEventListener("focusin", (event) => this.#reach(this.#placeOf(event.target)));
  }

  show(rows) {
    this.#rows = rows;
    this.#height = this.#measure();
    this.#body.style.height = `${rows.length * this.#height}px`;
    this.#body.replaceChildren();
    this.#drawn.clear();
    this.#current = 0;
    this.draw();
  }

  draw() {
    if (!this.#height || !this.#body.offsetParent) return;
    const above = -this.#body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / this.#height) - BEYOND);
    const last = Math.min(this.#rows.length - 1, Math.ceil((above + innerHeight) / this.#height) + BEYOND);
    for (const [place, row] of this.#drawn) {
      const isKept = (place >= first && place <= last) || row.contains(document.activeElement);
      if (!isKept) {
        row.remove();
        this.#drawn.delete(place);
      }
    }
    let next = this.#body.firstElementChild;
    for (let place = first; place <= last; place++) {
      while (next && this.#placeOf(next) < place) next = next.nextElementSibling;
      if (next && this.#placeOf(next) === place) next = next.nextElementSibling;
      else this.#body.insertBefore(this.#draw(place), next);
    }
    if (!this.#drawn.has(this.#current)) this.#reach(Math.min(first + BEYOND, last));
  }

  #measure() {
    return parseFloat(getComputedStyle(this.#body).getPropertyValue("--row-height"));
  }

  #draw(place) {
    const row = this.#make(this.#rows[place], place);
    row.style.transform = `translateY(${place * this.#height}px)`;
    row.dataset.place = place;
    row.querySelector("button").tabIndex = place === this.#current ? 0 : -1;
    this.#drawn.set(place, row);
    return row;
  }

  #placeOf(target) {
    return Number(target.closest("[data-place]").dataset.place);
  }

  #buttonOf(place) {
    return this.#drawn.get(place)?.querySelector("button");
  }

  /** Let the keyboard reach one row only, so that Tab does not go through all of them. */
  #reach(place) {
    const [left, entered] = [this.#buttonOf(this.#current), this.#buttonOf(place)];
    if (left) left.tabIndex = -1;
    if (entered) entered.tabIndex = 0;
    this.#current = place;
  }

  #move(event) {
    const page = Math.max(1, Math.floor(innerHeight / this.#height) - 3);
    const last = this.#rows.length - 1;
    const place = this.#placeOf(event.target);
    const to = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: place + page,
      PageUp: place - page,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const target = Math.min(last, Math.max(0, to));
    this.#scrollTo(target);
    this.#buttonOf(target).focus({ preventScroll: true });
  }

  #scrollTo(place) {
    const top = this.#body.getBoundingClientRect().top + place * this.#height;
    const over = top - 2 * this.#height; // The heads stay in sight, above the row.
    const under = top + 2 * this.#height - innerHeight;
    if (over < 0) scrollBy({ top: over, behavior: "instant" });
    else if (under > 0) scrollBy({ top: under, behavior: "instant" });
    this.draw();
  }
}
