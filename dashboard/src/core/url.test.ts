import { describe, expect, it } from 'vitest';

import { hashOf, readSelection } from './url.ts';

describe('the selection in the address', () => {
  it.each([
    { driverId: null, routeId: null },
    { driverId: 'd1', routeId: null },
    { driverId: 'd1', routeId: 'r1' },
  ])('survives the way there and back: %j', (selection) => {
    expect(readSelection(hashOf(selection))).toEqual(selection);
  });

  it('has no route without a driver', () => {
    expect(hashOf({ driverId: null, routeId: 'r1' })).toBe('');
  });
});
