// The log-in page. One neutral text for every wrong pair; the company is asked only where there are several.

import { type Api, type ApiError, asApiError } from '../../core/api.ts';
import { button, h, setAttr, setText } from '../../core/dom.ts';
import { countdown } from '../../core/fmt.ts';
import { Cleanup } from '../../core/store.ts';
import { errorText, t } from '../../core/text.ts';
import type { CompanyRef, SessionView } from '../../core/wire.ts';
import { type Mistake, mistakesIn } from './model.ts';

export interface LoginOptions {
  api: Api;
  notice: string | null;
  onSession: (session: SessionView) => void;
}

const RETRY_DEFAULT_S = 30;

export function mountLogin(el: HTMLElement, options: LoginOptions): { destroy: () => void } {
  const page = new LoginPage(el, options);
  return { destroy: () => { page.cleanup.run(); } };
}

interface Field {
  node: HTMLElement;
  input: HTMLInputElement | HTMLSelectElement;
  error: HTMLElement;
}

function field(id: string, label: string, input: HTMLInputElement | HTMLSelectElement): Field {
  const error = h('p', { class: 'field-error', id: `${id}-error`, hidden: true });
  const node = h('div', { class: 'field' }, h('label', { for: id }, label), input, error);
  return { node, input, error };
}

class LoginPage {
  readonly cleanup = new Cleanup();
  readonly #options: LoginOptions;
  readonly #summary = h('div', { class: 'summary', tabindex: -1, hidden: true, 'data-testid': 'login-error' });
  readonly #submit = h('button', { type: 'submit', class: 'button button-primary', 'data-testid': 'login-submit' }, t('login.submit'));
  readonly #login: Field;
  readonly #password: Field;
  readonly #company: Field;
  readonly #companyBox: HTMLElement;
  #busy = false;
  #blockedUntilMs = 0;

  constructor(el: HTMLElement, options: LoginOptions) {
    this.#options = options;
    const input = (id: string, type: string, autocomplete: string, testId: string): HTMLInputElement =>
      h('input', { id, name: id, type, autocomplete, 'data-testid': testId, autocapitalize: 'none', spellcheck: 'false' });
    this.#login = field('login', t('login.login'), input('login', 'text', 'username', 'login-login'));
    this.#password = field('password', t('login.password'), input('password', 'password', 'current-password', 'login-password'));
    this.#company = field('company', t('login.company'), h('select', { id: 'company', name: 'company', 'data-testid': 'login-company' }));
    const another = button(t('login.company_back'), () => { this.#showCompanies(null); }, { class: 'button button-plain' });
    this.#companyBox = h('div', { class: 'company', hidden: true }, h('p', {}, t('login.company_lead')), this.#company.node, another);
    const form = h('form', { novalidate: true, 'data-testid': 'login-form' }, this.#login.node, this.#password.node, this.#companyBox, this.#submit);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    const title = h('h1', {}, t('login.title'));
    const notice = options.notice === null ? null : h('p', { class: 'notice', role: 'status' }, options.notice);
    const brand = h('p', { class: 'brand' }, h('span', { class: 'brand-mark', 'aria-hidden': 'true' }), t('app.name'), h('span', { class: 'muted' }, t('login.lead')));
    el.append(h('main', { class: 'login' }, brand, h('div', { class: 'card' }, this.#summary, title, notice, form)));
    this.#setTitle(false);
    this.cleanup.every(500, () => { this.#showWaiting(); });
    this.#login.input.focus();
  }

  #setTitle(error: boolean): void {
    const title = `${t('login.title')} – ${t('app.name')}`;
    document.title = error ? t('title.error', { title }) : title;
  }

  async #send(): Promise<void> {
    const companyId = this.#companyBox.hidden ? null : this.#company.input.value;
    const login = this.#login.input.value.trim();
    const password = this.#password.input.value;
    const mistakes = mistakesIn({ login, password, companyId });
    this.#showMistakes(mistakes);
    if (this.#busy || mistakes.length > 0 || performance.now() < this.#blockedUntilMs) {
      return;
    }
    this.#setBusy(true);
    try {
      this.#options.onSession(await this.#options.api.login(login, password, companyId));
    } catch (error) {
      this.#setBusy(false);
      this.#refused(asApiError(error));
    }
  }

  #refused(error: ApiError): void {
    if (error.code === 'company-needed') {
      this.#showCompanies(error.companies);
      return;
    }
    if (error.status === 429) {
      this.#blockedUntilMs = performance.now() + (error.problem.retry_after_s ?? RETRY_DEFAULT_S) * 1000;
      this.#showWaiting();
    }
    this.#summary.replaceChildren(h('h2', {}, t('login.summary')), h('p', {}, errorText(error)));
    this.#openSummary();
  }

  #openSummary(): void {
    this.#summary.hidden = false;
    this.#setTitle(true);
    this.#summary.focus();
  }

  #showMistakes(mistakes: readonly Mistake[]): void {
    for (const [name, { input, error }] of [['login', this.#login], ['password', this.#password], ['company', this.#company]] as const) {
      const mistake = mistakes.find((one) => one.field === name);
      error.hidden = mistake === undefined;
      setText(error, mistake === undefined ? '' : t(mistake.text));
      setAttr(input, 'aria-invalid', mistake === undefined ? null : 'true');
      setAttr(input, 'aria-describedby', mistake === undefined ? null : error.id);
    }
    this.#summary.hidden = true;
    this.#setTitle(false);
    if (mistakes.length > 0) {
      const links = mistakes.map((mistake) => {
        const link = h('a', { href: `#${mistake.field}` }, t(mistake.text));
        link.addEventListener('click', (event) => {
          event.preventDefault();
          document.getElementById(mistake.field)?.focus();
        });
        return h('li', {}, link);
      });
      this.#summary.replaceChildren(h('h2', {}, t('login.summary')), h('ul', {}, ...links));
      this.#openSummary();
    }
  }

  #showCompanies(companies: CompanyRef[] | null): void {
    const asking = companies !== null;
    this.#companyBox.hidden = !asking;
    this.#login.node.hidden = asking;
    this.#password.node.hidden = asking;
    this.#company.input.replaceChildren(...(companies ?? []).map(({ company_id: value, name }) => h('option', { value }, name)));
    (asking ? this.#company.input : this.#login.input).focus();
  }

  #setBusy(busy: boolean): void {
    this.#busy = busy;
    setAttr(this.#submit, 'aria-disabled', busy ? 'true' : null);
    setText(this.#submit, t(busy ? 'login.busy' : 'login.submit'));
  }

  #showWaiting(): void {
    if (this.#blockedUntilMs === 0) {
      return;
    }
    const leftS = (this.#blockedUntilMs - performance.now()) / 1000;
    if (leftS > 0) {
      setAttr(this.#submit, 'aria-disabled', 'true');
      setText(this.#submit, t('login.wait', { time: countdown(leftS) }));
    } else {
      this.#blockedUntilMs = 0;
      this.#setBusy(false);
    }
  }
}
