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
    const ticks = () => {
      const [lo, hi] = view, rough = (hi - lo) / 6;
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
      const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (Math.abs(step / power - 2.5) < 1e-9 ? 1 : 0));
      xs.replaceChildren();
      for (let n = Math.ceil(lo / step - 1e-9); n * step <= hi + 1e-9; n++) {
        const label = document.createElement("span");
        label.style.left = ((n * step - lo) / (hi - lo)) * 100 + "%";
        label.textContent = (n * step).toFixed(decimals);
        xs.append(label);
      }
    };
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
      if (d.bins.ttft[i] !== null) parts.push(`median TTFT: client ${time(d.bins.ttft[i])}` + (d.bins.server_ttft[i] !== null ? `, server ${time(d.bins.server_ttft[i])}` : ""));
      const rates = [["client", d.bins.tps[i]], ["server", gauge("tps")]].filter(([, v]) => v !== null);
      if (rates.length) parts.push("output: " + rates.map(([who, v]) => `${who} ${number(v)} tok/s`).join(", "));
      if (gauge("kv") !== null) parts.push(`KV cache ${(gauge("kv") * 100).toFixed(1)} %`);
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
    addEventListener("pointerup", (e) => {
      if (from && Math.abs(e.clientX - from.x) <= 4) choose(null);
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
      else if (e.key === "Escape") {
        anchor = null;
        if (part) choose(null); else look(0, d.length);
      } else return;
      e.preventDefault();
    });
    addEventListener("resize", place);
    look(0, d.length);
  }

  // Single requests: by what they were chosen for, and by id.
  const requests = all("[data-requests] > details");
  const kind = one("[data-kind]"), search = one("[data-search]"), shown = one("[data-shown]"), open = one("[data-open]");
  if (kind) {
    const filter = () => {
      const text = search.value.trim().toLowerCase();
      let n = 0;
      for (const request of requests) {
        const fits = request.dataset.kinds.includes(kind.value) && request.dataset.id.toLowerCase().includes(text);
        request.hidden = !fits;
        n += fits ? 1 : 0;
      }
      shown.textContent = `${n} of ${requests.length} shown`;
    };
    kind.addEventListener("change", filter);
    search.addEventListener("input", filter);
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
