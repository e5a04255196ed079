// Whole visits: with a key, for the first time, and the story of the mock from Home to the partition.
'use strict';

const { run, config, at, assert, picture, open, accessible, whole } = require('../common.js');

// A collector that asks for keys: the page asks for one, goes on where it was, and signs out.
async function signIn(browser, complaints) {
  const { url, key, sender_key } = config.guarded;
  run.step = 'a page without a key asks for one';
  run.isRefusalExpected = true;
  const page = await open(browser, complaints, { colorScheme: 'dark' });
  page.onFailure = () => picture(page, 'failure').catch(() => {});
  try {
    await page.goto(`${url}/sql`);
    const field = page.getByLabel('API key');
    await field.waitFor();
    await page.waitForFunction(() => document.activeElement?.id === 'api-key');
    assert(await page.getByLabel('SQL statement').isHidden(), 'the panel stands in place of the page');
    await accessible(page, 'sign-in panel, dark');
    await picture(page, 'sign-in-dark');
    await at.theme(page).click();
    await accessible(page, 'sign-in panel, light');
    await picture(page, 'sign-in-light');
    await at.theme(page).click();
    run.step = 'keys that open nothing are explained';
    for (const [wrong, why] of [['hod_nonsense', 'does not know this key'], [sender_key, 'may only send']]) {
      await field.fill(wrong);
      await field.press('Enter');
      await page.locator('#key-problem', { hasText: why }).waitFor();
      assert((await field.inputValue()) === '', 'the key does not stay in the field');
    }
    await accessible(page, 'sign-in panel with a wrong key');
    run.step = 'with a key the page asks again what it asked';
    await field.fill(key);
    await field.press('Enter');
    await page.locator('.tbl').first().waitFor();
    const statement = page.getByLabel('SQL statement');
    await statement.fill('SELECT 1 AS one');
    await statement.press('Control+Enter');
    await page.locator('.answer thead th', { hasText: 'one' }).waitFor();
    assert(!(await page.evaluate(() => document.cookie + JSON.stringify(localStorage))).includes('hod_'), 'no script can read the key');
    run.step = 'nothing asks by the clock while a key is asked for, and the live stream begins once it is there';
    const clocked = await open(browser, complaints, { colorScheme: 'dark' });
    await clocked.clock.install();
    let asked = 0;
    clocked.on('request', (request) => { asked += request.url().includes('/api/status') ? 1 : 0; });
    await clocked.goto(`${url}/system`);
    await clocked.getByLabel('API key').waitFor();
    // What a page asks when it opens may still be on its way. Its clock stands, ours does not.
    let before = -1;
    while (asked !== before) {
      before = asked;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    await clocked.clock.runFor(120_000);
    assert(asked === before && before > 0, `${asked - before} questions while nobody is signed in, ${before} before`);
    await clocked.goto(`${url}/explore?live=1`);
    await clocked.getByLabel('API key').waitFor();
    const stream = clocked.waitForResponse((response) => response.url().includes('/api/live') && response.status() === 200);
    await clocked.getByLabel('API key').fill(key);
    await clocked.getByLabel('API key').press('Enter');
    await stream;
    await clocked.goto(`${url}/system`);
    await clocked.locator('main h2').first().waitFor();
    const again = clocked.waitForRequest((request) => request.url().includes('/api/status'));
    await clocked.clock.runFor(30_000);
    await again;
    await clocked.context().close();
    run.step = 'a browser that keeps no cookie is told so, once';
    const careless = await open(browser, complaints, { colorScheme: 'dark' });
    // The key is right, and its cookie goes astray.
    await careless.route('**/api/session', (route) => (route.request().method() === 'POST' ? route.fulfill({ status: 204 }) : route.continue()));
    await careless.goto(`${url}/services`);
    await careless.getByLabel('API key').fill(key);
    await careless.getByLabel('API key').press('Enter');
    await careless.locator('#key-problem', { hasText: 'did not keep the cookie' }).waitFor();
    await careless.context().close();
    run.step = 'a session that ends in between loses nothing that was written';
    const ended = await page.evaluate(async () => (await fetch('/api/session', { method: 'DELETE' })).status);
    assert(ended === 204, `signing out is answered with ${ended}`);
    await statement.fill('SELECT 2 AS two');
    await statement.press('Control+Enter');
    await field.waitFor();
    await field.fill(key);
    await field.press('Enter');
    await page.locator('.answer thead th', { hasText: 'two' }).waitFor();
    run.step = 'one signs out';
    await page.reload();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await field.waitFor();
    assert((await page.getByRole('button', { name: 'Sign out' }).count()) === 0, 'nobody is signed in');
  } catch (error) {
    await page.onFailure();
    throw error;
  }
  await page.context().close();
  run.isRefusalExpected = false;
}

// What a first visit loads: the program of its address, and nothing of the other one before it is at rest.
async function bundle(browser, complaints) {
  run.step = 'the first load is small';
  run.figures.programs = {};
  for (const [program, place] of [['trail', `/t/${config.journey.trace_id}`], ['desk', '/explore?unit=traces'], ['watch', '/alerts']]) {
    const page = await open(browser, complaints, { isPlain: true });
    await page.goto(`${config.url}${place}`);
    await page.locator('main table, main [role=treegrid]').first().waitFor();
    // The other programs follow four seconds after the page was there: what came before that is the first load, whenever one looks.
    const loaded = await page.evaluate(() => {
      const atRest = performance.getEntriesByType('navigation')[0].loadEventStart + 3_900;
      const entries = performance.getEntriesByType('resource').filter((entry) => entry.name.includes('.wasm') && entry.startTime < atRest);
      return entries.map((entry) => [entry.name, entry.decodedBodySize]);
    });
    const css = await page.evaluate(() => performance.getEntriesByType('resource').find((entry) => entry.name.endsWith('.css'))?.name);
    const sheet = await page.request.get(css, { headers: { 'accept-encoding': 'gzip' } });
    run.figures.css_gzip_bytes = Number(sheet.headers()['content-length'] ?? -1);
    const names = [...new Set(loaded.map(([name]) => name))];
    assert(names.length === 1, `one wasm file at first, found ${names}`);
    const chosen = await page.evaluate(() => document.documentElement.dataset.program);
    assert(chosen === program, `${place} is shown by ${chosen}`);
    const timed = () => page.evaluate(() => ({
      first_paint_ms: Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1),
      interactive_ms: Math.round(window.interactiveAt ?? -1),
    }));
    const cold = await timed();
    // The promise is about a reader who was here before: the median of five visits.
    const visits = [];
    for (let visit = 0; visit < 5; visit++) {
      await page.goto(`${config.url}${place}`);
      await page.locator('main table, main [role=treegrid]').first().waitFor();
      visits.push(await timed());
    }
    const middle = (name) => visits.map((visit) => visit[name]).sort((a, b) => a - b)[2];
    run.figures.programs[program] = {
      wasm_url: names[0], wasm_bytes: loaded[0][1], first_visit: cold,
      first_paint_ms: middle('first_paint_ms'), interactive_ms: middle('interactive_ms'),
    };
    if (program === 'trail') {
      run.step = 'the other program takes over where the reader goes there';
      await page.getByRole('link', { name: 'Services' }).click();
      await page.locator('main table').first().waitFor();
      await page.goBack();
      await at.spanRows(page).first().waitFor();
    }
    await page.context().close();
  }
}

