// Managers in a ring, workers with their tasks, what managers believe, and faults.
import { h, Fragment } from "preact";
import { useMemo } from "preact/hooks";
import { chosen, choose, Port, shownAt, Task, View, view } from "./store";
import { Heal, mayAsk, Why } from "./act";
import { told } from "./sentences";
import { duration, words } from "./words";

export type Life = "up" | "silent" | "halted";
export function lifeOf(v: View, name: string): Life {
  const n = v.node[name];
  if (!n || n.machine === "halted" || n.machine === "absent") return "halted";
  return n.engine && n.engine !== "up" || n.machine !== "running" ? "silent" : "up";
}
export function lifeWord(v: View, name: string): string {
  const n = v.node[name], w = words.value;
  if (!n || n.machine === "absent") return w.absent;
  if (n.machine === "halted") return w.halted;
  if (n.locked && n.engine !== "hangs") return w.locked;
  return n.engine === "hangs" ? w.hangs : n.engine === "down" ? w.down : n.engine === "up" ? "" : w.boots;
}

export function managersOf(v: View): string[] {
  const names = new Set(Object.keys(v.manager));
  for (const [name, n] of Object.entries(v.node)) if (n.role === "manager") names.add(name);
  return inOrder(v, [...names]);
}
export function inOrder(v: View, names: string[]): string[] {
  const at = (n: string) => { const i = v.lab?.nodes.findIndex((x) => x.name === n) ?? -1; return i < 0 ? 999 : i; };
  return names.sort((a, b) => at(a) - at(b) || a.localeCompare(b));
}

export function raftRole(v: View, name: string): "leader" | "candidate" | "follower" {
  const m = v.manager[name], s = v.swarm;
  if (s?.leader === name) return "leader";
  if (m && m.vote === name && !m.leader && m.term >= (s?.electing ?? s?.term ?? 0)) return "candidate";
  return "follower";
}

// cutsOf are the ways that faults cut, each "from to".
export function cutsOf(v: View): Set<string> {
  const out = new Set<string>();
  for (const f of Object.values(v.fault)) for (const [a, b] of f.cuts ?? []) out.add(a + " " + b);
  return out;
}

type Point = { x: number; y: number };
function ring(n: number): { w: number; h: number; at: Point[] } {
  if (n <= 1) return { w: 640, h: 160, at: [{ x: 320, y: 80 }] };
  const big = n > 5, w = big ? 820 : n === 3 && innerWidth < 600 ? 540 : 640, hgt = big ? 640 : 400;
  const at = [...Array(n).keys()].map((i) => {
    const a = (2 * Math.PI * i) / n - Math.PI / 2;
    return { x: w / 2 + (w / 2 - 115) * Math.cos(a), y: hgt / 2 + (hgt / 2 - 60) * Math.sin(a) };
  });
  if (n === 2) return { w: 640, h: 160, at: [{ x: 115, y: 80 }, { x: 525, y: 80 }] };
  return { w, h: hgt, at };
}

export function Ring() {
  const v = view.value, w = words.value, names = managersOf(v), r = ring(names.length), cuts = cutsOf(v);
  if (!names.length) return null;
  const edges = names.flatMap((a, i) => names.slice(i + 1).map((b, j) => ({ a, b, p: r.at[i], q: r.at[i + 1 + j] })));
  return (
    <svg class="ring" viewBox={`0 0 ${r.w} ${r.h}`} role="group" aria-label={w.managers}>
      <defs>
        <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" class="hatch" /></pattern>
        <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" class="arrow" /></marker>
      </defs>
      {edges.map((e) => <Edge key={e.a + " " + e.b} {...e} there={!cuts.has(e.a + " " + e.b)} back={!cuts.has(e.b + " " + e.a)} away={[e.a, e.b].some((n) => lifeOf(v, n) !== "up" || v.node[n]?.locked)} />)}
      {names.map((name, i) => <Manager key={name} name={name} at={r.at[i]} />)}
    </svg>
  );
}

