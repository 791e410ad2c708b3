import { describe, expect, test } from 'vitest';
import {
  checkMachine,
  driversFor,
  parseDrivers,
  selectWorkloads,
} from '../../../bench/runner/select.js';
import { WORKLOADS } from '../../../bench/workloads/index.js';

const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name);
const PLENTY = { cores: 64, availableMiB: 1_000_000 };

describe('workloads', () => {
  test('of a suite and by name, each once', () => {
    expect(names(selectWorkloads(['tcp-up', 'cpu'], 'lab', false))).toEqual([
      'tcp-up',
      'tcp-down',
      'connection-rate',
    ]);
  });

  test('an unknown one is named, with those that are known', () => {
    expect(() => selectWorkloads(['tcp-up', 'tpc-down'], 'lab', false)).toThrow(
      /unknown workload "tpc-down"; known: throughput, .*tcp-down/,
    );
  });

  test("a user's machine has no second host and no servers", () => {
    const all = names(selectWorkloads([], 'local', false));
    expect(all).toContain('connection-rate-probe');
    expect(all).not.toContain('connection-rate');
    expect(all).not.toContain('redis');
    expect(() => selectWorkloads(['redis'], 'local', false)).toThrow(
      '"redis" needs the lab, which has servers and a second host: run "sudo npm run bench -- redis"',
    );
    expect(names(selectWorkloads(['connections'], 'local', false))).toContain(
      'connection-rate-probe',
    );
  });

  test('what a test measures is not run, and says who measures it', () => {
    expect(names(WORKLOADS)).toContain('kubernetes-node');
    expect(names(selectWorkloads([], 'lab', false))).not.toContain('kubernetes-node');
    expect(() => selectWorkloads(['tcp-up', 'kubernetes'], 'lab', false)).toThrow(
      '"kubernetes" is measured by "npm run test:kubernetes"',
    );
  });

  test('quick is few', () => {
    expect(names(selectWorkloads([], 'lab', true))).toEqual([
      'tcp-up',
      'tcp-down',
      'connection-rate',
      'connect-latency',
    ]);
  });

  test('too little memory or too few cores', () => {
    const memory = selectWorkloads(['memory'], 'lab', false);
    expect(() => checkMachine(memory, { ...PLENTY, availableMiB: 100 })).toThrow(
      '"memory" needs 3072 MiB of free memory, and this machine has 100',
    );
    const greedy = memory.map((workload) => ({ ...workload, needs: { cores: 128 } }));
    expect(() => checkMachine(greedy, PLENTY)).toThrow(
      '"memory" needs 128 cores, and this machine has 64',
    );
    expect(() => checkMachine(WORKLOADS, PLENTY)).not.toThrow();
  });
});

describe('drivers', () => {
  test('by name, in the order of the tables', () => {
    expect(names(parseDrivers('pasta, host'))).toEqual(['host', 'pasta']);
  });

  test('an unknown one is named, with those that are known', () => {
    expect(() => parseDrivers('host,pasty')).toThrow(
      /unknown driver "pasty"; known: host, .*pasta/,
    );
  });

  test('a missing program is named with its package when the driver was asked for', () => {
    const has = (program: string) => program !== 'pasta';
    expect(() => driversFor(parseDrivers('host,sockswitch-pasta'), has)).toThrow(
      'driver "sockswitch-pasta" needs pasta: sudo apt-get install passt',
    );
    expect(names(driversFor(undefined, has))).toEqual([
      'host',
      'sockswitch-slirp4netns',
      'bypass4netns',
      'slirp4netns',
    ]);
  });

  test("what needs root is not for a user's machine", () => {
    expect(() => driversFor(parseDrivers('rootful-bridge'), () => true)).toThrow(
      'driver "rootful-bridge" needs root: only the lab has it',
    );
  });
});
