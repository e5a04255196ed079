// Explore: the list, its filter, its heatmap, columns and saved views.
'use strict';

const { run, config, at, assert, until, picture, open, accessible } = require('../common.js');

// The list shows traces without a question asked.
async function explore(page) {
  run.step = 'explore lists traces';
  const begun = Date.now();
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  run.figures.explore_rows_ms = Date.now() - begun;
  await until(async () => (await at.rows(page).count()) >= 10, 'the fixtures hold more than ten traces');
  await picture(page, 'explore-dark');
}

// A condition lives in the URL, narrows the list, and survives a reload.
async function filterByUrl(page) {
  run.step = 'a filter in the URL narrows the list';
  const before = await at.rows(page).count();
  const { service, name } = config.journey;
  const condition = `service=${service}`;
  await at.filter(page).fill(condition);
  await at.filter(page).press('Enter');
  await page.waitForURL((url) => url.searchParams.has('q'));
  const row = at.rows(page).filter({ hasText: name }).first();
  await row.waitFor();
  await page.waitForFunction(
    (n) => document.querySelectorAll('tbody tr[id^=row-]').length < n, before,
  );
  const kept = await at.rows(page).count();
  run.step = 'the filter survives a reload';
  await page.reload();
  await at.rows(page).first().waitFor();
  await until(async () => (await at.rows(page).count()) === kept, 'the same rows after a reload');
}

// A rectangle in the heatmap selects, by keyboard too; what differs is ranked beside it; Escape drops it.
async function selection(page) {
  run.step = 'the heatmap takes a selection by keyboard';
  await page.goto(`${config.url}/explore?unit=spans`);
  await page.locator('#heatmap canvas').waitFor();
  await page.locator('.facets input[type=checkbox]').first().waitFor();
  await accessible(page, 'explore, dark');
  await page.keyboard.press('b');
  await page.waitForURL((url) => url.searchParams.has('brush'));
  await page.locator('.differs .df, .differs .hint').first().waitFor();
  const brush = new URL(page.url()).searchParams.get('brush');
  await page.keyboard.press('ArrowLeft');
  await page.waitForURL((url) => url.searchParams.get('brush') !== brush);
  await page.locator('.differs .df, .differs .hint').first().waitFor();
  await accessible(page, 'what differs');
  await picture(page, 'differs-dark');
  run.step = 'a pointer draws a selection, which never filters by itself';
  const rows = await at.rows(page).count();
  const box = await page.locator('#heatmap').boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.98, box.y + 190, { steps: 8 });
  const released = Date.now();
  await page.mouse.up();
  await page.locator('.differs .df').first().waitFor();
  run.figures.differs_ms = Date.now() - released;
  assert((await at.rows(page).count()) === rows, 'the list stays');
  await page.getByRole('button', { name: 'Keep selected only' }).click();
  await page.waitForURL((url) => !url.searchParams.has('brush') && url.searchParams.has('from'));
  run.step = 'live is switched by key and stands in the URL';
  await page.keyboard.press('l');
  await page.waitForURL((url) => url.searchParams.get('live') === '1');
  await page.keyboard.press('l');
  await page.waitForURL((url) => !url.searchParams.has('live'));
}

// Which columns the table has is in the address.
async function columns(page) {
  run.step = 'columns are chosen';
  await page.goto(`${config.url}/explore?unit=spans`);
  await at.rows(page).first().waitFor();
  const heads = () => page.locator('.lst thead th').count();
  const before = await heads();
  await page.getByRole('button', { name: 'Columns' }).press('Enter');
  await accessible(page, 'list of columns');
  await page.locator('ul.menu').getByLabel('Kind').click();
  await page.waitForURL((url) => (url.searchParams.get('cols') ?? '').startsWith('when,what'));
  await until(async () => (await heads()) === before - 1, 'a column less');
  await page.reload();
  await at.rows(page).first().waitFor();
  await until(async () => (await heads()) === before - 1, 'the choice survives a reload');
  assert((await at.rows(page).first().locator('td').count()) === before - 1, 'rows have as many cells');
}

// A view of Explore is kept on the server, comes back by its name, and is a statement too.
async function views(page) {
  run.step = 'a view is saved by keyboard';
  await page.goto(`${config.url}/explore?unit=spans&q=service%3Dorder&sort=slowest`);
  await at.rows(page).first().waitFor();
  await page.getByRole('button', { name: 'Saved views' }).press('Enter');
  const field = page.getByLabel('Name of this view');
  await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Name of this view');
  await page.keyboard.type('Slow orders of the test');
  await page.keyboard.press('Enter');
  const link = page.locator('#views a', { hasText: 'Slow orders of the test' });
  await link.waitFor();
  await accessible(page, 'saved views');
  await picture(page, 'saved-views-dark');
  await field.press('Escape');
  await field.waitFor({ state: 'detached' });
  run.step = 'a saved view comes back';
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  await page.getByRole('button', { name: 'Saved views' }).click();
  await link.click();
  await page.waitForURL((url) => url.searchParams.get('q') === 'service=order' && url.searchParams.get('sort') === 'slowest');
  await at.rows(page).first().waitFor();
  await page.getByRole('button', { name: 'Saved views' }).click();
  await page.getByRole('button', { name: 'Forget Slow orders of the test' }).click();
  await link.waitFor({ state: 'detached' });
  run.step = 'the filter goes on as SQL';
  await page.locator('.q .lang a', { hasText: 'SQL' }).click();
  await page.waitForURL((url) => url.pathname === '/sql' && url.searchParams.get('sql').includes("service_name = 'order'"));
  await page.locator('.answer thead th').first().waitFor();
  await page.goto(`${config.url}/explore?unit=spans&q=${encodeURIComponent('service~ord or status=error')}`);
  await page.locator('.q .lang button[disabled]').waitFor();
}

// A live stream that is refused for good is not asked for again and again.
async function refused(browser, complaints) {
  run.step = 'a stream that is refused says so and stops';
  run.isRefusalExpected = true;
  const page = await open(browser, complaints, { colorScheme: 'dark' });
  await page.clock.install();
  let asked = 0;
  await page.route('**/api/live*', (route) => {
    asked++;
    const body = JSON.stringify({ type: 'invalid', title: 'Not for a stream', status: 400, detail: 'made up' });
    return route.fulfill({ status: 400, contentType: 'application/problem+json', body });
  });
  await page.goto(`${config.url}/explore?unit=spans&live=1`);
  await page.getByText('no live hits: Not for a stream').waitFor();
  await page.waitForLoadState('networkidle');
  const before = asked;
  await page.clock.runFor(600_000);
  assert(asked === before && before <= 3, `asked ${before} times, then ${asked - before} times more`);
  await page.context().close();
  run.isRefusalExpected = false;
}

module.exports = { explore, filterByUrl, selection, columns, views, refused };
