// What all pages have in common: both themes, keys, the command box, addresses, narrow windows, what is wrong or not there.
'use strict';

const { run, config, at, assert, until, picture, accessible, whole } = require('../common.js');

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
    run.step = `the page ${name}`;
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
  run.step = 'the key sheet opens and closes by key';
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await accessible(page, 'key sheet');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'detached' });
}

// Everything by name, with the keyboard alone.
async function command(page) {
  run.step = 'the command box goes to a service by a part of its name';
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
  run.step = 'the command box finds metrics, queues and actions';
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
  run.step = 'keys lead to every page';
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

// Parts of pages that the address chooses: cards by namespace, the map of namespaces, sums of a comparison, a part of a service.
async function places(page) {
  const { trace_id, hop } = config.journey;
  run.step = 'cards stand by namespace';
  await page.goto(`${config.url}/?group=namespace`);
  await page.locator('.home-cards .space').first().waitFor();
  await accessible(page, 'Home by namespace');
  run.step = 'the map is one of namespaces';
  // Many nodes may stand together by themselves.
  await page.goto(`${config.url}/map?group=0`);
  await page.locator('svg.map .card-node').first().waitFor();
  await page.getByRole('button', { name: 'By namespace' }).click();
  await page.waitForURL((url) => url.searchParams.get('group') === 'namespace');
  await page.locator('svg.map .card-node').first().waitFor();
  await accessible(page, 'map by namespace');
  await picture(page, 'map-namespaces-dark');
  run.step = 'a comparison is added up';
  await page.goto(`${config.url}/compare?a=${trace_id}&b=${config.skewed.trace_id}`);
  await page.getByRole('navigation', { name: 'A row for each' }).getByText('Reached').click();
  await page.waitForURL((url) => url.searchParams.get('by') === 'reached');
  await page.locator('.compare td.what', { hasText: /\d+ steps?/ }).first().waitFor();
  await accessible(page, 'comparison, added up');
  run.step = 'one part of a service, one operation of it';
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
  run.step = 'two versions of a service are compared';
  await page.goto(`${config.url}/services/cashier?tab=versions&from=now-2d`);
  const versions = page.getByRole('region', { name: 'Versions' });
  await versions.getByRole('combobox').first().selectOption('2.0');
  await page.waitForURL((url) => url.searchParams.get('version') === '2.0' && !url.searchParams.has('vs'));
  const bills = versions.locator('tr', { hasText: 'POST /bills' });
  await bills.waitFor();
  assert(/30.*50.*30.*5.*10/.test((await bills.innerText()).replace(/\s+/g, ' ')), `2.0 takes ten times as long as 1.9: ${await bills.innerText()}`);
  assert(await versions.locator('tr', { hasText: 'POST /refunds' }).count() === 1, 'an operation that the other version has not');
  await accessible(page, 'two versions of a service');
  await picture(page, 'service-versions-dark');
  await versions.getByRole('combobox').nth(1).selectOption('2.0');
  await versions.locator('caption', { hasText: 'in two versions' }).waitFor({ state: 'detached' });
  await page.goBack();
  await bills.waitFor();
  run.step = 'the environment goes along';
  await page.goto(`${config.url}/explore?unit=spans&env=nowhere`);
  await page.locator('.chip.env', { hasText: 'nowhere' }).waitFor();
  await page.locator('.empty').first().waitFor();
  await page.locator('.rail a', { hasText: 'Map' }).click();
  await page.waitForURL((url) => url.pathname === '/map' && url.searchParams.get('env') === 'nowhere');
  await page.getByText('Only the environment nowhere is looked at.').waitFor();
  await accessible(page, 'map in an environment');
  await page.locator('.rail a', { hasText: 'System' }).click();
  await page.locator('.chip.env', { hasText: 'all here' }).waitFor();
  await page.getByRole('button', { name: 'Leave the environment nowhere' }).click();
  await page.waitForURL((url) => !url.searchParams.has('env'));
  run.step = 'an environment is chosen, and every number is of it';
  await page.goto(`${config.url}/?from=now-2d`);
  const choice = page.locator('label', { hasText: 'environment' }).locator('select');
  // The map is there before the services: none of those before it are asked for in the new environment.
  const late = '**/api/services?*';
  await page.route(late, async (route) => {
    await new Promise((done) => setTimeout(done, 500));
    await route.continue();
  });
  await choice.selectOption('staging');
  await page.waitForURL((url) => url.searchParams.get('env') === 'staging');
  const cards = page.locator('.home-cards > li');
  await until(async () => (await cards.count()) === 1 && (await cards.innerText()).includes('cashier'), 'one service is in staging');
  await page.unroute(late);
  await accessible(page, 'home in an environment');
  await picture(page, 'home-environment-dark');
  await page.locator('.home-head', { hasText: 'Services' }).getByRole('link', { name: 'SQL' }).click();
  await until(async () => /^cashier\s+35\s+35\s/.test(await page.locator('.answer tbody').innerText().catch(() => '')), 'the statement behind it finds the same');
  await page.goBack();
  await page.locator('.rail a', { hasText: 'Map' }).click();
  await page.locator('.tb').getByRole('button', { name: 'Table' }).click();
  await until(async () => (await page.locator('tbody tr', { hasText: 'cashier' }).count()) === 1 && (await page.locator('tbody tr').count()) === 1, 'one edge is in staging');
  await page.locator('.rail a', { hasText: 'Services' }).click();
  await page.locator('tbody .svc', { hasText: 'cashier' }).waitFor();
  assert((await page.locator('tbody tr').count()) === 1, 'one service is listed');
  await page.goto(`${config.url}/services/cashier?from=now-2d&env=production`);
  await page.locator('section[aria-label=Operations]', { hasText: 'POST /bills' }).waitFor();
  assert((await page.locator('section[aria-label=Operations]', { hasText: 'POST /refunds' }).count()) === 0, 'nobody refunds in production');
  run.isRefusalExpected = true;
  await page.goto(`${config.url}/services/${hop.from}?env=staging`);
  await accessible(page, 'a service that is not in the environment');
  await page.getByRole('link', { name: 'All environments' }).click();
  await page.locator('section[aria-label=Operations]').waitFor();
  run.isRefusalExpected = false;
}

// A view by its short name, one that is not there, and an address that is too long to be handed on.
async function short(page) {
  run.step = 'a saved view has a short address';
  const kept = (id, sql) => page.request.put(`${config.url}/api/queries/${id}`, { data: { title: id, sql } });
  assert((await kept('short-of-the-test', '-- Short\n-- view /explore?unit=spans&sort=slowest\nSELECT 1')).ok(), 'a view can be kept');
  await page.goto(`${config.url}/v/short-of-the-test`);
  await page.waitForURL((url) => url.pathname === '/explore' && url.searchParams.get('sort') === 'slowest');
  await page.request.delete(`${config.url}/api/queries/short-of-the-test`);
  await page.goto(`${config.url}/v/short-of-the-test`);
  await page.locator('.empty').first().waitFor();
  await accessible(page, 'a view that is not kept');
  run.step = 'a long address is handed on as a short one';
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

// The other theme is one click away and stays.
async function themes(page) {
  run.step = 'the theme switches';
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
      run.step = `${place} in a window of ${width} px`;
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

// What is wrong or not there has a face, too.
async function states(page) {
  run.isRefusalExpected = true;
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
    run.step = `the state of ${name}`;
    await page.goto(`${config.url}${place}`);
    await page.locator(wanted).first().waitFor();
    await accessible(page, name);
  }
  await page.goto(`${config.url}/explore?unit=traces`);
  await at.rows(page).first().waitFor();
  run.isRefusalExpected = false;
}

// Markup in telemetry is text, in every view.
async function hostile(page) {
  run.step = 'markup in telemetry is shown as text';
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
    run.step = `markup in telemetry is text at ${place}`;
    await page.goto(`${config.url}${place}`);
    await page.locator('main :is(table, svg, .card, .empty, .charts)').first().waitFor();
    await page.waitForTimeout(500);
    const found = await page.evaluate(() => [window.executed ?? 0, document.querySelectorAll('main img').length]);
    assert(found[0] === 0 && found[1] === 0, `${found} payloads became markup`);
  }
}

module.exports = { pages, command, places, short, themes, narrow, states, hostile };
