// Drives report pages in a headless Chromium and says what is wrong with them; keeps pictures of them.
//   node drive.mjs PICTURES REPORT.html...
// Exit code 1: something was found. See check.sh, which installs what this needs.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(join(process.env.DRIVER ?? process.cwd(), "driver.js"))("playwright-core");
const [pictures, ...reports] = process.argv.slice(2);
const WIDTHS = [400, 900, 1400];
const found = [];
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});

for (const report of reports) {
  const url = pathToFileURL(resolve(report)).href;
  const name = process.env.NAME ?? basename(dirname(resolve(report)));
  const wrong = (what) => { found.push(`${name}: ${what}`); console.log(`WRONG  ${name}: ${what}`); };
  const expect = (truth, what) => { if (!truth) wrong(what); else console.log(`ok     ${name}: ${what}`); };

  const open = async (options) => {
    const context = await browser.newContext({ deviceScaleFactor: 1, ...options });
    const page = await context.newPage();
    page.on("console", (m) => { if (["error", "warning"].includes(m.type())) wrong(`console: ${m.text()}`); });
    page.on("pageerror", (e) => wrong(`script: ${e.message}`));
    page.on("request", (r) => { if (r.url() !== url && !r.url().startsWith("data:")) wrong(`asks for ${r.url()}`); });
    await page.goto(url);
    return page;
  };

  for (const width of WIDTHS) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open({ viewport: { width, height: 900 }, colorScheme });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide <= width, `no sideways scrolling at ${width} px (${wide})`);
      await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      await page.context().close();
    }
  }

  const page = await open({ viewport: { width: 1200, height: 900 } });
  const levels = await page.$$eval("h1, h2, h3, h4, h5, h6", (all) => all.map((h) => Number(h.tagName[1])));
  expect(levels[0] === 1 && levels.filter((l) => l === 1).length === 1, "one heading of the first level, first");
  expect(levels.every((l, i) => i === 0 || l <= levels[i - 1] + 1), "no level of headings is left out");
  const twice = await page.$$eval("[id]", (all) => all.map((e) => e.id).filter((id, i, ids) => ids.indexOf(id) !== i));
  expect(twice.length === 0, `ids are unique (${twice})`);
  const nameless = await page.$$eval("svg, [tabindex='0']", (all) => all.filter((e) => !e.ariaLabel && !e.closest(".scroll")).length);
  expect(nameless === 0, "every drawing, and all that can be pointed at, has a text alternative");
  const anchors = await page.$$eval("a[href^='#']", (all) => all.filter((a) => !document.getElementById(a.hash.slice(1))).length);
  expect(anchors === 0, "every link within the page leads somewhere");
  const unscoped = await page.$$eval("th:not([scope])", (all) => all.length);
  expect(unscoped === 0, "every head cell has a scope");

  // By pointer, then by keys.
  const figures = await page.$$("figure:has([data-readout])");
  expect(figures.length > 0, `${figures.length} figures can be pointed at`);
  for (const figure of figures) {
    const id = await figure.getAttribute("id");
    const said = () => figure.$eval("[data-readout]", (e) => e.textContent);
    const hint = await figure.$eval("[data-readout]", (e) => e.dataset.hint);
    const target = (await figure.$(".plot")) ?? (await figure.$("[data-say]"));
    await target.scrollIntoViewIfNeeded();
    const box = await target.boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.5);
    const pointed = await said();
    await page.mouse.move(2, 2);
    const left = await said();
    await (await figure.$("[tabindex='0']")).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    const keyed = await said();
    await page.keyboard.press("Tab");
    expect(pointed !== hint && left === hint && keyed !== hint, `${id}: pointing and arrow keys say something (“${pointed}”, “${keyed}”)`);
  }

  if (await page.$("[data-timeline]")) {
    const viewBox = () => page.$eval("[data-timeline] svg", (e) => e.getAttribute("viewBox"));
    const chosen = () => page.$eval("[data-chosen]", (e) => e.textContent);
    const whole = await viewBox();
    const plot = await page.$("[data-timeline] .plot");
    await plot.scrollIntoViewIfNeeded();
    const box = await plot.boundingBox();
    await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 25, { steps: 5 });
    await page.mouse.up();
    const said = await chosen();
    expect(/requests started/.test(said) && /--window/.test(said), `a part of the run is chosen by dragging (“${said}”)`);
    await (await page.$("#over-time")).screenshot({ path: join(pictures, `${name}-chosen.png`) });
    await page.click("[data-zoom]");
    expect((await viewBox()) !== whole, "and zoomed to");
    await (await page.$("#over-time")).screenshot({ path: join(pictures, `${name}-zoomed.png`) });
    await page.click("[data-whole]");
    expect((await viewBox()) === whole, "and let go");
    await (await page.$("[data-timeline]")).focus();
    for (let i = 0; i < 12; i++) await page.keyboard.press("Shift+ArrowRight");
    const keyed = await chosen();
    expect(/requests started/.test(keyed), `a part of the run is chosen by keys (“${keyed}”)`);
    await page.keyboard.press("Enter");
    expect((await viewBox()) !== whole, "and zoomed to by Enter");
    await page.keyboard.press("Escape");
    expect((await viewBox()) === whole, "and let go by Escape");
  }

  const requests = await page.$$("[data-requests] > details");
  if (requests.length > 0) {
    const visible = () => page.$$eval("[data-requests] > details", (all) => all.filter((d) => !d.hidden).length);
    await page.selectOption("[data-kind]", "slowest");
    const slowest = await visible();
    expect(slowest > 0 && slowest <= requests.length, `${slowest} of ${requests.length} requests are among the slowest`);
    await page.selectOption("[data-kind]", "");
    await page.click("[data-open]");
    const opened = await page.$$eval("[data-requests] > details[open]", (all) => all.length);
    expect(opened === requests.length, "all requests unfold");
    for (const n of [0, Math.min(6, requests.length - 1)]) {
      await requests[n].screenshot({ path: join(pictures, `${name}-request-${n}.png`) });
    }
  }

  if (await page.$("[data-own]")) {
    const shown = () => page.$eval("[data-own-shown]", (e) => (e.hidden ? "" : e.innerText));
    const said = () => page.$eval("[data-own-said]", (e) => e.textContent);
    const until = async (truth) => {
      for (let i = 0; i < 100; i++) {
        if (await truth()) return true;
        await page.waitForTimeout(50);
      }
      return false;
    };
    const look = async (text) => {
      await page.fill("[data-own-search]", text);
      await page.press("[data-own-search]", "Enter");
    };
    // As the page was made with it, and as the script unpacks and draws it: the same numbers, to their last digit.
    const table = (root) => page.$eval(root, (e) => ({
      rows: [...e.querySelectorAll(".falls tbody tr")].map((tr) => [...tr.querySelectorAll("th, td:not(.axis)")].map((c) => c.textContent)),
      marks: [...e.querySelectorAll(".falls i")].map((i) => [i.className, parseFloat(i.style.left), parseFloat(i.style.width)]),
      stamps: [...e.querySelectorAll(".all tbody tr")].map((tr) => [...tr.children].map((c) => c.textContent)),
    }));
    const near = (a, b) => {
      // An interval is shown as a point where its ends look alike; one of a microsecond may end at either side of a digit.
      const ends = (t) => { const n = t.split(" … ").map((n) => Number(n.replaceAll(",", ""))); return [n[0], n[n.length - 1]]; };
      const [x, y] = [ends(a), ends(b)];
      return a === b || (x.every((v, i) => Math.abs(v - y[i]) <= (Math.abs(v) >= 1000 ? 1.01 : Math.abs(v) >= 100 ? 0.11 : Math.abs(v) >= 1 ? 0.011 : 0.0011)));
    };
    let compared = 0, differ = [];
    for (const request of requests) {
      const [id, anchor] = [await request.getAttribute("data-id"), await request.getAttribute("id")];
      await look(id);
      if (!(await until(async () => (await shown()).includes(id)))) { wrong(`request ${id} is not found by its id`); continue; }
      const [made, drawn] = [await table(`[id="${anchor}"]`), await table("[data-own-shown]")];
      const alike = made.rows.length === drawn.rows.length && made.rows.every((row, i) => row.every((cell, j) => near(cell, drawn.rows[i][j] ?? "")));
      // Stamps of the same moment may stand either way.
      const sorted = (stamps) => stamps.map((s) => [s[0], s[2], s[3], s[1]].join("|")).sort().map((s) => s.split("|"));
      const [a, b] = [sorted(made.stamps), sorted(drawn.stamps)];
      const stamps = a.length === b.length && a.every((s, i) => s.slice(0, 3).join() === b[i].slice(0, 3).join() && near(s[3], b[i][3]));
      // Of two at one place one is seen: the script has whole microseconds, which bring two stamps together.
      const among = (some, all) => some.every((m) => all.some((d) => d[0] === m[0] && Math.abs(d[1] - m[1]) < 0.06 && Math.abs(d[2] - m[2]) < 0.06));
      const marks = among(made.marks, drawn.marks) && among(drawn.marks, made.marks);
      compared += 1;
      if (!alike || !stamps || !marks) differ.push(`${anchor} (parts ${alike}, stamps ${stamps}, marks ${marks})`);
    }
    expect(compared === requests.length && differ.length === 0, `${compared} requests are drawn by the script as they were made (${differ})`);
    const number = (await requests[0].getAttribute("id")).replace("request-", "");
    await look(number);
    expect(await until(async () => (await shown()).includes(`Request ${number}:`)), `request ${number} is found by its number (“${await said()}”)`);
    expect(await page.evaluate(() => document.activeElement.hasAttribute("data-own-shown")), "and has the focus");
    await (await page.$("#requests .own")).screenshot({ path: join(pictures, `${name}-own.png`) });
    await page.fill("[data-own-search]", "-");
    expect(await until(async () => (await page.$$("[data-own-found] button")).length > 1), `a part of an id lists requests (“${await said()}”)`);
    await page.fill("[data-own-search]", "no such id");
    expect(await until(async () => /No such request/.test(await said())), "what is not there is said");
    await page.fill("[data-own-search]", "");
    // A dot of the timeline, by the pointer and by keys.
    if (await page.$(".lane.tall path.dot.client")) {
      const lane = await page.$(".lane.tall .plot");
      await lane.scrollIntoViewIfNeeded();
      const moved = await page.evaluate(() => {
        const svg = document.querySelector(".lane.tall path.dot.client").closest("svg").getBoundingClientRect();
        return { left: svg.left, top: svg.top, width: svg.width, height: svg.height };
      });
      const share = await page.evaluate(() => {
        const places = [...document.querySelector(".lane.tall path.dot.client").getAttribute("d").matchAll(/M([\d.]+) ([\d.]+)h0/g)];
        const at = places[Math.floor(places.length / 2)];
        return [at[1] / 1000, at[2] / 1000];
      });
      const before = await shown();
      await page.mouse.click(moved.left + moved.width * share[0], moved.top + moved.height * share[1]);
      expect(await until(async () => (await shown()) !== before && /^Request \d+:/.test(await shown())), `a click on a dot shows its request (“${(await shown()).split("\n")[0]}”)`);
    }
    await (await page.$("[data-timeline]")).focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
    const before = await shown();
    await page.keyboard.press("Enter");
    expect(await until(async () => (await shown()) !== before && /^Request \d+:/.test(await shown())), `Enter at a moment shows a request (“${(await shown()).split("\n")[0]}”)`);
  }

  await page.click("[data-theme-button]");
  await page.click("[data-theme-button]");
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  expect(dark !== "rgb(255, 255, 255)", `the colours can be chosen (${dark})`);
  await page.emulateMedia({ media: "print" });
  const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  expect(paper === "rgb(255, 255, 255)", "paper is white");
  await page.pdf({ path: join(pictures, `${name}.pdf`), format: "A4", printBackground: true });
  await page.context().close();

  const plain = await open({ viewport: { width: 900, height: 900 }, javaScriptEnabled: false });
  const there = async (selector) => (await plain.$$(selector)).length;
  expect((await there("table")) > 3 && (await there("svg path")) > 3, "without scripts tables and figures are there");
  const buttons = await plain.$$("button");
  expect((await Promise.all(buttons.map((b) => b.isVisible()))).every((v) => !v), "and nothing that needs them");
  await plain.context().close();
}

await browser.close();
console.log(found.length ? `${found.length} things are wrong` : "nothing is wrong");
process.exit(found.length ? 1 : 0);
