// Pointing, choosing, filtering, folding. Everything that can be read is in the page without this script; the
// numbers that pointing shows were computed before and lie in the island.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const clamp = (v, lo, hi) => Math.min(hi, Math.max(lo, v));

  // As the tables have them: about four digits, thousands apart.
  const number = (v) => {
    if (v === null || v === undefined || !Number.isFinite(v)) return "–";
    const m = Math.abs(v);
    if (m >= 1000) return (v < 0 ? "-" : "") + whole(m);
    return v.toFixed(m >= 100 ? 1 : m >= 1 ? 2 : 3);
  };
  const whole = (v) => Math.round(v).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const time = (s) => {
    if (s === null || s === undefined || !Number.isFinite(s)) return "–";
    const m = Math.abs(s);
    if (m >= 10) return s.toFixed(2) + " s";
    return m >= 1e-3 || m === 0 ? number(s * 1e3) + " ms" : number(s * 1e6) + " µs";
  };
  const percent = (share) => {
    const v = share * 100, m = Math.abs(v);
    if (m !== 0 && m < 0.01) return (m < 5e-4 ? v.toExponential(1) : number(v)) + " %";
    return v.toFixed(m < 10 || (m >= 99 && m < 101) ? 2 : 1) + " %";
  };
  const quantile = (sorted, q) => {
    if (!sorted.length) return null;
    const at = (sorted.length - 1) * q, i = Math.floor(at);
    return sorted[i] + (at - i) * ((sorted[i + 1] ?? sorted[i]) - sorted[i]);
  };
  // The share of values at or below v, of a distribution as its quantiles in even steps.
  const share = (q, v) => {
    if (v < q[0]) return 0;
    if (v >= q[q.length - 1]) return 1;
    let lo = 0, hi = q.length - 1;
    while (hi - lo > 1) {
      const mid = (lo + hi) >> 1;
      if (q[mid] <= v) lo = mid; else hi = mid;
    }
    return (lo + (v - q[lo]) / (q[hi] - q[lo] || 1)) / (q.length - 1);
  };

  const element = (tag, props = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "class") made.className = value;
      else if (name === "style") made.style.cssText = value;
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };
  // Labels at round numbers, at their places from the left.
  const labels = (lo, hi) => {
    const rough = (hi - lo) / 6, power = 10 ** Math.floor(Math.log10(rough)), made = [];
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (Math.abs(step / power - 2.5) < 1e-9 ? 1 : 0));
    for (let n = Math.ceil(lo / step - 1e-9); n * step <= hi + 1e-9; n++) {
      const style = `left:${((n * step - lo) / (hi - lo)) * 100}%`;
      made.push(element("span", { style }, decimals ? (n * step).toFixed(decimals) : whole(n * step)));
    }
    return made;
  };

  // What a figure says below itself.
  const readoutOf = (element) => {
    const out = one("[data-readout]", element.closest("figure"));
    return (text) => {
      out.textContent = text ?? out.dataset.hint;
      out.classList.toggle("on", text !== null);
    };
  };

  // Something to point at with a pointer or with arrow keys, along one direction, from 0 to 1.
  const pointable = (chart, vertical, show, hide) => {
    const plot = one(".plot", chart);
    const cross = document.createElement("i");
    cross.className = "cross " + (vertical ? "across" : "down");
    cross.hidden = true;
    cross.style.display = "none";
    plot.append(cross);
    let at = 0.5;
    const move = (f) => {
      at = clamp(f, 0, 1);
      cross.style.display = "";
      cross.hidden = false;
      cross.style[vertical ? "bottom" : "left"] = at * 100 + "%";
      show(at);
    };
    const leave = () => { cross.style.display = "none"; cross.hidden = true; hide(); };
    plot.addEventListener("pointermove", (e) => {
      const box = plot.getBoundingClientRect();
      move(vertical ? (box.bottom - e.clientY) / box.height : (e.clientX - box.left) / box.width);
    });
    plot.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.05 : 0.01;
      const by = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step }[e.key];
      if (by !== undefined) move(cross.hidden ? at : at + by);
      else if (e.key === "Home") move(0);
      else if (e.key === "End") move(1);
      else if (e.key === "Escape") leave();
      else return;
      e.preventDefault();
    });
  };

  for (const chart of all(".chart[data-key]")) {
    const [, id] = chart.dataset.key.split(":");
    const d = data[id];
    if (!d || !d.q) continue;
    const say = readoutOf(chart);
    pointable(chart, chart.classList.contains("violin"), (f) => {
      const v = d.lo + f * (d.hi - d.lo);
      const parts = d.q.map((q, n) => `${Math.round(share(q, v) * 100)} % of ${d.names[n]}`);
      say(`${number(v * d.factor)} ${d.unit} or less: ${parts.join(", ")}`);
    }, () => say(null));
  }

  for (const bars of all("[data-bars]")) {
    const say = readoutOf(bars);
    const parts = all("[data-say]", bars);
    let at = -1;
    const show = (n) => {
      parts.forEach((part, i) => part.classList.toggle("on", i === n));
      at = n;
      say(n < 0 ? null : parts[n].dataset.say);
    };
    bars.addEventListener("pointerover", (e) => {
      const part = e.target.closest("[data-say]");
      if (part) show(parts.indexOf(part));
    });
    bars.addEventListener("pointerleave", () => show(-1));
    bars.addEventListener("blur", () => show(-1));
    bars.addEventListener("keydown", (e) => {
      const last = parts.length - 1;
      if (e.key === "ArrowRight" || e.key === "ArrowDown") show(clamp(at + 1, 0, last));
      else if (e.key === "ArrowLeft" || e.key === "ArrowUp") show(clamp(at - 1, 0, last));
      else if (e.key === "Home") show(0);
      else if (e.key === "End") show(last);
      else if (e.key === "Escape") show(-1);
      else return;
      e.preventDefault();
    });
  }

  // Any request: unpacked when it is first asked for, and drawn as those are that the page was made with.
  const own = one("[data-own]") && data.requests ? anyRequest(one("[data-own]"), data.requests) : null;

  async function unpacked(d) {
    const inflated = async (text) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      return new Uint8Array(await new Response(stream).arrayBuffer());
    };
    const bytes = await inflated(d.numbers);
    const ids = new TextDecoder().decode(await inflated(d.ids)).split("\n");
    let at = 0;
    const next = () => {
      let n = 0, scale = 1;
      for (;;) {
        const byte = bytes[at++];
        n += (byte & 127) * scale;
        if (byte < 128) return n;
        scale *= 128;
      }
    };
    const made = [];
    for (const [count, template] of d.templates) {
      let width = 13 + 2 * template.stamps.length;
      for (const [, , , bounded, places] of template.parts) width += 2 + (bounded ? 2 : 0) + 4 * places;
      const columns = Array.from({ length: width }, () => Array.from({ length: count }, next));
      for (let row = 0; row < count; row++) {
        const [index, status, error, start, ttft, , , e2e] = columns.slice(0, 8).map((c) => c[row]);
        made.push({
          id: d.prefix + ids[made.length], index, status: d.words[status], error: error ? d.words[error - 1] : null,
          start: signed(start), ttft: maybe(ttft), e2e: maybe(e2e), template, columns, row,
        });
      }
    }
    return made;
  }
  // Seconds, of whole microseconds.
  function signed(n) { return (n % 2 ? -(n + 1) / 2 : n / 2) / 1e6; }
  function maybe(n) { return n === 0 ? null : signed(n - 1); }

  // What is packed as differences, added up again.
  function whole_of(r) {
    let column = 4;
    const next = () => r.columns[column++][r.row];
    const figures = ["TTFT", "ITL", "TPOT", "E2E"].map((name) => [name, maybe(next())]);
    const server = ["TTFT", "queue", "prefill", "decode", "E2E"].map((name) => [name, maybe(next())]);
    let lo = 0, hi = 0;
    const parts = r.template.parts.map(([name, whose, how, bounded, places]) => {
      const ttft = maybe(next()), more = maybe(next());
      const e2e = more === null ? null : ttft === null ? more : ttft + more;
      const bounds = bounded ? [(ttft ?? 0) + signed(next()), (ttft ?? 0) + signed(next())] : null;
      const extents = Array.from({ length: places }, () => {
        const beginLo = lo + signed(next()), beginHi = hi + signed(next());
        const endLo = beginLo + (ttft ?? 0) + signed(next());
        const endHi = beginHi + (endLo - beginLo) + signed(next());
        [lo, hi] = [endLo, endHi];
        return [beginLo, beginHi, endLo, endHi];
      });
      return { name, whose, how, ttft, e2e, bounds, extents };
    });
    let before = 0;
    const stamps = r.template.stamps.map(([what, by, whose, note]) => {
      const from = before + signed(next()), to = from + signed(next());
      before = from;
      return { what, by, whose, note, lo: from, hi: to };
    });
    stamps.sort((a, b) => a.lo - b.lo || a.hi - b.hi);
    return { ...r, figures, server, parts, stamps };
  }

  function drawn(r) {
    const ms = (s) => (s === null ? "–" : number(s * 1e3));
    const between = (lo, hi) => (ms(lo) === ms(hi) ? ms(lo) : `${ms(lo)} … ${ms(hi)}`);
    const end = r.ttft > 0 ? r.ttft : Math.max(0, ...r.stamps.map((s) => s.hi));
    const percent = (t) => clamp(t / end, 0, 1) * 100;
    const mark = (kind, from, to, title) =>
      element("i", { class: kind, style: `left:${percent(from)}%;width:${Math.max(0, percent(to) - percent(from))}%`, title });
    // A few millionths are rounding.
    const above = (a, b) => a > b + 2.5e-6;
    const place = ([beginLo, beginHi, endLo, endHi]) => {
      if (above(beginLo, endHi)) return [];
      const open = above(beginHi, beginLo) || above(endHi, endLo);
      return [open ? mark("perhaps", beginLo, endHi) : null, above(beginHi, endLo) ? null : mark("certain", beginHi, endLo)];
    };
    const head = (...cells) => element("thead", {}, element("tr", {}, ...cells.map(([name, kind, ...more]) => element("th", { scope: "col", class: kind }, name, ...more))));
    const unit = end >= 10 ? ["s", 1] : end >= 1e-3 ? ["ms", 1e3] : ["µs", 1e6];
    const ticks = end > 0 ? element("span", { class: "xs", "aria-hidden": "true" }, ...labels(0, end * unit[1])) : null;
    const rows = r.parts.map((p) => element("tr", {},
      element("th", { scope: "row" }, p.name),
      element("td", { class: "num" }, p.bounds ? `${ms(p.bounds[0])} … ${ms(p.bounds[1])}` : ms(p.ttft)),
      element("td", { class: "num" }, ms(p.e2e)),
      element("td", {}, p.how),
      element("td", { class: "axis " + p.whose, "aria-hidden": "true" }, element("span", { class: "track" }, ...p.extents.flatMap(place).filter(Boolean)))));
    for (const [name, whose] of [["client's stamps", "client"], ["hops' stamps", "tare"], ["server's stamps", "server"]]) {
      const marks = r.stamps.filter((s) => s.whose === whose && s.hi >= 0 && !above(s.lo, end))
        .map((s) => mark(percent(s.hi) - percent(s.lo) > 0.5 ? "stamp perhaps" : "stamp", s.lo, s.hi, `${s.what}: ${between(s.lo, s.hi)} ms`));
      if (marks.length) {
        rows.push(element("tr", { class: "stamps", "aria-hidden": "true" }, element("td", { colspan: 4 }, name), element("td", { class: "axis " + whose }, element("span", { class: "track" }, ...marks))));
      }
    }
    const about = (v) => (Math.abs(v) < 1e-3 ? Math.round(v * 1e6) + " µs" : time(v));
    const said = (all) => all.filter(([, v]) => v !== null).map(([name, v]) => `${name} ${about(v)}`).join(", ");
    const until = r.ttft > 0 ? "until the first token" : "until its last stamp";
    return [
      element("h3", {}, `Request ${r.index}: `, element("span", { class: r.status === "ok" ? "" : "bad" }, r.status)),
      element("p", { class: "meta" }, ...[r.id, `started at ${r.start.toFixed(3)} s`, said(r.figures) && "client: " + said(r.figures), said(r.server) && "server: " + said(r.server)]
        .filter(Boolean).flatMap((text) => [element("span", {}, text), " "])),
      r.error ? element("p", { class: "warnings" }, "Error: " + r.error) : null,
      rows.length ? element("table", { class: "falls" }, element("caption", {}, "Parts of its time"),
        head(["part"], ["of TTFT, ms", "num"], ["of E2E, ms", "num"], ["how"], [`${until}, ${unit[0]}`, "axis", ticks]),
        element("tbody", {}, ...rows)) : null,
      element("details", { class: "all" }, element("summary", {}, `All ${r.stamps.length} stamps`),
        element("div", { class: "scroll" }, element("table", {}, element("caption", {}, "Every stamp of both sides, from the start, on the client’s clock"),
          head(["what"], ["ms", "num"], ["by"], ["bound"]),
          element("tbody", {}, ...r.stamps.map((s) => element("tr", {}, element("th", { scope: "row" }, s.what),
            element("td", { class: "num" }, between(s.lo, s.hi)),
            element("td", {}, element("span", { class: "key " + s.whose }, s.by)), element("td", {}, s.note))))))),
      element("p", { class: "below" }, "To the microsecond. The gaps between its tokens, and what is not known: ", element("code", {}, `tare explain FOLDER ${r.id}`), "; as a file: ", element("code", {}, `tare report FOLDER --figure waterfall --request ${r.id}`)),
    ];
  }

  function anyRequest(box, d) {
    const search = one("[data-own-search]", box), said = one("[data-own-said]", box);
    const found = one("[data-own-found]", box), place = one("[data-own-shown]", box);
    const hint = said.textContent, FEW = 6;
    let unpacking = null;
    const get = () => (unpacking ??= unpacked(d).catch((error) => { said.textContent = `This browser cannot unpack the requests: ${error.message}`; return []; }));
    const show = (r) => {
      place.replaceChildren(...drawn(whole_of(r)).filter((part) => part !== null));
      place.hidden = false;
      place.scrollIntoView({ block: "nearest" });
      place.focus({ preventScroll: true });
      reachable();
    };
    const matching = async () => {
      const text = search.value.trim().toLowerCase();
      if (!text) return null;
      const requests = await get();
      const named = requests.filter((r) => String(r.index) === text || r.id.toLowerCase() === text);
      const holding = requests.filter((r) => !named.includes(r) && r.id.toLowerCase().includes(text));
      return named.concat(holding);
    };
    const list = async () => {
      const matches = await matching();
      found.replaceChildren();
      if (matches === null) { said.textContent = hint; return; }
      for (const r of matches.slice(0, FEW)) {
        const button = element("button", { type: "button" }, `${r.index}`, element("span", { class: "id" }, ` ${r.id} `), `${r.status}${r.ttft === null ? "" : `, TTFT ${time(r.ttft)}`}`);
        button.addEventListener("click", () => show(r));
        found.append(element("li", {}, button));
      }
      const n = matches.length;
      said.textContent = n === 0 ? "No such request in this page; `tare explain FOLDER ID` knows all of the run." : n === 1 ? "1 request fits; Enter shows it." : `${whole(n)} requests fit${n > FEW ? `, ${FEW} are listed` : ""}; Enter shows the first.`;
    };
    search.addEventListener("input", list);
    search.addEventListener("keydown", async (e) => {
      if (e.key !== "Enter") return;
      e.preventDefault();
      const matches = await matching();
      if (matches?.length) show(matches[0]);
    });
    return { get, show };
  }

  const line = one("[data-timeline]");
  if (line && data.timeline) timeline(line, data.timeline);

  function timeline(box, d) {
    const say = readoutOf(box);
    const figure = box.closest("figure");
    const chosen = one("[data-chosen]", figure);
    const hint = chosen.textContent;
    const zoom = one("[data-zoom]", figure), back = one("[data-whole]", figure);
    const plots = all(".plot", box);
    const xs = one(".xs", box);
    const mark = (name) => {
      const i = document.createElement("i");
      i.className = name;
      i.style.display = "none";
      box.append(i);
      return i;
    };
    const cross = mark("cross down"), brush = mark("brush");
    let view = [0, d.length], cursor = null, part = null, anchor = null;

    const place = () => {
      const left = plots[0].getBoundingClientRect().left - box.getBoundingClientRect().left;
      const width = plots[0].clientWidth;
      const at = (t) => left + width * clamp((t - view[0]) / (view[1] - view[0]), 0, 1);
      cross.style.display = cursor === null ? "none" : "";
      if (cursor !== null) cross.style.left = at(cursor) + "px";
      brush.style.display = part ? "" : "none";
      if (part) {
        brush.style.left = at(part[0]) + "px";
        brush.style.width = at(part[1]) - at(part[0]) + "px";
      }
    };
    const ticks = () => xs.replaceChildren(...labels(view[0], view[1]));
    const look = (lo, hi) => {
      view = [lo, hi];
      for (const plot of plots) {
        one("svg", plot).setAttribute("viewBox", `${(1000 * lo) / d.length} 0 ${(1000 * (hi - lo)) / d.length} 1000`);
      }
      back.disabled = lo === 0 && hi === d.length;
      ticks();
      place();
    };
    const nearest = (at, t) => {
      let best = -1;
      at.forEach((v, i) => { if (best < 0 || Math.abs(v - t) < Math.abs(at[best] - t)) best = i; });
      return best;
    };
    const point = (t) => {
      cursor = clamp(t, view[0], view[1]);
      const i = clamp(Math.floor(cursor / d.bin), 0, d.bins.begin.length - 1);
      const s = nearest(d.server.at, cursor);
      const gauge = (name) => (s < 0 ? null : d.server[name][s]);
      const parts = [`${cursor.toFixed(cursor < 10 ? 2 : 1)} s`, `in flight ${d.bins.in_flight[i].toFixed(1)}`];
      if (gauge("running") !== null) parts.push(`running ${whole(gauge("running"))}` + (gauge("waiting") !== null ? `, waiting ${whole(gauge("waiting"))}` : ""));
      const f = d.firsts.begin.findIndex((begin, n) => cursor >= begin && cursor < d.firsts.end[n]);
      if (f >= 0) parts.push(`median TTFT: client ${time(d.firsts.ttft[f])}` + (d.firsts.server_ttft[f] !== null ? `, server ${time(d.firsts.server_ttft[f])}` : ""));
      const rates = [["client", d.bins.tps[i]], ["server", gauge("tps")]].filter(([, v]) => v !== null);
      if (rates.length) parts.push("output: " + rates.map(([who, v]) => `${who} ${number(v)} tok/s`).join(", "));
      if (gauge("kv") !== null) parts.push(`KV cache ${percent(gauge("kv"))}`);
      say(parts.join(" · "));
      place();
    };
    const choose = (lo, hi) => {
      part = lo === null ? null : [Math.max(0, Math.min(lo, hi)), Math.min(d.length, Math.max(lo, hi))];
      zoom.disabled = !part || part[1] - part[0] < d.length / 1e4;
      chosen.classList.toggle("on", part !== null);
      place();
      if (!part) { chosen.textContent = hint; return; }
      const r = d.requests, inside = [];
      r.start.forEach((t, i) => { if (t >= part[0] && t < part[1]) inside.push(i); });
      const ok = inside.filter((i) => r.ok[i] === 1).length, failed = inside.filter((i) => r.ok[i] === 0).length;
      const sorted = (name) => inside.map((i) => r[name][i]).filter((v) => v !== null).sort((a, b) => a - b);
      const said = (name, values) => values.length ? `${name} p50 ${time(quantile(values, 0.5))}, p95 ${time(quantile(values, 0.95))}` : null;
      const every = d.every > 1 ? ` (of every ${d.every}th)` : "";
      const parts = [
        `${part[0].toFixed(2)} s to ${part[1].toFixed(2)} s: ${whole(inside.length)} requests started${every}, ${ok} ok, ${failed} failed`,
        said("client TTFT", sorted("ttft")), said("server TTFT", sorted("server_ttft")), said("E2E", sorted("e2e")),
      ];
      chosen.textContent = parts.filter(Boolean).join(" · ") + " · ";
      const code = document.createElement("code");
      code.textContent = `tare report FOLDER --window ${part[0].toFixed(2)}..${part[1].toFixed(2)}`;
      chosen.append(code);
    };
    const timeAt = (e) => {
      const rect = plots[0].getBoundingClientRect();
      return view[0] + clamp((e.clientX - rect.left) / rect.width, 0, 1) * (view[1] - view[0]);
    };
    let from = null;
    box.addEventListener("pointerdown", (e) => {
      if (!e.target.closest(".plot") || e.button !== 0) return;
      from = { t: timeAt(e), x: e.clientX };
    });
    box.addEventListener("pointermove", (e) => {
      if (from && Math.abs(e.clientX - from.x) > 4) { e.preventDefault(); choose(from.t, timeAt(e)); }
      if (from || e.target.closest(".plot")) point(timeAt(e));
    });
    // The request whose dot is nearest to a click.
    const dotAt = async (e) => {
      const plot = e.target.closest?.(".lane.tall .plot");
      if (!plot || !own) return;
      const rect = plot.getBoundingClientRect(), requests = await own.get();
      const x = (t) => (rect.width * (t - view[0])) / (view[1] - view[0]);
      const y = (ttft) => rect.height * (1 - clamp(ttft / d.ttft_top, 0, 1));
      let best = null, least = 14;
      for (const r of requests) {
        if (r.ttft === null) continue;
        const far = Math.hypot(x(r.start) - (e.clientX - rect.left), y(r.ttft) - (e.clientY - rect.top));
        if (far < least) [best, least] = [r, far];
      }
      if (best) own.show(best);
    };
    const startedAt = async (t) => {
      if (!own) return;
      const requests = await own.get();
      const nearer = (a, b) => (Math.abs(b.start - t) < Math.abs(a.start - t) ? b : a);
      if (requests.length) own.show(requests.reduce(nearer));
    };
    addEventListener("pointerup", (e) => {
      if (from && Math.abs(e.clientX - from.x) <= 4) { choose(null); dotAt(e); }
      from = null;
    });
    box.addEventListener("pointerleave", () => { if (!from) { cursor = null; say(null); place(); } });
    box.addEventListener("blur", () => { cursor = null; say(null); place(); });
    zoom.addEventListener("click", () => { if (part) { look(part[0], part[1]); choose(null); } });
    back.addEventListener("click", () => look(0, d.length));
    box.addEventListener("keydown", (e) => {
      const step = Math.max(d.bin, (view[1] - view[0]) / 100);
      const by = { ArrowRight: step, ArrowLeft: -step }[e.key];
      if (by !== undefined) {
        const was = cursor ?? (view[0] + view[1]) / 2;
        point(cursor === null && !e.shiftKey ? was : was + by);
        if (e.shiftKey) { anchor ??= was; choose(anchor, cursor); } else anchor = null;
      } else if (e.key === "Home") point(view[0]);
      else if (e.key === "End") point(view[1]);
      else if (e.key === "Enter" && part) { look(part[0], part[1]); choose(null); anchor = null; }
      else if (e.key === "Enter" && cursor !== null) startedAt(cursor);
      else if (e.key === "Escape") {
        anchor = null;
        if (part) choose(null); else look(0, d.length);
      } else return;
      e.preventDefault();
    });
    addEventListener("resize", place);
    look(0, d.length);
  }

  // Single requests, by what they were chosen for.
  const requests = all("[data-requests] > details");
  const kind = one("[data-kind]"), shown = one("[data-shown]"), open = one("[data-open]");
  if (kind) {
    kind.addEventListener("change", () => {
      let n = 0;
      for (const request of requests) {
        request.hidden = !request.dataset.kinds.includes(kind.value);
        n += request.hidden ? 0 : 1;
      }
      shown.textContent = `${n} of ${requests.length} shown`;
    });
    open.addEventListener("click", () => {
      const to = requests.some((request) => !request.hidden && !request.open);
      for (const request of requests) if (!request.hidden) request.open = to;
      open.textContent = to ? "Close all" : "Open all";
    });
  }

  // Colours: the system's, or one's own.
  const button = one("[data-theme-button]");
  const remembered = () => { try { return localStorage.getItem("tare-colours"); } catch { return null; } };
  const paint = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme; else delete root.dataset.theme;
    const name = root.dataset.theme ?? "system";
    button.textContent = "Colours: " + name;
    button.setAttribute("aria-label", "Colours: " + (name === "system" ? "as the system has them" : name));
  };
  paint(remembered());
  button.addEventListener("click", () => {
    const next = { system: "light", light: "dark", dark: "system" }[root.dataset.theme ?? "system"];
    paint(next);
    try { localStorage.setItem("tare-colours", next); } catch { /* a page from disk may have no storage */ }
  });

  // What is wider than its place can be scrolled by keys; paper cannot be unfolded. Single requests
  // are printed as the reader left them.
  const reachable = () => {
    for (const box of all(".scroll")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
    }
  };
  reachable();
  addEventListener("resize", reachable);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details.more:not([open]), details.notes:not([open])");
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
})();
