// The keyboard: / to the filter, j and k over rows, x ticks, Enter opens, c compares, g and a letter changes the page.
import type { Picks } from "./runs";

const PAGES: Record<string, string> = { t: "/", r: "/runs", m: "/models", p: "/predictions", d: "/data", l: "/lineage", a: "/alerts" };
const HELP: [string, string][] = [
  ["/", "to the filter"], ["j k", "next and previous row"], ["x", "tick the row"], ["Enter", "open the row"],
  ["c", "compare the ticked"], ["g then t r m p d l a", "Today, Runs, Models, Predictions, Data, Lineage, Alerts"],
  ["?", "this list"], ["Esc", "leave"],
];

export function keys(picks: Picks | null): void {
  let going = false;
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (going) {
      going = false;
      const page = PAGES[event.key];
      if (page) location.assign(page);
      return;
    }
    const done = act(event.key, picks);
    if (event.key === "g") going = true;
    if (done) event.preventDefault();
  });
}

function act(key: string, picks: Picks | null): boolean {
  const row = document.querySelector<HTMLElement>("tr.here");
  switch (key) {
    case "/": {
      const box = document.querySelector<HTMLInputElement>("[data-key='/']");
      box?.focus();
      box?.select();
      return box !== null;
    }
    case "j": return picks ? picks.move(1) : step(row, 1);
    case "k": return picks ? picks.move(-1) : step(row, -1);
    case "x": {
      row?.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
      return row !== null;
    }
    case "Enter": case "o": {
      if (key === "Enter" && !document.activeElement?.matches("body, .scroll, input[type=checkbox]")) return false;
      row?.querySelector<HTMLAnchorElement>("a[href]")?.click();
      return row !== null;
    }
    case "c": {
      const button = document.querySelector<HTMLButtonElement>("[data-key='c']");
      button?.click();
      return button !== null;
    }
    case "?": help(); return true;
  }
  return false;
}

function step(row: HTMLElement | null, by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>("main tbody tr:has(a[href])")];
  if (!rows.length) return false;
  const at = row ? rows.indexOf(row) + by : 0;
  const next = rows[Math.max(0, Math.min(rows.length - 1, at))]!;
  row?.classList.remove("here");
  next.classList.add("here");
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function help(): void {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  list.className = "kv";
  for (const [key, what] of HELP) {
    const term = document.createElement("dt"), says = document.createElement("dd");
    for (const one of key.split(" ")) {
      const part = document.createElement(one === "then" ? "span" : "kbd");
      part.textContent = one;
      term.append(part, " ");
    }
    says.textContent = what;
    list.append(term, says);
  }
  dialog.append(list);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
