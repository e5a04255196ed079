// Traces of 10,000 and 100,000 spans: how soon they are there, how they scroll, what they take.
'use strict';

const { run, config, at, assert, picture, open } = require('../common.js');

// Opens a trace by its id from the list; milliseconds until its first rows are there.
async function openById(page, trace_id) {
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  const begun = Date.now();
  await at.search(page).fill(trace_id);
  await at.search(page).press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(`/t/${trace_id}`));
  await at.spanRows(page).first().waitFor();
  return Date.now() - begun;
}

// A trace of ten thousand spans: first rows soon, and scrolling without long frames.
async function big(page) {
  run.step = 'a big trace shows its first rows';
  const { trace_id, n_spans } = config.big;
  run.figures.big_first_rows_ms = await openById(page, trace_id);
  const nodes = await at.spanRows(page).count();
  assert(nodes < 300, `${nodes} row nodes for ${n_spans} spans: rows are not virtual`);

  run.step = 'a big trace scrolls';
  const scrolled = await scroll(page);
  assert(!scrolled.error, scrolled.error);
  assert(scrolled.height > n_spans * 15, `the list is ${scrolled.height} px high for ${n_spans} rows`);
  run.figures.scroll_frame_ms = { p50: scrolled.p50, p95: scrolled.p95, max: scrolled.max, over_20: scrolled.over_20, per_second: scrolled.per_second, rest_p95: scrolled.rest_p95 };
  const visible = await at.spanRows(page).count();
  assert(visible > 5, 'rows are there after scrolling');
  await picture(page, 'big-dark');
}

// The same in a trace ten times as long, which only long runs hold: what it takes to open, scroll and shut it.
// In a tab of its own: what a hundred pages before it left behind, until the browser collects it, is none of its memory.
async function huge(browser, complaints) {
  run.step = 'a huge trace opens and scrolls';
  const { trace_id } = config.huge;
  const page = await open(browser, complaints, { colorScheme: 'dark', isPlain: true });
  page.onFailure = () => picture(page, 'failure').catch(() => {});
  try {
    await page.addInitScript(keepMemories);
    const first_rows_ms = await openById(page, trace_id);
    const session = await page.context().newCDPSession(page);
    const opened = await memory(page, session);
    const { p50, p95, max, over_20, per_second, rest_p95 } = await scroll(page);
    const scrolled = await memory(page, session);
    const shut_ms = await page.evaluate(async () => {
      const before = document.querySelector('[role=treegrid]').getAttribute('aria-rowcount');
      const begun = performance.now();
      window.dispatchEvent(new KeyboardEvent('keydown', { key: '1', code: 'Digit1', bubbles: true }));
      while (document.querySelector('[role=treegrid]').getAttribute('aria-rowcount') === before) {
        await new Promise(requestAnimationFrame);
        if (performance.now() - begun > 10_000) return -1;
      }
      return performance.now() - begun;
    });
    await session.send('HeapProfiler.collectGarbage');
    const megabytes = { opened, scrolled, collected: await memory(page, session) };
    run.figures.huge = { first_rows_ms, frame_ms: { p50, p95, max, over_20, per_second, rest_p95 }, shut_ms, megabytes };
  } catch (error) {
    await page.onFailure();
    throw error;
  }
  await page.context().close();
}

// Keeps the memories of programs that the page starts: the browser counts them nowhere.
function keepMemories() {
  window.memories = [];
  for (const name of ['instantiate', 'instantiateStreaming']) {
    const instantiate = WebAssembly[name];
    WebAssembly[name] = async (...given) => {
      const made = await instantiate(...given);
      window.memories.push((made.instance ?? made).exports.memory);
      return made;
    };
  }
}

// What the tab takes, in MB: what scripts, the document and buffers hold, garbage among it, and the memory of the program, which never shrinks.
async function memory(page, session) {
  const heap = await session.send('Runtime.getHeapUsage');
  const program = await page.evaluate(() => window.memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0));
  const parts = { script: heap.usedSize, document: heap.embedderHeapUsedSize, buffers: heap.backingStorageSize, program };
  let all = 0;
  for (const [name, bytes] of Object.entries(parts)) {
    assert(bytes > 0, `the browser says ${bytes} bytes of ${name}`);
    parts[name] = bytes / 1e6;
    all += bytes / 1e6;
  }
  return { all, ...parts };
}

// A hundred and twenty frames of fast scrolling, and as many of a page at rest: what the machine does besides holds up both.
async function scroll(page) {
  return page.evaluate(async () => {
    const box = document.querySelector('[role=treegrid]');
    if (box.scrollHeight < box.clientHeight + 1000) return { error: 'nothing scrolls' };
    const framesOf = async (move) => {
      const frames = [];
      let last = performance.now();
      for (let i = 0; i < 120; i++) {
        move();
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        frames.push(now - last);
        last = now;
      }
      return frames.sort((a, b) => a - b);
    };
    const rest = await framesOf(() => {});
    const frames = await framesOf(() => { box.scrollTop += 600; });
    return {
      top: box.scrollTop, height: box.scrollHeight, p50: frames[60], p95: frames[114], max: frames[119],
      over_20: frames.filter((frame) => frame > 20).length, rest_p95: rest[114],
      per_second: 1_000 * frames.length / frames.reduce((sum, frame) => sum + frame, 0),
    };
  });
}

module.exports = { big, huge };
