// What every step needs: the configuration, where things are on the page, and how to look at them.
'use strict';

const path = require('node:path');

const config = JSON.parse(process.argv[2]);

// The step that is under way, the figures so far, and whether what is not there or cannot be read is on screen on purpose.
const run = { step: 'start', figures: {}, isRefusalExpected: false };

// Everything the test knows about the page's markup.
const at = {
  rows: (page) => page.locator('tbody tr[id^=row-]'),
  filter: (page) => page.locator('#filter'),
  search: (page) => page.locator('#search'),
  spanRows: (page) => page.locator('[role=treegrid] [role=row]:visible'),
  spanNamed: (page, name) => page.locator(`[role=treegrid] [role=row][aria-label^="${name},"]:visible`).first(),
  find: (page) => page.locator('#find'),
  findCount: (page) => page.locator('.find .cnt'),
  inspector: (page) => page.getByRole('complementary', { name: 'Span details' }),
  attribute: (page, key) => at.inspector(page).locator(`dt[title="${key}"] + dd`).first(),
  lanes: (page) => page.locator('svg.jy .lane'),
  hops: (page) => page.locator('#hops tbody tr[id^=hop-]'),
  theme: (page) => page.getByRole('button', { name: /switch to the (light|dark) theme/i }),
};

function assert(condition, message) {
  if (!condition) throw new Error(message);
}

// What a key changes is drawn a moment later.
async function until(check, message) {
  for (const begun = Date.now(); !(await check()); await new Promise((done) => setTimeout(done, 50))) {
    assert(Date.now() - begun < 60_000, message);
  }
}

async function picture(page, name) {
  await page.screenshot({ path: path.join(config.screenshots, `${name}.png`) });
}

// A page that fails the test when anything on it complains.
// `isPlain`: without what makes it slower than a reader's.
async function open(browser, complaints, { isPlain = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(config.is_debug ? 120_000 : 60_000);
  page.on('pageerror', (error) => complaints.push(`${run.step}, ${page.url()}: error on the page: ${error.message}`));
  // When the frame's static shell gave way to the program, and how long keys took until they were painted.
  await context.addInitScript(() => {
    window.keyTimes = [];
    const watch = new MutationObserver(() => {
      if (!document.getElementById('shell') && document.body?.firstElementChild) {
        window.interactiveAt ??= performance.now();
        watch.disconnect();
      }
    });
    watch.observe(document, { childList: true, subtree: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (entry.name === 'keydown') window.keyTimes.push(entry.duration);
    }).observe({ type: 'event', durationThreshold: 16, buffered: true });
  });
  // Run by the driver, not by the page: its policy stays as strict as it is.
  if (!isPlain) await context.addInitScript({ path: require.resolve('axe-core/axe.min.js') });
  page.on('console', (message) => {
    // A server that does not know what is usual says 404, one that is asked a wrong statement 400; the browser logs both.
    const { url } = message.location();
    const isRefused = url.includes('/api/sql') || url.includes('/api/alert-rules/preview');
    // What is asked for on purpose and is not there is an answer too.
    if (run.isRefusalExpected && /status of 4\d\d/.test(message.text())) return;
    const isUsual = url.includes('/api/compare') || (isRefused && message.text().includes('400'));
    if (message.type() === 'error' && !isUsual) complaints.push(`${run.step}, ${page.url()}: console: ${message.text()} ${url}`);
  });
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    const houses = [config.url, config.guarded?.url].filter(Boolean).map((house) => new URL(house).origin);
    const isOwn = houses.includes(url.origin) || ['data:', 'blob:'].includes(url.protocol);
    if (!isOwn) complaints.push(`a request left the house: ${request.url()}`);
  });
  return page;
}

// Nothing serious for people who cannot see or point, as far as a program can tell.
async function accessible(page, what) {
  // What is being asked for anew is shown paler for a moment, and colours change in steps: how long that takes is the machine's business.
  await page.waitForFunction(() => !document.querySelector('.old') && document.getAnimations().every(
    (animation) => animation.playState !== 'running' || animation.effect?.getComputedTiming().endTime === Infinity,
  ));
  run.step = `accessibility of ${what}`;
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ['violations'] });
    return result.violations
      .filter((rule) => ['serious', 'critical'].includes(rule.impact))
      .map((rule) => `${rule.id}: ${rule.help} (${rule.nodes.slice(0, 4).map((node) => node.target.join(' ')).join('; ')})`);
  });
  assert(found.length === 0, `${what}: ${found.join('\n')}`);
}

// All traces of the journey are in the list: until then it is drawn once more.
async function whole(page) {
  await page.locator('.status', { hasText: /spans in \d+ traces/ }).waitFor();
  await page.locator('.wr.cross:visible').first().waitFor();
}

module.exports = { run, config, at, assert, until, picture, open, accessible, whole };
