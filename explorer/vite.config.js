// Builds dist/ for the strict content security policy it is served under: every script, worker, font and image is a
// file of our own origin, nothing is inlined. dist/index.html is served at `/`, everything else under `base`.
import { defineConfig } from 'vite';
import { noDataUris } from './no-data-uris.js';

const base = '/explorer/';

export default defineConfig({
  base,
  plugins: [noDataUris({ base })],
  resolve: { dedupe: ['graphql', 'react', 'react-dom'] },
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 10_000,
    sourcemap: false,
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'], // light-dark()
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
});
