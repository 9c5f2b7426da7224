import { describe, expect, it } from 'vitest';

import { backoffMs, SseParser } from './sse.ts';

const TEXT = ': hb\n\nevent: hello\nid: 7\ndata: {"a":1}\n\nevent: pos\ndata: {"b":\ndata: 2}\n\n';
const EVENTS = [
  { event: 'hello', data: '{"a":1}', id: '7' },
  { event: 'pos', data: '{"b":\n2}', id: null },
];

describe('SseParser', () => {
  it('reads events, joins data lines and skips heartbeats', () => {
    expect(new SseParser().push(TEXT)).toEqual(EVENTS);
  });

  it.each(['\n', '\r\n', '\r'])('gives the same wherever the bytes are cut, with %j as line end', (end) => {
    const text = `${TEXT.replaceAll('\n', end)}:${end}`;
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parser = new SseParser();
      expect([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]).toEqual(EVENTS);
    }
  });

  it('keeps an unfinished event back and drops one without data', () => {
    const parser = new SseParser();
    expect(parser.push('event: gone\ndata: 1\n')).toEqual([]);
    expect(parser.push('\nevent: empty\nid: 8\n\ndata: 2\n\n')).toEqual([
      { event: 'gone', data: '1', id: null },
      { event: 'message', data: '2', id: null },
    ]);
  });

  it('takes a field without colon and keeps a value’s own spaces', () => {
    expect(new SseParser().push('data\ndata:  x \n\n')).toEqual([{ event: 'message', data: '\n x ', id: null }]);
  });
});

describe('backoffMs', () => {
  it('doubles to 30 s and spreads by 30 %', () => {
    expect([0, 1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(attempt, 0.5))).toEqual([1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    expect(backoffMs(0, 0)).toBe(700);
    expect(backoffMs(0, 1)).toBe(1300);
  });
});
