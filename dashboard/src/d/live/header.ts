// The bar on top: company, state of the connection, server time in the company's zone, log-out; and the
// offline bar below it, which pushes content down and never covers it.

import type { Context } from '../../core/session.ts';
import { button, h, setAttr, setText } from '../../core/dom.ts';
import { clockOrDate, clockSeconds, clockTime, zoneOffset } from '../../core/fmt.ts';
import type { StreamState } from '../../core/sse.ts';
import { t } from '../../core/text.ts';

const BAR_AFTER_MS = 5_000;

export class Header {
  readonly node: HTMLElement;
  readonly bar: HTMLElement;
  readonly #ctx: Context;
  readonly #dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
  readonly #words = h('span', { 'data-testid': 'connection-state' });
  readonly #time = h('time', { class: 'header-time', 'data-testid': 'server-time' });
  readonly #barWords = h('span');
  #stream: StreamState = { kind: 'connecting' };
  #downSinceMs: number | null = performance.now();
  #downSinceServerMs: number | null = null;
  #wasDown = false;

  constructor(ctx: Context, onRetry: () => void) {
    this.#ctx = ctx;
    const { company, member } = ctx.session;
    const user = h('span', { class: 'header-user', title: t('header.user', { name: member.name }) }, member.name);
    const out = button(t('header.logout'), ctx.logOut, { 'data-testid': 'logout' });
    const connection = h('div', { class: 'connection' }, this.#dot, this.#words);
    const name = h('span', { class: 'header-company' }, company.name);
    this.node = h('header', { class: 'header' }, h('span', { class: 'brand-mark', 'aria-hidden': 'true' }), name, connection, h('span', { class: 'grow' }), this.#time, user, out);
    const retry = button(t('link.retry'), onRetry, { 'data-testid': 'retry-now' });
    this.bar = h('div', { class: 'offline', hidden: true, 'data-testid': 'offline-bar' }, this.#barWords, retry);
  }

  get connected(): boolean {
    return this.#stream.kind === 'live';
  }

  setStream(stream: StreamState): void {
    this.#stream = stream;
    if (stream.kind === 'live') {
      if (this.#wasDown) {
        this.#ctx.announcer.say(t('say.live'));
      }
      this.#downSinceMs = null;
      this.#wasDown = false;
    } else if (this.#downSinceMs === null) {
      this.#downSinceMs = performance.now();
      this.#downSinceServerMs = this.#ctx.clock.now();
    }
    this.tick();
  }

  tick(): void {
    const stream = this.#stream;
    setAttr(this.#dot, 'data-state', stream.kind);
    if (stream.kind === 'waiting') {
      const seconds = Math.max(1, Math.ceil((stream.retryAtMs - performance.now()) / 1000));
      setText(this.#words, t('link.waiting', { n: seconds }));
    } else {
      setText(this.#words, t(stream.kind === 'live' ? 'link.live' : 'link.connecting'));
    }
    this.#tickTime();
    this.#tickBar();
  }

  #tickTime(): void {
    const now = this.#ctx.clock.now();
    const zone = this.#ctx.session.company.time_zone;
    if (now !== null) {
      const offset = zoneOffset(now, zone);
      setText(this.#time, `${clockSeconds(now, zone)} ${offset}`);
      setAttr(this.#time, 'title', t('header.time', { zone: `${zone} (${offset})` }));
      setAttr(this.#time, 'datetime', new Date(now).toISOString());
    }
  }

  #tickBar(): void {
    const down = this.#downSinceMs !== null && performance.now() - this.#downSinceMs > BAR_AFTER_MS;
    this.bar.hidden = !down;
    if (!down) {
      return;
    }
    if (!this.#wasDown) {
      this.#wasDown = true;
      this.#ctx.announcer.say(t('say.paused'));
    }
    const zone = this.#ctx.session.company.time_zone;
    const since = this.#downSinceServerMs;
    const shown = this.#ctx.clock.now();
    const known = since !== null && shown !== null;
    // What is on the map is what was true when the stream broke.
    setText(this.#barWords, known ? t('bar.paused', { since: clockTime(since, zone), shown: clockOrDate(since, shown, zone) }) : t('bar.paused_bare'));
  }
}
