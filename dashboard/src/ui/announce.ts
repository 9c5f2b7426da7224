// The one polite live region of the app. At most a sentence per half minute, the newest wins: a screen
// reader must stay usable while a fleet moves.

import { h, setText } from '../core/dom.ts';

const QUIET_MS = 30_000;

export class Announcer {
  readonly node = h('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
  #spokenMs = -Infinity;
  #waiting: string | null = null;

  say(text: string): void {
    const wait = this.#spokenMs + QUIET_MS - performance.now();
    if (wait <= 0) {
      this.#speak(text);
      return;
    }
    if (this.#waiting === null) {
      setTimeout(() => { this.#speak(this.#waiting ?? ''); }, wait);
    }
    this.#waiting = text;
  }

  #speak(text: string): void {
    this.#waiting = null;
    this.#spokenMs = performance.now();
    setText(this.node, text);
  }
}
