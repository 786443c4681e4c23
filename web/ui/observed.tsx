// What has come of what was broken last: the milestones until the swarm is whole again.
import { h } from "preact";
import { live, shownAt } from "./store";
import { foreign, told } from "./sentences";
import { language, words } from "./words";

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`.replace(".", language.value === "pt" ? "," : ".");

export function Observed() {
  const w = words.value, list = live.value.observed?.filter((m) => Date.parse(m.time) <= shownAt.value + 500) ?? [];
  if (!list.length) return null;
  return (
    <section class="observed" aria-label={w.observed}>
      <h2>{w.observed} <a href="/report" target="_blank" rel="noopener" hreflang="en">{w.report}</a></h2>
      <ol tabIndex={0}>{list.map((m, i) => <li key={i} title={m.why && told(m.why)} lang={foreign(m.text)}><span>{seconds(m.ms)}</span> {m.node && <b>{m.node}</b>} {told(m.text)}</li>)}</ol>
    </section>
  );
}
