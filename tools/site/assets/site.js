// Search and copy buttons; without it, pages are whole.
(() => {
  "use strict";
  const form = document.querySelector("form");
  const text = form.dataset;

  for (const pre of document.querySelectorAll("pre")) {
    const block = document.createElement("div");
    const button = document.createElement("button");
    block.className = "block";
    button.type = "button";
    button.textContent = text.copy;
    button.addEventListener("click", async () => {
      // Of a transcript, what was typed.
      const lines = pre.textContent.split("\n");
      const typed = lines.filter((l) => /^(\w+)?\$ /.test(l)).map((l) => l.replace(/^(\w+)?\$ /, ""));
      await navigator.clipboard.writeText((typed.length ? typed : lines).join("\n") + "\n");
      button.textContent = text.copied;
      setTimeout(() => { button.textContent = text.copy; }, 2000);
    });
    pre.replaceWith(block);
    block.append(pre, button);
  }

  // A long list of pages begins with the one that is open in sight.
  const nav = document.querySelector("nav");
  const here = nav.querySelector("[aria-current]");
  if (here) nav.scrollTop = here.offsetTop - nav.offsetTop - nav.clientHeight / 2;

  const input = form.querySelector("input");
  const found = form.querySelector("#found");
  const status = found.querySelector("p");
  const list = found.querySelector("ol");
  const lang = document.documentElement.lang;
  const fold = (s) => s.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  // Scripts, because a page that was opened from a disk may fetch nothing.
  let index;
  const load = () => index ??= (async () => {
    for (const src of text.scripts.split(" ")) {
      await new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = src;
        script.onload = done;
        script.onerror = failed;
        document.head.append(script);
      });
    }
    // Of pages in both languages, the one in the reader's.
    const pages = Object.entries(window.dcalab).flatMap(([of, sections]) =>
      sections.filter((s) => of === lang || !s.w).map((s) => ({ ...s, l: of, title: s.h || s.p })));
    const mini = new MiniSearch({
      idField: "u", fields: ["title", "p", "t"], storeFields: ["u", "p", "h", "t", "l"], processTerm: fold,
      searchOptions: {
        boost: { title: 4, p: 2 }, prefix: true, fuzzy: (term) => term.length > 4 ? 0.2 : false,
        boostDocument: (_, __, s) => s.l === lang ? 2 : 1,
      },
    });
    await mini.addAllAsync(pages);
    return mini;
  })();

  // What is around the first match, with the matches marked.
  const excerpt = (section, terms) => {
    const at = Math.max(0, ...terms.map((t) => fold(section.t).indexOf(t)));
    const from = at < 60 ? 0 : section.t.indexOf(" ", at - 50) + 1;
    const part = (from ? "… " : "") + section.t.slice(from, from + 160) + (section.t.length > from + 160 ? " …" : "");
    return part.split(/([\p{L}\p{N}]+)/u).map((word) => {
      if (!terms.includes(fold(word))) return word;
      const mark = document.createElement("mark");
      mark.textContent = word;
      return mark;
    });
  };

  const show = async () => {
    const query = input.value.trim();
    if (!query) { found.hidden = true; return; }
    let results;
    try {
      const mini = await load();
      if (query !== input.value.trim()) return;
      results = mini.search(query, { combineWith: "AND" });
      if (!results.length) results = mini.search(query);
    } catch {
      found.hidden = false;
      status.textContent = text.failed;
      return;
    }
    status.textContent = results.length === 0 ? text.none : results.length === 1 ? text.one : text.many.replace("#", results.length);
    list.replaceChildren(...results.slice(0, 12).map((r) => {
      const li = document.createElement("li");
      const a = document.createElement("a");
      const title = document.createElement("b");
      const where = document.createElement("small");
      const part = document.createElement("span");
      a.href = text.root + r.u;
      title.textContent = r.h || r.p;
      where.textContent = (r.h ? " " + r.p : "") + (r.l === lang ? "" : " (" + text.english + ")");
      part.append(...excerpt(r, r.terms));
      a.append(title, where, part);
      li.append(a);
      return li;
    }));
    found.dataset.query = query;
    found.scrollTop = 0;
    found.hidden = false;
  };

  const leave = () => { found.hidden = true; input.value = ""; document.activeElement.blur(); };
  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", show);
  form.addEventListener("submit", (e) => { e.preventDefault(); list.querySelector("a")?.click(); });
  list.addEventListener("click", (e) => { if (e.target.closest("a")) leave(); });
  form.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { leave(); return; }
    const way = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!way) return;
    e.preventDefault();
    const stops = [input, ...list.querySelectorAll("a")];
    stops[Math.min(stops.length - 1, Math.max(0, stops.indexOf(document.activeElement) + way))].focus();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      input.focus();
    }
  });
  document.addEventListener("click", (e) => { if (!form.contains(e.target)) found.hidden = true; });
  form.hidden = false;
})();
