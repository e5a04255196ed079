// A person's way through the page, in a real browser: find a trace, open it, search in it, come back by its URL.
//
// Usage: page.js CONFIG_JSON   (NODE_PATH names the installed modules; tests/browser.rs writes the configuration)
//   url          where the page is
//   chromium     the browser to drive
//   screenshots  folder for pictures, also of a failure
//   journey      { trace_id, service, name, n_spans, find, span_id, span_name, attribute, lanes, hop }
//   skewed       { trace_id }
//   doubtful     { trace_id }: a journey with an inferred join
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

const path = require('node:path');
const { chromium } = require('playwright-core');

const config = JSON.parse(process.argv[2]);
const figures = {};
let step = 'start';
// Pages of what is not there or cannot be read are on screen.
let isRefusalExpected = false;

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
  page.on('pageerror', (error) => complaints.push(`${step}, ${page.url()}: error on the page: ${error.message}`));
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
    if (isRefusalExpected && /status of 4\d\d/.test(message.text())) return;
    const isUsual = url.includes('/api/compare') || (isRefused && message.text().includes('400'));
    if (message.type() === 'error' && !isUsual) complaints.push(`${step}, ${page.url()}: console: ${message.text()}`);
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

async function main() {
  const browser = await chromium.launch({
    executablePath: config.chromium,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
  const complaints = [];
  try {
    const page = await open(browser, complaints, { colorScheme: 'dark' });
    page.onFailure = () => picture(page, 'failure').catch(() => {});
    try {
      if (config.only) {
        const steps = { folds, lanes, columns, places, short, alerts, statement, selection, pages, tabs, story, clocks, big, huge, metrics, command, cut, behind, waterfall, stitched, views, refused, narrow, states, hostile, bundle };
        const own = { bundle, signIn, refused };
        for (const name of config.only) await (own[name] ? own[name](browser, complaints) : steps[name](page, browser, complaints));
      } else {
        await all(page, browser, complaints);
      }
    } catch (error) {
      await page.onFailure();
      throw error;
    }
    step = 'nothing on the page complained';
    assert(complaints.length === 0, complaints.join('\n'));
  } finally {
    await browser.close();
  }
  process.stdout.write(JSON.stringify(figures));
}

// The whole way, in the order in which a person goes it.
async function all(page, browser, complaints) {
  await explore(page);
  await filterByUrl(page);
  const way = await journey(page);
  await clocks(page);
  await restoreJourney(browser, complaints, way);
  await tabs(page);
  await selection(page);
  await pages(page);
  await metrics(page);
  await command(page);
  await cut(page);
  await lanes(page);
  await columns(page);
  await places(page);
  await behind(page);
  await statement(page, browser, complaints);
  await alerts(page);
  await waterfall(page);
  await stitched(page);
  await folds(page);
  await views(page);
  await short(page);
  await refused(browser, complaints);
  await narrow(page);
  await page.goto(`${config.url}/t/${config.journey.trace_id}`);
  await whole(page);
  await find(page);
  const link = await inspect(page);
  await themes(page);
  await restore(browser, complaints, link);
  await jump(page);
  await hostile(page);
  await states(page);
  await big(page);
  if (config.huge) await huge(page);
  await signIn(browser, complaints);
  await bundle(browser, complaints);
  await story(page);
}

// The list shows traces without a question asked.
async function explore(page) {
  step = 'explore lists traces';
  const begun = Date.now();
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  figures.explore_rows_ms = Date.now() - begun;
  assert((await at.rows(page).count()) >= 10, 'the fixtures hold more than ten traces');
  await picture(page, 'explore-dark');
}

// A condition lives in the URL, narrows the list, and survives a reload.
async function filterByUrl(page) {
  step = 'a filter in the URL narrows the list';
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
  step = 'the filter survives a reload';
  await page.reload();
  await at.rows(page).first().waitFor();
  assert((await at.rows(page).count()) === kept, 'the same rows after a reload');
}

// The row opens its journey: lanes, waits, hops; everything works by keyboard too.
async function journey(page) {
  step = 'a row opens its journey';
  const { trace_id, name, lanes, hop } = config.journey;
  await at.rows(page).filter({ hasText: name }).first().click();
  await page.waitForURL((url) => url.pathname.startsWith('/j/'));
  await at.lanes(page).first().waitFor();
  const begun = Date.now();
  await page.goto(`${config.url}/j/${trace_id}`);
  await at.lanes(page).first().waitFor();
  figures.journey_ms = Date.now() - begun;
  step = 'the journey has a lane for each service and broker';
  const names = await at.lanes(page).allTextContents();
  for (const lane of lanes) {
    assert(names.some((text) => text.includes(lane)), `no lane ${lane} among ${names}`);
  }
  assert((await page.locator('svg.jy .dwell').count()) >= 3, 'each consumer waits in a row of its own');
  assert((await page.locator('svg.jy .track path').count()) >= 2, 'the critical path is drawn');
  await picture(page, 'journey-dark');
  await accessible(page, 'journey, dark');

  step = 'the hop table is the equal twin of the diagram';
  const rows = at.hops(page);
  assert((await rows.count()) >= 7, `${await rows.count()} hops`);
  const row = rows.filter({ hasText: hop.from }).filter({ hasText: hop.to }).first();
  await row.getByText(hop.took).waitFor();
  const inspector = page.getByRole('complementary', { name: 'Journey details' });
  const sums = await inspector.locator('.bd .num:nth-child(4n)').allTextContents();
  const whole = sums.map((text) => Number.parseFloat(text)).reduce((sum, part) => sum + part, 0);
  assert(Math.abs(whole - 100) < 1, `the parts of the breakdown are ${whole} % of the whole`);

  step = 'the journey is read by keyboard';
  await row.click();
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

  step = 'the journey in the other theme';
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

// Flame, Table, Logs & events: the same journey, each by keyboard and without serious findings.
async function tabs(page) {
  const { trace_id } = config.journey;
  step = 'the flame holds the journey';
  await page.goto(`${config.url}/j/${trace_id}?tab=flame`);
  await page.locator('svg .slab').first().waitFor();
  assert((await page.locator('svg .slab').count()) >= 8, 'frames of several services');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.locator('.about b').first().waitFor();
  await accessible(page, 'flame');
  await picture(page, 'flame-dark');
  step = 'the table lists, groups and sorts spans';
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
  step = 'a span is opened from the table by keyboard';
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith('/t/'));
  step = 'logs and events stand in one list by time';
  await page.goto(`${config.url}/j/${trace_id}?tab=logs`);
  await page.locator('.tb .n').nth(1).waitFor();
  await page.locator('#moments').waitFor();
  await accessible(page, 'logs and events');
  await picture(page, 'logs-dark');
}

// A rectangle in the heatmap selects, by keyboard too; what differs is ranked beside it; Escape drops it.
async function selection(page) {
  step = 'the heatmap takes a selection by keyboard';
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
  step = 'a pointer draws a selection, which never filters by itself';
  const rows = await at.rows(page).count();
  const box = await page.locator('#heatmap').boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.98, box.y + 190, { steps: 8 });
  const released = Date.now();
  await page.mouse.up();
  await page.locator('.differs .df').first().waitFor();
  figures.differs_ms = Date.now() - released;
  assert((await at.rows(page).count()) === rows, 'the list stays');
  await page.getByRole('button', { name: 'Keep selected only' }).click();
  await page.waitForURL((url) => !url.searchParams.has('brush') && url.searchParams.has('from'));
  step = 'live is switched by key and stands in the URL';
  await page.keyboard.press('l');
  await page.waitForURL((url) => url.searchParams.get('live') === '1');
  await page.keyboard.press('l');
  await page.waitForURL((url) => !url.searchParams.has('live'));
}

// Every other page, in both themes.
async function pages(page) {
  const { trace_id } = config.journey;
  const all = [
    ['home', '/', '.home-cards li, .home table'],
    ['services', '/services', 'main table'],
    ['service', '/services/order', '[aria-label=Instances] :is(table, .hint)'],
    ['map', '/map', 'svg.map .card-node, .empty'],
    ['map-matrix', '/map?view=matrix', '.matrix table, .empty'],
    ['map-table', '/map?view=table', 'main table, .empty'],
    ['compare', `/compare?a=${trace_id}&b=${config.skewed.trace_id}`, '.compare .cards'],
    ['system', '/system', '.cards .card'],
    ['explore-spans', '/explore?unit=spans', 'tbody tr[id^=row-]'],
    ['explore-traces', '/explore?unit=traces', 'tbody tr[id^=row-]'],
    ['waterfall-axe', `/t/${trace_id}`, '[role=treegrid] [role=row]'],
    ['metrics', '/metrics', 'svg.plot'],
    ['not-found', '/nowhere', '.empty'],
  ];
  for (const [name, place, wanted] of all) {
    step = `the page ${name}`;
    await page.goto(`${config.url}${place}`);
    await page.locator(wanted).first().waitFor();
    await page.waitForTimeout(300);
    await accessible(page, `${name}, dark`);
    await picture(page, `${name}-dark`);
    await at.theme(page).click();
    await page.waitForTimeout(150);
    await accessible(page, `${name}, light`);
    await picture(page, `${name}-light`);
    await at.theme(page).click();
  }
  step = 'the key sheet opens and closes by key';
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await accessible(page, 'key sheet');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'detached' });
}

