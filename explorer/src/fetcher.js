import { authorization, config, markRefused, renewToken } from './acting.js';
import { fill, lookUp, placeholdersIn, remember } from './recall.js';
import { entryThatAnswers, findEntry } from './shelf.js';
import { tick } from './progress.js';

const HEADERS = {
  'Content-Type': 'application/json',
  Accept: 'application/graphql-response+json, application/json;q=0.9',
  'graphql-require-preflight': '1',
};

/**
 * GraphiQL's way to the server: fills placeholders, adds the Authorization header of whoever acts (one written in the
 * header editor wins), renews an expired token once, and remembers the answer for the operations that follow.
 */
export async function fetcher(params, { headers } = {}) {
  const missing = placeholdersIn(params.variables).filter((path) => lookUp(path) === undefined);
  if (missing.length > 0) return notSent(missing, findEntry(params.operationName));

  const body = JSON.stringify({ ...params, variables: fill(params.variables) });
  let response = await post(body, headers);
  if (response.status === 401 && (await renewToken())) response = await post(body, headers);
  markRefused(response.status === 401);

  const result = await readResult(response);
  remember(result.data);
  if (result.data && !result.errors) tick(params.operationName);
  return result;
}

function post(body, headers) {
  return fetch(config.get().endpoint, { method: 'POST', body, headers: { ...HEADERS, ...authorization(), ...headers } });
}

async function readResult(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    const message = `The server answered ${response.status} ${response.statusText} and no JSON.`;
    return { errors: [{ message }], body: text.slice(0, 2000) };
  }
}

function notSent(paths, entry) {
  const hints = [...new Set(paths)].map((path) => {
    const source = entryThatAnswers(path, entry);
    const advice = source ? `Run step ${source.step}, “${source.title}”, first` : 'Run an operation that selects it first';
    return { message: `Not sent: nothing is known yet for {{${path}}}. ${advice}, then come back.` };
  });
  return { errors: hints };
}
