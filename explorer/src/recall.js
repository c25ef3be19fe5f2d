import { createTabStore } from './tab-store.js';

/*
 * Values carried from one operation to the next.
 *
 * The rule, which anyone who runs the shelf's files outside the explorer follows too:
 * - Every answer is remembered by path: response keys and list positions joined by dots, from inside `data`, such as
 *   `subscribe.paymentIntent.clientSecret` or `paymentMethods.nodes.0.id`. The latest answer wins. An answer replaces
 *   all that was remembered below each of its top-level keys, so nothing is left of an older one.
 * - A variable whose whole text is `{{path}}` is replaced, when the request is sent, by what is remembered there.
 *   Anything else is sent as it stands.
 * - A path with nothing behind it (never answered, or answered with null) stops the request.
 *
 * The editor keeps showing the placeholder: the values (client secrets among them) stay in this tab's session storage
 * and reach neither GraphiQL's history nor the console.
 */
const PLACEHOLDER = /^\{\{\s*([\w.]+)\s*\}\}$/;

export const recall = createTabStore('perennial.recall', {});

/** Remembers the answer's data; introspection is left out. */
export function remember(data) {
  const kept = Object.entries(data ?? {}).filter(([key]) => !key.startsWith('__'));
  if (kept.length > 0) recall.set({ ...recall.get(), ...Object.fromEntries(kept) });
}

/** The value remembered at a path, or undefined. */
export function lookUp(path) {
  const value = path.split('.').reduce((parent, key) => parent?.[key], recall.get());
  return value ?? undefined;
}

/** The paths that a value asks for, in order of appearance. */
export function placeholdersIn(value) {
  if (typeof value === 'string') return PLACEHOLDER.test(value) ? [PLACEHOLDER.exec(value)[1]] : [];
  return isBranch(value) ? Object.values(value).flatMap(placeholdersIn) : [];
}

/** The same value with every placeholder replaced; call it only when none of them is missing. */
export function fill(value) {
  if (typeof value === 'string') return PLACEHOLDER.test(value) ? lookUp(PLACEHOLDER.exec(value)[1]) : value;
  if (Array.isArray(value)) return value.map(fill);
  if (!isBranch(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, fill(child)]));
}

function isBranch(value) {
  return typeof value === 'object' && value !== null;
}