// A metric over time with its gaps, its exemplar that opens a journey, its table; the URL restores it.
async function metrics(page) {
  const { name } = config.metric;
  step = 'metrics are listed and drawn';
  await page.goto(`${config.url}/metrics`);
  await page.getByLabel('Find a metric').fill('checkout');
  await page.waitForFunction(() => document.querySelectorAll('.metrics li').length === 1);
  await page.locator('.pick-metric', { hasText: name }).click();
  await page.waitForURL((url) => url.searchParams.get('m') === name);
  await page.locator('svg.plot .dot-ex').first().waitFor();
  assert((await page.locator('svg.plot .line').count()) >= 1, 'a line is drawn');
  await page.locator('#metric-table tbody tr').first().waitFor();
  await accessible(page, 'a metric, dark');
  await picture(page, 'metric-dark');
  step = 'a metric is looked at in another way, and its link restores that';
  await page.getByLabel('group by').selectOption('service');
  await page.waitForURL((url) => url.searchParams.get('by') === 'service');
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  await page.locator('#metric-filter').fill('service=nobody');
  await page.locator('#metric-filter').press('Enter');
  await page.getByText('No series of this metric fits').waitFor();
  await accessible(page, 'a metric without series');
  await page.goBack();
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  step = 'a filter that is wrong is said where it can be mended';
  isRefusalExpected = true;
  await page.locator('#metric-filter').fill('service=');
  await page.locator('#metric-filter').press('Enter');
  await page.locator('.metric [role=alert]').waitFor();
  await accessible(page, 'a metric with a wrong filter');
  await page.locator('#metric-filter').fill('');
  await page.locator('#metric-filter').press('Enter');
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  isRefusalExpected = false;
  step = 'words that no metric has end the wait';
  await page.goto(`${config.url}/metrics?find=nothing-is-called-so`);
  await page.getByText('No metric fits these words').waitFor();
  await page.getByRole('button', { name: 'Show all metrics' }).click();
  await page.locator('.pick-metric').first().waitFor();
  step = 'what is asked of the first metric names it';
  await page.getByLabel('group by').selectOption('*');
  await page.waitForURL((url) => url.searchParams.get('by') === '*' && url.searchParams.has('m') && url.searchParams.has('unit'));
  step = 'a histogram is a heatmap, too';
  await page.goto(`${config.url}/metrics?m=${encodeURIComponent(name)}`);
  await page.getByLabel('show', { exact: true }).selectOption('heatmap');
  await page.waitForURL((url) => url.searchParams.get('fn') === 'heatmap');
  await page.locator('svg.plot path.heat-6').waitFor();
  assert((await page.locator('#metric-table tbody tr').count()) === 3, 'a row for each bucket');
  await accessible(page, 'a heatmap');
  await picture(page, 'metric-heatmap-dark');
  step = 'two metrics stand one above the other, and their link restores them';
  await page.getByRole('button', { name: `Add a plot of ${name}`, exact: true }).click();
  await page.waitForURL((url) => url.searchParams.get('m2') === name && url.searchParams.get('at') === '2');
  await page.reload();
  await page.locator('.metric').nth(1).locator('svg.plot .dot-ex').first().waitFor();
  await page.locator('.metric').nth(0).locator('svg.plot').first().waitFor();
  await accessible(page, 'two metrics');
  await picture(page, 'metrics-two-dark');
  await page.keyboard.press('t');
  await page.waitForFunction(() => document.activeElement?.id === 'metric-table-2');
  await page.getByRole('button', { name: /^Remove the plot of/ }).first().click();
  await page.waitForURL((url) => !url.searchParams.has('m2') && url.searchParams.get('m') === name);
  await page.goto(`${config.url}/metrics?m=${encodeURIComponent(name)}&by=service`);
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  await page.reload();
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  step = 'an exemplar leads to its journey';
  await page.locator('tbody a[href^="/j/"]').first().click();
  await page.waitForURL((url) => url.pathname.startsWith('/j/'));
  await at.lanes(page).first().waitFor();
}

