// A journey: diagram, hops, tabs, lanes, clocks, joins that are cut off.
'use strict';

const { run, config, at, assert, until, picture, open, accessible } = require('../common.js');

// The row opens its journey: lanes, waits, hops; everything works by keyboard too.
async function journey(page) {
  run.step = 'a row opens its journey';
  const { trace_id, name, lanes, hop } = config.journey;
  await at.rows(page).filter({ hasText: name }).first().click();
  await page.waitForURL((url) => url.pathname.startsWith('/j/'));
  await at.lanes(page).first().waitFor();
  const begun = Date.now();
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  run.figures.journey_ms = Date.now() - begun;
  run.step = 'the journey has a lane for each service and broker';
  const names = await at.lanes(page).allTextContents();
  for (const lane of lanes) {
    assert(names.some((text) => text.includes(lane)), `no lane ${lane} among ${names}`);
  }
  await until(async () => (await page.locator('svg.jy .dwell').count()) >= 3, 'each consumer waits in a row of its own');
  await until(async () => (await page.locator('svg.jy .track path').count()) >= 2, 'the critical path is drawn');
  await picture(page, 'journey-dark');
  await accessible(page, 'journey, dark');

  run.step = 'the hop table is the equal twin of the diagram';
  const rows = at.hops(page);
  await until(async () => (await rows.count()) >= 7, 'a row for each hop');
  const row = rows.filter({ hasText: hop.from }).filter({ hasText: hop.to }).first();
  await row.getByText(hop.took).waitFor();
  const inspector = page.getByRole('complementary', { name: 'Journey details' });
  const sums = await inspector.locator('.bd .num:nth-child(4n)').allTextContents();
  const whole = sums.map((text) => Number.parseFloat(text)).reduce((sum, part) => sum + part, 0);
  assert(Math.abs(whole - 100) < 1, `the parts of the breakdown are ${whole} % of the whole`);

  run.step = 'the journey is read by keyboard';
  await row.click();
  await row.and(page.locator('[aria-selected=true]')).waitFor();
  const selected = () => page.locator('#hops tr[aria-selected=true] td').first().textContent();
  const before = Number(await selected());
  await page.keyboard.press('k');
  await until(async () => Number(await selected()) === before - 1, 'K goes a hop back');
  await page.keyboard.press('j');
  await until(async () => Number(await selected()) === before, 'J goes a hop on');
  await page.keyboard.press('[');
  await until(async () => Number(await selected()) < before, '[ follows the message back');
  await page.keyboard.press('c');
  await page.waitForFunction(() => document.querySelectorAll('svg.jy .track path').length === 0);
  await page.keyboard.press('z');
  await page.waitForURL((url) => url.searchParams.get('cp') === '0' && url.searchParams.has('x') && url.searchParams.has('hop'));
  await page.keyboard.press('t');
  await until(() => page.evaluate(() => document.activeElement?.id === 'hops'), 'T leads to the table');

  run.step = 'the journey in the other theme';
  await at.theme(page).click();
  await page.waitForTimeout(200);
  await accessible(page, 'journey, light');
  const link = page.url();
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  await picture(page, 'journey-light');
  await at.theme(page).click();
  return link;
}

// The URL of a journey restores hop, zoom and switches for somebody who was never here.
async function restoreJourney(browser, complaints, link) {
  run.step = 'a link to a journey restores the view in a clean browser';
  const page = await open(browser, complaints, { colorScheme: 'light' });
  await page.goto(link);
  await at.lanes(page).first().waitFor();
  const asked = new URL(link).searchParams;
  await page.locator(`#hop-${asked.get('hop')}[aria-selected=true]`).waitFor();
  await until(async () => (await page.locator('svg.jy .track path').count()) === 0, 'the critical path stays off');
  await page.waitForTimeout(300);
  assert(new URL(page.url()).searchParams.get('x') === asked.get('x'), 'the part of the time stays');
  await picture(page, 'journey-link-light');
  await page.context().close();
}

// Flame, Table, Logs & events: the same journey, each by keyboard and without serious findings.
async function tabs(page) {
  const { trace_id } = config.journey;
  run.step = 'the flame holds the journey';
  await page.goto(`${config.url}/j/${trace_id}?tab=flame`);
  await page.locator('svg .slab').first().waitFor();
  await until(async () => (await page.locator('svg .slab').count()) >= 8, 'frames of several services');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.locator('.about b').first().waitFor();
  await accessible(page, 'flame');
  await picture(page, 'flame-dark');
  run.step = 'the table lists, groups and sorts spans';
  await page.goto(`${config.url}/j/${trace_id}?tab=table`);
  const lines = page.locator('#lines tbody tr[id^=line-]');
  await lines.first().waitFor();
  const spans = await lines.count();
  await page.getByRole('button', { name: 'Services', exact: true }).click();
  await page.waitForFunction((n) => document.querySelectorAll('#lines tbody tr[id^=line-]').length < n, spans);
  await page.getByRole('button', { name: 'Total' }).click();
  await page.locator('#lines th[aria-sort=descending]').waitFor();
  await page.waitForURL((url) => url.searchParams.get('group') === 'service' && url.searchParams.get('sort') === '-total');
  await page.reload();
  await page.locator('#lines th[aria-sort=descending]').waitFor();
  await accessible(page, 'table');
  await picture(page, 'table-dark');
  run.step = 'a span is opened from the table by keyboard';
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith('/t/'));
  run.step = 'logs and events stand in one list by time';
  await page.goto(`${config.url}/j/${trace_id}?tab=logs`);
  await page.locator('.tb .n').nth(1).waitFor();
  await page.locator('#moments').waitFor();
  await accessible(page, 'logs and events');
  await picture(page, 'logs-dark');
}

