/** From the words on the command line to workloads and drivers, and whether they can run here. Every refusal names the remedy. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { Driver } from '../drivers/driver.js';
import { DRIVERS, PACKAGES, USUAL_DRIVERS } from '../drivers/index.js';
import type { Place } from '../places/place.js';
import { connectionRateProbe } from '../workloads/connections.js';
import { QUICK, SUITES, WORKLOADS, workloadsOf } from '../workloads/index.js';
import type { Workload } from '../workloads/workload.js';
import { CommandError } from './execute.js';

type Kind = Place['kind'];

/** The workloads that a place can run; with the probe where wrk cannot be expected. */
export function workloadsFor(kind: Kind): readonly Workload[] {
  return WORKLOADS.filter((workload) => workload.kind !== 'test').filter((workload) =>
    kind === 'lab' ? workload !== connectionRateProbe : workload.needs?.lab !== true,
  );
}

/** Without words: all that the place can run, or the quick ones. Throws CommandError. */
export function selectWorkloads(
  words: readonly string[],
  kind: Kind,
  quick: boolean,
): readonly Workload[] {
  const possible = workloadsFor(kind);
  if (words.length === 0) {
    return possible.filter((workload) => !quick || QUICK.includes(workload));
  }
  return [...new Set(words.flatMap((word) => named(word, possible)))];
}

function named(word: string, possible: readonly Workload[]): readonly Workload[] {
  const suite = SUITES.find(({ name }) => name === word);
  const found =
    suite === undefined ? WORKLOADS.filter(({ name }) => name === word) : workloadsOf(suite);
  if (found.length === 0) {
    throw new CommandError(
      `unknown workload "${word}"; known: ${knownWorkloads(possible).join(', ')}`,
    );
  }
  for (const workload of found) {
    if (workload.kind !== 'test') continue;
    throw new CommandError(`"${word}" is measured by "${workload.command.join(' ')}"`);
  }
  const usable = found.filter((workload) => possible.includes(workload));
  if (usable.length === 0) {
    throw new CommandError(
      `"${word}" needs the lab, which has servers and a second host: run "sudo npm run bench -- ${word}" in a clone of sockswitch`,
    );
  }
  return usable;
}

/** Suites and workloads by name, for help and errors. */
export function knownWorkloads(possible: readonly Workload[]): string[] {
  const suites = SUITES.filter((suite) => workloadsOf(suite).some((one) => possible.includes(one)));
  return [...suites, ...possible].map(({ name }) => name);
}

/** `list`: names separated by commas. Throws CommandError on unknown ones. */
export function parseDrivers(list: string): readonly Driver[] {
  const wanted = list.split(',').map((name) => name.trim());
  const known = DRIVERS.map(({ name }) => name);
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new CommandError(`unknown driver "${unknown}"; known: ${known.join(', ')}`);
  }
  return DRIVERS.filter(({ name }) => wanted.includes(name));
}

/**
 * The drivers that can run on a user's own machine: all those of `wanted`, or an error; without it, those whose programs are there.
 * `has` tells whether a program is installed.
 */
export function driversFor(
  wanted: readonly Driver[] | undefined,
  has: (program: string) => boolean,
): readonly Driver[] {
  const obstacle = ({ name, needsRoot, program }: Driver): string | undefined => {
    if (needsRoot !== undefined) return `driver "${name}" needs root: only the lab has it`;
    if (program === undefined || has(program)) return undefined;
    return `driver "${name}" needs ${program}: sudo apt-get install ${PACKAGES[program] ?? program}`;
  };
  const problem = wanted?.map(obstacle).find((text) => text !== undefined);
  if (problem !== undefined) throw new CommandError(problem);
  return wanted ?? USUAL_DRIVERS.filter((driver) => obstacle(driver) === undefined);
}

export interface Machine {
  readonly cores: number;
  readonly availableMiB: number;
}

export function thisMachine(): Machine {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return { cores: cpus().length, availableMiB: Number(available ?? 0) / 1024 };
}

/** Throws CommandError when a workload would not fit. */
export function checkMachine(workloads: readonly Workload[], machine: Machine): void {
  for (const { name, needs } of workloads) {
    const { memoryMiB = 0, cores = 1 } = needs ?? {};
    if (machine.availableMiB < memoryMiB) {
      throw new CommandError(
        `"${name}" needs ${memoryMiB} MiB of free memory, and this machine has ${Math.floor(machine.availableMiB)}: end other programs, or leave this workload out`,
      );
    }
    if (machine.cores < cores) {
      throw new CommandError(
        `"${name}" needs ${cores} cores, and this machine has ${machine.cores}: leave this workload out`,
      );
    }
  }
}
