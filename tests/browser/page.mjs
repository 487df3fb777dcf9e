// The page in a real Chromium, with the real binary behind it: page.mjs BINARY [IMAGES]. Every page in light, dark and at phone width
// is looked at by axe-core; every action is done by its button; one visitor has no JavaScript. With IMAGES the screenshots of the
// documentation are written there.
import { chromium } from "playwright-core";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import assert from "node:assert/strict";

const [binary, images] = process.argv.slice(2);
const TOKEN = "a-token-for-this-test-alone";
const HOSTILE = "<script>document.title='owned'</script>\u202e";
const PATIENCE = 30_000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/** For pictures alone: a past to draw, made up. */
const PAST = `
import sqlite3, time
today = int(time.time()) // 86400
db = sqlite3.connect("renewald.db")
for back in range(1, 90):
    day = today - back
    seen = 140 + 35 * (day % 7) - (day * 7919) % 60 - (90 if day % 7 in (2, 3) else 0)
    db.execute("INSERT INTO renewal_days VALUES ('nexway', ?, ?, ?, ?, ?, ?)", (day, seen, seen, seen * 97 // 100, seen - 1, seen))
db.commit()
`;

const home = mkdtempSync(join(tmpdir(), "renewald-page-"));
const children = [];

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

function start(args, options) {
  const child = spawn(binary, args, { cwd: home, ...options });
  children.push(child);
  return child;
}

const renewald = (...args) => execFileSync(binary, ["-q", ...args], { cwd: home, encoding: "utf8" });

/** A sandbox, settings, subscriptions of which some have renewed, and a daemon that has looked at all of them. */
async function begin() {
  const sandbox = start(["sandbox", "--port", "0", "--json", "--speed", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(sandbox.stdout, "data");
  const { api_url, iam_url, control_url } = JSON.parse(line);
  const control = (path, body) =>
    fetch(control_url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
      .then(async (answer) => (assert.ok(answer.ok, await answer.clone().text()), answer.json()));
  const port = await freePort();
  writeFileSync(join(home, "renewald.toml"), `
[store]
path = "renewald.db"
[admin]
listen = "127.0.0.1:${port}"
token = "${TOKEN}"
reveal = true
[sinks.shop]
kind = "file"
path = "shop.jsonl"
[sinks.crm]
kind = "webhook"
url = "http://127.0.0.1:9/"
[providers.nexway]
kind = "nexway-connect"
requests_per_second = 9
api_url = "${api_url}"
iam_url = "${iam_url}"
realm = "sandbox"
client_secret = "sandbox-client-secret"
territories.eu.secret = "sandbox-secret-eu"
`, { mode: 0o600 });
  const numbers = [...Array(12).keys()].map((n) => `PARTNER${689 + n}`);
  if (!images) numbers.push(HOSTILE);
  const ids = {};
  for (const number of numbers) {
    const order = await control("/orders", { partner_order_number: number });
    ids[number] = order.orderLines[0].lineItems[0].subscriptionId;
    renewald("track", number, `${ids[number]}`, "--generation", "0");
  }
  for (const number of numbers.slice(0, 4)) await control("/renew", { partner_order_number: number });
  if (images) execFileSync("python3", ["-c", PAST], { cwd: home });
  const daemon = start(["run"], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  daemon.stderr.on("data", (part) => (log += part));
  const base = `http://127.0.0.1:${port}`;
  await until("the daemon has swept", () => log.includes("swept"));
  return { base, ids, control, daemon };
}

async function until(what, is) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await new Promise((go) => setTimeout(go, 50))) {
    if (await is()) return;
  }
  assert.fail(`not in time: ${what}`);
}

/** Runs axe in a world of its own: the page's policy lets nobody add a script. */
async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const world = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const run = (expression) =>
    session.send("Runtime.evaluate", { expression, awaitPromise: true, contextId: world.executionContextId });
  await run(axe);
  const { result } = await run(
    `axe.run({ runOnly: ${JSON.stringify(RULES)} }).then((all) => JSON.stringify(all.violations.map((one) =>
       [one.id, ...one.nodes.map((node) => node.html.slice(0, 120))])))`);
  await session.detach();
  return JSON.parse(result.value);
}

async function visitor(browser, base, options) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 820 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  await page.goto(base);
  assert.match(page.url(), /\/page\/login$/);
  await page.getByLabel("Token").fill(TOKEN);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  return { page, complaints, context };
}

