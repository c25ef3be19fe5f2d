/*
 * Where GraphiQL keeps its tabs and its history: localStorage, but never what was typed as headers, for one of them may
 * be a token or a key. `shouldPersistHeaders` speaks of tabs alone; the history writes headers down with each request.
 */
const HISTORIES = ['graphiql:queries', 'graphiql:favorites'];

export const kept = {
  getItem: (key) => localStorage.getItem(key),
  setItem: (key, value) => localStorage.setItem(key, HISTORIES.includes(key) ? withoutHeaders(value) : value),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => own().forEach((key) => localStorage.removeItem(key)),
  get length() {
    return own().length;
  },
};

function own() {
  return Object.keys(localStorage).filter((key) => key.startsWith('graphiql:'));
}

function withoutHeaders(histories) {
  return JSON.stringify(JSON.parse(histories, (name, value) => (name === 'headers' ? undefined : value)));
}