function Edge({ a, b, p, q, there, back, away }: { a: string; b: string; p: Point; q: Point; there: boolean; back: boolean; away: boolean }) {
  const w = words.value, mid = { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
  const state = there && back ? (away ? "unknown" : "whole") : there || back ? "one-way" : "cut";
  const from = there ? [p, q] : [q, p];
  const text = state === "cut" ? `${a} ✕ ${b}: ${w.cut}, ${w.bothWays}` : state === "one-way" ? `${there ? a : b} → ${there ? b : a}: ${w.cut}, ${w.oneWay}` : `${a} – ${b}`;
  return (
    <g class={"edge " + state}>
      <title>{text}</title>
      <line x1={from[0].x} y1={from[0].y} x2={from[1].x} y2={from[1].y} />
      {state === "one-way" && <line class="head" x1={from[0].x} y1={from[0].y} x2={mid.x} y2={mid.y} marker-end="url(#arrow)" />}
      {state === "cut" && <g transform={`translate(${mid.x} ${mid.y})`}><circle r="13" /><path d="M-6 -6L6 6M6 -6L-6 6" /></g>}
    </g>
  );
}

export function Diamond({ kind, life, size = 15 }: { kind: string; life: Life; size?: number }) {
  const d = kind === "worker" ? `M${-size + 2} ${-size + 2}H${size - 2}V${size - 2}H${-size + 2}z` : `M0 ${-size}L${size} 0L0 ${size}L${-size} 0z`;
  return <g class={`shape ${kind} ${life}`}><path d={d} class="body" />{life === "silent" && <path d={d} fill="url(#hatch)" />}</g>;
}

export function Lock() {
  return <g class="lock"><path d="M-4 0V-4A4 4 0 0 1 4 -4V0" class="bow" /><rect x="-7" y="-1" width="14" height="10" rx="1.5" /></g>;
}

const press = (name: string) => ({
  tabIndex: 0, role: "button" as const, onClick: () => choose({ node: chosen.value.node === name ? undefined : name }),
  onKeyDown: (e: KeyboardEvent) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); e.stopPropagation(); choose({ node: name }); } },
});

function Manager({ name, at }: { name: string; at: Point }) {
  const v = view.value, w = words.value, m = v.manager[name], kind = raftRole(v, name), life = lifeOf(v, name);
  const longest = Math.max(1, ...Object.values(v.manager).map((x) => x.last_index));
  const word = lifeWord(v, name) || w[kind];
  const numbers = m ? [`${w.term} ${m.term} · ${w.commit} ${m.commit}`, `${w.voted} ${m.vote || w.nobody}${m.behind ? ` · −${m.behind}` : ""}`] : [];
  const label = [name, word, ...numbers].join(", ");
  const locked = v.node[name]?.locked, why = locked ? w.explain.locked : life === "halted" ? w.explain.halted : life === "silent" ? w.explain.silent : w.explain[kind];
  const hit = Object.values(v.fault).some((f) => f.nodes?.includes(name));
  // A short log is compared by its last entries: those are what is sent.
  const share = m ? Math.max(0.04, 1 - m.behind / Math.min(longest, 50)) : 0;
  return (
    <g class={`manager ${kind} ${life}${chosen.value.node === name ? " chosen" : ""}`} transform={`translate(${at.x} ${at.y})`} {...press(name)} data-node={name} aria-label={`${label}. ${why}`}>
      <title>{`${label}\n${why}`}</title>
      <rect class="card" x="-112" y="-46" width="224" height="92" rx="8" />
      <g transform="translate(-86 -14)"><Diamond kind={kind} life={life} /></g>
      {locked && <g transform="translate(94 -28)"><Lock /></g>}
      {hit && <text class="bolt" x="-94" y="28">⚡</text>}
      <text class="name" x="-60" y="-22">{name}</text>{" "}
      <text class="word" x="-60" y="-5">{word}</text>
      {numbers.map((line, i) => <Fragment key={i}>{" "}<text class="numbers" x="-60" y={13 + 16 * i}>{line}</text></Fragment>)}
      {m && <rect class="bar all" x="-60" y="34" width="160" height="5" rx="2" />}
      {m && <rect class="bar" x="-60" y="34" width={160 * share} height="5" rx="2" />}
    </g>
  );
}

export const palette = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800"];
export function colors(v: View): Record<string, string> {
  const ids = Object.keys(v.service).sort((a, b) => v.service[a].name.localeCompare(v.service[b].name));
  return Object.fromEntries(ids.map((id, i) => [id, palette[i % palette.length]]));
}

// shapeOf is the sort of a task's state.
export function shapeOf(t: Task): string {
  switch (t.state) {
    case "running": return t.desired === "shutdown" || t.desired === "remove" ? "shutdown" : "running";
    case "failed": case "rejected": case "orphaned": return "failed";
    case "shutdown": case "remove": return "shutdown";
    case "complete": return t.desired === "shutdown" || t.desired === "remove" ? "shutdown" : "complete";
    case "new": case "pending": case "allocated": return "pending";
  }
  return "starting";
}

