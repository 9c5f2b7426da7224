// What can be wrong with a log-in before it is sent.

import type { Key } from '../../core/text.ts';

export interface Mistake {
  field: 'login' | 'password' | 'company';
  text: Key;
}

export function mistakesIn(form: { login: string; password: string; companyId: string | null }): Mistake[] {
  const mistakes: Mistake[] = [];
  if (form.login === '') {
    mistakes.push({ field: 'login', text: 'login.need_login' });
  }
  if (form.password === '') {
    mistakes.push({ field: 'password', text: 'login.need_password' });
  }
  if (form.companyId === '') {
    mistakes.push({ field: 'company', text: 'login.need_company' });
  }
  return mistakes;
}
