/**
 * pasta with the host's socket buffer limits raised, as is advised for it. Its upload depends on the initial size of the host's
 * send buffers (tcp_wmem, middle value), which is 16 KiB by default.
 *
 * tcp_rmem and tcp_wmem belong to the host's network namespace. rmem_max and wmem_max are the whole machine's on most
 * kernels: there they are changed on the machine during the trial, and put back.
 */
import type { Place } from '../places/place.js';
import { CommandError, execute } from '../runner/execute.js';
import type { Driver, Prepared } from './driver.js';

const SETTINGS: readonly (readonly [string, string])[] = [
  ['net.core.rmem_max', '16777216'],
  ['net.core.wmem_max', '16777216'],
  ['net.ipv4.tcp_rmem', '4096 1048576 16777216'],
  ['net.ipv4.tcp_wmem', '4096 4194304 16777216'],
];

export const pastaTuned: Driver = {
  name: 'pasta-tuned',
  title: 'pasta, host buffers raised',
  podmanArgs: ['--network=pasta'],
  ownNetwork: true,
  switches: false,
  program: 'pasta',
  needsRoot: 'settings',
  prepare,
};

/** For workloads that raised socket buffers say nothing about. */
export function notTuned({ name }: Driver): boolean {
  return name !== pastaTuned.name;
}

async function prepare(place: Place): Promise<Prepared> {
  const undo: (() => Promise<void>)[] = [];
  const undoAll = async () => {
    for (const step of undo.reverse()) await step();
  };
  try {
    for (const [name, value] of SETTINGS) undo.push(await set(place, name, value));
  } catch (error) {
    await undoAll();
    throw error;
  }
  return {
    note: SETTINGS.map(([name, value]) => `sysctl -w '${name}=${value}'`).join('; '),
    undo: undoAll,
  };
}

/** Sets it in the host's namespaces, or on the machine where it is not the namespace's. Returns how to undo that. */
async function set(place: Place, name: string, value: string): Promise<() => Promise<void>> {
  if (place.asRoot === undefined) throw new CommandError('kernel settings need root');
  const inPlace = place.asRoot.bind(place);
  const onMachine = (argv: readonly string[]) => [...argv];
  for (const where of [inPlace, onMachine]) {
    const before = (await execute(where(['sysctl', '-n', name]))).replaceAll('\t', ' ').trim();
    const write = (to: string) => where(['sysctl', '-q', '-w', `${name}=${to}`]);
    try {
      await execute(write(value));
    } catch (error) {
      if (where === inPlace && error instanceof CommandError) continue;
      throw error;
    }
    return async () => {
      await execute(write(before), { always: true });
    };
  }
  throw new CommandError(`cannot set ${name}`);
}
