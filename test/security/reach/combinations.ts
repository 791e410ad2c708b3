/**
 * Which networks, changes, moments and restarts are tried together: chosen by a generator of pseudo-random numbers, the same ones
 * for the same seed. Every change is tried on two of the three common networks, and some changes on each other network, so
 * all values of all dimensions occur.
 */
import type { Runtime } from '../../integration/support/places.js';
import { CHANGES, type Change, NOTHING } from './changes.js';
import { NETWORK_KINDS, type NetworkKind } from './networks.js';

/** What the container may do: `bare` is a user without any capability, `admin` with NET_ADMIN and NET_RAW. */
export const RIGHTS = ['bare', 'default', 'admin', 'privileged'] as const;
export type Rights = (typeof RIGHTS)[number];

/** The change comes before the client's first call, or to a client that has connected everywhere already. */
export const MOMENTS = ['before', 'after'] as const;
/** The client is run by `podman exec`, or is the container's first process. */
export const CLIENTS = ['exec', 'first'] as const;
/**
 * Between change and connect: nothing; the daemon is restarted; it is away while the change is made; the keeper is killed,
 * and then the daemon is restarted.
 */
export const RESTARTS = ['none', 'daemon', 'away', 'keeper'] as const;

export interface Combination {
  readonly id: string;
  readonly network: NetworkKind;
  readonly change: Change;
  readonly rights: Rights;
  readonly runtime: Runtime;
  readonly moment: (typeof MOMENTS)[number];
  readonly client: (typeof CLIENTS)[number];
  readonly restart: (typeof RESTARTS)[number];
  /** More annotations for the accelerated one. */
  readonly annotations?: Readonly<Record<string, string>>;
}

export const SEED = 15;
const CHANGES_ON_OTHERS = 2;

/** mulberry32: small, and the same everywhere. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function rightsFor({ needs }: Change, network: NetworkKind): readonly Rights[] {
  if (needs === 'privileged') return ['privileged'];
  if (needs === 'admin') return ['admin', 'admin', 'privileged'];
  // A program without capabilities may not become another user, and BusyBox has no capabilities to drop.
  return network.image === undefined ? RIGHTS : ['default', 'privileged'];
}

export function combinations(seed: number = SEED): readonly Combination[] {
  const random = numbers(seed);
  const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T => {
    const chosen = list[Math.floor(random() * list.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  };
  const make = (network: NetworkKind, change: Change): Combination => {
    const rights = pick(rightsFor(change, network));
    const runtime = pick(['crun', 'crun', 'runc'] as const);
    const moment = pick(MOMENTS);
    const alive = network.afterStart !== undefined || change.onHost !== undefined;
    const client = alive ? 'exec' : pick(['exec', 'exec', 'first'] as const);
    const inside = change.inside !== undefined && change.client === undefined;
    const restarts = inside ? RESTARTS : RESTARTS.filter((restart) => restart !== 'away');
    const restart = random() < 0.5 ? 'none' : pick(restarts);
    const words = [
      rights,
      runtime,
      client,
      moment,
      restart === 'none' ? '' : `restart: ${restart}`,
    ];
    const how = words.filter((word) => word !== '').join(', ');
    return {
      ...{ id: `${network.id}: ${change.id} (${how})`, network, change },
      ...{ rights, runtime, moment, client, restart },
    };
  };

  // One after the other over all networks, in another order, so that none is left out.
  const order = CHANGES.map((change) => ({ change, place: random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ change }) => change);
  const all: Combination[] = [];
  let common = 0;
  for (const network of NETWORK_KINDS) {
    const possible = CHANGES.filter(
      ({ on, needs }) =>
        (on === undefined || on(network)) && (network.image === undefined || needs === 'nobody'),
    );
    const chosen = new Set<Change>([NOTHING]);
    if (network.common === true) {
      const left = common++;
      for (const change of possible) {
        if (change.on !== undefined || CHANGES.indexOf(change) % 3 !== left) chosen.add(change);
      }
    }
    for (let tries = 0; chosen.size <= CHANGES_ON_OTHERS && tries < CHANGES.length; tries++) {
      const change = order.shift();
      if (change === undefined) break;
      order.push(change);
      if (possible.includes(change)) chosen.add(change);
    }
    for (const change of chosen) all.push(make(network, change));
  }
  return all;
}

/** The values of each dimension that a combination has, networks and changes by family. */
export function valuesOf(combination: Combination): readonly string[] {
  const { network, change, rights, runtime, moment, client, restart } = combination;
  return [
    ...[`network ${network.family}`, `change ${change.family}`, `rights ${rights}`],
    ...[`runtime ${runtime}`, `moment ${moment}`, `client ${client}`, `restart ${restart}`],
  ];
}

/**
 * A few of them in which every value occurs: each one is the one that brings most that is new, values before networks and
 * changes by name.
 */
export function sample(all: readonly Combination[], size: number): readonly Combination[] {
  const seen = new Map<string, number>();
  const often = (name: string) => seen.get(name) ?? 0;
  const names = (one: Combination) => [
    ...valuesOf(one),
    `network is ${one.network.id}`,
    `change is ${one.change.id}`,
  ];
  const worth = (one: Combination) =>
    names(one).reduce((sum, name) => sum + 1 / (1 + often(name)) ** 2, 0);
  const rest = [...all];
  const chosen: Combination[] = [];
  while (chosen.length < size && rest.length > 0) {
    const best = rest.reduce((one, other) => (worth(other) > worth(one) ? other : one));
    rest.splice(rest.indexOf(best), 1);
    chosen.push(best);
    for (const name of names(best)) seen.set(name, often(name) + 1);
  }
  return chosen;
}
