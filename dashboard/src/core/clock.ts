// The server's clock as seen from here. Ages of positions and expiry follow it, never the browser's wall
// clock: a dispatcher's wrong clock must not make a dead phone look alive. Between two answers it is carried
// on by the monotonic timer, at the rate the server itself shows (the demo's clock runs faster than real).

interface Sight {
  serverMs: number;
  localMs: number;
}

const REMEMBERED_MS = 15_000;
const RATE_NEEDS_MS = 2_000;
const RATE_MAX = 120;

export class ServerClock {
  #sights: Sight[] = [];
  #rate = 1;

  observe(serverNow: string, localMs: number = performance.now()): void {
    const serverMs = Date.parse(serverNow);
    if (Number.isNaN(serverMs)) {
      return;
    }
    const last = this.#sights.at(-1);
    // A clock that stepped back is another clock (the demo started anew): its past says nothing.
    const same = last === undefined || serverMs >= last.serverMs;
    this.#sights = same ? this.#sights.filter((sight) => localMs - sight.localMs <= REMEMBERED_MS) : [];
    this.#sights.push({ serverMs, localMs });
    const first = this.#sights[0];
    if (first === undefined || localMs - first.localMs < RATE_NEEDS_MS) {
      return;
    }
    const measured = (serverMs - first.serverMs) / (localMs - first.localMs);
    // Delays of the network make an honest clock read 0.9 or 1.1; only a clearly other rate is believed.
    this.#rate = Math.abs(measured - 1) < 0.25 ? 1 : Math.min(Math.max(measured, 0), RATE_MAX);
  }

  /** Server time in ms, or null before the first answer. */
  now(localMs: number = performance.now()): number | null {
    const last = this.#sights.at(-1);
    return last === undefined ? null : last.serverMs + (localMs - last.localMs) * this.#rate;
  }
}
