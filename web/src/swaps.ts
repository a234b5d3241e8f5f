// A changed control asks the server for the page that its form describes and takes over the part that it draws.
export function swaps(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form.swap")) {
    form.classList.add("live");
    form.addEventListener("input", () => void swap(form));
    form.addEventListener("submit", (event) => { event.preventDefault(); void swap(form); });
  }
}

let asked = 0;

export async function swap(form: HTMLFormElement, more: Record<string, string> = {}): Promise<void> {
  const query = new URLSearchParams([...new FormData(form)].map(([k, v]) => [k, String(v)]));
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  const url = `${new URL(form.action).pathname}?${query}`, mine = ++asked;
  const place = document.getElementById("swap");
  place?.setAttribute("aria-busy", "true");
  const reply = await fetch(url);
  const text = await reply.text();
  if (mine !== asked) return;
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("swap");
  if (reply.ok && next) {
    place?.replaceWith(next);
    history.replaceState(null, "", url);
  } else place?.removeAttribute("aria-busy");
}