// Lanes are moved and hidden by keyboard; the address restores them.
async function lanes(page) {
  const { trace_id } = config.journey;
  run.step = 'lanes are moved and hidden';
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  const names = () => page.locator('svg.jy .lane .name').allTextContents();
  const [first, second, ...others] = await names();
  await page.getByRole('button', { name: 'Lanes', exact: true }).press('Enter');
  const panel = page.getByRole('region', { name: 'Lanes' });
  await accessible(page, 'list of lanes');
  await panel.getByRole('button', { name: `Move ${first} down` }).press('Enter');
  await page.waitForURL((url) => url.searchParams.has('lanes'));
  await until(async () => (await names())[0] === second, 'the second lane is the first');
  await until(() => page.evaluate((name) => document.activeElement?.getAttribute('aria-label') === `Move ${name} down`, first), 'the key stays where it was');
  await panel.getByRole('checkbox').nth(1).click();
  await page.waitForURL((url) => (url.searchParams.get('lanes') ?? '').includes(',-'));
  await until(async () => (await names()).length === others.length + 1, 'a lane is hidden');
  await picture(page, 'journey-lanes-dark');
  const chosen = await names();
  await page.reload();
  await at.lanes(page).first().waitFor();
  assert(JSON.stringify(await names()) === JSON.stringify(chosen), `${await names()} after a reload, ${chosen} before`);
  await page.getByRole('button', { name: 'hidden' }).click();
  await until(async () => (await names()).length === others.length + 2, 'what was hidden is shown');
  await page.waitForURL((url) => !(url.searchParams.get('lanes') ?? '').includes('-service'));
}

// A doubtful join can be cut off, as the URL says; it can be joined again.
async function cut(page) {
  run.step = 'a doubtful join is cut off';
  await page.goto(`${config.url}/j/${config.doubtful.trace_id}`);
  await at.lanes(page).first().waitFor();
  const members = page.locator('.stitch a.t');
  const whole = await members.count();
  await page.getByRole('link', { name: /^Cut off trace/ }).first().click();
  await page.waitForURL((url) => url.searchParams.has('cut'));
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length < n, whole);
  await page.getByText('that you cut off').first().waitFor();
  await accessible(page, 'journey with a cut');
  await picture(page, 'journey-cut-dark');
  await page.reload();
  await page.getByText('that you cut off').first().waitFor();
  await page.getByRole('link', { name: 'Join it again' }).first().click();
  await page.waitForURL((url) => !url.searchParams.has('cut'));
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length === n, whole);
  run.step = 'the trace in the address can be cut off too';
  const cutting = page.getByRole('link', { name: /^Cut off trace/ }).first();
  const doubtful = new URL(await cutting.getAttribute('href'), config.url).searchParams.get('cut');
  await page.goto(`${config.url}/j/${doubtful}`);
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length === n, whole);
  await cutting.click();
  await page.waitForURL((url) => url.searchParams.get('cut') === doubtful && !url.pathname.includes(doubtful));
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length < n, whole);
}

// A journey of more traces than are joined by themselves: more of them on demand, and the address keeps that.
async function wider(page) {
  run.step = 'a journey that is cut says so';
  const { trace_id, n_traces, n_joined } = config.wide;
  const shown = page.locator('.stitch a.t');
  const others = page.locator('.more-members');
  const members = async () => (await shown.count()) + Number((await others.textContent()).replace(/\D/g, ''));
  const more = page.getByRole('link', { name: 'Load more' });
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  await until(async () => (await members()) === n_joined, `${n_joined} traces are joined by themselves`);
  await page.getByText(`${n_traces - n_joined} left out`).waitFor();
  await accessible(page, 'a journey that is cut');
  run.step = 'more of a journey is loaded on demand';
  await more.press('Enter');
  await page.waitForURL((url) => url.searchParams.get('wider') === '2');
  await until(async () => (await members()) === n_traces, `all ${n_traces} traces are there`);
  await until(async () => (await more.count()) === 0, 'nothing is left to load');
  await picture(page, 'journey-wider-dark');
  await page.reload();
  await at.lanes(page).first().waitFor();
  await until(async () => (await members()) === n_traces, `${n_traces} traces after a reload, too`);
  assert(new URL(page.url()).searchParams.get('wider') === '2', 'the address keeps how much was asked for');
}

// Raw times are drawn until the reader asks for corrected ones.
async function clocks(page) {
  run.step = 'clocks that disagree are shown, and aligned on demand';
  await page.goto(`${config.url}/j/${config.skewed.trace_id}`);
  await page.locator('svg.jy .skew').filter({ hasText: 'clock' }).first().waitFor();
  await page.getByRole('button', { name: 'Align clocks' }).click();
  await page.locator('svg.jy .skew').filter({ hasText: 'moved' }).first().waitFor();
  await page.waitForURL((url) => url.searchParams.get('skew') === '1');
  await picture(page, 'journey-aligned-dark');
}

module.exports = { journey, restoreJourney, tabs, lanes, cut, wider, clocks };
