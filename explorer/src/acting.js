import { createTabStore } from './tab-store.js';

export const NOBODY = 'nobody';
export const PASTED = 'pasted';

const CONFIG_URL = '/explorer/config.json';
const FALLBACK = { endpoint: '/graphql', environment: '', sandbox: false, identities: [] };

/** What the server tells the explorer: endpoint, environment, sandbox, and (in development only) ready identities. */
export const config = createTabStore('perennial.config', FALLBACK);

/** Whose token goes with each request: `name` is an identity's, NOBODY or PASTED; `refused` after a 401. */
export const acting = createTabStore('perennial.acting', { name: NOBODY, pastedToken: '', refused: false });

/** Asks the server for the configuration anew, fresh tokens included. A server that has none leaves the last known. */
export async function loadConfig() {
  const response = await fetch(CONFIG_URL, { headers: { 'graphql-require-preflight': '1' } }).catch(() => null);
  if (response?.ok) config.set({ ...FALLBACK, ...(await response.json()) });
  if (!isKnown(acting.get().name)) actAs(NOBODY);
}

export function isKnown(name) {
  return name === NOBODY || name === PASTED || findIdentity(name) !== undefined;
}

export function labelOf(name) {
  if (name === NOBODY) return 'Nobody';
  return findIdentity(name)?.label ?? name;
}

export function actAs(name) {
  acting.set({ ...acting.get(), name, refused: false });
}

export function pasteToken(text) {
  acting.set({ name: PASTED, pastedToken: text.trim().replace(/^bearer\s+/i, ''), refused: false });
}

/** The Authorization header for whoever acts now; none for nobody. */
export function authorization() {
  const { name, pastedToken } = acting.get();
  const token = name === PASTED ? pastedToken : findIdentity(name)?.token;
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** After a 401: fetches fresh tokens. True if the request is worth sending once more. */
export async function renewToken() {
  const before = authorization().Authorization;
  await loadConfig();
  const after = authorization().Authorization;
  return after !== undefined && after !== before;
}

/** Notes that the current token was refused for good, for the person to see. */
export function markRefused(refused) {
  if (acting.get().refused !== refused) acting.set({ ...acting.get(), refused });
}

function findIdentity(name) {
  return config.get().identities.find((identity) => identity.name === name);
}
