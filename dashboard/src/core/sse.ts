// Server-sent events read with fetch: unlike EventSource it shows the status (401 means: log in again), lets
// us see silence, and keeps the last id under our control.

export interface SseEvent {
  event: string;
  data: string;
  id: string | null;
}

/** The line protocol of text/event-stream. Feed text as it comes; whole events come out. */
export class SseParser {
  #buffer = '';
  #event = '';
  #data: string[] = [];
  #id: string | null = null;

  push(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    this.#buffer += text;
    // A CR at the very end may be half of CRLF: it waits for the next piece.
    const lines = this.#buffer.split(/\r\n|\n|\r(?!$)/);
    this.#buffer = lines.pop() ?? '';
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== null) {
        events.push(event);
      }
    }
    return events;
  }

  #line(line: string): SseEvent | null {
    if (line === '') {
      return this.#dispatch();
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') {
      this.#event = value;
    } else if (field === 'data') {
      this.#data.push(value);
    } else if (field === 'id' && !value.includes('\0')) {
      this.#id = value;
    }
    return null;
  }

  #dispatch(): SseEvent | null {
    const event = this.#data.length === 0 ? null : { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id };
    this.#event = '';
    this.#data = [];
    this.#id = null;
    return event;
  }
}

export type StreamState =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; retryAtMs: number }
  | { kind: 'refused'; status: number };

export interface StreamOptions {
  url: string;
  onEvent: (event: SseEvent) => void;
  onState: (state: StreamState) => void;
}

const BACKOFF_MAX_MS = 30_000;
const SILENCE_MS = 35_000;
// An answer that will not change by asking again.
const FINAL = new Set([401, 403, 410]);

/** Delay before attempt n (0, 1, ...): 1, 2, 4 ... 30 s, spread by 30 % so that a restart meets no stampede. */
export function backoffMs(attempt: number, random: number): number {
  const base = Math.min(1000 * 2 ** attempt, BACKOFF_MAX_MS);
  return Math.round(base * (0.7 + 0.6 * random));
}

export class Stream {
  readonly #options: StreamOptions;
  #lastId: string | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | null = null;
  #lastByteMs = 0;
  #closed = false;
  readonly #watch: ReturnType<typeof setInterval>;
  readonly #wake = (): void => {
    if (document.visibilityState === 'visible') {
      this.retryNow();
    }
  };

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#watch = setInterval(() => {
      this.#checkSilence();
    }, 1000);
    addEventListener('online', this.#wake);
    document.addEventListener('visibilitychange', this.#wake);
    void this.#run();
  }

  /** Skips the waiting time; does nothing while connected or connecting. */
  retryNow(): void {
    if (this.#timer !== undefined && !this.#closed) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      void this.#run();
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    removeEventListener('online', this.#wake);
    document.removeEventListener('visibilitychange', this.#wake);
    this.#abort?.abort();
  }

  #checkSilence(): void {
    if (this.#abort !== null && performance.now() - this.#lastByteMs > SILENCE_MS) {
      this.#abort.abort();
    }
  }

  async #run(): Promise<void> {
    this.#options.onState({ kind: 'connecting' });
    const abort = new AbortController();
    this.#abort = abort;
    this.#lastByteMs = performance.now();
    let status = 0;
    try {
      status = await this.#read(abort.signal);
    } catch {
      // Cut, aborted or unreachable: all the same to the reader, the waiting below answers it.
    }
    // Frees the connection also when a handler threw with the body half read.
    abort.abort();
    this.#abort = null;
    this.#next(status);
  }

  #next(status: number): void {
    if (this.#closed) {
      return;
    }
    if (FINAL.has(status)) {
      this.#options.onState({ kind: 'refused', status });
      return;
    }
    const delay = backoffMs(this.#attempt, Math.random());
    this.#attempt += 1;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, delay);
    this.#options.onState({ kind: 'waiting', retryAtMs: performance.now() + delay });
  }

  /** Reads until the stream ends; the status of the answer says whether to come back. */
  async #read(signal: AbortSignal): Promise<number> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (this.#lastId !== null) {
      headers['Last-Event-ID'] = this.#lastId;
    }
    const answer = await fetch(this.#options.url, { headers, signal, cache: 'no-store', credentials: 'same-origin' });
    if (!answer.ok || answer.body === null) {
      return answer.status;
    }
    const parser = new SseParser();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#closed) {
        return answer.status;
      }
      this.#lastByteMs = performance.now();
      for (const event of parser.push(value)) {
        this.#take(event);
      }
    }
  }

  #take(event: SseEvent): void {
    if (event.event === 'hello') {
      // Only a stream that speaks counts as open: a proxy's empty 200 must not reset the back-off.
      this.#attempt = 0;
      this.#options.onState({ kind: 'live' });
    }
    this.#options.onEvent(event);
    // After handling: an event lost to an error here is asked for again.
    if (event.id !== null) {
      this.#lastId = event.id;
    }
  }
}
