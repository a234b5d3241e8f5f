// The table of runs: thousands of rows, of which only those near the eye are in the page. The server draws the rows.
const PAGE = 50, PICKED_MAX = 20, KEPT = 60;

export interface Picks { move(by: number): boolean }
interface Best { column: string; key: string; value: number; run: string; name: string; user: string }

export function runs(): Picks | null {
  const frame = document.querySelector<HTMLElement>("[data-rows]");
  const table = frame?.querySelector<HTMLTableElement>("table");
  const first = table?.tBodies[0];
  if (!frame || !table || !first) return null;
  return new Rows(frame, table, first);
}

class Rows implements Picks {
  private readonly total: number;
  private readonly height: number;
  private readonly bodies: HTMLTableSectionElement[] = [];
  private readonly kept = new Map<number, string>();
  private readonly asked = new Set<number>();
  private readonly picked = new Set<string>();
  private readonly best = new Map<string, string>();
  private here = -1;
  private waiting = 0;

  constructor(private readonly frame: HTMLElement, private readonly table: HTMLTableElement, first: HTMLTableSectionElement) {
    this.total = Number(frame.dataset.total);
    const row = first.rows[0];
    this.height = row ? row.getBoundingClientRect().height : 34;
    for (const id of new URLSearchParams(location.search).getAll("run")) this.picked.add(id);
    if (this.total > first.rows.length) this.extend(first);
    else this.bodies.push(first);
    table.addEventListener("change", (event) => this.tick(event.target as HTMLInputElement));
    frame.closest("form")?.addEventListener("submit", (event) => this.compare(event));
    this.say();
    void this.mark();
  }

  move(by: number): boolean {
    const next = this.here < 0 ? this.seen() : Math.max(0, Math.min(this.total - 1, this.here + by));
    this.table.querySelector("tr.here")?.classList.remove("here");
    this.here = next;
    const head = this.table.tHead?.getBoundingClientRect().height ?? 0;
    const top = next * this.height, room = this.frame.clientHeight - head - this.height;
    if (top < this.frame.scrollTop) this.frame.scrollTop = top;
    else if (top > this.frame.scrollTop + room) this.frame.scrollTop = top - room;
    this.highlight();
    return true;
  }

  // One body for each page of rows, empty ones as tall as their rows will be.
  private extend(first: HTMLTableSectionElement): void {
    const offset = Number(this.frame.dataset.offset), shown = Math.floor(offset / PAGE);
    for (const cell of this.table.tHead?.rows[0]?.cells ?? []) cell.style.minWidth = `${cell.getBoundingClientRect().width}px`;
    const aligned = offset % PAGE === 0;
    for (let at = 0; at < Math.ceil(this.total / PAGE); at++) {
      const body = at === shown && aligned ? first : document.createElement("tbody");
      if (body === first) this.kept.set(at, first.innerHTML);
      this.bodies.push(body);
    }
    this.table.replaceChildren(...[...this.table.children].filter((c) => c !== first), ...this.bodies);
    this.bodies.forEach((body, at) => { if (!body.rows.length) this.empty(at); });
    document.querySelector(".pager")?.remove();
    this.frame.scrollTop = offset * this.height;
    this.frame.addEventListener("scroll", () => this.soon(), { passive: true });
    this.soon();
  }

