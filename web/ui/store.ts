// What is known: the picture that the server tells, and what is chosen on this page.
import { batch, computed, signal } from "@preact/signals";

export type Raft = { term: number; vote: string; commit: number; last_index: number; behind: number; leader?: string };
export type LabNode = { name: string; role: string; address: string };
export type Node = {
  machine?: string; engine?: string; locked?: boolean; away?: string; certificate?: string; id?: string; role?: string; desired?: string;
  availability?: string; state?: string; message?: string; commands: string[];
};
export type Service = { name: string; replicas?: number; update?: string; message?: string; ports?: Port[] };
export type Port = { protocol: string; target: number; published?: number; host?: boolean; nodes: string[] };
export type Task = { name: string; service: string; node?: string; state: string; desired: string; message?: string };
export type Fault = { words: string; since: string; until?: string; nodes?: string[]; cuts?: [string, string][]; heal: string };
export type Swarm = {
  leader?: string; term: number; elected?: string; electing?: number; lost?: string;
  managers: number; majority: number; connected: number; tolerates: number; autolock?: boolean; rotating?: boolean;
};
export type Lab = { name: string; driver: string; nodes: LabNode[]; exists: boolean; no_mesh?: string; trouble?: string; acts?: boolean; explains?: boolean; up: string; form: string };
export type Milestone = { id: string; time: string; ms: number; since_ms: number; node: string; text: string; why?: string };
export type View = {
  lab?: Lab; swarm?: Swarm; observed?: Milestone[]; node: Record<string, Node>; manager: Record<string, Raft>;
  service: Record<string, Service>; task: Record<string, Task>; fault: Record<string, Fault>;
};
export type Mark = { id: number; lane: string; at: string; until?: string; open?: boolean; kind: string; node?: string; text: string };
export type News = { at: string; about?: string; text: string };
type Message = { whole?: boolean; now: string; set: Record<string, unknown>; marks?: Mark[]; news?: News[] };

// A page that was exported has what happened in it, as messages with the times of their ends.
type Past = { moments: Message[]; lanes: Lanes };
type Lanes = { from?: string; to?: string; marks: Mark[] };
const embedded = document.getElementById("past");
export const recorded: Past | null = embedded && JSON.parse(embedded.textContent!);

const nothing: View = { node: {}, manager: {}, service: {}, task: {}, fault: {} };

export const live = signal<View>(nothing);
export const past = signal<View | null>(null); // what was at the time of chosen.at
export const liveNews = signal<News[]>([]);
export const pastNews = signal<News[]>([]);
export const marks = signal<Map<number, Mark>>(new Map());
export const connection = signal<"opening" | "open" | "lost" | "refused">("opening");
export const clock = signal(Date.now()); // the server's, ticking; the end of what was recorded
export const first = signal(0); // the first time that is known

// What is chosen is in the address.
export type Chosen = { at?: string; node?: string; table?: string; theme?: string; lang?: string; large?: string; span?: string; terminal?: string };
const read = (): Chosen => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
export const chosen = signal<Chosen>(read());
// What it takes to act came with the address that has the token; it stays in this tab.
const came = (chosen.value as Record<string, string>).post;
if (came) sessionStorage.setItem("post", came);
export const post = () => sessionStorage.getItem("post") ?? "";
if (came) choose({ post: undefined } as Chosen);
export function choose(change: Chosen) {
  const next = { ...chosen.value, ...change };
  for (const k of Object.keys(next) as (keyof Chosen)[]) if (!next[k]) delete next[k];
  chosen.value = next;
  history.replaceState(null, "", "#" + new URLSearchParams(next as Record<string, string>));
}
addEventListener("hashchange", () => {
  const next = read();
  if (next.at !== chosen.value.at) lookBack(next.at);
  chosen.value = next;
});

export const view = computed(() => (chosen.value.at && past.value) || live.value);
export const news = computed(() => (chosen.value.at && past.value ? pastNews.value : liveNews.value));
// The time that is shown.
export const shownAt = computed(() => (chosen.value.at ? Date.parse(chosen.value.at) : clock.value));

let skew = 0;
if (!recorded) setInterval(() => (clock.value = Date.now() + skew), 250);

function merge(before: View, m: Message): View {
  const next: any = { ...(m.whole ? nothing : before) };
  const copied = new Set<string>();
  for (const [key, value] of Object.entries(m.set)) {
    const at = key.indexOf("/");
    if (at < 0) { next[key] = value ?? undefined; continue; }
    const section = key.slice(0, at);
    if (!copied.has(section)) { next[section] = { ...next[section] }; copied.add(section); }
    if (value === null) delete next[section][key.slice(at + 1)];
    else next[section][key.slice(at + 1)] = value;
  }
  return next;
}

