/**
 * The same thing in two containers, one with `sockswitch/enable=true` and one without, on every network
 * and with every runtime.
 *
 * A `Pair` is started once for a place and used by every test of a file. Commands run by `podman exec`;
 * what happens in a container's own process is accelerated.test.ts's matter. The accelerated container's
 * counters are read before and after, so each comparison knows which way the traffic went.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { describeOnLab, type Result, type RunOptions } from './lab.js';
import { MATRIX, type Runtime } from './places.js';
import {
  type Container,
  type ContainerOptions,
  type Counters,
  difference,
  ENABLED,
  startContainer,
} from './podman.js';
import { record, type Verdict } from './results.js';

export interface Pair {
  readonly network: string;
  readonly runtime: Runtime;
  readonly accelerated: Container;
  readonly plain: Container;
}

export interface Comparison {
  readonly accelerated: Result;
  readonly plain: Result;
  /** What the accelerated container's counters moved by. */
  readonly moved: Counters;
}

export async function startPair(
  place: { readonly network: string; readonly runtime: Runtime },
  options: Pick<ContainerOptions, 'args' | 'image' | 'annotations'> = {},
): Promise<Pair> {
  const plain = await startContainer({ ...place, ...options, annotations: {} });
  const annotations = { ...ENABLED, ...options.annotations };
  const accelerated = await startContainer({ ...place, ...options, annotations });
  return { ...place, accelerated, plain };
}

/** Runs it in both, one after the other. */
export async function compare(
  pair: Pair,
  command: readonly string[],
  options: RunOptions = {},
): Promise<Comparison> {
  const plain = await pair.plain.exec(command, options);
  const before = await countersOf(pair.accelerated);
  const accelerated = await pair.accelerated.exec(command, options);
  return {
    accelerated,
    plain,
    moved: difference(before, await countersOf(pair.accelerated)),
  };
}

export async function countersOf(container: Container): Promise<Counters> {
  const counters = await container.counters();
  if (counters === undefined) throw new Error(`sockswitch does not serve ${container.name}`);
  return counters;
}

/** Both ended alike; `normal` takes away what differs by nature (times, addresses). */
export function expectAlike(
  { accelerated, plain }: Comparison,
  normal: (text: string) => string = (text) => text,
): void {
  const view = (result: Result) => ({
    status: result.status,
    stdout: normal(result.stdout),
    stderr: normal(result.stderr),
  });
  expect(view(accelerated)).toEqual(view(plain));
}

/** The way the traffic went is the expected one. */
export function expectWent(moved: Counters, verdict: Verdict): void {
  if (verdict === 'accelerated') expect(moved.switched, 'switched').toBeGreaterThan(0);
  else expect(moved.switched, 'switched').toBe(0);
  if (verdict === 'inside') expect(moved.fallback, 'fallback').toBe(0);
}

export interface Behaviour {
  /** As in behaviours.ts. */
  readonly id: string;
  /** Does it, asserts, and says which way it went. */
  check(pair: Pair): Promise<Verdict>;
}

/** A file of the matrix: one pair for each place, each behaviour in it, each result recorded. */
export function describeMatrix(
  name: string,
  behaviours: readonly Behaviour[],
  options: Pick<ContainerOptions, 'args' | 'annotations'> = {},
): void {
  describeOnLab(name, () => {
    describe.each(MATRIX)('$network with $runtime', (place) => {
      let pair: Pair;
      beforeAll(async () => {
        pair = await startPair(place, options);
      });
      for (const behaviour of behaviours) {
        test(behaviour.id, async () => {
          const verdict = await behaviour.check(pair);
          record({ behaviour: behaviour.id, ...place, verdict });
        });
      }
    });
  });
}
