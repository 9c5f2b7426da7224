// Entry of the dispatcher app: is somebody logged in? Then the live map, else the log-in page.

import { Api, asApiError } from '../core/api.ts';
import { ServerClock } from '../core/clock.ts';
import { button, h } from '../core/dom.ts';
import { errorText, t } from '../core/text.ts';
import type { SessionView } from '../core/wire.ts';
import { Announcer } from '../ui/announce.ts';
import { failure, loading } from '../ui/states.ts';
import { mountLive } from './live/view.ts';
import { mountLogin } from './login/view.ts';

interface Screen {
  destroy: () => void;
}

const api = new Api();
const announcer = new Announcer();
const root = document.querySelector('#app') ?? document.body.appendChild(h('div', { id: 'app' }));
let screen: Screen = { destroy: () => undefined };

function show(mount: (el: HTMLElement) => Screen): void {
  screen.destroy();
  // A dialog belongs to the screen it was opened from.
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.close();
  }
  const el = h('div', { class: 'screen' });
  root.replaceChildren(el, announcer.node);
  screen = mount(el);
}

function showLogin(notice: string | null): void {
  show((el) => mountLogin(el, { api, notice, onSession: enter }));
}

function enter(session: SessionView): void {
  if (session.member.role === 'driver') {
    show(forbidden);
    return;
  }
  show((el) => mountLive(el, { api, session, clock: new ServerClock(), announcer, logOut }));
}

function forbidden(el: HTMLElement): Screen {
  document.title = t('app.name');
  const title = h('h1', { tabindex: -1 }, t('app.name'));
  el.append(h('main', { class: 'page' }, title, h('p', {}, t('app.staff_only')), button(t('header.logout'), logOut)));
  title.focus();
  return { destroy: () => undefined };
}

function logOut(): void {
  // Leave the screen first: nothing of the fleet stays visible even when the server cannot be told.
  showLogin(null);
  history.replaceState(null, '', location.pathname);
  api.logout().catch((error: unknown) => {
    if (asApiError(error).status !== 401) {
      showLogin(t('login.not_out'));
    }
  });
}

api.onSessionLost = () => {
  showLogin(t('login.ended'));
};

async function start(): Promise<void> {
  const words = t('app.checking');
  const waiting = loading({ now: words, slow: words }, 0, null);
  show((el) => {
    el.append(h('main', { class: 'page' }, h('h1', { class: 'visually-hidden' }, t('app.name')), waiting.node));
    return { destroy: waiting.stop };
  });
  try {
    enter(await api.session());
  } catch (error) {
    const failed = asApiError(error);
    if (failed.status === 401) {
      showLogin(null);
    } else {
      show((el) => {
        const retry = (): void => void start();
        el.append(h('main', { class: 'page' }, h('h1', {}, t('app.name')), failure(errorText(failed), retry)));
        return { destroy: () => undefined };
      });
    }
  }
}

void start();
