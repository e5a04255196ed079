// Metrics and SQL: plots, statements, and the statements behind every number.
'use strict';

const { run, config, at, assert, until, picture, open, accessible } = require('../common.js');

// A metric over time with its gaps, its exemplar that opens a journey, its table; the URL restores it.
async function metrics(page) {
  const { name } = config.metric;
  run.step = 'metrics are listed and drawn';
  await page.goto(`${config.url}/metrics`);
  await page.getByLabel('Find a metric').fill('checkout');
  await page.waitForFunction(() => document.querySelectorAll('.metrics li').length === 1);
  await page.locator('.pick-metric', { hasText: name }).click();
  await page.waitForURL((url) => url.searchParams.get('m') === name);
  await page.locator('svg.plot .dot-ex').first().waitFor();
  await until(async () => (await page.locator('svg.plot .line').count()) >= 1, 'a line is drawn');
  await page.locator('#metric-table tbody tr').first().waitFor();
  await accessible(page, 'a metric, dark');
  await picture(page, 'metric-dark');
  run.step = 'a metric is looked at in another way, and its link restores that';
  await page.getByLabel('group by').selectOption('service');
  await page.waitForURL((url) => url.searchParams.get('by') === 'service');
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  await page.locator('#metric-filter').fill('service=nobody');
  await page.locator('#metric-filter').press('Enter');
  await page.getByText('No series of this metric fits').waitFor();
  await accessible(page, 'a metric without series');
  await page.goBack();
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  run.step = 'a filter that is wrong is said where it can be mended';
  run.isRefusalExpected = true;
  await page.locator('#metric-filter').fill('service=');
  await page.locator('#metric-filter').press('Enter');
  await page.locator('.metric [role=alert]').waitFor();
  await accessible(page, 'a metric with a wrong filter');
  await page.locator('#metric-filter').fill('');
  await page.locator('#metric-filter').press('Enter');
  await page.locator('#metric-table .svc', { hasText: 'order' }).first().waitFor();
  run.isRefusalExpected = false;
  run.step = 'words that no metric has end the wait';
  await page.goto(`${config.url}/metrics?find=nothing-is-called-so`);
  await page.getByText('No metric fits these words').waitFor();
  await page.getByRole('button', { name: 'Show all metrics' }).click();
  await page.locator('.pick-metric').first().waitFor();
  run.step = 'what is asked of the first metric names it';
  await page.getByLabel('group by').selectOption('*');
  await page.waitForURL((url) => url.searchParams.get('by') === '*' && url.searchParams.has('m') && url.searchParams.has('unit'));
  run.step = 'a histogram is a heatmap, too';
  await page.goto(`${config.url}/metrics?m=${encodeURIComponent(name)}`);
  await page.getByLabel('show', { exact: true }).selectOption('heatmap');
  await page.waitForURL((url) => url.searchParams.get('fn') === 'heatmap');
  await page.locator('svg.plot path.heat-6').waitFor();
  await until(async () => (await page.locator('#metric-table tbody tr').count()) === 3, 'a row for each bucket');
  await accessible(page, 'a heatmap');
  await picture(page, 'metric-heatmap-dark');
  run.step = 'two metrics stand one above the other, and their link restores them';
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
  run.step = 'an exemplar leads to its journey';
  await page.locator('tbody a[href^="/j/"]').first().click();
  await page.waitForURL((url) => url.pathname.startsWith('/j/'));
  await at.lanes(page).first().waitFor();
}

// A statement is completed, run, plotted; its link runs it again.
async function statement(page, browser, complaints) {
  run.step = 'SQL completes columns and runs by key';
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
  run.step = 'a statement asks for the environment of the page';
  const asked = encodeURIComponent("SELECT coalesce($env, 'all') || ' of ' || count(*) AS seen FROM spans WHERE $env IS NULL OR deployment_environment = $env");
  for (const [env, seen] of [['&env=nowhere', /^nowhere of 0$/], ['', /^all of [1-9]\d*$/]]) {
    await page.goto(`${config.url}/sql?sql=${asked}${env}`);
    await page.locator('.answer tbody td', { hasText: seen }).waitFor();
  }
  await page.goto(`${config.url}/sql`);
  await page.locator('.tbl').first().waitFor();
  run.step = 'a statement is kept on the server, for other readers too';
  await field.fill('-- Spans by service\nSELECT service_name, count(*) AS n FROM spans GROUP BY service_name');
  await field.press('Control+s');
  await page.waitForURL((url) => url.pathname === '/sql/spans-by-service');
  await page.locator('.saved a', { hasText: 'Spans by service' }).waitFor();
  run.step = 'a kept statement is changed and kept again; its text stays the new one';
  await page.locator('.answer tbody tr').first().waitFor();
  await field.fill('-- Spans by service\nSELECT service_name, count(*) AS changed FROM spans GROUP BY service_name');
  await field.press('Control+s');
  await page.locator('.answer thead th', { hasText: 'changed' }).waitFor();
  assert((await field.inputValue()).includes('AS changed'), 'the text that was written stays');
  run.step = 'statements that begin alike are kept apart';
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
  run.step = 'a statement that is wrong says where';
  await field.fill('SELECT nothing_like_it FROM spans');
  await field.press('Control+Enter');
  await page.getByRole('alert').first().waitFor();
  await picture(page, 'sql-error-dark');
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
    run.step = `the SQL behind ${place}`;
    await page.goto(`${config.url}${place}`);
    await page.locator(wanted).first().waitFor();
    await page.locator('a.behind').first().waitFor();
    for (const link of await page.locator('main :not(.facets *) > a.behind').all()) found.add(await link.getAttribute('href'));
  }
  assert(found.size >= 13, `${found.size} links to SQL`);
  for (const link of found) {
    run.step = `the statement of ${link}`;
    await page.goto(`${config.url}${link}`);
    await page.locator('.answer thead th').first().waitFor();
  }
  // Explore says how many: its statement counts the same, and that of a facet the same for each value. The range is fixed, so that
  // nothing comes into it with the time; journeys that have just settled are in the next answer.
  const range = `from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date(Date.now() - 1_000).toISOString()}`;
  for (const question of [
    'unit=journeys', 'unit=journeys&plot=wait', 'unit=traces', 'unit=traces&q=kind%3Dclient', 'unit=spans', 'unit=spans&q=service%3Dorder+duration%3E1ms',
  ]) {
    run.step = `the numbers of Explore ?${question} and their SQL`;
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

module.exports = { metrics, statement, behind };
