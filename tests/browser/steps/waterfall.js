// The waterfall of a small journey: find, details, folds, several traces as one list.
'use strict';

const { run, config, at, assert, until, picture, open, accessible, whole } = require('../common.js');

// Find marks the matches and counts them.
async function find(page) {
  run.step = 'find in the trace';
  await at.find(page).fill(config.journey.find);
  await page.waitForFunction(
    () => /[1-9]/.test(document.querySelector('.find .cnt')?.textContent ?? ''),
  );
  run.figures.find_count = (await at.findCount(page).textContent()).trim();
}

// A selected span shows what was sent about it and stands in the URL.
async function inspect(page) {
  run.step = 'a selected span shows its attributes';
  const { trace_id, span_id, span_name, attribute, lanes, hop } = config.journey;
  await at.spanNamed(page, span_name).click();
  await page.waitForURL((url) => url.pathname === `/t/${trace_id}/${span_id}`);
  await at.attribute(page, attribute.key).getByText(attribute.value).waitFor();
  await picture(page, 'inspector-dark');
  return page.url();
}

// The URL of a selected span restores the view for somebody who was never here.
async function restore(browser, complaints, link) {
  run.step = 'a link to a span restores the view in a clean browser';
  const page = await open(browser, complaints, { colorScheme: 'light' });
  await page.goto(link);
  const { span_name, attribute, lanes, hop } = config.journey;
  await at.attribute(page, attribute.key).getByText(attribute.value).waitFor();
  const selected = await at.spanNamed(page, span_name).getAttribute('aria-selected');
  assert(selected === 'true', 'the row of the span is selected');
  await picture(page, 'deep-link-light');
  await page.context().close();
}

// The search box takes a trace id.
async function jump(page) {
  run.step = 'the search box opens a trace by its id';
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.search(page).fill(config.journey.trace_id);
  await at.search(page).press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(`/t/${config.journey.trace_id}`));
  await at.spanRows(page).first().waitFor();
}

// The waterfall is one tab away.
async function waterfall(page) {
  run.step = 'the waterfall is a tab of the journey';
  const { trace_id, n_spans } = config.journey;
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  await page.locator('.tabs a', { hasText: 'Waterfall' }).click();
  await page.waitForURL((url) => url.pathname.startsWith('/t/'));
  await page.goto(`${config.url}/t/${trace_id}`);
  await at.spanRows(page).first().waitFor();
  await whole(page);
  const rows = Number(await page.getByRole('treegrid').getAttribute('aria-rowcount'));
  assert(rows > n_spans, `${rows} rows for more than ${n_spans} spans`);
  await picture(page, 'waterfall-dark');
}

// Long stretches in which nothing ran are folded in the waterfall, too; one unfolds by a click, all by a key.
async function folds(page) {
  run.step = 'the waterfall folds a long wait';
  const pills = page.locator('.over button');
  let place = null;
  for (const { trace_id } of [config.journey, config.doubtful, config.skewed]) {
    await page.goto(`${config.url}/t/${trace_id}`);
    await at.spanRows(page).first().waitFor();
    await page.waitForLoadState('networkidle');
    await page.waitForTimeout(300);
    if ((await pills.count()) > 0) place = `${config.url}/t/${trace_id}`;
    if (place) break;
  }
  assert(place, 'one of the journeys waits long');
  await until(async () => (await page.locator('.wfw .fold').count()) === (await pills.count()), 'a band for each fold');
  await accessible(page, 'folded waterfall');
  await picture(page, 'waterfall-folded-dark');
  const before = await pills.count();
  await pills.first().click();
  await until(async () => (await pills.count()) === before - 1, 'a click unfolds one');
  run.step = 'folds are switched off by key, and the address keeps that';
  await page.goto(place);
  await pills.first().waitFor();
  await page.keyboard.press('f');
  await page.waitForURL((url) => url.searchParams.get('fold') === '0');
  await until(async () => (await pills.count()) === 0, 'nothing is folded');
  await page.reload();
  await at.spanRows(page).first().waitFor();
  await page.getByRole('button', { name: 'Fold waits' }).and(page.locator('[aria-pressed=false]')).waitFor();
  await until(async () => (await pills.count()) === 0, 'nothing is folded after a reload');
}