const newsMax = 100, marksMax = 4000;
function addNews(before: News[], more: News[]): News[] {
  const key = (n: News) => n.at + n.text;
  const known = new Set(before.map(key));
  return [...before, ...more.filter((n) => !known.has(key(n)))].slice(-newsMax);
}

function addMarks(more: Mark[], whole?: boolean) {
  const next = new Map(whole ? [] : marks.value);
  for (const m of more) next.set(m.id, m);
  for (const id of next.keys()) { if (next.size <= marksMax) break; next.delete(id); }
  marks.value = next;
}

const setLanes = (t: Lanes) => batch(() => { addMarks(t.marks, true); first.value = t.from ? Date.parse(t.from) : 0; });
async function fetchLanes() {
  const r = await fetch("/lanes").catch(() => null);
  if (r?.ok) setLanes(await r.json());
}

// recordedAt is how it was. What a number of moments comes to is kept, so that as many are
// gone through at most.
const ends = recorded?.moments.map((m) => Date.parse(m.now)) ?? [], keyEvery = 200, kept: View[] = [nothing];
function recordedAt(at: number): { view: View; news: News[] } {
  const fold = (before: View, from: number, to: number) => merge(before, { now: "", set: Object.assign({}, ...recorded!.moments.slice(from, to).map((m) => m.set)) });
  let n = ends.findIndex((end) => end > at);
  if (n < 0) n = ends.length;
  const key = Math.floor(n / keyEvery);
  while (kept.length <= key) kept.push(fold(kept[kept.length - 1], (kept.length - 1) * keyEvery, kept.length * keyEvery));
  const said: News[] = [];
  for (let i = n; i-- > 0 && said.length < 30; ) said.unshift(...(recorded!.moments[i].news ?? []));
  return { view: fold(kept[key], key * keyEvery, n), news: said };
}

export function open() {
  if (recorded) {
    const end = recordedAt(Infinity);
    batch(() => {
      connection.value = "open"; live.value = end.view; liveNews.value = end.news;
      if (recorded!.lanes.to) clock.value = Date.parse(recorded!.lanes.to);
      setLanes(recorded!.lanes);
    });
    return;
  }
  const source = new EventSource("/events");
  source.onopen = () => (connection.value = "open");
  source.onerror = async () => {
    connection.value = "lost";
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const r = await fetch("/lanes").catch(() => null);
    if (r?.status === 401) connection.value = "refused";
    else setTimeout(open, 1000);
  };
  source.onmessage = (e) => { waiting.push(JSON.parse(e.data)); soon(); };
}

// What comes while the picture is drawn is gathered, and drawn at once: the more there is
// to draw, the longer.
let waiting: Message[] = [], scheduled = false, cost = 0;
function soon() {
  if (scheduled) return;
  scheduled = true;
  if (!live.value.lab) return apply(); // nothing is drawn yet
  setTimeout(() => requestAnimationFrame(apply), Math.min(1000, 2 * cost));
  if (document.hidden) setTimeout(apply, 1000); // no frame comes
}
function apply() {
  if (!waiting.length) { scheduled = false; return; }
  const from = performance.now(), messages = waiting;
  waiting = [];
  batch(() => {
    connection.value = "open";
    let next = live.value, said = liveNews.value;
    const drawn: Mark[] = [];
    for (const m of messages) {
      next = merge(next, m);
      said = addNews(m.whole ? [] : said, m.news ?? []);
      drawn.push(...(m.marks ?? []));
    }
    const now = Date.parse(messages[messages.length - 1].now);
    skew = now - Date.now();
    clock.value = now;
    live.value = next;
    liveNews.value = said;
    if (drawn.length) addMarks(drawn);
  });
  if (messages.some((m) => m.whole) || !first.value) fetchLanes();
  setTimeout(() => { // after it was drawn
    cost = performance.now() - from;
    scheduled = false;
    if (waiting.length) soon();
  });
}

// lookBack shows how it was; of what is asked for meanwhile only the last is fetched.
let asked = "", asking = false;
export async function lookBack(at: string | undefined) {
  if (!at) { choose({ at: undefined }); past.value = null; asked = ""; return; }
  choose({ at });
  if (recorded) {
    const then = recordedAt(Date.parse(at));
    batch(() => { past.value = then.view; pastNews.value = then.news; });
    return;
  }
  asked = at;
  if (asking) return;
  asking = true;
  for (let got = ""; asked && got !== asked; ) {
    got = asked;
    const r = await fetch("/at?t=" + encodeURIComponent(got)).catch(() => null);
    if (!r?.ok || !asked) break;
    const m: Message = await r.json();
    batch(() => { past.value = merge(nothing, { ...m, whole: true }); pastNews.value = m.news ?? []; });
  }
  asking = false;
}
