import { expect, it } from 'vitest';

import { mistakesIn } from './model.ts';

it('names each empty field, and the company only where it is asked', () => {
  expect(mistakesIn({ login: '', password: '', companyId: null }).map(({ field }) => field)).toEqual(['login', 'password']);
  expect(mistakesIn({ login: 'a', password: 'b', companyId: '' }).map(({ field }) => field)).toEqual(['company']);
  expect(mistakesIn({ login: 'a', password: 'b', companyId: null })).toEqual([]);
});