// Everything by name, with the keyboard alone.
async function command(page) {
  step = 'the command box goes to a service by a part of its name';
  await page.goto(`${config.url}/explore?unit=traces&from=now-3h`);
  await at.rows(page).first().waitFor();
  await page.keyboard.press('Control+k');
  const offers = page.locator('#search-offers [role=option]');
  await offers.filter({ hasText: 'Service map' }).first().waitFor();
  await accessible(page, 'command box');
  await page.keyboard.type(config.journey.hop.to);
  await offers.filter({ hasText: 'service' }).filter({ hasText: config.journey.hop.to }).first().waitFor();
  await picture(page, 'command-dark');
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname === `/services/${config.journey.hop.to}` && url.searchParams.get('from') === 'now-3h');
  await page.locator('.charts').first().waitFor();
  await page.waitForLoadState('networkidle');
  step = 'the command box finds metrics, queues and actions';
  await page.keyboard.press('Control+k');
  await page.keyboard.type('checkout.dur');
  await offers.filter({ hasText: config.metric.name }).first().waitFor();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('queue order-created');
  await offers.filter({ hasText: 'order-created' }).filter({ hasText: 'queue' }).first().waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname === '/map' && (url.searchParams.get('sel') ?? '').includes('order-created'));
  await page.locator('svg.map .card-node').first().waitFor();
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const before = await theme();
  for (let times = 0; times < 2; times++) {
    const now = await theme();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('switch theme');
    await offers.filter({ hasText: 'Switch theme' }).first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForFunction((old) => document.documentElement.dataset.theme !== old, now);
  }
  assert((await theme()) === before, 'twice is back again');
  step = 'keys lead to every page';
  for (const [key, path, wanted] of [
    ['h', '/', '.home-cards li, .home table'], ['e', '/explore', '#heatmap canvas'], ['m', '/map', 'svg.map .card-node, .empty'],
    ['s', '/services', 'main table tbody tr'], ['x', '/metrics', 'svg.plot .line, svg.plot text'], ['q', '/sql', '.tbl'],
    ['a', '/alerts', '.al tbody tr'], ['i', '/system', '.cards .card'],
  ]) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await page.waitForURL((url) => url.pathname === path);
    // Another program may have been loaded: keys are heard once it has drawn something.
    await page.locator(wanted).first().waitFor();
    await page.waitForLoadState('networkidle');
  }
}

// A doubtful join can be cut off, as the URL says; it can be joined again.
async function cut(page) {
  step = 'a doubtful join is cut off';
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
  step = 'the trace in the address can be cut off too';
  const cutting = page.getByRole('link', { name: /^Cut off trace/ }).first();
  const doubtful = new URL(await cutting.getAttribute('href'), config.url).searchParams.get('cut');
  await page.goto(`${config.url}/j/${doubtful}`);
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length === n, whole);
  await cutting.click();
  await page.waitForURL((url) => url.searchParams.get('cut') === doubtful && !url.pathname.includes(doubtful));
  await page.waitForFunction((n) => document.querySelectorAll('.stitch a.t').length < n, whole);
}

// Every number of a page leads to the SQL it rests on, and that runs.
async function behind(page) {
  const { trace_id, span_id, hop } = config.journey;
  const found = new Set();
  for (const [place, wanted] of [
    ['/', '.home-cards li'], ['/explore?unit=spans&q=service%3Dorder+duration%3E1ms', '#heatmap canvas'], ['/services', 'main table tbody tr'], [`/services/${hop.to}`, '.charts'],
    [`/map?sel=${encodeURIComponent(`service:${hop.from}`)}`, 'svg.map .card-node'],
    [`/j/${trace_id}`, 'svg.jy .lane'], [`/t/${trace_id}/${span_id}`, 'aside[aria-label="Span details"] dd'],
    [`/compare?a=${trace_id}&b=usual`, '.compare table tbody tr'], [`/compare?a=${trace_id}&b=${config.doubtful.trace_id}`, '.compare table tbody tr'],
  ]) {
    step = `the SQL behind ${place}`;
    await page.goto(`${config.url}${place}`);
    await page.locator(wanted).first().waitFor();
    await page.locator('a.behind').first().waitFor();
    for (const link of await page.locator('main :not(.facets *) > a.behind').all()) found.add(await link.getAttribute('href'));
  }
  assert(found.size >= 13, `${found.size} links to SQL`);
  for (const link of found) {
    step = `the statement of ${link}`;
    await page.goto(`${config.url}${link}`);
    await page.locator('.answer thead th').first().waitFor();
  }
  // Explore says how many: its statement counts the same, and that of a facet the same for each value. The range is fixed, so that
  // nothing comes into it with the time; journeys that have just settled are in the next answer.
  const range = `from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date(Date.now() - 1_000).toISOString()}`;
  for (const question of [
    'unit=journeys', 'unit=journeys&plot=wait', 'unit=traces', 'unit=traces&q=kind%3Dclient', 'unit=spans', 'unit=spans&q=service%3Dorder+duration%3E1ms',
  ]) {
    step = `the numbers of Explore ?${question} and their SQL`;
    let different = ['nothing was looked at'];
    for (let attempt = 0; attempt < 8 && different.length > 0; attempt++) {
      await page.goto(`${config.url}/explore?${question}&${range}`);
      await page.locator('.facets .fc li').first().waitFor();
      different = await differences(page);
    }
    assert(different.length === 0, different.join('; '));
  }
}

// What Explore says otherwise than the statements that it leads to.
async function differences(page) {
  const different = [];
  const digits = (text) => String(text).replace(/\D/g, '');
  const shown = page.locator('.kp div b').first();
  await shown.waitFor();
  const count = digits(await shown.textContent());
  const [row] = await answered(page, await page.locator('.kp a.behind').first().getAttribute('href'));
  if (String(row[0]) !== count) different.push(`the page says ${count}, SQL ${row}`);
  const facets = await page.locator('.facets .fc:has(a.behind):has(li)').all();
  assert(facets.length >= 3, `${facets.length} facets lead to SQL`);
  for (const facet of facets) {
    const [, value, count] = (await facet.locator('li').first().getAttribute('title')).match(/^(.*): ([^:]*)$/s);
    const rows = await answered(page, await facet.locator('a.behind').getAttribute('href'));
    const row = rows.find(([name]) => name === value);
    if (!row || String(row[1]) !== digits(count)) different.push(`a facet says ${value}: ${count}, SQL ${JSON.stringify(row)}`);
  }
  return different;
}

// The rows that the statement of a link finds.
async function answered(page, link) {
  const at = new URL(link, config.url).searchParams;
  const range = { from: at.get('from') ?? 'now-1h', to: at.get('to') ?? 'now' };
  const answer = await page.request.post(`${config.url}/api/sql`, { data: { sql: at.get('sql'), ...range } });
  assert(answer.ok(), `${at.get('sql')} is answered with ${await answer.text()}`);
  return (await answer.json()).rows;
}