export function Glyph({ shape, color }: { shape: string; color?: string }) {
  const c = color ?? "currentColor";
  return (
    <svg class={"glyph " + shape} viewBox="-7 -7 14 14" aria-hidden="true">
      {shape === "running" && <circle r="5.5" fill={c} />}
      {shape === "starting" && <><circle r="5" fill="none" stroke={c} stroke-width="1.8" /><path d="M0 -5A5 5 0 0 0 0 5z" fill={c} /></>}
      {shape === "pending" && <circle r="5" fill="none" stroke={c} stroke-width="1.8" />}
      {shape === "failed" && <path d="M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5" stroke={c} stroke-width="2.4" fill="none" />}
      {shape === "shutdown" && <path d="M-5 0H5" stroke={c} stroke-width="2.4" />}
      {shape === "complete" && <path d="M-5 0L-1.5 4L5 -4" stroke={c} stroke-width="2.2" fill="none" />}
    </svg>
  );
}

// tasksOn are the tasks that are shown on a node: those that are wanted or still run, and
// some that have failed; by service.
export function tasksOn(v: View): Map<string, Map<string, [string, Task][]>> {
  const out = new Map<string, Map<string, [string, Task][]>>();
  const failed: Record<string, number> = {};
  for (const [id, t] of Object.entries(v.task)) {
    const shape = shapeOf(t), ended = shape === "failed" || shape === "shutdown" && t.state !== "running";
    if (ended && (shape !== "failed" || (failed[t.node + t.service] = (failed[t.node + t.service] ?? 0) + 1) > 3)) continue;
    const node = t.node ?? "";
    if (!out.has(node)) out.set(node, new Map());
    const at = out.get(node)!;
    if (!at.has(t.service)) at.set(t.service, []);
    at.get(t.service)!.push([id, t]);
  }
  for (const at of out.values()) for (const list of at.values()) list.sort((a, b) => a[1].name.localeCompare(b[1].name, undefined, { numeric: true }));
  return out;
}

export function Workers() {
  const v = view.value, w = words.value, tasks = tasksOn(v), color = colors(v);
  const managers = new Set(managersOf(v));
  const names = inOrder(v, [...new Set([...(v.lab?.nodes.map((n) => n.name) ?? []), ...Object.keys(v.node)])]
    .filter((n) => !managers.has(n) || tasks.has(n)));
  if (tasks.has("")) names.push("");
  return (
    <section class="workers" aria-label={w.workers}>
      <h2 class="spoken">{w.workers}</h2>
      {names.map((name) => <Box key={name} name={name} manager={managers.has(name)} tasks={tasks.get(name)} color={color} />)}
    </section>
  );
}

function Box({ name, manager, tasks, color }: { name: string; manager: boolean; tasks?: Map<string, [string, Task][]>; color: Record<string, string> }) {
  const v = view.value, w = words.value, life = name ? lifeOf(v, name) : "up", n = v.node[name];
  const word = name ? lifeWord(v, name) || [n?.state !== "ready" ? n?.state : "", n?.availability !== "active" ? n?.availability : ""].filter(Boolean).join(", ") : "";
  const services = [...(tasks ?? [])].sort((a, b) => (v.service[a[0]]?.name ?? "").localeCompare(v.service[b[0]]?.name ?? ""));
  const count = services.reduce((sum, s) => sum + s[1].length, 0);
  const shown = services.map(([id, list]) => v.service[id]?.name ?? list[0][1].name.split(".")[0]);
  const label = [name || w.noNode, word, ...(shown.length ? shown : [w.noTasks])].filter(Boolean).join(", ") + (count ? `: ${count} ${w.tasks}` : "");
  const kind = manager ? raftRole(v, name) : "worker", isChosen = chosen.value.node === name;
  // Of thirty boxes, those are drawn anew in which something is another.
  const drawn = services.map(([id, list]) => [id, v.service[id]?.name, color[id], list.map(([tid, t]) => tid + t.state + t.desired + (t.message ?? ""))]);
  return useMemo(() => (
    <div class={`box ${life}${chosen.value.node === name && name ? " chosen" : ""}`} {...(name ? press(name) : {})} data-node={name} aria-label={label} title={name ? (life === "up" ? w.explain[manager ? "follower" : "worker"] : life === "silent" ? w.explain.silent : w.explain.halted) : undefined}>
      <h3>
        {name && <svg class="glyph" viewBox="-16 -16 32 32" aria-hidden="true"><Diamond kind={manager ? raftRole(v, name) : "worker"} life={life} size={14} /></svg>}
        {name || w.noNode} <small>{word}</small>
      </h3>
      {services.map(([id, list], i) => (
        <div class="service" key={id}>
          <span class="label">{shown[i]}</span>
          <span class="marks">{list.map(([tid, t]) => (
            <span key={tid} class="mark" title={`${t.name}: ${w.states[shapeOf(t)]} (${t.state})${t.message ? ", " + t.message : ""}`}>
              <Glyph shape={shapeOf(t)} color={color[id]} /></span>
          ))}</span>
          {!name && <Why name={shown[i]} />}
        </div>
      ))}
      {!services.length && <p class="none">{w.noTasks}</p>}
    </div>
  ), [JSON.stringify([drawn, life, word, kind, isChosen, mayAsk()]), w]);
}

