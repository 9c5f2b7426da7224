import { expect, it } from 'vitest';

const sources = import.meta.glob<string>('../**/*.ts', { query: '?raw', import: 'default', eager: true });
const table = sources['./text.ts'] ?? '';
const code = Object.entries(sources).filter(([path]) => !path.endsWith('.test.ts') && path !== './text.ts').map(([, source]) => source);
code.push(table.slice(table.indexOf('} as const;')));
const keys = [...table.matchAll(/^ {2}'([\w.-]+)': '/gm)].flatMap(([, key]) => key ?? []);

/** Keys that stand nowhere in the code: neither whole, nor by the start of a key that is put together. */
function unused(among: readonly string[]): string[] {
  const text = code.join('\n');
  const starts = new Set([...text.matchAll(/`([a-z]+\.)\$\{/g)].map(([, start]) => start));
  return among.filter((key) => !text.includes(`'${key}'`) && !starts.has(key.slice(0, key.indexOf('.') + 1)));
}

/** What the code asks `t` for and the table does not have. The compiler sees most of it; a cast hides it. */
function missing(text: string): string[] {
  const whole = [...text.matchAll(/\bt\('([^']*)'/g)].flatMap(([, key]) => key ?? []).filter((key) => !keys.includes(key));
  const starts = [...text.matchAll(/`([a-z]+\.)\$\{/g)].flatMap(([, start]) => start ?? []).filter((start) => !keys.some((key) => key.startsWith(start)));
  return [...whole, ...starts];
}

it('every text is used', () => {
  expect(keys.length).toBeGreaterThan(100);
  expect(unused(keys)).toEqual([]);
});

it('every text that is used is there', () => {
  expect(code.flatMap(missing)).toEqual([]);
});

it('a text nobody uses is found, and so is one that is not there', () => {
  expect(unused([...keys, 'nobody.asks', 'close_'])).toEqual(['nobody.asks', 'close_']);
  expect(missing("t('close') t('nobody.wrote') `state.${x}` `nothing.${x}`")).toEqual(['nobody.wrote', 'nothing.']);
});
