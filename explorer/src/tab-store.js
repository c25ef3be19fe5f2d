import { useSyncExternalStore } from 'react';

/**
 * One value that lives as long as the browser's tab: kept in sessionStorage (never localStorage, for it may hold tokens
 * and client secrets), readable and watchable from anywhere on the page. Where the browser forbids storage it lives in
 * memory only.
 */
export function createTabStore(key, initial) {
  const listeners = new Set();
  let value = read(key) ?? initial;
  return {
    get: () => value,
    set(next) {
      value = next;
      write(key, next);
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The store's current value; the component renders again whenever it changes. */
export function useTabStore(store) {
  return useSyncExternalStore(store.subscribe, store.get);
}

function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or forbidden: the value in memory serves until the tab is closed.
  }
}
