import { defineConfig } from 'vitest/config';

// The server answers /d/ with dist/d/index.html and /assets/<name> with dist/assets/<name>; one folder
// of hashed files for all later entries (/m/, /t/), so that one cache rule covers them.
export default defineConfig({
  base: '/',
  appType: 'mpa',
  publicDir: false,
  build: {
    outDir: 'dist',
    assetsDir: 'assets',
    // Nothing is inlined: the policy allows data: for pictures only, and files can be cached for good.
    assetsInlineLimit: 0,
    // The polyfill would be an inline script in older browsers' eyes; all of ours have modulepreload.
    modulePreload: { polyfill: false },
    // MapLibre alone is over the default limit; it is its own lazy chunk with its own budget.
    chunkSizeWarningLimit: 1200,
    rolldownOptions: { input: { d: 'd/index.html' } },
  },
  // For `npx vite` during development: the API comes from a server on its usual port.
  server: { proxy: { '/v1': 'http://127.0.0.1:8080' } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