export function Beliefs() {
  const v = view.value, w = words.value, said = new Map<string, string[]>();
  for (const name of managersOf(v)) {
    const m = v.manager[name], n = v.node[name];
    const what = n?.locked ? w.locked : n?.away ? `${w.noAnswer} ${duration(shownAt.value - Date.parse(n.away))}` : m?.leader ? `${w.believes} ${m.leader} (${w.term} ${m.term})` : m ? `${w.knowsNone} (${w.term} ${m.term})` : "?";
    said.set(what, [...(said.get(what) ?? []), name]);
  }
  return (
    <section class={"beliefs" + (said.size > 1 ? " differ" : "")}>
      <h2>{w.beliefs}{said.size > 1 ? " ≠" : ""}</h2>
      <ul>{[...said].map(([what, who]) => <li key={what}><b>{who.join(", ")}</b>: {what}</li>)}</ul>
    </section>
  );
}

// portText is "8080 → 80/tcp", with where it answers.
export function portText(v: View, p: Port): string {
  const w = words.value, port = (p.published ? `${p.published} → ` : "") + `${p.target}/${p.protocol}`;
  const everywhere = !p.host && p.nodes.length > 1 && p.nodes.length === Object.values(v.node).filter((n) => n.id).length;
  const where = !p.host && v.lab?.no_mesh ? told(v.lab.no_mesh) : !p.nodes.length ? w.nowhere : `${w.answers} ${everywhere ? w.everyNode : p.nodes.join(", ")}`;
  return `${port} (${p.host ? "host" : "ingress"}): ${where}`;
}

// Ports are those that services publish.
export function Ports() {
  const v = view.value, w = words.value, color = colors(v);
  const list = Object.entries(v.service).filter(([, s]) => s.ports?.length).sort((a, b) => a[1].name.localeCompare(b[1].name));
  if (!list.length) return null;
  return (
    <section class="ports">
      <h2>{w.ports}</h2>
      <ul>{list.flatMap(([id, s]) => s.ports!.map((p) => <li key={id + portText(v, p)}><Publish host={p.host} color={color[id]} /> <b>{s.name}</b> {portText(v, p)}</li>))}</ul>
    </section>
  );
}

// Publish is how a port is reached: through every node to one, or straight.
function Publish({ host, color }: { host?: boolean; color?: string }) {
  return <svg class="glyph" viewBox="-7 -7 14 14" aria-hidden="true"><g stroke={color} stroke-width="1.8" fill="none">{host ? <path d="M-6 0H2M-2 -4L2 0L-2 4" /> : <path d="M-6 -5L2 0M-6 0H2M-6 5L2 0" />}<path d="M5 -5V5" /></g></svg>;
}

export function left(until?: string): string {
  const w = words.value;
  if (!until) return w.untilHealed;
  const ms = Date.parse(until) - shownAt.value;
  return ms <= 0 ? w.healing : `${w.heals} ${duration(ms)}`;
}

export function Faults() {
  const v = view.value, w = words.value, list = Object.entries(v.fault);
  return (
    <section class={"faults" + (list.length ? " some" : "")}>
      <h2>{w.faults}</h2>
      {list.length ? <ul>{list.map(([id, f]) => <li key={id}><b>⚡ {f.words}</b> <span>{left(f.until)}</span> <code>{f.heal}</code> <Heal id={id} /></li>)}</ul> : <p class="none">{w.noFaults}</p>}
    </section>
  );
}
