// The smallest reactive value that does the work: a view subscribes, a change tells it once.

export interface Readable<T> {
  get(): T;
  subscribe(listener: (value: T) => void): () => void;
}

export interface Signal<T> extends Readable<T> {
  set(value: T): void;
}

export function signal<T>(initial: T): Signal<T> {
  let value = initial;
  const listeners = new Set<(value: T) => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) {
        return;
      }
      value = next;
      // A copy: a listener may unsubscribe itself or others while it runs.
      for (const listener of [...listeners]) {
        listener(next);
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Collects what must be undone when a screen goes, so that none can be forgotten one by one. */
export class Cleanup {
  readonly #jobs: (() => void)[] = [];

  add(job: () => void): void {
    this.#jobs.push(job);
  }

  listen(target: EventTarget, type: string, handler: (event: Event) => void): void {
    target.addEventListener(type, handler);
    this.add(() => {
      target.removeEventListener(type, handler);
    });
  }

  every(ms: number, job: () => void): void {
    const id = setInterval(job, ms);
    this.add(() => {
      clearInterval(id);
    });
  }

  run(): void {
    for (const job of this.#jobs.splice(0).reverse()) {
      job();
    }
  }
}
