// Terminals of nodes. Each one's shell is kept by dcalab serve, so that the page can be
// reloaded: it attaches again, and is sent what the shell has said last.
import { h } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { effect, signal } from "@preact/signals";
import { chosen, choose, live, post } from "./store";
import { mayAct, send } from "./act";
import { Handle, height } from "./split";
import { words } from "./words";

type Open = { id: string; node: string };
type Reply = { open: Open[]; id?: string; ticket?: string };
type Screen = { focus(): void; fit(): void; attach(): void; dispose(): void };

const terminals = signal<Open[]>([]);
const notes = signal<Record<string, "ended" | "elsewhere" | "away" | undefined>>({}); // why one says nothing
const failure = signal("");
const reads = () => { try { return localStorage.getItem("screenReader") === "1"; } catch { return false; } }; // a page that was exported may have no storage
const spoken = signal(reads());
const note = (id: string, why?: "ended" | "elsewhere" | "away") => (notes.value = { ...notes.value, [id]: why });
let opened = ""; // just now, by a person: it gets the focus
const tickets = new Map<string, string>(); // that came with the terminal
const ask = (body: { node?: string; id?: string; close?: boolean }) => send<Reply>("/terminals", body);

// Those that were open before a reload.
let fetched = false;
effect(() => {
  if (fetched || !live.value.lab?.acts || !post()) return;
  fetched = true;
  ask({}).then((r) => (terminals.value = r.open), () => (fetched = false));
});

export async function openTerminal(node: string) {
  failure.value = "";
  try {
    const r = await ask({ node });
    terminals.value = r.open;
    opened = r.id!;
    tickets.set(opened, r.ticket!);
    choose({ terminal: opened });
  } catch (e) { failure.value = (e as Error).message; }
}

function forget(id: string) {
  terminals.value = terminals.value.filter((t) => t.id !== id);
  note(id);
  if (chosen.value.terminal === id) choose({ terminal: terminals.value.at(-1)?.id });
}

function close(id: string) {
  if (notes.value[id] !== "ended") ask({ id, close: true }).catch(() => {});
  forget(id);
}

let library: Promise<any> | undefined;
function load() {
  if (!library) {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = "/assets/xterm.css";
    document.head.append(style);
    const src = "/assets/xterm.js";
    library = import(src);
  }
  return library;
}

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = matchMedia("(prefers-color-scheme: dark)"), still = matchMedia("(prefers-reduced-motion: reduce)");
const look = () => ({
  theme: { background: colour("--back"), foreground: colour("--text"), cursor: colour("--accent"), cursorAccent: colour("--back"), selectionBackground: colour("--term") },
  fontSize: chosen.value.large ? 22 : 14, cursorBlink: !still.matches, screenReaderMode: spoken.value,
});

