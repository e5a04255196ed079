// A person's way through the page, in a real browser: find a trace, open it, search in it, come back by its URL.
//
// Usage: page.js CONFIG_JSON   (NODE_PATH names the installed modules; tests/browser.rs writes the configuration)
//   url          where the page is
//   chromium     the browser to drive
//   screenshots  folder for pictures, also of a failure
//   journey      { trace_id, service, name, n_spans, find, span_id, span_name, attribute, lanes, hop }
//   skewed       { trace_id }
//   doubtful     { trace_id }: a journey with an inferred join
//   wide         { trace_id, n_traces, n_joined }: a journey of more traces than are joined without being asked
//   metric       { name }
//   big          { trace_id, n_spans }
//   guarded      { url, key, sender_key }: a collector that asks for keys
//   huge         { trace_id, n_spans }, or null in short runs
//   hostile      { trace_id, marker }
//   only         names of steps to run alone, while one works on them
//   is_debug     the server is a debug build: its times are printed, not judged strictly
//
// Prints one JSON object of figures. Ends with code 1 and the name of the failed step otherwise.
'use strict';

const { chromium } = require('playwright-core');

const { assert, config, open, picture, run, whole } = require('./common.js');

// A room of the page each; every step in them is a function by its name.
const rooms = ['explore', 'journey', 'waterfall', 'large', 'desk', 'alerts', 'frame', 'visits'];
const steps = Object.assign({}, ...rooms.map((room) => require(`./steps/${room}.js`)));

// Steps that open a browser's context of their own.
const isOwn = new Set(['bundle', 'signIn', 'refused', 'huge']);

async function main() {
  const browser = await chromium.launch({
    executablePath: config.chromium,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // Shared memory of a container may be too small for a page.
      '--disable-dev-shm-usage',
    ],
  });
  const complaints = [];
  try {
    const page = await open(browser, complaints, { colorScheme: 'dark' });
    page.onFailure = () => picture(page, 'failure').catch(() => {});
    try {
      if (config.only) {
        for (const name of config.only) {
          assert(steps[name], `there is no step ${name}: ${Object.keys(steps).join(', ')}`);
          await (isOwn.has(name) ? steps[name](browser, complaints) : steps[name](page, browser, complaints));
        }
      } else {
        await all(page, browser, complaints);
      }
    } catch (error) {
      await page.onFailure();
      throw error;
    }
    run.step = 'nothing on the page complained';
    assert(complaints.length === 0, complaints.join('\n'));
  } finally {
    await browser.close();
  }
  process.stdout.write(JSON.stringify(run.figures));
}

// The whole way, in the order in which a person goes it.
async function all(page, browser, complaints) {
  await steps.explore(page);
  await steps.filterByUrl(page);
  const way = await steps.journey(page);
  await steps.clocks(page);
  await steps.restoreJourney(browser, complaints, way);
  await steps.tabs(page);
  await steps.selection(page);
  await steps.pages(page);
  await steps.metrics(page);
  await steps.command(page);
  await steps.cut(page);
  await steps.wider(page);
  await steps.lanes(page);
  await steps.columns(page);
  await steps.places(page);
  await steps.behind(page);
  await steps.statement(page, browser, complaints);
  await steps.alerts(page);
  await steps.waterfall(page);
  await steps.stitched(page);
  await steps.folds(page);
  await steps.views(page);
  await steps.short(page);
  await steps.refused(browser, complaints);
  await steps.narrow(page);
  await page.goto(`${config.url}/t/${config.journey.trace_id}`);
  await whole(page);
  await steps.find(page);
  const link = await steps.inspect(page);
  await steps.themes(page);
  await steps.restore(browser, complaints, link);
  await steps.jump(page);
  await steps.hostile(page);
  await steps.states(page);
  await steps.big(page);
  if (config.huge) await steps.huge(browser, complaints);
  await steps.signIn(browser, complaints);
  await steps.bundle(browser, complaints);
  await steps.story(page);
}

main().catch((error) => {
  console.error(`step "${run.step}": ${error.message}`);
  process.exit(1);
});
