// Tells the shelf's whole story in a real browser, through the page as a person would: opens each example, presses run,
// holds its answer against expectations.mjs. Also holds the page to its promises: no violation of the content security
// policy, no request to another origin, no secret in localStorage or on the console, an expired token renewed, a missing
// value explained.
//
//   BASE_URL=http://127.0.0.1:8000 node story.mjs      (a server with a fresh database; SHOTS=<folder> keeps pictures)
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { chromium } from 'playwright-core';
import { EXPECTED } from './expectations.mjs';

const BASE_URL = (process.env.BASE_URL ?? 'http://127.0.0.1:8000').replace(/\/$/, '');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SHOTS = process.env.SHOTS;
const SHELF = new URL('../../explorer/shelf/', import.meta.url);
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
const QUIET = ['--disable-component-update', '--disable-sync'];

const STORY = readdirSync(SHELF)
  .filter((name) => name.endsWith('.graphql'))
  .sort()
  .map((name, index) => {
    const text = readFileSync(new URL(name, SHELF), 'utf8');
    return {
      step: index + 1,
      operationName: /^(?:query|mutation)\s+(\w+)/m.exec(text)[1],
      // A query, and what says by itself that it goes on: the way of a test clock.
      isAskedAgain: /^query\b|^  advanceTestClock\b/m.test(text),
      identity: /^# as: (\S+)$/m.exec(text)[1],
    };
  });

const seen = { violations: [], foreign: [], console: [], errors: [] };
const secrets = new Set();

const profile = mkdtempSync(join(tmpdir(), 'perennial-explorer-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: CHROMIUM,
  args: [...FLAGS, ...QUIET],
  viewport: { width: 1440, height: 900 },
});
try {
  const page = await openPage(context);
  await check('opens on a runnable query', () => opensOnARunnableQuery(page));
  await check('explains a missing value', () => explainsAMissingValue(page));
  for (const entry of STORY) await check(`${entry.step} ${entry.operationName}`, () => tellEntry(page, entry));
  await check('renews an expired token', () => renewsAnExpiredToken(page));
  await check('marks a mistake in the editor', () => marksAMistake(page));
  await check('sends a header of ones own', () => sendsAHeader(page));
  await check('shows docs, history and explorer', () => showsEachPanel(page));
  await check('keeps secrets in the tab', () => keepsSecretsInTheTab(page));
  await check('stays on its own origin, within its policy', staysWithinItsPolicy);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}

async function check(name, act) {
  try {
    await act();
    console.log(`ok    ${name}`);
  } catch (error) {
    console.error(`FAIL  ${name}\n${error.message}`);
    process.exitCode = 1;
  }
}

async function openPage(context) {
  const page = context.pages()[0] ?? (await context.newPage());
  page.on('request', (request) => request.url().startsWith(`${BASE_URL}/`) || seen.foreign.push(request.url()));
  page.on('pageerror', (error) => seen.errors.push(error.message));
  page.on('console', (message) => {
    seen.console.push(message.text());
    // A browser reports each status from 400 up as an error of its own; the step that expects one checks it.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) seen.errors.push(message.text());
  });
  page.setDefaultTimeout(10_000);
  await page.exposeFunction('reportViolation', (text) => seen.violations.push(text));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile, lineNumber }) =>
      window.reportViolation(`${violatedDirective} ${blockedURI} at ${sourceFile}:${lineNumber}`),
    );
  });
  const response = await page.goto(`${BASE_URL}/`);
  const policy = response.headers()['content-security-policy'] ?? '';
  assert.match(policy, /default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe-inline|https?:|blob:|data:/);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  return page;
}

/** Presses run and returns the answer's data; what looks like a client secret is noted for the last check. */
async function run(page, operationName) {
  const answer = page.waitForResponse(
    (response) =>
      response.url() === `${BASE_URL}/graphql` &&
      response.status() !== 401 &&
      response.request().postDataJSON().operationName === operationName,
  );
  await page.click('.graphiql-execute-button');
  const response = await answer;
  assert.equal(response.request().headers()['graphql-require-preflight'], '1');
  const text = await response.text();
  for (const secret of text.match(/\w+_secret_\w+/g) ?? []) secrets.add(secret);
  const { data, errors } = JSON.parse(text);
  assert.equal(errors, undefined, `${operationName}: ${JSON.stringify(errors)}`);
  await page.waitForFunction(() => document.querySelector('.result-window')?.innerText.includes('data'));
  return data;
}

