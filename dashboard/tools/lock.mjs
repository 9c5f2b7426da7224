// Removes the donation addresses that npm copies into the lock file: our lock carries versions and
// hashes only, so that it reads the same behind any mirror. Run by `npm run lock` after each change.
import { readFileSync, writeFileSync } from 'node:fs';

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
}
const text = `${JSON.stringify(lock, null, 2)}\n`;
if (/https?:\/\//.test(text)) {
  throw new Error('package-lock.json still contains an address');
}
writeFileSync(path, text);
