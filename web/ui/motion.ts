// What moves: a vote to the candidate, the lead to who has won, a task to its new node. Each
// takes 300 ms, explains a change, and holds nothing up.
import { effect } from "@preact/signals";
import { chosen, live, View } from "./store";

const most = 20;
let before: View | undefined;

// flights are what has moved from one node to another: what it looks like, from where, to where.
function flights(a: View, b: View): [string, string, string][] {
  const out: [string, string, string][] = [];
  for (const [name, m] of Object.entries(b.manager)) {
    const old = a.manager[name];
    if (old && m.term >= old.term && m.vote && m.vote !== name && (m.term !== old.term || m.vote !== old.vote)) out.push(["ballot", name, m.vote]);
  }
  const led = a.swarm?.leader ?? lastLeader, leads = b.swarm?.leader;
  if (led && leads && led !== leads) out.push(["lead", led, leads]);
  if (leads) lastLeader = leads;
  if (a.task !== b.task) {
    const left = new Map(Object.entries(a.task).filter(([, t]) => t.node).map(([, t]) => [t.name, t.node!])); // where a slot's task was last
    for (const [id, t] of Object.entries(b.task)) {
      const from = left.get(t.name);
      if (t.node && !a.task[id]?.node && from && from !== t.node) out.push(["task", from, t.node]);
    }
  }
  return out.slice(0, most);
}
let lastLeader: string | undefined;

function fly([kind, from, to]: [string, string, string]) {
  const at = (name: string) => document.querySelector(`[data-node="${CSS.escape(name)}"]`)?.getBoundingClientRect();
  const a = at(from), b = at(to);
  if (!a || !b) return;
  const i = document.createElement("i");
  i.className = "flight " + kind;
  i.setAttribute("aria-hidden", "true");
  document.body.append(i);
  const place = (r: DOMRect) => `translate(${r.left + r.width / 2}px, ${r.top + r.height / 2}px)`;
  i.animate([{ transform: place(a) }, { transform: place(b) }], { duration: 300, easing: "ease-in-out" }).finished.finally(() => i.remove());
}

export function move() {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  effect(() => {
    const now = live.value, was = before;
    before = now;
    if (!was?.lab || was.lab.name !== now.lab?.name || chosen.peek().at || still.matches || document.hidden) return;
    const all = flights(was, now);
    if (all.length) requestAnimationFrame(() => all.forEach(fly));
  });
}