  private soon(): void {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.show(); });
  }

  private seen(): number { return Math.min(this.total - 1, Math.ceil(this.frame.scrollTop / this.height)); }

  private show(): void {
    const from = Math.floor(this.frame.scrollTop / this.height / PAGE);
    const to = Math.floor((this.frame.scrollTop + this.frame.clientHeight) / this.height / PAGE);
    this.bodies.forEach((body, at) => {
      const near = at >= from - 1 && at <= to + 1;
      if (near && body.dataset.empty !== undefined) {
        const text = this.kept.get(at);
        if (text === undefined) void this.fetch(at);
        else this.fill(at, text);
      } else if (!near && body.dataset.empty === undefined) this.empty(at);
    });
    const url = new URL(location.href), offset = this.seen() < PAGE ? 0 : Math.floor(this.seen() / PAGE) * PAGE;
    if (offset) url.searchParams.set("offset", String(offset));
    else url.searchParams.delete("offset");
    if (url.href !== location.href) history.replaceState(null, "", url);
  }

  private async fetch(at: number): Promise<void> {
    if (this.asked.has(at)) return;
    this.asked.add(at);
    try {
      const reply = await fetch(`${this.frame.dataset.rows}&offset=${at * PAGE}`);
      if (!reply.ok) return;
      const text = new DOMParser().parseFromString(`<table>${await reply.text()}</table>`, "text/html").querySelector("tbody")?.innerHTML ?? "";
      this.kept.set(at, text);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value!);
      this.soon();
    } finally {
      this.asked.delete(at);
    }
  }

  private fill(at: number, text: string): void {
    const body = this.bodies[at]!;
    body.innerHTML = text;
    delete body.dataset.empty;
    for (const box of body.querySelectorAll<HTMLInputElement>("input[name=runs]")) box.checked = this.picked.has(box.value);
    this.star(body);
    this.highlight();
  }

  private empty(at: number): void {
    const body = this.bodies[at]!, row = document.createElement("tr"), cell = document.createElement("td");
    cell.colSpan = 99;
    cell.style.height = `${Math.min(PAGE, this.total - at * PAGE) * this.height}px`;
    row.append(cell);
    body.replaceChildren(row);
    body.dataset.empty = "";
  }

  private highlight(): void {
    if (this.here < 0) return;
    const offset = Number(this.frame.dataset.offset), lone = this.bodies.length === 1 && this.total <= PAGE;
    const body = this.bodies[lone ? 0 : Math.floor(this.here / PAGE)];
    if (body && body.dataset.empty === undefined) body.rows[lone ? this.here - offset : this.here % PAGE]?.classList.add("here");
  }

  private tick(box: HTMLInputElement): void {
    if (box.name !== "runs") return;
    if (box.checked && this.picked.size >= PICKED_MAX) box.checked = false;
    else if (box.checked) this.picked.add(box.value);
    else this.picked.delete(box.value);
    const url = new URL(location.href);
    url.searchParams.delete("run");
    for (const id of this.picked) url.searchParams.append("run", id);
    history.replaceState(null, "", url);
    for (const link of document.querySelectorAll<HTMLAnchorElement>(".tabs a")) {
      const to = new URL(link.href);
      to.searchParams.delete("run");
      for (const id of this.picked) to.searchParams.append("run", id);
      link.href = to.href;
    }
    this.say();
  }

  private say(): void {
    const place = document.querySelector<HTMLElement>("[data-picked]");
    if (!place) return;
    const count = this.picked.size;
    place.textContent = !count ? "" : count >= PICKED_MAX ? `${count} ticked, the most that are compared at once` : `${count} ticked`;
  }

  // Ticked rows that are out of sight, and so out of the page, are compared too.
  private compare(event: SubmitEvent): void {
    const form = event.currentTarget as HTMLFormElement;
    for (const old of form.querySelectorAll("input[type=hidden][name=runs]")) old.remove();
    if (this.picked.size < 2) {
      event.preventDefault();
      const place = document.querySelector<HTMLElement>("[data-picked]");
      if (place) place.textContent = "Tick at least two runs.";
      return;
    }
    const there = new Set([...form.querySelectorAll<HTMLInputElement>("input[name=runs]")].map((box) => box.value));
    for (const id of this.picked) {
      if (there.has(id)) continue;
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "runs", value: id });
      form.append(field);
    }
  }

  // The best of all runs are asked for after the first rows are there, when there are many.
  private async mark(): Promise<void> {
    const strip = document.querySelector<HTMLElement>("[data-best]");
    if (!strip || strip.dataset.known !== undefined) return;
    const reply = await fetch(strip.dataset.best!);
    if (!reply.ok) return;
    for (const best of ((await reply.json()) as { best: Best[] }).best) {
      this.best.set(best.run + " " + best.column, best.column);
      if (strip.childElementCount >= 4) continue;
      const item = document.createElement("span"), what = document.createElement("small");
      const link = document.createElement("a"), value = document.createElement("strong"), who = document.createElement("small");
      what.textContent = `best ${best.key} `;
      link.href = `/runs/${encodeURIComponent(best.run)}`;
      value.textContent = String(Number(best.value.toPrecision(4)));
      link.append(value, ` ${best.name}`);
      who.textContent = ` ${best.user}`;
      item.append(what, link, who);
      strip.append(item);
    }
    for (const body of this.bodies) this.star(body);
  }

  private star(body: HTMLTableSectionElement): void {
    for (const [name, column] of this.best) {
      const row = body.querySelector<HTMLTableRowElement>(`tr[data-id="${CSS.escape(name.split(" ")[0]!)}"]`);
      const head = [...(this.table.tHead?.rows[0]?.cells ?? [])].findIndex((cell) => cell.dataset.col === column);
      const cell = row?.cells[head];
      if (!cell || head < 0 || cell.querySelector(".best")) continue;
      const mark = document.createElement("span");
      mark.className = "best";
      mark.append(...cell.childNodes);
      cell.append(mark);
    }
  }
}
