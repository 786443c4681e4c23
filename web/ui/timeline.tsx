// The time line: lanes of what happened, on which one looks back.
import { h, Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { chosen, choose, clock, first, lookBack, Mark, marks, recorded, shownAt } from "./store";
import { told } from "./sentences";
import { duration, time, words } from "./words";

const lanes = ["faults", "terms", "tasks", "machines", "steps"];
const rowHeight = 22, labelWidth = 86, axis = 18;

export function Timeline() {
  const w = words.value, box = useRef<HTMLDivElement>(null), [width, setWidth] = useState(900);
  useEffect(() => {
    const o = new ResizeObserver(([e]) => setWidth(Math.max(280, e.contentRect.width)));
    o.observe(box.current!);
    return () => o.disconnect();
  }, []);
  const whole = recorded ? Math.max(0.2, (clock.value - first.value) / 60_000) : 0; // in minutes
  const span = (Number(chosen.value.span) || whole || 5) * 60_000;
  const now = recorded ? clock.value : Math.floor(clock.value / 250) * 250, back = chosen.value.at ? shownAt.value : 0;
  const to = back && back < now - span ? back + span / 2 : now, from = to - span;
  const right = width - 8, x = (t: number) => labelWidth + ((t - from) / (to - from)) * (right - labelWidth);
  const height = axis + lanes.length * rowHeight + 4;

  const go = (e: PointerEvent) => {
    const left = (e.currentTarget as Element).getBoundingClientRect().left;
    const t = from + ((e.clientX - left - labelWidth) / (right - labelWidth)) * (to - from);
    if (t >= now - (to - from) / 100) lookBack(undefined);
    else lookBack(new Date(Math.max(t, first.value || 0, from)).toISOString());
  };
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((s) => s * 1000);
  const step = steps.find((s) => (s / span) * (right - labelWidth) > 70) ?? steps[steps.length - 1];
  const ticks: number[] = [];
  for (let t = Math.ceil(from / step) * step; t < to; t += step) ticks.push(t);
  // Nothing on it moves by less than a pixel, and where much happens it is drawn now and then.
  const grain = Math.max(250, span / 600), all = marks.value, seen = Math.floor(clock.value / grain), last = useRef<any>({});
  const key = [seen, back, span, width, w, chosen.value.at];
  if (last.current.key?.every((k: unknown, i: number) => k === key[i])) return last.current.drawn;
  const shown = [...all.values()].filter((m) => Date.parse(m.at) <= to && (m.open || (m.until ? Date.parse(m.until) : Date.parse(m.at)) >= from));
  const drawn = (
    <section class="timeline" aria-label={w.timeline} ref={box}>
      <div class="when">
        {back ? <><span><b>{time(back)}</b>, {duration(now - back)} {w.ago}</span> <button onClick={() => lookBack(undefined)}>{w.backToLive}</button></> : <><b class="dot">{recorded ? "◷" : "●"}</b> {w.live} · <span class="none">{w.drag}</span></>}
        <span class="spans">{[1, 5, 30, 120].filter((m) => !whole || m < whole).concat(whole || []).map((m) => <button key={m} aria-pressed={span === m * 60_000} onClick={() => choose({ span: String(m) })}>{Math.ceil(m)} min</button>)}</span>
      </div>
      <svg width={width} height={height} role="slider" tabIndex={0} aria-label={w.timeline} aria-valuemin={0} aria-valuemax={span / 1000}
        aria-valuenow={Math.round(((back || now) - from) / 1000)} aria-valuetext={back ? `${time(back)}, ${duration(now - back)} ${w.ago}` : w.live}
        onPointerDown={(e: any) => { e.currentTarget.setPointerCapture(e.pointerId); go(e); }} onPointerMove={(e: any) => { if (e.buttons) go(e); }}>
        {ticks.filter((t) => x(t) < right - 50).map((t) => <g key={t} class="tick"><line x1={x(t)} x2={x(t)} y1={axis - 4} y2={height} /><text x={x(t)} y={11}>{time(t).slice(0, step < 60_000 ? 8 : 5)}</text></g>)}
        {lanes.map((lane, i) => <Lane key={lane} lane={lane} y={axis + i * rowHeight} x={x} from={from} to={to} now={now} marks={shown.filter((m) => m.lane === lane)} right={right} />)}
        <line class="now" x1={x(back || now)} x2={x(back || now)} y1={2} y2={height} />
      </svg>
    </section>
  );
  last.current = { key, drawn };
  return drawn;
}

function Lane({ lane, y, x, from, to, now, marks, right }: { lane: string; y: number; x: (t: number) => number; from: number; to: number; now: number; marks: Mark[]; right: number }) {
  const w = words.value, clip = (t: number) => Math.min(right, Math.max(labelWidth, x(t)));
  let lastX = -9;
  return (
    <g class={"lane " + lane}>
      <text class="label" x="4" y={y + 15}>{w.lanes[lane]}</text>
      <line x1={labelWidth} x2={right} y1={y + rowHeight - 1} y2={y + rowHeight - 1} />
      {marks.map((m) => {
        const at = Date.parse(m.at), title = () => <title>{`${time(at)} ${m.node ?? ""} ${told(m.text)}`}</title>;
        if (lane === "faults" || lane === "terms") {
          const end = m.open ? now : Date.parse(m.until ?? m.at), l = clip(at), r = clip(end), wide = Math.max(3, r - l);
          const text = lane === "terms" ? (m.kind === "leader" ? `${m.text} ◆ ${m.node}` : `${m.text} ◇?`) : m.text;
          return <g key={m.id} class={"band " + (m.kind === "electing" ? "electing" : "")}>{title()}<rect x={l} y={y + 3} width={wide} height={rowHeight - 7} rx="3" />
            {wide > 18 && <svg x={l} y={y} width={wide - 2} height={rowHeight}><text x="4" y="15">{text}</text></svg>}</g>;
        }
        const cx = x(at);
        if (cx < labelWidth || at < from || at > to || cx - lastX < 4) return null;
        lastX = cx;
        return <g key={m.id} class={"point " + m.kind}>{title()}<Point kind={m.kind} x={cx} y={y + 11} /></g>;
      })}
    </g>
  );
}

function Point({ kind, x, y }: { kind: string; x: number; y: number }) {
  switch (kind) {
    case "failed": case "rejected": case "halted": case "down": case "locked": return <path d={`M${x - 4} ${y - 4}l8 8m0 -8l-8 8`} />;
    case "running": case "up": case "done": return <circle cx={x} cy={y} r="3.5" />;
    case "shutdown": case "complete": return <path d={`M${x - 4} ${y}h8`} />;
  }
  return <circle class="hollow" cx={x} cy={y} r="3" />;
}