// The story of the mock, with the keyboard alone: from Home to Explore, a filter, the journey, its bottleneck, the partition.
async function story(page) {
  const { journey } = config;
  run.step = 'settled journeys stand in Explore';
  await page.goto(`${config.url}/`);
  await page.locator('.home-cards li, .home table').first().waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('e');
  await page.waitForURL((url) => url.pathname === '/explore');
  await page.locator('#filter').waitFor();
  for (const condition of [`journey:name="${journey.name}"`, `service="${journey.hop.to}"`]) {
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.id === 'filter');
    await page.keyboard.type(condition);
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
  }
  await page.waitForURL((url) => (url.searchParams.get('q') ?? '').includes(journey.hop.to));
  // Journeys are listed once they are settled and digested: half a minute after their last span. The filter leaves exactly
  // one; before it is answered the list shows none, or those of no filter.
  const isFound = () => page.evaluate(() => document.querySelectorAll('tbody tr[id^=row-]').length === 1 && !document.querySelector('.old'));
  for (let tries = 0; tries < 60 && !(await isFound()); tries++) {
    await page.waitForTimeout(2_000);
    if (!(await isFound())) await page.keyboard.press('r');
  }
  assert(await isFound(), 'the filter leaves one journey');
  await page.locator('#heatmap canvas').waitFor();
  await picture(page, 'journeys-dark');
  run.step = 'the journey is opened, its slow consumer followed into the waterfall, by keyboard';
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith('/j/'));
  await at.lanes(page).first().waitFor();
  const selected = page.locator('#hops tr[aria-selected=true]');
  const isSlow = async () => (await selected.filter({ hasText: journey.hop.from }).filter({ hasText: journey.hop.to }).locator('.proto.async').count()) === 1;
  await page.locator('#hops tbody tr[id^=hop-]').first().waitFor();
  // At least one key, so that the selection is ours: the page moves its own when it hears what is usual.
  let hop = 0;
  do await page.keyboard.press(hop < 8 ? 'j' : 'k'); while (++hop < 20 && !(await isSlow()));
  assert(await isSlow(), `J and K lead to the message from ${journey.hop.from} to ${journey.hop.to}`);
  const inspector = page.getByRole('complementary', { name: 'Journey details' });
  await inspector.getByText('Selected hop').waitFor();
  await inspector.getByText('destination.name').first().waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith('/t/'));
  await whole(page);
  // The consumer does not say which partition it read; the one who sent the message does, a link away.
  await at.inspector(page).getByText('Came from').first().waitFor();
  const isAtSender = () => page.evaluate(() => {
    const here = document.activeElement;
    return Boolean(here?.closest('aside')) && (here.textContent ?? '').includes('send ');
  });
  for (let tabs = 0; tabs < 120 && !(await isAtSender()); tabs++) await page.keyboard.press('Tab');
  assert(await isAtSender(), 'Tab leads to the span that sent the message');
  await page.keyboard.press('Enter');
  await at.attribute(page, 'messaging.destination.partition.id').waitFor();
  await picture(page, 'story-end-dark');
  run.figures.key_to_paint_ms = await page.evaluate(() => {
    const times = [...window.keyTimes].sort((a, b) => a - b);
    return { keys: times.length, p95: times[Math.floor(times.length * 0.95)] ?? 0, max: times.at(-1) ?? 0 };
  });
  run.step = 'the map tells the lag of each partition';
  await page.goto(`${config.url}/map?sel=${encodeURIComponent('queue:kafka/order-created')}`);
  const lags = page.locator('.lags tbody tr');
  await lags.filter({ hasText: journey.hop.to }).first().waitFor();
  await accessible(page, 'lag by partition');
  await picture(page, 'map-partitions-dark');
}

module.exports = { signIn, bundle, story };
