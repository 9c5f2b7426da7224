// Keeps the fleet true: a snapshot, then the stream. Positions are never replayed, so every new connection
// takes a new snapshot.

import { type Api, type ApiError, asApiError, isAbort } from '../../core/api.ts';
import type { ServerClock } from '../../core/clock.ts';
import { type SseEvent, Stream, type StreamState } from '../../core/sse.ts';
import type { ErasureEvent, GoneEvent, HelloEvent, PosEvent, StateEvent, UndrivenEvent } from '../../core/wire.ts';
import type { Fleet } from './fleet.ts';

export interface FeedOptions {
  api: Api;
  clock: ServerClock;
  fleet: Fleet;
  /** Something may be drawn at the next tick. */
  onChange: () => void;
  /** Something must vanish now, not at the next tick. */
  onRemoval: (driverId: string) => void;
  /** So must the lines of what the driver drove; null: whoever is shown, as events were missed. */
  onUndriven: (driverId: string | null) => void;
  onStream: (state: StreamState) => void;
  /** null: the snapshot is loaded. */
  onSnapshot: (error: ApiError | null) => void;
  onSessionLost: () => void;
}

const SNAPSHOT_RETRY_MS = 5_000;
/** Events may ask for a snapshot with every frame; they get one in this time. */
const SNAPSHOT_EVERY_MS = 2_000;

export class Feed {
  readonly #options: FeedOptions;
  readonly #abort = new AbortController();
  readonly #stream: Stream;
  #loading = false;
  #again = false;
  #askedMs = -Infinity;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    void this.load();
    this.#stream = new Stream({
      url: '/v1/stream?topics=live,tracks',
      onEvent: (event) => { this.#take(event); },
      onState: (state) => {
        if (state.kind === 'refused') {
          options.onSessionLost();
        }
        options.onStream(state);
      },
    });
  }

  retryNow(): void {
    this.#stream.retryNow();
  }

  close(): void {
    this.#abort.abort();
    clearTimeout(this.#retry);
    clearTimeout(this.#soon);
    this.#stream.close();
  }

  /** GET /v1/live; a second wish while one is under way makes one more after it. */
  async load(): Promise<void> {
    clearTimeout(this.#retry);
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    this.#askedMs = performance.now();
    const { api, clock, fleet } = this.#options;
    const mark = fleet.mark();
    let failed: ApiError | null = null;
    try {
      const snapshot = await api.live(this.#abort.signal);
      clock.observe(snapshot.server_now);
      fleet.snapshot(snapshot, mark);
    } catch (error) {
      if (isAbort(error) && this.#abort.signal.aborted) {
        return;
      }
      failed = asApiError(error);
    }
    this.#loading = false;
    this.#options.onSnapshot(failed);
    if (failed !== null) {
      this.#retry = setTimeout(() => void this.load(), SNAPSHOT_RETRY_MS);
    } else if (this.#again) {
      this.#again = false;
      void this.load();
    }
  }

  #take(event: SseEvent): void {
    const { fleet, clock } = this.#options;
    switch (event.event) {
      case 'hello':
        clock.observe((JSON.parse(event.data) as HelloEvent).server_now);
        void this.load();
        break;
      case 'resync':
        this.#options.onUndriven(null);
        void this.load();
        break;
      case 'pos': {
        const frame = JSON.parse(event.data) as PosEvent;
        clock.observe(frame.server_now);
        this.#loadSoonIf(fleet.pos(frame));
        break;
      }
      case 'state':
        this.#state(JSON.parse(event.data) as StateEvent);
        break;
      case 'gone': {
        const gone = JSON.parse(event.data) as GoneEvent;
        this.#loadSoonIf(fleet.isUnknown(gone.driver_id));
        fleet.gone(gone);
        this.#options.onRemoval(gone.driver_id);
        break;
      }
      case 'undriven':
        this.#options.onUndriven((JSON.parse(event.data) as UndrivenEvent).driver_id);
        break;
      case 'erasure': {
        const erasure = JSON.parse(event.data) as ErasureEvent;
        this.#loadSoonIf(fleet.isUnknown(erasure.driver_id));
        if (fleet.erasure(erasure)) {
          this.#options.onRemoval(erasure.driver_id);
        }
        break;
      }
      default:
        // An event this version does not know.
        break;
    }
    this.#options.onChange();
  }

  #state(event: StateEvent): void {
    const had = this.#options.fleet.drivers.get(event.driver_id)?.position ?? null;
    this.#loadSoonIf(this.#options.fleet.state(event));
    const has = this.#options.fleet.drivers.get(event.driver_id)?.position ?? null;
    if (had !== null && has === null) {
      this.#options.onRemoval(event.driver_id);
    }
  }

  #loadSoonIf(due: boolean): void {
    if (!due || this.#soon !== undefined) {
      return;
    }
    // Even at once means after this piece of the stream: one snapshot answers all its events.
    const wait = Math.max(0, this.#askedMs + SNAPSHOT_EVERY_MS - performance.now());
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      void this.load();
    }, wait);
  }
}
