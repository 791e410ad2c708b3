/** Combinations by name, for tests that are about one thing. */
import { CHANGES, type Change, NOTHING } from './changes.js';
import type { Combination } from './combinations.js';
import { NETWORK_KINDS, type NetworkKind } from './networks.js';

export function networkKind(id: string): NetworkKind {
  const found = NETWORK_KINDS.find((kind) => kind.id === id);
  if (found === undefined) throw new Error(`no network "${id}"`);
  return found;
}

export function change(id: string): Change {
  const found = CHANGES.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no change "${id}"`);
  return found;
}

/** On a network, changed; without more words by exec in a container of default rights, before the client starts. */
export function example(
  network: NetworkKind | string,
  changed: Change | string = NOTHING,
  how: Partial<Combination> = {},
): Combination {
  const kind = typeof network === 'string' ? networkKind(network) : network;
  const made = typeof changed === 'string' ? change(changed) : changed;
  const rights = { nobody: 'default', admin: 'admin', privileged: 'privileged' } as const;
  return {
    ...{ id: `${kind.id}: ${made.id}`, network: kind, change: made, rights: rights[made.needs] },
    ...{ runtime: 'crun', moment: 'before', client: 'exec', restart: 'none', ...how },
  };
}
