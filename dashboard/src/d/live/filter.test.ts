import { describe, expect, it } from 'vitest';

import type { Driver } from './fleet.ts';
import { countByLink, inOrder, matches, NO_FILTER, type Shown } from './filter.ts';

function row(name: string, link: Shown['link'] = 'live', plate = '100 ABC 02'): Shown {
  const driver: Driver = { driverId: name, name, vehicle: { name: 'Van', plate }, link, work: null, routeId: null, epoch: 1, position: null };
  return { driver, link };
}

describe('the list of drivers', () => {
  it('is ordered by name, numbers as numbers', () => {
    expect(inOrder([row('Van 10'), row('Ержан'), row('Van 9')]).map(({ driver }) => driver.name)).toEqual(['Van 9', 'Van 10', 'Ержан']);
  });

  it('is found by name or plate in any case, and by state', () => {
    expect(matches(row('Әсел'), { link: null, search: ' әСЕ ' })).toBe(true);
    expect(matches(row('Әсел', 'live', '777 XYZ 01'), { link: null, search: 'xyz' })).toBe(true);
    expect(matches(row('Әсел'), { link: null, search: 'bolat' })).toBe(false);
    expect(matches(row('Әсел', 'lost'), { link: 'live', search: '' })).toBe(false);
    expect(matches(row('Әсел', 'off_shift'), NO_FILTER)).toBe(true);
  });

  it('is counted by state', () => {
    expect([...countByLink([row('a'), row('b', 'lost'), row('c')])]).toEqual([['live', 2], ['lost', 1]]);
  });
});