async function openEntry(page, { step, operationName, identity }) {
  await page.click(`.shelf [data-step="${step}"]`);
  await page.waitForSelector(`.graphiql-tab-active >> text=${operationName}`);
  await page.waitForSelector('.graphiql-query-editor .view-line');
  assert.equal(await page.locator('.act-as select').inputValue(), identity);
  // The editor tells GraphiQL which operation it holds a tenth of a second after the last change.
  await page.waitForTimeout(300);
}

async function opensOnARunnableQuery(page) {
  const data = await run(page, STORY[0].operationName);
  assert.ok(data.plans.nodes.length > 0);
}

async function explainsAMissingValue(page) {
  const entry = STORY.find(({ operationName }) => operationName === 'ConfirmCard');
  await openEntry(page, entry);
  await page.click('.graphiql-execute-button');
  await page.waitForSelector('.result-window >> text=Not sent');
  await picture(page, 'missing-value');
}

async function tellEntry(page, entry) {
  await openEntry(page, entry);
  const [project, expected] = EXPECTED[entry.operationName];
  let data = await run(page, entry.operationName);
  // What a webhook or the worker brings may come a moment later: five seconds at most.
  for (let tries = 0; entry.isAskedAgain && tries < 10 && !isDeepStrictEqual(project(data), expected); tries += 1) {
    await page.waitForTimeout(500);
    data = await run(page, entry.operationName);
  }
  assert.deepEqual(project(data), expected);
  await picture(page, `${String(entry.step).padStart(2, '0')}-${entry.operationName}`);
}

/** Hands the page a token that the server refuses; the page must fetch a fresh one and ask again by itself. */
async function renewsAnExpiredToken(page) {
  await page.route('**/explorer/config.json', spoilTokens, { times: 1 });
  await page.reload();
  await page.waitForSelector('.graphiql-query-editor .view-line');
  const [, whoAmI] = STORY;
  await openEntry(page, whoAmI);
  const data = await run(page, whoAmI.operationName);
  assert.equal(data.viewer.user.id, whoAmI.identity);
}

async function spoilTokens(route) {
  const response = await route.fetch();
  const config = await response.json();
  const identities = config.identities.map((identity) => ({ ...identity, token: `${identity.token.slice(0, -4)}AAAA` }));
  await route.fulfill({ response, json: { ...config, identities } });
}

/** What stands in the header editor is sent; the last check finds it in no place that outlives the tab. */
async function sendsAHeader(page) {
  const [first] = STORY;
  await openEntry(page, first);
  await page.click('.graphiql-editor-tools >> text=Headers');
  await page.click('.graphiql-editor-tool .monaco-editor >> visible=true');
  secrets.add('header-of-ones-own');
  await page.keyboard.type('{"X-Canary": "header-of-ones-own');
  await page.waitForTimeout(300);
  const [request] = await Promise.all([page.waitForRequest(`${BASE_URL}/graphql`), run(page, first.operationName)]);
  assert.equal(request.headers()['x-canary'], 'header-of-ones-own');
}

async function marksAMistake(page) {
  await page.click('.graphiql-tab-add');
  await page.click('.graphiql-query-editor .monaco-editor');
  await page.keyboard.type('{ noSuchField }');
  await page.waitForSelector('.graphiql-query-editor .squiggly-error', { state: 'attached' });
  await picture(page, 'mistake');
}

async function showsEachPanel(page) {
  const panels = { 'GraphiQL Explorer': '.docExplorerWrap, .graphiql-explorer-root', History: '.graphiql-history' };
  for (const [title, selector] of Object.entries(panels)) {
    await page.click(`.graphiql-sidebar [aria-label="Show ${title}"]`);
    await page.waitForSelector(`.graphiql-plugin :is(${selector})`);
    await picture(page, `panel-${title}`);
  }
  await page.click('#masthead >> text=API docs');
  await page.waitForSelector('.graphiql-doc-explorer >> text=Query');
  await picture(page, 'panel-docs');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.click('#masthead >> text=Examples');
  await page.waitForSelector('.shelf');
  await picture(page, 'dark');
}

async function keepsSecretsInTheTab(page) {
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  const config = JSON.parse(await page.evaluate(() => sessionStorage.getItem('perennial.config')));
  const tokens = config.identities.map(({ token }) => token);
  assert.ok(secrets.size > 0 && tokens.length > 0, 'the story met no secret at all');
  const said = seen.console.join('\n');
  const leaked = [...secrets, ...tokens].filter((secret) => stored.includes(secret) || said.includes(secret));
  assert.equal(leaked.length, 0, `${leaked.length} secrets reached localStorage or the console`);
}

function staysWithinItsPolicy() {
  const { violations, foreign, errors } = seen;
  assert.deepEqual({ violations, foreign, errors }, { violations: [], foreign: [], errors: [] });
}

async function picture(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name.replaceAll(' ', '-')}.png`) });
}
