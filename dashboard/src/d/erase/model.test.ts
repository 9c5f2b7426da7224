import { expect, it } from 'vitest';

import { isOver, stepWords } from './model.ts';

it('knows when nothing more will come', () => {
  expect((['open', 'grace', 'erasing', 'erased', 'refused', 'cancelled'] as const).map(isOver)).toEqual([false, false, false, true, true, true]);
});

it('makes words of any step name', () => {
  expect(stepWords('verify')).toBe('Check that nothing is left');
  expect([stepWords('erase_rows'), stepWords('re-wrap keys'), stepWords('')]).toEqual(['Erase rows', 'Re wrap keys', '']);
});
