// How high the terminals are: as the handle above them was moved, else so that half of the
// window is left to the picture.
import { h } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { computed, effect, signal } from "@preact/signals";
import { words } from "./words";

const least = 120, leastPicture = 120, margin = 26; // pixels
const stored = () => { try { return Number(localStorage.getItem("terminalsHeight")) || 0; } catch { return 0; } }; // a page that was exported may have no storage
const moved = signal(stored()); // 0: it was not
const windowHeight = signal(innerHeight), others = signal(230); // of the header and the time line
const phone = matchMedia("(max-width: 800px)"), narrow = signal(phone.matches); // there all is below one another, and scrolls
phone.addEventListener("change", () => (narrow.value = phone.matches));
addEventListener("resize", () => (windowHeight.value = innerHeight));

const most = computed(() => Math.max(least, windowHeight.value - others.value - leastPicture));
const fits = (pixels: number) => Math.round(Math.min(most.value, Math.max(least, pixels)));
const usual = () => (narrow.value ? 0.38 * windowHeight.value : windowHeight.value / 2 - others.value);
export const height = computed(() => fits(moved.value || usual()));

function move(pixels: number) {
  moved.value = pixels && fits(pixels);
  localStorage.setItem("terminalsHeight", String(moved.value || ""));
}

// measure keeps how much room there is, and what is left of it to the picture.
function measure() {
  const root = document.documentElement.style, parts = ["header", ".timeline"].flatMap((s) => document.querySelector<HTMLElement>(s) ?? []);
  const sizes = new ResizeObserver(() => (others.value = parts.reduce((sum, p) => sum + p.offsetHeight, 0)));
  parts.forEach((p) => sizes.observe(p));
  const stop = effect(() => {
    if (narrow.value) root.removeProperty("--room");
    else root.setProperty("--room", Math.max(200, windowHeight.value - others.value - height.value - margin) + "px");
  });
  return () => { stop(); sizes.disconnect(); root.removeProperty("--room"); };
}

// Handle moves the border between the picture and the terminals. Enter and a double click
// put it back.
export function Handle({ of }: { of: string }) {
  useEffect(measure, []);
  const from = useRef(0);
  const keys: Record<string, () => number> = {
    ArrowUp: () => height.value + 20, ArrowDown: () => height.value - 20, PageUp: () => height.value + 100, PageDown: () => height.value - 100,
    Home: () => least, End: () => most.value, Enter: () => 0,
  };
  return (
    <div class="handle" role="separator" tabIndex={0} aria-orientation="horizontal" aria-controls={of} aria-label={words.value.terminal.height} title={words.value.terminal.height}
      aria-valuenow={height.value} aria-valuemin={least} aria-valuemax={most.value}
      onKeyDown={(e) => { if (keys[e.key]) { e.preventDefault(); e.stopPropagation(); move(keys[e.key]()); } }}
      onDblClick={() => move(0)}
      onPointerDown={(e) => { e.preventDefault(); e.currentTarget.focus(); e.currentTarget.setPointerCapture(e.pointerId); from.current = e.clientY + height.value; }}
      onPointerMove={(e) => { if (e.buttons && e.currentTarget.hasPointerCapture(e.pointerId)) move(from.current - e.clientY); }} />
  );
}
