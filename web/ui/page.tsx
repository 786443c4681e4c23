import { h, Fragment, render } from "preact";
import { useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { chosen, choose, clock, connection, live, lookBack, news, open, recorded, shownAt, view } from "./store";
import { Beliefs, Faults, lifeOf, lifeWord, Lock, managersOf, Ports, raftRole, Ring, Workers } from "./picture";
import { Observed } from "./observed";
import { move } from "./motion";
import { Tables } from "./table";
import { Timeline } from "./timeline";
import { act, Actions, close, Dialog, mayAct, palette, Why } from "./act";
import { Drawer, TerminalButton } from "./terminal";
import { foreign, told } from "./sentences";
import { date, duration, language, time, validity, words } from "./words";

function Quorum() {
  const s = view.value.swarm, w = words.value;
  if (!s?.managers) return null;
  const lost = s.connected < s.majority;
  return (
    <span class={"quorum" + (lost ? " lost" : "")} role="img" aria-label={`${w.quorum}: ${s.connected}/${s.managers}, ${w.majority} ${s.majority}, ${lost ? w.quorumLost : `${w.tolerates} ${s.tolerates} ${w.failures}`}`}>
      {w.quorum} <span class="marks" aria-hidden="true">{[...Array(s.managers).keys()].map((i) => <Fragment key={i}><i class={i < s.connected ? "have" : ""} />{i === s.majority - 1 && <b title={`${w.majority} ${s.majority}`} />}</Fragment>)}</span>{" "}
      {lost ? <strong>{w.quorumLost}</strong> : <>{w.tolerates} {s.tolerates}</>}
    </span>
  );
}

function Header() {
  const v = view.value, w = words.value, s = v.swarm, c = connection.value, back = chosen.value.at;
  return (
    <header>
      <h1>{v.lab?.name ?? "dcalab"} <small>{v.lab ? `${v.lab.driver} · ${v.lab.nodes.length} ${w.node}${v.lab.nodes.length > 1 ? "s" : ""}` : ""}{recorded && <> · {date(clock.value)}</>}</small></h1>
      <span class={"state " + (back ? "back" : c)}>{back ? <>◷ {time(back)}, {duration(clock.value - shownAt.value)} {w.ago}</> : c === "open" ? <>{recorded ? "◷" : "●"} {w.live}</> : <>✕ {w[c]}</>}</span>
      {s && s.managers > 0 && <span>{w.term} <b>{s.electing ?? s.term}</b></span>}
      {s && s.managers > 0 && (s.leader ? <span>◆ {w.leader} <b>{s.leader}</b>{s.elected && <> {w.forTime} {duration(shownAt.value - Date.parse(s.elected))}</>}</span>
        : <span class="alarm">◇ {s.lost ? <>{s.connected < s.majority ? w.noLeader : w.electing} {w.since} {duration(shownAt.value - Date.parse(s.lost))}</> : w.noLeader}</span>)}
      <Quorum />
      {s?.autolock && <span title={w.explain.autolock}><svg class="glyph" viewBox="-10 -10 20 20" aria-hidden="true"><Lock /></svg> {w.autolock}</span>}
      {s?.rotating && <span title={w.explain.rotating}>{w.rotating}</span>}
      <nav>
        <button onClick={() => choose({ table: chosen.value.table ? undefined : "1" })} aria-pressed={!!chosen.value.table} title="t">{chosen.value.table ? w.picture : w.table}</button>
        <button onClick={toggleTheme} title="d" aria-label="light, dark">◐</button>
        <button onClick={toggleLanguage} title="g">{language.value === "pt" ? "EN" : "PT"}</button>
        <button onClick={() => choose({ large: chosen.value.large ? undefined : "1" })} aria-pressed={!!chosen.value.large} title="P">⤢</button>
      </nav>
    </header>
  );
}

function Empty() {
  const v = live.value, w = words.value;
  if (!v.lab) return <p class="empty">{connection.value === "refused" ? w.refused : w.opening}</p>;
  if (!v.lab.exists && !chosen.value.at) return <div class="empty"><p>{w.noLab}</p><p>{w.noLabNext}</p><pre>{v.lab.up}</pre></div>;
  if (!Object.keys(view.value.node).length) return <p class="empty">{w.opening}</p>;
  if (!managersOf(view.value).length) return <div class="empty"><p>{w.noSwarm}</p><p>{w.noSwarmNext}</p><pre>{v.lab.form}</pre></div>;
  return null;
}

function Details() {
  const name = chosen.value.node, v = view.value, w = words.value, n = v.node[name ?? ""], m = v.manager[name ?? ""];
  if (!name || !n) return null;
  const manager = n.role === "manager" || !!m, life = lifeOf(v, name), kind = manager ? raftRole(v, name) : "worker";
  const numbers: [string, unknown, string][] = m ? [[w.term, m.term, w.explain.term], [w.voted, m.vote || w.nobody, w.explain.vote], [w.commit, m.commit, w.explain.commit], [w.lastEntry, m.last_index, w.explain.last], [w.behind, m.behind, w.explain.behind]] : [];
  if (n.certificate) numbers.push([w.certificate, validity(n.certificate), w.explain.certificate]);
  return (
    <aside class="details" aria-label={name}>
      <button class="close" onClick={() => choose({ node: undefined })} aria-label={w.close}>✕</button>
      <h2>{name} <small>{lifeWord(v, name) || w[kind as "leader"]}</small></h2>
      <p>{n.locked ? w.explain.locked : life === "halted" ? w.explain.halted : life === "silent" ? w.explain.silent : w.explain[kind as "leader"]}</p>
      {n.message && <p>{n.message}</p>}
      <dl>{numbers.map(([k, value, why]) => <div key={k}><dt>{k} <b>{value as any}</b></dt><dd>{why}</dd></div>)}</dl>
      <Actions name={name} />
      <Why name={name} text={w.act.whyNode} />
      <TerminalButton node={name} />
      {!recorded && <><h3>{w.commands}</h3>
      <ul class="commands">{n.commands.map((c) => <li key={c}><code>{c}</code></li>)}</ul></>}
    </aside>
  );
}

function News() {
  const w = words.value, list = news.value.slice(-12).reverse();
  return (
    <section class="news" aria-label={w.news}>
      <h2>{w.news}</h2>
      {list.length ? <ol tabIndex={0}>{list.map((n) => <li key={n.at + n.text} lang={foreign(n.text)}><time>{time(n.at)}</time> {n.about && <b>{n.about}</b>} {told(n.text)}</li>)}</ol> : <p class="none">{w.nothing}</p>}
    </section>
  );
}

function Keys({ close }: { close: () => void }) {
  const w = words.value, keys = [[w.space, w.backToLive], ...Object.entries(w.keyList).filter(([k]) => k !== ":" || mayAct())];
  return <div class="keys" role="dialog" aria-label={w.keys}><h2>{w.keys}</h2><dl>{keys.map(([k, text]) => <div key={k}><dt><kbd>{k}</kbd></dt><dd>{text}</dd></div>)}</dl><button onClick={close}>{w.close}</button></div>;
}

function toggleTheme() {
  const dark = chosen.value.theme ? chosen.value.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  choose({ theme: dark ? "light" : "dark" });
}
const toggleLanguage = () => choose({ lang: language.value === "pt" ? "en" : "pt" });

let setKeys: (f: (shown: boolean) => boolean) => void;
function Page() {
  const [keys, set] = useState(false), v = view.value, w = words.value, empty = Empty();
  setKeys = set as any;
  const last = chosen.value.at ? undefined : news.value[news.value.length - 1];
  return (
    <>
      <Header />
      {v.lab?.trouble && <p class="trouble" role="alert">{v.lab.trouble}</p>}
      {empty ?? (chosen.value.table ? <Tables /> : (
        <main>
          <section class="left">
            <Ring />
            {managersOf(v).length === 1 && <p class="hint">{w.oneManager}</p>}
          </section>
          <section class="right"><Workers /><Ports /><div class="pair"><Beliefs /><Faults /></div><Observed /><Details /><News /></section>
        </main>
      ))}
      <div class="foot">{live.value.lab && <Timeline />}<Drawer /></div>
      <div class="spoken" role="status" aria-live="polite">{last ? `${last.about ?? ""} ${told(last.text)}` : ""}</div>
      <Dialog />
      {keys && <Keys close={() => set(false)} />}
    </>
  );
}

addEventListener("keydown", (e) => {
  if (e.key === "Escape" && palette.value) { close(); return; }
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA)$/.test((e.target as Element).tagName)) return;
  const arrow = (s: number) => { e.preventDefault(); const t = shownAt.value + s * (e.shiftKey ? 10_000 : 1000); lookBack(t >= clock.value - 500 ? undefined : new Date(t).toISOString()); };
  switch (e.key) {
    case " ": if ((e.target as Element).tagName === "BUTTON") return; e.preventDefault(); lookBack(undefined); break;
    case "l": lookBack(undefined); break;
    case "t": choose({ table: chosen.value.table ? undefined : "1" }); break;
    case "p": case "P": choose({ large: chosen.value.large ? undefined : "1" }); break;
    case "d": toggleTheme(); break;
    case "g": toggleLanguage(); break;
    case "?": setKeys((k) => !k); break;
    case ":": if (mayAct()) { e.preventDefault(); act.value = null; palette.value = true; } break;
    case "Escape": if (act.value || palette.value) { close(); break; } setKeys(() => false); choose({ node: undefined }); break;
    case "ArrowLeft": arrow(-1); break;
    case "ArrowRight": arrow(1); break;
  }
});

effect(() => {
  const root = document.documentElement;
  root.lang = language.value === "pt" ? "pt-BR" : "en";
  root.dataset.theme = chosen.value.theme ?? "";
  root.classList.toggle("large", !!chosen.value.large);
  document.title = `${live.value.lab?.name ?? ""} · dcalab`;
});
if (chosen.value.at) lookBack(chosen.value.at);
open();
if (!recorded) move();
// The first that is drawn is the picture, unless it takes long to come.
let drawn = false;
function draw() {
  if (!drawn) render(<Page />, document.getElementById("page")!);
  drawn = true;
}
live.subscribe((v) => { if (v.lab) draw(); });
setTimeout(draw, 300);