const { base, ids, control, daemon } = await begin();
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const story = `/page/subscription?provider=nexway&number=PARTNER689&id=${ids.PARTNER689}`;
  const pages = { overview: "/", subscriptions: "/page/subscriptions", story, messages: "/page/messages", receivers: "/page/receivers" };
  const looks = { light: {}, dark: { colorScheme: "dark" }, phone: { viewport: { width: 390, height: 844 }, isMobile: true } };
  for (const [look, options] of Object.entries(looks)) {
    const { page, complaints, context } = await visitor(browser, base, options);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(base + path);
      assert.deepEqual(await violations(page), [], `${name}, ${look}`);
      const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      assert.ok(width[0] <= width[1], `${name}, ${look} is wider than its window: ${width}`);
      if (images && name !== "receivers") {
        mkdirSync(images, { recursive: true });
        await page.screenshot({ path: join(images, `${name}-${look}.png`) });
      }
    }
    assert.deepEqual(complaints, [], look);
    await context.close();
  }

  const { page, complaints, context } = await visitor(browser, base, {});
  // Every action by its button, with what it says before.
  const press = async (summary, button) => {
    const details = page.locator("details").filter({ has: page.locator("summary", { hasText: summary }) });
    await details.locator("summary").click();
    await details.getByRole("button", { name: button, exact: true }).click();
  };
  const said = (text) => page.getByRole("status").filter({ hasText: text }).waitFor();
  await page.goto(base + story);
  await press("Ask now", "Ask now");
  await said("It is asked about now.");
  await press("Pause", "Pause");
  await said("Its polls are paused.");
  await press("Resume", "Resume");
  await said("It is polled again.");
  await press("Fetch generation 1 (PARTNER689-1) again", "Fetch again");
  await said("Its order data is asked for now.");
  await page.goto(`${base}/page/messages?sink=shop&state=delivered`);
  await page.getByRole("link", { name: "renewal.ready" }).first().click();
  await press("Show its content, licence keys included", "Show the keys");
  assert.match(await page.locator("pre").innerText(), /"renewal.ready|serials/);
  await page.goBack();
  await press("Send again", "Send again");
  await said("It is due now.");
  await page.goto(`${base}/page/messages?sink=crm&state=pending`);
  await page.getByRole("link", { name: "renewal.ready" }).first().click();
  await press("Try now", "Try now");
  await said("It is due now.");
  // By the keyboard alone: past the chapters, into a search, to what it finds.
  await page.goto(`${base}/page/subscriptions`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.getByLabel("Number or id begins with").focus();
  await page.keyboard.type("PARTNER70");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "PARTNER700" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "PARTNER689", exact: true }).count(), 0);
  // The sentence goes on by itself.
  await page.goto(base);
  const before = await page.locator("[data-figure=sentence]").innerText();
  renewald("track", "PARTNER-NEW", `${(await control("/orders", { partner_order_number: "PARTNER-NEW" })).orderLines[0].lineItems[0].subscriptionId}`, "--generation", "0");
  await page.waitForFunction((before) => document.querySelector("[data-figure=sentence]").innerText !== before, before, { timeout: PATIENCE });
  // What others have written is text.
  if (ids[HOSTILE]) {
    await page.goto(`${base}/page/subscriptions?q=${encodeURIComponent(HOSTILE)}`);
    await page.getByRole("link", { name: "<script>" }).click();
    await page.getByRole("heading", { level: 1, name: "<script>document.title='owned'</script>\\u{202e}" }).waitFor();
    assert.notEqual(await page.title(), "owned");
  }
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Token").waitFor();
  await page.goto(base);
  assert.match(page.url(), /\/page\/login$/, "logged out");
  assert.deepEqual(complaints, []);
  await context.close();

  // Without JavaScript all but the figures that go on by themselves.
  const plain = await visitor(browser, base, { javaScriptEnabled: false });
  await plain.page.goto(base + story);
  await plain.page.locator("summary", { hasText: "Pause" }).click();
  await plain.page.getByRole("button", { name: "Pause", exact: true }).click();
  await plain.page.getByText("Its polls are paused.").waitFor();
  const cookie = (await plain.context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const html = await (await fetch(base, { headers: { cookie } })).text();
  assert.ok(gzipSync(html).length <= 15 * 1024, `the overview has ${gzipSync(html).length} bytes, gzipped`);
  const script = await (await fetch(`${base}/page/live.js`)).text();
  assert.ok(script.length <= 20 * 1024, `${script.length} bytes of JavaScript`);
  await plain.context.close();
  console.log(`the page: ${Object.keys(pages).length} pages in ${Object.keys(looks).length} looks, every action, overview ${gzipSync(html).length} bytes gzipped`);
} finally {
  await browser.close();
  for (const child of children) child.kill("SIGTERM");
  await Promise.all(children.map((child) => child.exitCode ?? once(child, "exit")));
  rmSync(home, { recursive: true });
}
