// Every payload in every field, shown by every view, in a real browser: nothing of it may run.
//
// Usage: hostile.js CONFIG_JSON   (NODE_PATH names the installed modules; tests/hostile.rs writes the configuration)
//   url        where the page is
//   chromium   the browser to drive
//   is_debug   the server is a debug build: it is given more time
//   payloads   the texts; each calls executed(…) when it runs
//   views      paths that show many payloads at once
//   each       paths that show one payload, and its beginning: [path, text]
//   trace_id   a trace whose spans hold one payload each, in all of their fields
//   spans      those of them that are opened: [span id, payload]
//
// `executed` is a function of the driver, so that nothing is forgotten when a page is left. Prints one JSON object of counts; ends
// with code 1 when anything ran, was taken for markup, or was only kept from running by the policy of the page.
'use strict';

const { chromium } = require('playwright-core');

const config = JSON.parse(process.argv[2]);
const ran = [];
const counts = { views: 0, spans: 0, shown: 0 };
let place = '';

function assert(condition, message) {
  if (!condition) throw new Error(message);
}

async function open(browser) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.exposeFunction('executed', (what) => ran.push(`${place}: ran ${what}`));
  await context.exposeFunction('refused', (what) => ran.push(`${place}: the policy refused ${what}`));
  await context.addInitScript(() => {
    window.alert = window.confirm = window.prompt = () => window.executed('a dialog');
    document.addEventListener('securitypolicyviolation', (event) => window.refused(`${event.effectiveDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(config.is_debug ? 120_000 : 60_000);
  page.on('dialog', (dialog) => {
    ran.push(`${place}: a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    const isOwn = url.origin === new URL(config.url).origin || ['data:', 'blob:'].includes(url.protocol);
    if (!isOwn) ran.push(`${place}: a request left the house: ${request.url()}`);
  });
  return page;
}

// The program has taken over, has something to say, and asks for nothing more.
async function arrive(page) {
  await page.waitForFunction(() => !document.getElementById('shell') && document.querySelector('main')?.innerText.trim());
  await page.waitForLoadState('networkidle').catch(() => {});
}

// What a reader does not see: elements and links that only a payload can have made. Every element is pointed at.
async function look(page) {
  const found = await page.evaluate(() => {
    const made = 'img, iframe, object, embed, video, audio, base, meta[http-equiv], form[action], math, marquee, details[ontoggle]';
    const elements = [...document.querySelectorAll('body *')];
    const handlers = elements.filter((element) => [...element.attributes].some((attribute) => attribute.name.startsWith('on')));
    const scripts = [...document.querySelectorAll('script')].filter((script) => script.textContent.includes('executed'));
    const links = [...document.querySelectorAll('a[href], [xlink\\:href], form[action]')].filter((link) => {
      const url = new URL(link.getAttribute('href') ?? link.getAttribute('xlink:href') ?? '', location.href);
      return !['http:', 'https:', 'blob:'].includes(url.protocol);
    });
    for (const element of elements.slice(0, 1500)) {
      for (const name of ['mouseover', 'mouseenter', 'pointermove', 'focusin']) {
        element.dispatchEvent(new MouseEvent(name, { bubbles: name !== 'mouseenter', clientX: 5, clientY: 5 }));
      }
    }
    return {
      made: document.querySelectorAll(`main :is(${made})`).length, handlers: handlers.length, scripts: scripts.length,
      links: links.map((link) => link.outerHTML.slice(0, 200)), text: document.body.innerText,
    };
  });
  assert(found.made === 0 && found.handlers === 0 && found.scripts === 0, `a payload became markup: ${JSON.stringify({ ...found, text: '' })}`);
  assert(found.links.length === 0, `a payload became a link: ${found.links}`);
  // A round through the event loop of the page: what was begun has run.
  await page.evaluate(() => new Promise((done) => setTimeout(done, 50)));
  assert(ran.length === 0, ran.join('\n'));
  return found.text;
}

async function main() {
  const browser = await chromium.launch({
    executablePath: config.chromium,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
    ],
  });
  try {
    const page = await open(browser);
    for (const path of config.views) {
      place = path;
      await page.goto(`${config.url}${path}`);
      await arrive(page);
      await look(page);
      counts.views += 1;
    }
    for (const [path, text] of config.each) {
      place = path;
      await page.goto(`${config.url}${path}`);
      await arrive(page);
      if ((await look(page)).includes(text)) counts.shown += 1;
      counts.views += 1;
    }
    const inspector = page.getByRole('complementary', { name: 'Span details' });
    for (const [span, payload] of config.spans) {
      place = `/t/${config.trace_id}/${span}`;
      await page.goto(`${config.url}${place}`);
      await inspector.getByText('span-attribute').first().waitFor();
      if ((await look(page)).includes(payload)) counts.shown += 1;
      counts.spans += 1;
    }
  } finally {
    await browser.close();
  }
  // Most views say the payload as it is; some cut it or break its lines.
  assert(counts.shown * 2 > config.each.length + config.spans.length, `payloads were hardly on screen: ${JSON.stringify(counts)}`);
  process.stdout.write(JSON.stringify(counts));
}

main().catch((error) => {
  console.error(`${place}: ${error.message}`);
  process.exit(1);
});
