import { describe, expect, it } from 'vitest';

import { errorText, hasText, t } from './text.ts';

describe('t', () => {
  it('fills values and leaves an unknown one visible', () => {
    expect(t('live.count', { shown: 3, all: 42 })).toBe('3 of 42');
    expect(t('live.count', { shown: 3 })).toBe('3 of {all}');
  });

  it('knows its own keys only', () => {
    expect([hasText('close'), hasText('toString'), hasText('nothing')]).toEqual([true, false, false]);
  });
});

describe('errorText', () => {
  const error = (status: number, code: string): string => errorText({ status, code, message: 'Some title' });

  it('uses our words by code, then by status, and the server’s title last', () => {
    expect(error(401, 'login-failed')).toBe(t('error.login-failed'));
    expect(error(403, 'strange')).toBe(t('error.forbidden'));
    expect(error(410, 'strange')).toBe(t('error.not-found'));
    expect(error(422, 'strange')).toBe('Some title (code strange)');
  });
});
