/**
 * The command line of `sockswitch with` in its usual forms, read without the library that reads all others (program.ts): loading
 * that, and describing every verb to it, takes as long as the rest. What is not read here goes to program.ts, which also
 * has the words for what is wrong.
 */
import { FIREWALL, NAMES, PRESETS } from './choices.js';
import type { WithOptions } from './options.js';

export interface QuickWords {
  readonly words: readonly string[];
  readonly options: WithOptions;
}

const FLAGS: Readonly<Record<string, string>> = { '--shell': 'shell', '--required': 'required' };
const CHOICES: Readonly<Record<string, readonly [string, readonly string[]]>> = {
  '--firewall': ['firewall', FIREWALL],
  '--names': ['names', NAMES],
  '--preset': ['preset', PRESETS],
};
const LISTS: Readonly<Record<string, string>> = {
  '--ignore': 'ignore',
  '--pods': 'pods',
  '--pod-cidr': 'podCidr',
  '--service-cidr': 'serviceCidr',
};

/** The words behind `with`; undefined where they are to be read by program.ts. */
export function readQuickly(given: readonly string[]): QuickWords | undefined {
  const options: Record<string, boolean | string | string[]> = {};
  for (let at = 0; at < given.length; at++) {
    const word = given[at] ?? '';
    if (word === '--') return { words: given.slice(at + 1), options };
    if (!word.startsWith('-')) return { words: given.slice(at), options };
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const inside = equals < 0 ? undefined : word.slice(equals + 1);
    if (FLAGS[name] !== undefined) {
      if (inside !== undefined) return undefined;
      options[FLAGS[name]] = true;
    } else if (name === '--tunnels') {
      // Without "=" the next word may be its value.
      if (inside === undefined && given[at + 1]?.startsWith('-') !== true) return undefined;
      options['tunnels'] = inside ?? true;
    } else {
      const value = inside ?? given[++at];
      if (value === undefined || value === '' || value.startsWith('-')) return undefined;
      const [choice, values] = CHOICES[name] ?? [];
      const list = LISTS[name];
      if (choice !== undefined && values?.includes(value)) options[choice] = value;
      else if (list !== undefined) options[list] = [...((options[list] ?? []) as string[]), value];
      else return undefined;
    }
  }
  return { words: [], options };
}
