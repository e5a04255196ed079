// Alert rules: written, rehearsed, kept, fired, muted, deleted.
'use strict';

const { run, config, at, assert, picture, accessible } = require('../common.js');

// A rule is written, rehearsed and kept; it fires, is muted, and the silence is ended.
async function alerts(page) {
  run.step = 'a rule is rehearsed before it is kept';
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
  run.step = 'a kept rule fires';
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
  run.step = 'a rule is muted by key, and the silence ended';
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
  run.step = 'the past of alerts is listed';
  await page.getByRole('button', { name: 'History' }).click();
  await page.locator('.hs .st.firing').first().waitFor();
  await accessible(page, 'alerts, history');
  const found = await page.evaluate(() => [window.executed ?? 0, document.querySelectorAll('main img').length]);
  assert(found[0] === 0 && found[1] === 0, `${found} payloads became markup`);
  run.step = 'Home says what fires, a line for each rule';
  await page.goto(`${config.url}/`);
  const line = page.getByRole('list', { name: 'Firing alerts' }).locator('li', { hasText: 'SpansOfServices' });
  await line.waitFor();
  assert((await line.count()) === 1, 'several alerts of a rule are one line');
  await accessible(page, 'Home with firing alerts');
  await line.getByRole('link').click();
  await page.waitForURL((url) => url.pathname === '/alerts/SpansOfServices');
  run.step = 'a rule is deleted';
  await page.goto(`${config.url}/alerts/SpansOfServices?show=edit`);
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('button', { name: 'Really delete' }).click();
  await row.waitFor({ state: 'detached' });
}

module.exports = { alerts };