// What is wrong or not there has a face, too.
async function states(page) {
  isRefusalExpected = true;
  for (const [name, place, wanted] of [
    ['a trace that is not stored', '/t/00000000000000000000000000000abc', '.empty, [role=alert]'],
    ['a journey that is not stored', '/j/00000000000000000000000000000abc', '.empty, [role=alert]'],
    ['an id that is none', '/j/nonsense', '.empty, [role=alert]'],
    ['a filter that cannot be read', `/explore?unit=spans&q=${encodeURIComponent('duration>soon')}`, '[role=alert]'],
    ['a filter that leaves nothing', `/explore?unit=spans&q=${encodeURIComponent('service=nobody')}`, '.empty'],
    ['a range without anything', '/map?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z', '.empty'],
    ['a service that is not known', '/services/nobody-knows', 'main :is(.empty, [role=alert], .charts)'],
    ['no metric at all', '/metrics?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z', '.empty'],
    ['a statement that is wrong', `/sql?sql=${encodeURIComponent('SELECT nothing FROM spans')}`, '[role=alert]'],
  ]) {
    step = `the state of ${name}`;
    await page.goto(`${config.url}${place}`);
    await page.locator(wanted).first().waitFor();
    await accessible(page, name);
  }
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  isRefusalExpected = false;
}

// A statement is completed, run, plotted; its link runs it again.
async function statement(page, browser, complaints) {
  step = 'SQL completes columns and runs by key';
  await page.goto(`${config.url}/sql`);
  const field = page.getByLabel('SQL statement');
  await page.locator('.tbl').first().waitFor();
  await field.fill('SELECT service_name, count(*) AS n FROM spans GROUP BY ser');
  await field.press('Control+ ');
  await page.getByRole('option').filter({ hasText: 'service_name' }).first().waitFor();
  await accessible(page, 'SQL with completions');
  await field.press('Enter');
  await field.press('Control+Enter');
  await page.locator('.answer tbody tr').first().waitFor();
  await page.waitForURL((url) => (url.searchParams.get('sql') ?? '').endsWith('GROUP BY service_name'));
  await page.getByRole('button', { name: 'Plot and table' }).click();
  await page.locator('svg.plot, .lst .hint').first().waitFor();
  await accessible(page, 'SQL with plot');
  await picture(page, 'sql-dark');
  await page.reload();
  await page.locator('.answer tbody tr').first().waitFor();
  step = 'a statement is kept on the server, for other readers too';
  await field.fill('-- Spans by service\nSELECT service_name, count(*) AS n FROM spans GROUP BY service_name');
  await field.press('Control+s');
  await page.waitForURL((url) => url.pathname === '/sql/spans-by-service');
  await page.locator('.saved a', { hasText: 'Spans by service' }).waitFor();
  step = 'a kept statement is changed and kept again; its text stays the new one';
  await page.locator('.answer tbody tr').first().waitFor();
  await field.fill('-- Spans by service\nSELECT service_name, count(*) AS changed FROM spans GROUP BY service_name');
  await field.press('Control+s');
  await page.locator('.answer thead th', { hasText: 'changed' }).waitFor();
  assert((await field.inputValue()).includes('AS changed'), 'the text that was written stays');
  step = 'statements that begin alike are kept apart';
  for (const name of ['select', 'select-2']) {
    await page.goto(`${config.url}/sql`);
    await page.locator('.tbl').first().waitFor();
    await field.fill(`SELECT\n'${name}' AS called`);
    await field.press('Control+s');
    await page.waitForURL((url) => url.pathname === `/sql/${name}`);
    await page.locator('.answer tbody tr', { hasText: name }).waitFor();
  }
  for (let left = 2; left > 0; left--) {
    await page.getByRole('button', { name: 'Forget SELECT', exact: true }).first().click();
    await page.waitForFunction((left) => document.querySelectorAll('.saved a').length === left, left);
  }
  await page.goto(`${config.url}/sql/spans-by-service`);
  await page.locator('.answer thead th', { hasText: 'changed' }).waitFor();
  if (browser) {
    const other = await open(browser, complaints, { colorScheme: 'dark' });
    await other.goto(`${config.url}/sql/spans-by-service`);
    await other.locator('.answer tbody tr').first().waitFor();
    // A reader who begins elsewhere sees the colours that others have given.
    const color = (page) => page.locator('main table .svc', { hasText: /^order$/ }).first().getAttribute('class');
    await other.goto(`${config.url}/services`);
    await page.goto(`${config.url}/services`);
    await other.locator('main table .svc').first().waitFor();
    await page.locator('main table .svc').first().waitFor();
    const known = await (await page.request.get(`${config.url}/api/colors`)).json();
    const slot = known.services.indexOf('order') % 8 + 1;
    for (const reader of [page, other]) {
      await reader.locator(`main table .svc.c${slot}`, { hasText: /^order$/ }).first().waitFor();
    }
    await other.context().close();
    await page.goto(`${config.url}/sql/spans-by-service`);
    await page.locator('.answer tbody tr').first().waitFor();
  }
  await page.getByRole('button', { name: 'Forget Spans by service' }).click();
  await page.waitForFunction(() => !document.querySelector('.saved a'));
  step = 'a statement that is wrong says where';
  await field.fill('SELECT nothing_like_it FROM spans');
  await field.press('Control+Enter');
  await page.getByRole('alert').first().waitFor();
  await picture(page, 'sql-error-dark');
}

// A rule is written, rehearsed and kept; it fires, is muted, and the silence is ended.
async function alerts(page) {
  step = 'a rule is rehearsed before it is kept';
  await page.goto(`${config.url}/alerts?show=new`);
  const rule = [
    'alert: SpansOfServices', 'interval: 1s', 'sql: |',
    '  SELECT service_name AS service, count(*) AS value, min(trace_id) AS trace_id', '  FROM spans',
    '  WHERE start_time >= $from AND start_time < $to', '  GROUP BY 1', 'range: 30d', 'annotations:',
    "  summary: '{{ $labels.service }} sent {{ $value }} spans'", '',
  ].join('\n');
  await page.getByText('Proposed from the data').waitFor();
  await page.locator('#rule-text').fill(rule.replace('FROM spans', 'FROM nothing'));
  await page.getByRole('button', { name: '1 h', exact: true }).first().click();
  await page.locator('.al-editor').getByRole('alert').first().waitFor();
  await page.locator('#rule-text').fill(rule.replace('interval: 1s', 'interval: 1m'));
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.locator('.verdict-box').getByText(/Would (not )?have fired/).waitFor();
  await accessible(page, 'rule editor');
  await picture(page, 'alerts-editor-dark');
  step = 'a kept rule fires';
  await page.locator('#rule-text').fill(rule);
  await page.getByRole('button', { name: 'Keep', exact: true }).click();
  const row = page.locator('.al tbody tr').filter({ hasText: 'SpansOfServices' });
  await row.locator('.st.firing').waitFor({ timeout: 90_000 });
  await row.click();
  await page.waitForURL((url) => url.pathname === '/alerts/SpansOfServices');
  const drawer = page.getByRole('complementary', { name: 'Selected rule' });
  await drawer.locator('.found li a[href^="/j/"]').first().waitFor();
  await accessible(page, 'alerts, dark');
  await picture(page, 'alerts-dark');
  step = 'a rule is muted by key, and the silence ended';
  await page.keyboard.press('m');
  await page.waitForURL((url) => url.searchParams.get('match')?.includes('alertname="SpansOfServices"') ?? false);
  await page.getByLabel('Why').fill('the test knows');
  await page.locator('.al-form').getByRole('button', { name: 'Silence' }).click();
  await row.locator('.st.muted').waitFor({ timeout: 90_000 });
  await page.locator('.silences li').filter({ hasText: 'the test knows' }).first().waitFor();
  await accessible(page, 'silences');
  await at.theme(page).click();
  await accessible(page, 'alerts, light');
  await picture(page, 'alerts-silences-light');
  await at.theme(page).click();
  await page.getByRole('button', { name: 'End now' }).first().click();
  await row.locator('.st.firing').waitFor({ timeout: 90_000 });
  step = 'the past of alerts is listed';
  await page.getByRole('button', { name: 'History' }).click();
  await page.locator('.hs .st.firing').first().waitFor();
  await accessible(page, 'alerts, history');
  const found = await page.evaluate(() => [window.executed ?? 0, document.querySelectorAll('main img').length]);
  assert(found[0] === 0 && found[1] === 0, `${found} payloads became markup`);
  step = 'Home says what fires, a line for each rule';
  await page.goto(`${config.url}/`);
  const line = page.getByRole('list', { name: 'Firing alerts' }).locator('li', { hasText: 'SpansOfServices' });
  await line.waitFor();
  assert((await line.count()) === 1, 'several alerts of a rule are one line');
  await accessible(page, 'Home with firing alerts');
  await line.getByRole('link').click();
  await page.waitForURL((url) => url.pathname === '/alerts/SpansOfServices');
  step = 'a rule is deleted';
  await page.goto(`${config.url}/alerts/SpansOfServices?show=edit`);
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('button', { name: 'Really delete' }).click();
  await row.waitFor({ state: 'detached' });
}

