import { createTabStore } from './tab-store.js';

/** The names of the operations that this tab has seen answered without errors. */
export const progress = createTabStore('perennial.progress', []);

export function tick(operationName) {
  if (operationName && !progress.get().includes(operationName)) progress.set([...progress.get(), operationName]);
}
