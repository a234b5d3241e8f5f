// Values under the pointer of a plot, and a range dragged over it drawn anew by the server, finer.
import { swap } from "./swaps";

const NS = "http://www.w3.org/2000/svg";

interface Scales { left: number; right: number; top: number; bottom: number; x: number[]; y: number[]; log: boolean; axis: string }

export function plots(): void {
  let from: { svg: SVGSVGElement; x: number } | null = null;
  document.addEventListener("pointermove", (event) => {
    const svg = (event.target as Element).closest<SVGSVGElement>("svg.plot");
    for (const old of document.querySelectorAll("svg.plot .reading")) if (old.parentNode !== svg || !from) old.remove();
    if (!svg) return;
    const at = place(svg, event);
    if (from && from.svg === svg) band(svg, from.x, at.x);
    else read(svg, at);
  });
  document.addEventListener("pointerdown", (event) => {
    const svg = (event.target as Element).closest<SVGSVGElement>("svg.plot");
    if (svg && document.querySelector("form.swap") && event.pointerType === "mouse") {
      from = { svg, x: place(svg, event).x };
      event.preventDefault();
    }
  });
  document.addEventListener("pointerup", (event) => {
    if (!from) return;
    const { svg, x } = from, s = scales(svg), to = place(svg, event).x;
    from = null;
    svg.querySelector(".reading")?.remove();
    if (Math.abs(to - x) < 6) return;
    const ends = [x, to].map((p) => value(Math.min(s.right, Math.max(s.left, p)), s.left, s.right, s.x)).sort((a, b) => a - b);
    const form = document.querySelector<HTMLFormElement>("form.swap");
    if (form) void swap(form, { from: String(Math.floor(ends[0]!)), to: String(Math.ceil(ends[1]!)) });
  });
  document.addEventListener("dblclick", (event) => {
    const form = document.querySelector<HTMLFormElement>("form.swap");
    if (form && (event.target as Element).closest("svg.plot")) void swap(form, { from: "", to: "" });
  });
}

function scales(svg: SVGSVGElement): Scales {
  const [left, right, top, bottom] = svg.dataset.plot!.split(" ").map(Number) as [number, number, number, number];
  const pair = (text: string) => text.split(" ").map(Number);
  return { left, right, top, bottom, x: pair(svg.dataset.x!), y: pair(svg.dataset.y!), log: svg.dataset.log === "1", axis: svg.dataset.axis! };
}

function place(svg: SVGSVGElement, event: MouseEvent): DOMPoint {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM()!.inverse());
}

function value(at: number, start: number, end: number, range: number[]): number {
  return range[0]! + ((at - start) / (end - start)) * (range[1]! - range[0]!);
}

// The point of a curve that is nearest to the pointer.
function read(svg: SVGSVGElement, at: DOMPoint): void {
  const s = scales(svg);
  let found: { x: number; y: number; name: string } | null = null, least = 40 ** 2;
  for (const path of svg.querySelectorAll("path.curve")) {
    for (const [, x, y] of path.getAttribute("d")!.matchAll(/[ML]([\d.-]+) ([\d.-]+)/g)) {
      const away = (Number(x) - at.x) ** 2 * 2 + (Number(y) - at.y) ** 2;
      if (away < least) {
        least = away;
        found = { x: Number(x), y: Number(y), name: path.querySelector("title")?.textContent ?? "" };
      }
    }
  }
  if (!found) return;
  const across = value(found.x, s.left, s.right, s.x), up = value(found.y, s.bottom, s.top, s.y);
  const shown = (n: number) => String(Number(n.toPrecision(5)));
  const where = s.axis === "time" ? `${shown(across / 1000)} s` : `step ${Math.round(across)}`;
  label(svg, found.x, found.y, s, `${shown(s.log ? 10 ** up : up)} at ${where}`, found.name);
}

function label(svg: SVGSVGElement, x: number, y: number, s: Scales, first: string, second: string): void {
  const group = reading(svg), dot = document.createElementNS(NS, "circle");
  dot.setAttribute("cx", String(x));
  dot.setAttribute("cy", String(y));
  dot.setAttribute("r", "3.5");
  group.append(dot);
  const right = x > (s.left + s.right) / 2;
  [first, second.slice(0, 44)].forEach((line, i) => {
    const text = document.createElementNS(NS, "text");
    text.setAttribute("x", String(right ? x - 9 : x + 9));
    text.setAttribute("y", String(Math.max(s.top + 12, Math.min(s.bottom - 18, y - 4)) + 14 * i));
    text.setAttribute("text-anchor", right ? "end" : "start");
    text.textContent = line;
    group.append(text);
  });
}

function band(svg: SVGSVGElement, a: number, b: number): void {
  const s = scales(svg), rect = document.createElementNS(NS, "rect");
  const [low, high] = [a, b].map((p) => Math.min(s.right, Math.max(s.left, p))).sort((p, q) => p - q) as [number, number];
  for (const [name, size] of Object.entries({ x: low, y: s.top, width: high - low, height: s.bottom - s.top })) rect.setAttribute(name, String(size));
  reading(svg).append(rect);
}

function reading(svg: SVGSVGElement): SVGGElement {
  svg.querySelector(".reading")?.remove();
  const group = document.createElementNS(NS, "g");
  group.setAttribute("class", "reading");
  svg.append(group);
  return group;
}