// The story of the mock, with the keyboard alone: from Home to Explore, a filter, the journey, its bottleneck, the partition.
async function story(page) {
  const { journey } = config;
  step = 'settled journeys stand in Explore';
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
  step = 'the journey is opened, its slow consumer followed into the waterfall, by keyboard';
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
  figures.key_to_paint_ms = await page.evaluate(() => {
    const times = [...window.keyTimes].sort((a, b) => a - b);
    return { keys: times.length, p95: times[Math.floor(times.length * 0.95)] ?? 0, max: times.at(-1) ?? 0 };
  });
  step = 'the map tells the lag of each partition';
  await page.goto(`${config.url}/map?sel=${encodeURIComponent('queue:kafka/order-created')}`);
  const lags = page.locator('.lags tbody tr');
  await lags.filter({ hasText: journey.hop.to }).first().waitFor();
  await accessible(page, 'lag by partition');
  await picture(page, 'map-partitions-dark');
}

// Raw times are drawn until the reader asks for corrected ones.
async function clocks(page) {
  step = 'clocks that disagree are shown, and aligned on demand';
  await page.goto(`${config.url}/j/${config.skewed.trace_id}`);
  await page.locator('svg.jy .skew').filter({ hasText: 'clock' }).first().waitFor();
  await page.getByRole('button', { name: 'Align clocks' }).click();
  await page.locator('svg.jy .skew').filter({ hasText: 'moved' }).first().waitFor();
  await page.waitForURL((url) => url.searchParams.get('skew') === '1');
  await picture(page, 'journey-aligned-dark');
}

// The URL of a journey restores hop, zoom and switches for somebody who was never here.
async function restoreJourney(browser, complaints, link) {
  step = 'a link to a journey restores the view in a clean browser';
  const page = await open(browser, complaints, { colorScheme: 'light' });
  await page.goto(link);
  await at.lanes(page).first().waitFor();
  const asked = new URL(link).searchParams;
  await page.locator(`#hop-${asked.get('hop')}[aria-selected=true]`).waitFor();
  assert((await page.locator('svg.jy .track path').count()) === 0, 'the critical path stays off');
  await page.waitForTimeout(300);
  assert(new URL(page.url()).searchParams.get('x') === asked.get('x'), 'the part of the time stays');
  await picture(page, 'journey-link-light');
  await page.context().close();
}

// Nothing serious for people who cannot see or point, as far as a program can tell.
async function accessible(page, what) {
  // What is being asked for anew is shown paler for a moment, and colours change in steps: how long that takes is the machine's business.
  await page.waitForFunction(() => !document.querySelector('.old') && document.getAnimations().every(
    (animation) => animation.playState !== 'running' || animation.effect?.getComputedTiming().endTime === Infinity,
  ));
  step = `accessibility of ${what}`;
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ['violations'] });
    return result.violations
      .filter((rule) => ['serious', 'critical'].includes(rule.impact))
      .map((rule) => `${rule.id}: ${rule.help} (${rule.nodes.slice(0, 4).map((node) => node.target.join(' ')).join('; ')})`);
  });
  assert(found.length === 0, `${what}: ${found.join('\n')}`);
}

// The waterfall is one tab away.
async function waterfall(page) {
  step = 'the waterfall is a tab of the journey';
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
  step = 'the waterfall folds a long wait';
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
  assert((await page.locator('.wfw .fold').count()) === (await pills.count()), 'a band for each fold');
  await accessible(page, 'folded waterfall');
  await picture(page, 'waterfall-folded-dark');
  const before = await pills.count();
  await pills.first().click();
  await until(async () => (await pills.count()) === before - 1, 'a click unfolds one');
  step = 'folds are switched off by key, and the address keeps that';
  await page.goto(place);
  await pills.first().waitFor();
  await page.keyboard.press('f');
  await page.waitForURL((url) => url.searchParams.get('fold') === '0');
  assert((await pills.count()) === 0, 'nothing is folded');
  await page.reload();
  await at.spanRows(page).first().waitFor();
  await page.getByRole('button', { name: 'Fold waits' }).and(page.locator('[aria-pressed=false]')).waitFor();
  assert((await pills.count()) === 0, 'nothing is folded after a reload');
}

