// Details of one driver: who, where and how old, the route of today, and deleting the account.

import { asApiError, isAbort } from '../../core/api.ts';
import { button, h, setText } from '../../core/dom.ts';
import { distance, NONE, speed } from '../../core/fmt.ts';
import type { Context } from '../../core/session.ts';
import { hasText, reasonText, t } from '../../core/text.ts';
import type { DriverView } from '../../core/wire.ts';
import type { RouteDrawing } from '../../map/features.ts';
import { failure, loading } from '../../ui/states.ts';
import { type Shape, shapeIcon, shapeOf } from '../../ui/shapes.ts';
import type { Driver } from '../live/fleet.ts';
import type { Shown } from '../live/filter.ts';
import { ageWord, stateWord, vehicleWord } from '../live/words.ts';
import { RoutePart } from './route.ts';

export interface PanelOptions {
  ctx: Context;
  driverId: string;
  routeId: string | null;
  onClose: () => void;
  onShowOnMap: () => void;
  onDrawing: (drawing: RouteDrawing | null) => void;
  onFitRoute: () => void;
  /** `running`: a request exists already; show its progress. */
  onDelete: (driver: { driverId: string; name: string; running: boolean }) => void;
}

export class DriverPanel {
  readonly node: HTMLElement;
  readonly #options: PanelOptions;
  readonly #abort = new AbortController();
  readonly #title = h('h2', { tabindex: -1, id: 'details-title' });
  readonly #icon = h('span', { class: 'row-icon' });
  readonly #state = h('span', { 'data-testid': 'details-state' });
  readonly #age = h('span', { class: 'muted' });
  readonly #values = { vehicle: h('dd'), speed: h('dd'), age: h('dd'), accuracy: h('dd') };
  readonly #onMap: HTMLButtonElement;
  readonly #account = h('section', { class: 'account', 'aria-labelledby': 'account-title' });
  readonly #route: RoutePart;
  #shape: Shape | null = null;
  #name = '';

  constructor(options: PanelOptions) {
    this.#options = options;
    const { ctx, driverId, routeId, onDrawing, onFitRoute: onFit } = options;
    this.#route = new RoutePart({ ctx, driverId, routeId, onDrawing, onFit });
    this.#onMap = button(t('driver.show_on_map'), options.onShowOnMap, { 'data-testid': 'show-on-map' });
    const close = button('×', options.onClose, { class: 'button button-icon details-close', 'aria-label': t('driver.close'), 'data-testid': 'details-close' });
    const back = button(`‹ ${t('driver.back')}`, options.onClose, { class: 'button button-plain details-back' });
    const pair = (label: string, value: HTMLElement): HTMLElement => h('div', {}, h('dt', {}, label), value);
    const facts = h(
      'dl',
      { class: 'facts' },
      pair(t('driver.vehicle'), this.#values.vehicle),
      pair(t('driver.speed'), this.#values.speed),
      pair(t('driver.age'), this.#values.age),
      pair(t('driver.accuracy'), this.#values.accuracy),
    );
    const state = h('p', { class: 'details-state' }, this.#icon, this.#state, this.#age);
    this.node = h(
      'section',
      { class: 'details', 'aria-labelledby': 'details-title', 'data-testid': 'details-panel', 'data-driver-id': driverId },
      back,
      h('div', { class: 'details-head' }, this.#title, close),
      state,
      facts,
      this.#onMap,
      this.#route.node,
      this.#account,
    );
    void this.#loadAccount();
  }

  focus(): void {
    this.#title.focus();
  }

  update({ driver, link }: Shown, nowMs: number | null): void {
    this.#name = driver.name;
    setText(this.#title, driver.name);
    const shape = shapeOf(link, driver.work);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#icon.replaceChildren(shapeIcon(shape));
    }
    setText(this.#state, stateWord(link, driver.work));
    this.#updateFacts(driver, ageWord(driver, nowMs));
  }

  #updateFacts(driver: Driver, age: string): void {
    const { position } = driver;
    const ago = age === '' ? NONE : t('driver.age_value', { age });
    setText(this.#values.vehicle, vehicleWord(driver));
    setText(this.#values.speed, speed(position?.speedMps ?? null));
    setText(this.#values.age, ago);
    const accuracy = position?.accuracyM ?? null;
    setText(this.#values.accuracy, accuracy === null ? NONE : t('driver.accuracy_value', { distance: distance(accuracy) }));
    this.#onMap.hidden = position === null;
  }

  dropTrack(): void {
    this.#route.dropTrack();
  }

  /** After a request was made: the account's state has changed. */
  reload(): void {
    void this.#loadAccount();
  }

  destroy(): void {
    this.#abort.abort();
    this.#route.destroy();
    this.node.remove();
  }

  async #loadAccount(): Promise<void> {
    const { signal } = this.#abort;
    const title = h('h3', { id: 'account-title' }, t('driver.actions'));
    const waiting = loading({ now: t('driver.loading'), slow: t('driver.loading_slow') }, 2, null);
    this.#account.replaceChildren(title, waiting.node);
    try {
      const driver = await this.#options.ctx.api.driver(this.#options.driverId, signal);
      this.#account.replaceChildren(title, ...this.#accountParts(driver));
    } catch (error) {
      if (!(signal.aborted && isAbort(error))) {
        const words = t('driver.error', { reason: reasonText(asApiError(error)) });
        this.#account.replaceChildren(title, failure(words, () => void this.#loadAccount()));
      }
    } finally {
      waiting.stop();
    }
  }

  #accountParts(driver: DriverView): Node[] {
    const onOff = (state: string | undefined): string => t(state === 'given' ? 'driver.on' : 'driver.off');
    const stateKey = `account.${driver.state}`;
    const consent = t('driver.consent_line', { dispatch: onOff(driver.consents.dispatch_tracking), plan: onOff(driver.consents.plan_fact) });
    const facts = h(
      'dl',
      { class: 'facts' },
      h('div', {}, h('dt', {}, t('driver.phone')), h('dd', {}, driver.phone_masked ?? NONE)),
      h('div', {}, h('dt', {}, t('driver.account')), h('dd', {}, hasText(stateKey) ? t(stateKey) : driver.state)),
      h('div', { class: 'wide' }, h('dt', {}, t('driver.consents')), h('dd', {}, consent)),
    );
    const running = driver.state === 'grace' || driver.state === 'erasing';
    const act = button(
      t(running ? 'driver.delete_progress' : 'driver.delete'),
      () => { this.#options.onDelete({ driverId: driver.driver_id, name: this.#name, running }); },
      { class: running ? 'button' : 'button button-danger', 'data-testid': running ? 'deletion-progress' : 'delete-driver' },
    );
    return [facts, act];
  }
}
