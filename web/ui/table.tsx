// The same as text, in tables.
import { h } from "preact";
import { view } from "./store";
import { colors, cutsOf, Glyph, inOrder, left, lifeWord, managersOf, portText, raftRole, shapeOf } from "./picture";
import { Why } from "./act";
import { validity, words } from "./words";

function Grid({ title, head, rows }: { title: string; head: string[]; rows: unknown[][] }) {
  return (
    <table>
      <caption>{title}</caption>
      <thead><tr>{head.map((c) => <th key={c} scope="col">{c}</th>)}</tr></thead>
      <tbody>{rows.map((r) => <tr key={String(r[0])}>{r.map((c, i) => (i ? <td key={i}>{c as any}</td> : <th key={i} scope="row">{c as any}</th>))}</tr>)}</tbody>
    </table>
  );
}

export function Tables() {
  const v = view.value, w = words.value, managers = managersOf(v), color = colors(v), cuts = cutsOf(v);
  const names = inOrder(v, [...new Set([...(v.lab?.nodes.map((n) => n.name) ?? []), ...Object.keys(v.node)])]);
  return (
    <main class="tables" tabIndex={-1}>
      <Grid title={w.managers} head={[w.node, w.role, w.term, w.voted, w.commit, w.lastEntry, w.behind, w.beliefs]} rows={managers.map((n) => {
        const m = v.manager[n];
        return [n, lifeWord(v, n) || w[raftRole(v, n)], m?.term, m?.vote || "–", m?.commit, m?.last_index, m?.behind, v.node[n]?.away || v.node[n]?.locked ? "–" : m?.leader || w.knowsNone];
      })} />
      <Grid title={w.node} head={[w.node, w.role, w.machine, w.engine, w.state, w.availability, w.certificate, w.message]} rows={names.map((n) => {
        const x = v.node[n];
        return [n, x?.role ?? "–", x?.machine ?? "?", x?.engine ? x.engine + (x.locked ? ", " + w.locked : "") : "–", x?.state ?? "–", x?.availability ?? "–", x?.certificate ? validity(x.certificate) : "–", x?.message ?? ""];
      })} />
      {cuts.size > 0 && <Grid title={w.ways} head={[w.node, w.deaf]} rows={names.map((n) => [n, names.filter((o) => cuts.has(o + " " + n)).join(", ")]).filter((r) => r[1])} />}
      <Grid title={w.faults} head={["id", w.faults, w.until, w.node]} rows={Object.entries(v.fault).map(([id, f]) => [id, f.words, left(f.until), f.nodes?.join(", ")])} />
      <Grid title={w.service} head={[w.service, w.wanted, w.state, w.ports, "dcalab why"]} rows={Object.values(v.service).sort((a, b) => a.name.localeCompare(b.name))
        .map((s) => [s.name, s.replicas ?? "–", s.update?.replaceAll("_", " ") || "–", s.ports?.map((p) => <div>{portText(v, p)}</div>) ?? "–", <Why name={s.name} />])} />
      <Grid title={w.tasks} head={[w.task, w.state, w.node, w.wanted, w.message]} rows={Object.entries(v.task)
        .sort((a, b) => a[1].name.localeCompare(b[1].name, undefined, { numeric: true }))
        .map(([id, t]) => [`${t.name} (${id.slice(0, 5)})`, <span><Glyph shape={shapeOf(t)} color={color[t.service]} /> {t.state}</span>, t.node ?? "–", t.desired, t.message])} />
    </main>
  );
}