// Lanes are moved and hidden by keyboard; the address restores them.
async function lanes(page) {
  const { trace_id } = config.journey;
  step = 'lanes are moved and hidden';
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

// Which columns the table has is in the address.
async function columns(page) {
  step = 'columns are chosen';
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
  assert((await heads()) === before - 1, 'the choice survives a reload');
  assert((await at.rows(page).first().locator('td').count()) === before - 1, 'rows have as many cells');
}

// Parts of pages that the address chooses: cards by namespace, the map of namespaces, sums of a comparison, a part of a service.
async function places(page) {
  const { trace_id, hop } = config.journey;
  step = 'cards stand by namespace';
  await page.goto(`${config.url}/?group=namespace`);
  await page.locator('.home-cards .space').first().waitFor();
  await accessible(page, 'Home by namespace');
  step = 'the map is one of namespaces';
  // Many nodes may stand together by themselves.
  await page.goto(`${config.url}/map?group=0`);
  await page.locator('svg.map .card-node').first().waitFor();
  await page.getByRole('button', { name: 'By namespace' }).click();
  await page.waitForURL((url) => url.searchParams.get('group') === 'namespace');
  await page.locator('svg.map .card-node').first().waitFor();
  await accessible(page, 'map by namespace');
  await picture(page, 'map-namespaces-dark');
  step = 'a comparison is added up';
  await page.goto(`${config.url}/compare?a=${trace_id}&b=${config.skewed.trace_id}`);
  await page.getByRole('navigation', { name: 'A row for each' }).getByText('Reached').click();
  await page.waitForURL((url) => url.searchParams.get('by') === 'reached');
  await page.locator('.compare td.what', { hasText: /\d+ steps?/ }).first().waitFor();
  await accessible(page, 'comparison, added up');
  step = 'one part of a service, one operation of it';
  await page.goto(`${config.url}/services/${hop.from}`);
  await page.getByRole('navigation', { name: 'Parts' }).getByText('Versions').click();
  await page.waitForURL((url) => url.searchParams.get('tab') === 'versions');
  await page.getByRole('region', { name: 'Versions' }).waitFor();
  assert(await page.locator('section[aria-label=Operations]').isHidden(), 'other parts are hidden');
  await accessible(page, 'a part of a service');
  await page.getByRole('navigation', { name: 'Parts' }).getByText('Operations').click();
  await page.locator('section[aria-label=Operations] td.what a').first().click();
  await page.waitForURL((url) => url.searchParams.has('op'));
  await page.getByText('as its callers perceive it').waitFor();
  await accessible(page, 'an operation of a service');
  step = 'the environment goes along';
  await page.goto(`${config.url}/explore?unit=spans&env=nowhere`);
  await page.locator('.chip.env', { hasText: 'nowhere' }).waitFor();
  await page.locator('.empty').first().waitFor();
  await page.locator('.rail a', { hasText: 'Map' }).click();
  await page.waitForURL((url) => url.pathname === '/map' && url.searchParams.get('env') === 'nowhere');
  await page.locator('.chip.env', { hasText: 'all here' }).waitFor();
  await accessible(page, 'map in an environment');
  await page.getByRole('button', { name: 'Leave the environment nowhere' }).click();
  await page.waitForURL((url) => !url.searchParams.has('env'));
}

// A view by its short name, one that is not there, and an address that is too long to be handed on.
async function short(page) {
  step = 'a saved view has a short address';
  const kept = (id, sql) => page.request.put(`${config.url}/api/queries/${id}`, { data: { title: id, sql } });
  assert((await kept('short-of-the-test', '-- Short\n-- view /explore?unit=spans&sort=slowest\nSELECT 1')).ok(), 'a view can be kept');
  await page.goto(`${config.url}/v/short-of-the-test`);
  await page.waitForURL((url) => url.pathname === '/explore' && url.searchParams.get('sort') === 'slowest');
  await page.request.delete(`${config.url}/api/queries/short-of-the-test`);
  await page.goto(`${config.url}/v/short-of-the-test`);
  await page.locator('.empty').first().waitFor();
  await accessible(page, 'a view that is not kept');
  step = 'a long address is handed on as a short one';
  const statement = `SELECT '${'long '.repeat(400)}' AS text`;
  await page.goto(`${config.url}/sql?sql=${encodeURIComponent(statement)}`);
  await page.locator('.answer thead th', { hasText: 'text' }).waitFor();
  await page.getByRole('button', { name: 'Share view' }).click();
  const ids = async () => (await (await page.request.get(`${config.url}/api/queries`)).json()).queries.map((query) => query.id);
  await until(async () => (await ids()).some((id) => id.startsWith('link-')), 'the address is kept');
  const [id] = (await ids()).filter((id) => id.startsWith('link-'));
  await page.goto(`${config.url}/v/${id}`);
  await page.waitForURL((url) => url.pathname === '/sql' && (url.searchParams.get('sql') ?? '').includes('long long'));
  await page.request.delete(`${config.url}/api/queries/${id}`);
}

// Find marks the matches and counts them.
async function find(page) {
  step = 'find in the trace';
  await at.find(page).fill(config.journey.find);
  await page.waitForFunction(
    () => /[1-9]/.test(document.querySelector('.find .cnt')?.textContent ?? ''),
  );
  figures.find_count = (await at.findCount(page).textContent()).trim();
}

// A selected span shows what was sent about it and stands in the URL.
async function inspect(page) {
  step = 'a selected span shows its attributes';
  const { trace_id, span_id, span_name, attribute, lanes, hop } = config.journey;
  await at.spanNamed(page, span_name).click();
  await page.waitForURL((url) => url.pathname === `/t/${trace_id}/${span_id}`);
  await at.attribute(page, attribute.key).getByText(attribute.value).waitFor();
  await picture(page, 'inspector-dark');
  return page.url();
}

// The other theme is one click away and stays.
async function themes(page) {
  step = 'the theme switches';
  const theme = () => page.evaluate(() => document.documentElement.getAttribute('data-theme'));
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [before, dark] = [await theme(), await background()];
  await at.theme(page).click();
  await page.waitForFunction((old) => document.documentElement.getAttribute('data-theme') !== old, before);
  assert((await background()) !== dark, 'the background changed');
  await picture(page, 'inspector-light');
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  assert((await theme()) !== before, 'the choice survives a reload');
  await picture(page, 'explore-light');
  await at.theme(page).click();
}

// The URL of a selected span restores the view for somebody who was never here.
async function restore(browser, complaints, link) {
  step = 'a link to a span restores the view in a clean browser';
  const page = await open(browser, complaints, { colorScheme: 'light' });
  await page.goto(link);
  const { span_name, attribute, lanes, hop } = config.journey;
  await at.attribute(page, attribute.key).getByText(attribute.value).waitFor();
  const selected = await at.spanNamed(page, span_name).getAttribute('aria-selected');
  assert(selected === 'true', 'the row of the span is selected');
  await picture(page, 'deep-link-light');
  await page.context().close();
}

// All traces of the journey are in the list: until then it is drawn once more.
async function whole(page) {
  await page.locator('.status', { hasText: /spans in \d+ traces/ }).waitFor();
  await page.locator('.wr.cross:visible').first().waitFor();
}

// One list for the whole journey: a row for each message between two traces; what is shown of it stands in the address.
async function stitched(page) {
  step = 'the traces of a journey are one list';
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
  step = 'a link to the other end of a message stays in the list';
  await at.inspector(page).getByRole('link').first().click();
  await page.waitForURL((url) => /\/t\/[0-9a-f]{32}\/[0-9a-f]{16}$/.test(url.pathname));
  await page.locator('[role=row][aria-selected=true]').waitFor();
  assert((await count()) === all, 'nothing was loaded again');
  step = 'one trace stands alone on demand';
  await page.getByRole('link', { name: 'This trace only' }).click();
  await page.waitForURL((url) => url.searchParams.get('alone') === '1');
  await page.waitForFunction((n) => Number(document.querySelector('[role=treegrid]').getAttribute('aria-rowcount')) < n, all);
  assert((await page.locator('.wr.cross:visible').count()) === 0, 'a trace alone has no crossing');
  await page.getByRole('link', { name: 'Whole journey' }).click();
  await whole(page);
  step = 'what is shut stands in the address';
  await page.goto(place);
  await whole(page);
  await page.keyboard.press('2');
  await page.waitForURL((url) => url.searchParams.has('shut'));
  await restored('shut');
  await page.keyboard.press('0');
  await page.waitForURL((url) => !url.searchParams.has('shut'));
  step = 'a subtree stands alone by key, and so do long rows';
  await at.spanNamed(page, span_name).click();
  await page.waitForURL((url) => url.pathname.endsWith(span_id));
  await page.keyboard.press('r');
  await page.waitForURL((url) => url.searchParams.get('root') === span_id);
  assert((await count()) < all, 'a part of the rows');
  await page.reload();
  await page.getByRole('button', { name: 'Subtree' }).waitFor();
  await page.keyboard.press('r');
  await page.waitForURL((url) => !url.searchParams.has('root'));
  await whole(page);
  await page.getByLabel('Rows shown').selectOption('10pc');
  await page.waitForURL((url) => url.searchParams.get('only') === '10pc');
  assert((await count()) < all, 'short rows are left out');
  await page.getByLabel('Rows shown').selectOption('path');
  await page.waitForURL((url) => url.searchParams.get('only') === 'path');
  await page.locator('.wr .cp:visible').first().waitFor();
  await accessible(page, 'only the critical path');
  await page.reload();
  await page.waitForFunction(() => document.querySelector('select[aria-label="Rows shown"]')?.value === 'path');
}

// A view of Explore is kept on the server, comes back by its name, and is a statement too.
async function views(page) {
  step = 'a view is saved by keyboard';
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
  step = 'a saved view comes back';
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  await page.getByRole('button', { name: 'Saved views' }).click();
  await link.click();
  await page.waitForURL((url) => url.searchParams.get('q') === 'service=order' && url.searchParams.get('sort') === 'slowest');
  await at.rows(page).first().waitFor();
  await page.getByRole('button', { name: 'Saved views' }).click();
  await page.getByRole('button', { name: 'Forget Slow orders of the test' }).click();
  await link.waitFor({ state: 'detached' });
  step = 'the filter goes on as SQL';
  await page.locator('.q .lang a', { hasText: 'SQL' }).click();
  await page.waitForURL((url) => url.pathname === '/sql' && url.searchParams.get('sql').includes("service_name = 'order'"));
  await page.locator('.answer thead th').first().waitFor();
  await page.goto(`${config.url}/explore?unit=spans&q=${encodeURIComponent('service~ord or status=error')}`);
  await page.locator('.q .lang button[disabled]').waitFor();
}

// A live stream that is refused for good is not asked for again and again.
async function refused(browser, complaints) {
  step = 'a stream that is refused says so and stops';
  isRefusalExpected = true;
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
  isRefusalExpected = false;
}

// A tablet and a phone: nothing is wider than the window, and every tab and page can be reached.
async function narrow(page) {
  const { trace_id, hop } = config.journey;
  const all = [
    ['/', '.home-cards li, .home table'], ['/explore?unit=traces', 'tbody tr[id^=row-]'], ['/map', 'svg.map .card-node, .empty'], ['/map?view=table', 'main table, .empty'],
    ['/services', 'main table'], [`/services/${hop.to}`, '.charts'], [`/j/${trace_id}`, '#hops tbody tr[id^=hop-]'], [`/j/${trace_id}?tab=flame`, 'svg .slab'],
    [`/j/${trace_id}?tab=table`, '#lines tbody tr[id^=line-]'], [`/j/${trace_id}?tab=logs`, '#moments'], [`/t/${trace_id}`, '.wr.cross'],
    [`/compare?a=${trace_id}&b=${config.skewed.trace_id}`, '.compare .cards'], ['/metrics', 'svg.plot'], ['/sql', '.tbl'], ['/alerts', '.al tbody tr'], ['/system', '.cards .card'],
  ];
  for (const width of [820, 390]) {
    await page.setViewportSize({ width, height: 900 });
    for (const [place, wanted] of all) {
      step = `${place} in a window of ${width} px`;
      await page.goto(`${config.url}${place}`);
      await page.locator(wanted).first().waitFor({ state: 'attached' });
      const found = await page.evaluate(() => {
        const root = document.documentElement;
        const outside = [...document.querySelectorAll('.tabs a, .tabs button, .topbar button, .topbar input, .tb button, .kp button')]
          .filter((node) => node.getClientRects().length > 0 && (node.getBoundingClientRect().right > root.clientWidth + 1 || node.getBoundingClientRect().left < -1));
        const rail = document.querySelector('.rail');
        const links = [...rail.querySelectorAll('a[href]:not(.logo)')].filter((link) => link.getClientRects().length > 0);
        return {
          wide: root.scrollWidth - root.clientWidth, body: document.body.scrollWidth - root.clientWidth,
          outside: outside.map((node) => node.textContent || node.getAttribute('aria-label')), links: links.length,
        };
      });
      assert(found.wide <= 0 && found.body <= 0, `the page is ${Math.max(found.wide, found.body)} px wider than its window`);
      assert(found.outside.length === 0, `outside of the window: ${found.outside}`);
      assert(found.links >= 8, `${found.links} pages can be reached`);
    }
    await accessible(page, `system, ${width} px`);
    await page.goto(`${config.url}/t/${trace_id}`);
    await whole(page);
    await accessible(page, `waterfall, ${width} px`);
    await picture(page, `waterfall-${width}-dark`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

// The search box takes a trace id.
async function jump(page) {
  step = 'the search box opens a trace by its id';
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.search(page).fill(config.journey.trace_id);
  await at.search(page).press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(`/t/${config.journey.trace_id}`));
  await at.spanRows(page).first().waitFor();
}

// Markup in telemetry is text, in every view.
async function hostile(page) {
  step = 'markup in telemetry is shown as text';
  const { trace_id, marker, service, journey_id } = config.hostile;
  await page.goto(`${config.url}/j/${journey_id}`);
  await at.lanes(page).filter({ hasText: marker }).first().waitFor();
  await at.hops(page).filter({ hasText: marker }).first().waitFor();
  await picture(page, 'hostile-journey-dark');
  await page.goto(`${config.url}/t/${trace_id}`);
  await at.spanRows(page).first().click();
  await at.inspector(page).getByText(marker).first().waitFor();
  const links = await page.locator('a[href^="javascript:" i], a[href^="data:" i]').count();
  assert(links === 0, 'an attribute became a link that runs');
  await picture(page, 'hostile-dark');
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).filter({ hasText: marker }).first().waitFor();
  await page.waitForTimeout(300);
  const executed = await page.evaluate(() => window.executed ?? 0);
  assert(executed === 0, `${executed} payloads were executed`);
  const places = [
    `/t/${journey_id}`, `/j/${journey_id}?tab=flame`, `/j/${journey_id}?tab=table`, `/j/${journey_id}?tab=logs`, `/compare?a=${journey_id}&b=${trace_id}`,
    '/', '/?view=table', '/services', `/services/${encodeURIComponent(service)}`, '/map', '/map?view=matrix', '/map?view=table',
    '/metrics', `/metrics?m=${encodeURIComponent(`${service.replace(/ sender$/, '')} level`)}`,
    '/explore?unit=spans', `/sql?view=plot&sql=${encodeURIComponent('SELECT service_name, name, count(*) AS n FROM spans GROUP BY 1, 2')}`,
    `/explore?unit=traces&q=${encodeURIComponent(`name~"${marker}"`)}`, '/system',
  ];
  for (const place of places) {
    step = `markup in telemetry is text at ${place}`;
    await page.goto(`${config.url}${place}`);
    await page.locator('main :is(table, svg, .card, .empty, .charts)').first().waitFor();
    await page.waitForTimeout(500);
    const found = await page.evaluate(() => [window.executed ?? 0, document.querySelectorAll('main img').length]);
    assert(found[0] === 0 && found[1] === 0, `${found} payloads became markup`);
  }
}

// A trace of ten thousand spans: first rows soon, and scrolling without long frames.
async function big(page) {
  step = 'a big trace shows its first rows';
  const { trace_id, n_spans } = config.big;
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  const begun = Date.now();
  await at.search(page).fill(trace_id);
  await at.search(page).press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(`/t/${trace_id}`));
  await at.spanRows(page).first().waitFor();
  figures.big_first_rows_ms = Date.now() - begun;
  const nodes = await at.spanRows(page).count();
  assert(nodes < 300, `${nodes} row nodes for ${n_spans} spans: rows are not virtual`);

  step = 'a big trace scrolls';
  const scrolled = await scroll(page);
  assert(!scrolled.error, scrolled.error);
  assert(scrolled.height > n_spans * 15, `the list is ${scrolled.height} px high for ${n_spans} rows`);
  figures.scroll_frame_ms = { p50: scrolled.p50, p95: scrolled.p95, max: scrolled.max, over_20: scrolled.over_20, per_second: scrolled.per_second, rest_p95: scrolled.rest_p95 };
  const visible = await at.spanRows(page).count();
  assert(visible > 5, 'rows are there after scrolling');
  await picture(page, 'big-dark');
}

// The same in a trace ten times as long, which only long runs hold: what it takes to open, scroll and shut it.
async function huge(page) {
  step = 'a huge trace opens and scrolls';
  const { trace_id } = config.huge;
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  const begun = Date.now();
  await at.search(page).fill(trace_id);
  await at.search(page).press('Enter');
  await page.waitForURL((url) => url.pathname.startsWith(`/t/${trace_id}`));
  await at.spanRows(page).first().waitFor();
  const first_rows_ms = Date.now() - begun;
  const { p50, p95, max, over_20, per_second, rest_p95 } = await scroll(page);
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
  const session = await page.context().newCDPSession(page);
  const heap = await session.send('Runtime.getHeapUsage');
  const megabytes = (heap.usedSize + (heap.backingStorageSize ?? 0)) / 1e6;
  figures.huge = { first_rows_ms, frame_ms: { p50, p95, max, over_20, per_second, rest_p95 }, shut_ms, megabytes };
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

// A collector that asks for keys: the page asks for one, goes on where it was, and signs out.
async function signIn(browser, complaints) {
  const { url, key, sender_key } = config.guarded;
  step = 'a page without a key asks for one';
  isRefusalExpected = true;
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
    step = 'keys that open nothing are explained';
    for (const [wrong, why] of [['hod_nonsense', 'does not know this key'], [sender_key, 'may only send']]) {
      await field.fill(wrong);
      await field.press('Enter');
      await page.locator('#key-problem', { hasText: why }).waitFor();
      assert((await field.inputValue()) === '', 'the key does not stay in the field');
    }
    await accessible(page, 'sign-in panel with a wrong key');
    step = 'with a key the page asks again what it asked';
    await field.fill(key);
    await field.press('Enter');
    await page.locator('.tbl').first().waitFor();
    const statement = page.getByLabel('SQL statement');
    await statement.fill('SELECT 1 AS one');
    await statement.press('Control+Enter');
    await page.locator('.answer thead th', { hasText: 'one' }).waitFor();
    assert(!(await page.evaluate(() => document.cookie + JSON.stringify(localStorage))).includes('hod_'), 'no script can read the key');
    step = 'nothing asks by the clock while a key is asked for, and the live stream begins once it is there';
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
    step = 'a browser that keeps no cookie is told so, once';
    const careless = await open(browser, complaints, { colorScheme: 'dark' });
    // The key is right, and its cookie goes astray.
    await careless.route('**/api/session', (route) => (route.request().method() === 'POST' ? route.fulfill({ status: 204 }) : route.continue()));
    await careless.goto(`${url}/services`);
    await careless.getByLabel('API key').fill(key);
    await careless.getByLabel('API key').press('Enter');
    await careless.locator('#key-problem', { hasText: 'did not keep the cookie' }).waitFor();
    await careless.context().close();
    step = 'a session that ends in between loses nothing that was written';
    const ended = await page.evaluate(async () => (await fetch('/api/session', { method: 'DELETE' })).status);
    assert(ended === 204, `signing out is answered with ${ended}`);
    await statement.fill('SELECT 2 AS two');
    await statement.press('Control+Enter');
    await field.waitFor();
    await field.fill(key);
    await field.press('Enter');
    await page.locator('.answer thead th', { hasText: 'two' }).waitFor();
    step = 'one signs out';
    await page.reload();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await field.waitFor();
    assert((await page.getByRole('button', { name: 'Sign out' }).count()) === 0, 'nobody is signed in');
  } catch (error) {
    await page.onFailure();
    throw error;
  }
  await page.context().close();
  isRefusalExpected = false;
}

// What a first visit loads: the program of its address, and nothing of the other one before it is at rest.
async function bundle(browser, complaints) {
  step = 'the first load is small';
  figures.programs = {};
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
    figures.css_gzip_bytes = Number(sheet.headers()['content-length'] ?? -1);
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
    figures.programs[program] = {
      wasm_url: names[0], wasm_bytes: loaded[0][1], first_visit: cold,
      first_paint_ms: middle('first_paint_ms'), interactive_ms: middle('interactive_ms'),
    };
    if (program === 'trail') {
      step = 'the other program takes over where the reader goes there';
      await page.getByRole('link', { name: 'Services' }).click();
      await page.locator('main table').first().waitFor();
      await page.goBack();
      await at.spanRows(page).first().waitFor();
    }
    await page.context().close();
  }
}

main().catch((error) => {
  console.error(`step "${step}": ${error.message}`);
  process.exit(1);
});