// screen shows a terminal in a box, as long as it is not disposed of.
async function screen(id: string, box: HTMLElement): Promise<Screen> {
  const { Terminal, FitAddon } = await load();
  const term = new Terminal({ ...look(), minimumContrastRatio: 4.5, scrollback: 5000, fontFamily: "ui-monospace, monospace" }), fit = new FitAddon();
  let disposed = false;
  term.loadAddon(fit);
  term.open(box);
  const fits = () => { if (box.clientHeight) fit.fit(); };
  const sizes = new ResizeObserver(fits), looks = () => { if (!disposed) { Object.assign(term.options, look()); fits(); } };
  sizes.observe(box);
  const stop = effect(() => { chosen.value; spoken.value; requestAnimationFrame(looks); }); // after the page has that look
  for (const m of [dark, still]) m.addEventListener("change", looks);
  term.attachCustomKeyEventHandler((e: KeyboardEvent) => {
    if (!(e.ctrlKey && e.shiftKey && e.key === "Enter")) return true;
    if (e.type === "keydown") document.getElementById("tab-" + id)?.focus(); // the way out
    return false;
  });

  let socket: WebSocket | undefined, shown = false, again = 0;
  const say = (data: string | Uint8Array<ArrayBuffer>) => { if (socket?.readyState === WebSocket.OPEN) socket.send(data); };
  const size = () => say(JSON.stringify({ columns: term.cols, rows: term.rows }));
  term.onResize(size);
  term.onData((text: string) => {
    if (!shown) return; // it answers what a program has asked before
    const typed = new TextEncoder().encode(text);
    for (let i = 0; i < typed.length; i += 16384) say(typed.subarray(i, i + 16384));
  });
  async function attach() {
    clearTimeout(again);
    const retry = () => { note(id, "away"); again = setTimeout(attach, 1000); };
    const first = tickets.get(id); // also opens a shell that has ended at once: it says why
    tickets.delete(id);
    const r = first ? { ticket: first } : await ask({ id }).catch((e) => { if (disposed) return; if (e.status === 410) note(id, "ended"); else if (e.status && e.status < 500) failure.value = e.message; else retry(); });
    if (!r || disposed) return;
    const mine = socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/terminal?ticket=${r.ticket}`);
    socket.binaryType = "arraybuffer";
    shown = false;
    let begins = true;
    socket.onopen = () => { note(id); size(); };
    socket.onmessage = (e) => {
      if (begins) term.reset();
      begins = false;
      term.write(new Uint8Array(e.data), () => { shown = true; say('{"shown":true}'); });
    };
    socket.onclose = (e) => {
      if (disposed || socket !== mine) return;
      if (e.code === 4001) note(id, "elsewhere");
      else if (e.code === 1000 && e.reason === "0") forget(id);
      else if (e.code === 1000) note(id, "ended");
      else retry();
    };
  }
  attach();
  return {
    focus: () => term.focus(), fit: fits, attach,
    dispose() {
      disposed = true;
      clearTimeout(again);
      stop();
      sizes.disconnect();
      for (const m of [dark, still]) m.removeEventListener("change", looks);
      socket?.close();
      term.dispose();
    },
  };
}

function Panel({ t, shown }: { t: Open; shown: boolean }) {
  const box = useRef<HTMLDivElement>(null), made = useRef<Screen | undefined>(undefined), w = words.value.terminal, why = notes.value[t.id];
  const begun = useRef(false), gone = useRef(false);
  useEffect(() => () => { gone.current = true; made.current?.dispose(); }, []);
  useEffect(() => {
    if (!shown) return;
    made.current?.fit();
    made.current?.focus();
    if (begun.current) return;
    begun.current = true; // not before it is looked at: another tab may show it
    screen(t.id, box.current!).then((s) => {
      if (gone.current) return s.dispose();
      made.current = s;
      if (opened === t.id) s.focus();
    }, (e) => (failure.value = e.message));
  }, [shown]);
  return (
    <div class="panel" id={"panel-" + t.id} role="tabpanel" aria-labelledby={"tab-" + t.id} hidden={!shown}>
      {why && <p role="status">{w[why]} {why === "elsewhere" && <button onClick={() => made.current?.attach()}>{w.here}</button>}</p>}
      <div class="screen" ref={box} />
    </div>
  );
}

// Drawer has a tab for each terminal.
export function Drawer() {
  const w = words.value.terminal, list = terminals.value, current = chosen.value.terminal;
  if (!list.length || !post()) return failure.value ? <p class="trouble" role="alert">{failure.value}</p> : null;
  const shown = list.some((t) => t.id === current);
  const step = (e: KeyboardEvent) => {
    const at = list.findIndex((t) => t.id === current), by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    e.stopPropagation();
    const next = list[(at + by + list.length) % list.length].id;
    document.getElementById("tab-" + next)?.focus();
  };
  return (
    <section class={"terminals" + (shown ? " shown" : "")} id="terminals" aria-label={w.title} style={{ height: shown ? height.value + "px" : "" }}>
      {shown && <Handle of="terminals" />}
      <div class="tabs">
        <span role="tablist" aria-label={w.title} onKeyDown={step}>
          {list.map((t, i) => {
            const before = list.slice(0, i).filter((other) => other.node === t.node).length;
            return <button key={t.id} role="tab" id={"tab-" + t.id} aria-selected={t.id === current} aria-controls={"panel-" + t.id} onClick={() => { opened = t.id; choose({ terminal: t.id === current ? undefined : t.id }); }}>{t.node}{before > 0 && ` (${before + 1})`}</button>;
          })}
        </span>
        {current && <button onClick={() => close(current)} aria-label={w.end}>✕</button>}
        <small>{w.leave}: <kbd>Ctrl Shift Enter</kbd></small>
        <label><input type="checkbox" checked={spoken.value} onChange={(e) => { spoken.value = e.currentTarget.checked; localStorage.setItem("screenReader", spoken.value ? "1" : ""); }} /> {w.reader}</label>
      </div>
      {failure.value && <p class="alarm" role="alert">{failure.value}</p>}
      {list.map((t) => <Panel key={t.id} t={t} shown={t.id === current} />)}
    </section>
  );
}

export function TerminalButton({ node }: { node: string }) {
  return mayAct() && live.value.node[node]?.machine === "running" ? <button class="terminal" onClick={() => openTerminal(node)}>{words.value.terminal.open}</button> : null;
}
