// What the page can do: commands of dcalab, each shown with what it would do before.
import { h, Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import { chosen, live, post, recorded } from "./store";
import { words } from "./words";

type Reply = { command: string; exit: number; text: string; question?: string; plain?: string };
type Act = { words: string[]; why?: boolean; plan?: Reply; done?: Reply; busy?: boolean; error?: string };

export const act = signal<Act | null>(null);
export const palette = signal(false);
// mayAsk: what dcalab why says is of the lab as it is now.
export const mayAsk = () => !!live.value.lab?.exists && !!live.value.lab.explains && !recorded && !chosen.value.at;
export const mayAct = () => !!live.value.lab?.acts && !!post() && !chosen.value.at;

export async function send<T>(path: string, body: unknown): Promise<T> {
  const r = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "Dcalab-Page": post() }, body: JSON.stringify(body) });
  if (!r.ok) throw Object.assign(new Error((await r.text()).trim()), { status: r.status });
  return r.json();
}
const say = (body: { words: string[]; dry?: boolean; yes?: boolean }) => send<Reply>("/act", body);

// update changes what is shown, unless it is another command by now.
function update(of: string[], change: Partial<Act>) {
  if (act.value?.words === of) act.value = { ...act.value, ...change };
}

// why asks for what dcalab why says of a service, a task or a node.
export async function why(name: string) {
  const line = ["why", name];
  palette.value = false;
  act.value = { words: line, why: true, busy: true };
  try {
    const r = await fetch("/why?name=" + encodeURIComponent(name));
    if (!r.ok) throw new Error((await r.text()).trim());
    update(line, { done: await r.json(), busy: false });
  } catch (e) { update(line, { error: (e as Error).message, busy: false }); }
}

export async function plan(line: string[]) {
  if (line[0] === "why" && line.length === 2) return why(line[1]);
  palette.value = false;
  act.value = { words: line, busy: true };
  try { update(line, { plan: await say({ words: line, dry: true }), busy: false }); } catch (e) { update(line, { error: (e as Error).message, busy: false }); }
}

async function run(yes: boolean) {
  const line = act.value!.words;
  update(line, { busy: true, done: undefined });
  try { update(line, { done: await say({ words: line, yes }), busy: false }); } catch (e) { update(line, { error: (e as Error).message, busy: false }); }
}

export const close = () => { act.value = null; palette.value = false; };

export function Dialog() {
  const a = act.value, w = words.value, first = useRef<HTMLButtonElement>(null);
  const asks = !!a?.done?.question, ended = !!a?.done && !asks;
  useEffect(() => first.current?.focus(), [a?.plan, asks, ended]);
  if (palette.value) return <Palette />;
  if (!a) return null;
  const said = a.done ?? a.plan, refused = !!said && said.exit !== 0 && !asks;
  return (
    <div class="act" role="dialog" aria-modal="true" aria-label={a.words.join(" ")}>
      <h2><code>{said?.command ?? "dcalab " + a.words.join(" ")}</code></h2>
      {a.error && <p class="alarm" role="alert">{a.error}</p>}
      {a.plan && !a.done && <><h3>{refused ? w.act.refused : w.act.would}</h3><pre>{a.plan.text.trim() || w.act.nothing}</pre>
        {!refused && a.plan.plain?.trim() && <details><summary>{w.act.plain}</summary><pre>{a.plan.plain.trim()}</pre></details>}</>}
      {a.done && <>{!(a.why && a.done.exit === 0) && <h3>{asks ? w.act.asks : ended && a.done.exit === 0 ? w.act.done : w.act.failed}</h3>}<pre role="status" lang={a.why ? "en" : undefined}>{asks ? a.done.question : a.done.text.trim() || w.act.done}</pre></>}
      {a.busy && <p role="status">{w.act.busy}</p>}
      <p class="buttons">
        {!a.busy && a.plan && !a.done && !refused && <button ref={first} onClick={() => run(false)}>{w.act.run}</button>}
        {!a.busy && asks && <button ref={first} onClick={() => run(true)}>{w.act.yes}</button>}
        <button ref={ended || refused ? first : undefined} onClick={close}>{w.close}</button>
      </p>
    </div>
  );
}

function Palette() {
  const w = words.value, v = live.value, box = useRef<HTMLInputElement>(null);
  useEffect(() => box.current?.focus(), []);
  const nodes = Object.keys(v.node).sort(), services = Object.values(v.service).filter((s) => s.replicas !== undefined).map((s) => s.name);
  const lines = [
    ...nodes.flatMap((n) => actionsOf(n).map((a) => a.join(" "))), "break kill leader", "break kill leader --observe", "break partition leader", "break loss 30% leader", "heal --all",
    ...services.map((s) => `scale ${s} 3`), ...[...services, ...nodes].map((n) => `why ${n}`),
  ];
  return (
    <div class="act" role="dialog" aria-modal="true" aria-label={w.act.palette}>
      <form onSubmit={(e) => { e.preventDefault(); const line = box.current!.value.trim().replace(/^:? *(dcalab )?/, "").split(/\s+/); if (line[0]) plan(line); }}>
        <label>{w.act.palette} <span class="prompt">dcalab <input ref={box} list="lines" autocomplete="off" spellcheck={false} /></span></label>
        <datalist id="lines">{lines.map((l) => <option key={l} value={l} />)}</datalist>
        <p class="buttons"><button>{w.act.look}</button><button type="button" onClick={close}>{w.close}</button></p>
      </form>
    </div>
  );
}

// actionsOf are the commands for a node, as it is.
export function actionsOf(name: string): string[][] {
  const n = live.value.node[name];
  if (!n) return [];
  if (n.machine === "halted") return [["start", name]];
  if (n.machine !== "running") return [];
  const out = [["halt", name], ["break", "kill", name], ["break", "isolate", name], ["break", "freeze", name], ["break", "loss", "30%", name]];
  if (n.role === "manager") out.push(["demote", name]);
  if (n.role === "worker") out.push(["promote", name]);
  if (n.availability === "active") out.push(["drain", name]);
  else if (n.availability) out.push(["activate", name]);
  return out;
}

export function Actions({ name }: { name: string }) {
  if (!mayAct()) return live.value.lab?.acts && !post() ? <p class="none">{words.value.act.looks}</p> : null;
  return <ul class="actions">{actionsOf(name).map((a) => <li key={a.join(" ")}><button onClick={() => plan(a)}>{a.filter((word) => word !== name).join(" ")}</button></li>)}</ul>;
}

export function Why({ name, text }: { name: string; text?: string }) {
  return mayAsk() ? <button aria-label={`${text ?? words.value.act.why} ${name}`} onClick={() => why(name)}>{text ?? words.value.act.why}</button> : <Fragment />;
}

export function Heal({ id }: { id: string }) {
  return mayAct() ? <button onClick={() => plan(["heal", id])}>{words.value.act.heal}</button> : <Fragment />;
}
