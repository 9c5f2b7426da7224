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

interface Pair {
  node: HTMLElement;
  show: (value: string | null) => void;
}

function pair(label: string): Pair {
  const value = h('dd');
  const node = h('div', {}, h('dt', {}, label), value);
  return {
    node,
    show(text) {
      node.hidden = text === null;
      setText(value, text ?? '');
    },
  };
}

export class DriverPanel {
  readonly node: HTMLElement;
  readonly #options: PanelOptions;
  readonly #abort = new AbortController();
  readonly #title = h('h2', { tabindex: -1, id: 'details-title' });
  readonly #icon = h('span', { class: 'row-icon' });
  readonly #state = h('span', { 'data-testid': 'details-state' });
  readonly #vehicle = pair(t('driver.vehicle'));
  readonly #age = pair(t('driver.age'));
  readonly #speed = pair(t('driver.speed'));
  readonly #accuracy = pair(t('driver.accuracy'));
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
    const facts = h('dl', { class: 'facts' }, this.#vehicle.node, this.#age.node, this.#speed.node, this.#accuracy.node);
    const state = h('p', { class: 'details-state' }, this.#icon, this.#state);
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
    this.#route.follow(driver.routeId, driver.position?.fixMs ?? null);
  }

  /** Only what is known: a driver without a position has no row of dashes that could be read as a fault. */
  #updateFacts(driver: Driver, age: string): void {
    const { position } = driver;
    const accuracy = position?.accuracyM ?? null;
    this.#vehicle.show(vehicleWord(driver));
    this.#age.show(age === '' ? null : t('driver.age_value', { age }));
    this.#speed.show(position === null || position.speedMps === null ? null : speed(position.speedMps));
    this.#accuracy.show(accuracy === null ? null : t('driver.accuracy_value', { distance: distance(accuracy) }));
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
    const stateKey = `account.${driver.state}`;
    // No word on consents: beside "not sharing" they would tell its cause.
    const facts = h(
      'dl',
      { class: 'facts' },
      h('div', {}, h('dt', {}, t('driver.phone')), h('dd', {}, driver.phone_masked ?? NONE)),
      h('div', {}, h('dt', {}, t('driver.account')), h('dd', {}, hasText(stateKey) ? t(stateKey) : driver.state)),
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
