// Deleting a driver: says what will happen, asks once, then shows the truth as the server tells it.

import { asApiError, isAbort } from '../../core/api.ts';
import { button, h, setAttr, setText } from '../../core/dom.ts';
import { exactTime, parseMs } from '../../core/fmt.ts';
import type { Context } from '../../core/session.ts';
import { errorText, reasonText, t } from '../../core/text.ts';
import type { ErasureRequest, ErasureState } from '../../core/wire.ts';
import { type Dialog, openDialog } from '../../ui/dialog.ts';
import { isOver, pollMs, stepWords } from './model.ts';

export interface EraseOptions {
  ctx: Context;
  driver: { driverId: string; name: string; running: boolean };
  fallbackFocus: () => void;
  /** The request stands; tracking has stopped. */
  onStarted: () => void;
  /** Called once when the driver is unreadable or being made so. */
  onErasing: (state: ErasureState) => void;
}

export function openErase(options: EraseOptions): void {
  new EraseDialog(options);
}

class EraseDialog {
  readonly #options: EraseOptions;
  readonly #dialog: Dialog;
  readonly #abort = new AbortController();
  readonly #state = h('p', { class: 'erase-state', role: 'status', 'data-testid': 'erasure-state' });
  readonly #trouble = h('p', { class: 'field-error', role: 'alert', hidden: true });
  readonly #steps = h('ol', { class: 'steps' });
  readonly #stopped = h('p', { class: 'result', 'data-testid': 'tracking-stopped' });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #erasingTold = false;

  constructor(options: EraseOptions) {
    this.#options = options;
    const { name, running } = options.driver;
    const title = running ? t('erase.progress_named', { name }) : t('erase.title', { name });
    this.#dialog = openDialog(title, {
      testId: 'erase-dialog',
      fallbackFocus: options.fallbackFocus,
      onClose: () => {
        clearTimeout(this.#timer);
        this.#abort.abort();
      },
    });
    if (running) {
      void this.#find();
    } else {
      this.#ask();
    }
  }

  #ask(): void {
    const lines = (['erase.stops', 'erase.unreadable', 'erase.final', 'erase.rest'] as const).map((key) => h('li', {}, t(key)));
    this.#dialog.body.append(h('ul', { class: 'erase-what' }, ...lines), this.#trouble);
    const keep = button(t('erase.keep'), () => { this.#dialog.close(); });
    const confirm = button(t('erase.confirm'), () => void this.#send(confirm), { class: 'button button-danger', 'data-testid': 'confirm-delete' });
    this.#dialog.actions.append(keep, confirm);
  }

  async #send(confirm: HTMLButtonElement): Promise<void> {
    if (confirm.getAttribute('aria-disabled') === 'true') {
      return;
    }
    setAttr(confirm, 'aria-disabled', 'true');
    setText(confirm, t('erase.busy'));
    try {
      // Not tied to the dialog: closing it must not leave a request half sent.
      const started = await this.#options.ctx.api.requestErasure(this.#options.driver.driverId);
      this.#options.onStarted();
      this.#progress(started.request_id, started.tracking_stopped_at);
      this.#show({ ...started, steps: [], erased_at: null });
    } catch (error) {
      setAttr(confirm, 'aria-disabled', null);
      setText(confirm, t('erase.confirm'));
      this.#trouble.hidden = false;
      setText(this.#trouble, t('erase.failed', { reason: errorText(asApiError(error)) }));
    }
  }

  async #find(): Promise<void> {
    const { signal } = this.#abort;
    const { driverId } = this.#options.driver;
    try {
      for (const state of ['grace', 'erasing']) {
        const page = await this.#options.ctx.api.erasures(state, signal);
        const request = page.items.find((item) => item.driver_id === driverId);
        if (request !== undefined) {
          this.#progress(request.request_id, null);
          return;
        }
      }
      this.#dialog.body.append(h('p', {}, t('erase.missing')));
    } catch (error) {
      if (!isAbort(error)) {
        this.#dialog.body.append(h('p', { role: 'alert' }, errorText(asApiError(error))));
      }
    }
  }

  /** From question to progress; focus goes to the title so that the result is read from its start. */
  #progress(requestId: string, stoppedAt: string | null): void {
    this.#dialog.setTitle(t('erase.progress_named', { name: this.#options.driver.name }));
    this.#stopped.hidden = stoppedAt === null;
    setText(this.#stopped, t('erase.stopped_at', { time: this.#time(stoppedAt) }));
    this.#trouble.hidden = true;
    this.#dialog.body.replaceChildren(this.#stopped, this.#state, this.#trouble, this.#steps);
    this.#dialog.actions.replaceChildren(button(t('close'), () => { this.#dialog.close(); }, { 'data-testid': 'erase-close' }));
    this.#dialog.focusTitle();
    void this.#poll(requestId);
  }

  async #poll(requestId: string): Promise<void> {
    const { signal } = this.#abort;
    let next = pollMs('erasing');
    try {
      const request = await this.#options.ctx.api.erasure(requestId, signal);
      this.#trouble.hidden = true;
      this.#show(request);
      if (isOver(request.state)) {
        return;
      }
      next = pollMs(request.state);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this.#trouble.hidden = false;
      setText(this.#trouble, t('erase.poll_failed', { reason: reasonText(asApiError(error)) }));
    }
    this.#timer = setTimeout(() => void this.#poll(requestId), next);
  }

  #show(request: Pick<ErasureRequest, 'state' | 'grace_until' | 'steps' | 'erased_at'>): void {
    setAttr(this.#state, 'data-state', request.state);
    setText(this.#state, this.#words(request));
    const steps = request.steps.map(({ step, done_at: doneAt }) => {
      const done = doneAt !== null;
      const mark = h('span', { class: 'step-mark', 'aria-hidden': 'true' }, done ? '✓' : '');
      const when = done ? t('erase.step_done', { time: this.#time(doneAt) }) : t('erase.step_waiting');
      return h('li', { 'data-done': done ? 'true' : 'false' }, mark, stepWords(step), h('span', { class: 'muted' }, when));
    });
    this.#steps.replaceChildren(...steps);
    this.#steps.hidden = steps.length === 0;
    if (request.state === 'erasing' || request.state === 'erased') {
      if (!this.#erasingTold) {
        this.#erasingTold = true;
        // From here on the name belongs nowhere, this title included.
        this.#dialog.setTitle(t('erase.progress_title'));
        this.#options.onErasing(request.state);
      }
      if (request.state === 'erased') {
        this.#dialog.setTitle(t('erase.done_title'));
      }
    }
  }

  #words(request: Pick<ErasureRequest, 'state' | 'grace_until' | 'erased_at'>): string {
    switch (request.state) {
      case 'grace':
        return t('erase.grace_until', { time: this.#time(request.grace_until) });
      case 'erasing':
        return t('erase.erasing');
      case 'erased':
        return t('erase.done_at', { time: this.#time(request.erased_at) });
      case 'refused':
        return t('erase.refused');
      case 'cancelled':
        return t('erase.cancelled');
      case 'open':
        return t('erase.open');
      default:
        return request.state;
    }
  }

  #time(at: string | null): string {
    const { clock, session } = this.#options.ctx;
    const ms = parseMs(at);
    return ms === null ? t('unknown') : exactTime(ms, clock.now() ?? ms, session.company.time_zone);
  }
}