// One list for the whole journey: a row for each message between two traces; what is shown of it stands in the address.
async function stitched(page) {
  run.step = 'the traces of a journey are one list';
  const { trace_id, span_id, span_name } = config.journey;
  const place = `${config.url}/t/${trace_id}`;
  const count = async () => Number(await page.getByRole('treegrid').getAttribute('aria-rowcount'));
  const restored = async (name) => {
    const before = await count();
    await page.reload();
    await whole(page);
    await page.waitForFunction((n) => Number(document.querySelector('[role=treegrid]').getAttribute('aria-rowcount')) === n, before);
    assert(new URL(page.url()).searchParams.has(name), `${name} stays in the address`);
  };
  await page.goto(place);
  await whole(page);
  const all = await count();
  await accessible(page, 'waterfall of several traces');
  await page.locator('.wr.cross:visible').first().click();
  await at.inspector(page).getByText('A message between two traces').waitFor();
  await at.inspector(page).getByText('Waited').waitFor();
  await accessible(page, 'a message between two traces');
  await picture(page, 'waterfall-crossing-dark');
  run.step = 'a link to the other end of a message stays in the list';
  await at.inspector(page).getByRole('link').first().click();
  await page.waitForURL((url) => /\/t\/[0-9a-f]{32}\/[0-9a-f]{16}$/.test(url.pathname));
  await page.locator('[role=row][aria-selected=true]').waitFor();
  assert((await count()) === all, 'nothing was loaded again');
  run.step = 'one trace stands alone on demand';
  await page.getByRole('link', { name: 'This trace only' }).click();
  await page.waitForURL((url) => url.searchParams.get('alone') === '1');
  await page.waitForFunction((n) => Number(document.querySelector('[role=treegrid]').getAttribute('aria-rowcount')) < n, all);
  await until(async () => (await page.locator('.wr.cross:visible').count()) === 0, 'a trace alone has no crossing');
  await page.getByRole('link', { name: 'Whole journey' }).click();
  await whole(page);
  run.step = 'what is shut stands in the address';
  await page.goto(place);
  await whole(page);
  await page.keyboard.press('2');
  await page.waitForURL((url) => url.searchParams.has('shut'));
  await restored('shut');
  await page.keyboard.press('0');
  await page.waitForURL((url) => !url.searchParams.has('shut'));
  run.step = 'a subtree stands alone by key, and so do long rows';
  await at.spanNamed(page, span_name).click();
  await page.waitForURL((url) => url.pathname.endsWith(span_id));
  await page.keyboard.press('r');
  await page.waitForURL((url) => url.searchParams.get('root') === span_id);
  await until(async () => (await count()) < all, 'a part of the rows');
  await page.reload();
  await page.getByRole('button', { name: 'Subtree' }).waitFor();
  await page.keyboard.press('r');
  await page.waitForURL((url) => !url.searchParams.has('root'));
  await whole(page);
  await page.getByLabel('Rows shown').selectOption('10pc');
  await page.waitForURL((url) => url.searchParams.get('only') === '10pc');
  await until(async () => (await count()) < all, 'short rows are left out');
  await page.getByLabel('Rows shown').selectOption('path');
  await page.waitForURL((url) => url.searchParams.get('only') === 'path');
  await page.locator('.wr .cp:visible').first().waitFor();
  await accessible(page, 'only the critical path');
  await page.reload();
  await page.waitForFunction(() => document.querySelector('select[aria-label="Rows shown"]')?.value === 'path');
}

module.exports = { find, inspect, restore, jump, waterfall, folds, stitched };
