import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkLimits, LIMITS } from '../../../bench/limits.js';
import { change, compareRuns } from '../../../bench/report/compare.js';
import { type Run, readRun, resultsJsonSchema, type Trial } from '../../../bench/report/results.js';
import { WORKLOADS } from '../../../bench/workloads/index.js';

function run(trials: readonly (readonly [string, string, number, Trial['metrics']])[]): Run {
  return {
    schema: 1,
    startedAt: '2026-01-02T03:04:05.000Z',
    finishedAt: '2026-01-02T03:05:05.000Z',
    complete: true,
    suites: ['all'],
    drivers: [],
    rounds: 2,
    environment: {
      place: 'lab',
      kernel: '6.1.0',
      architecture: 'x64',
      cpu: 'a CPU',
      cores: 2,
      memoryMiB: 4096,
      loadAverage: 0,
      versions: {},
      sysctls: {},
      commit: '0123456789ab',
      modified: false,
    },
    trials: trials.map(([workload, driver, round, metrics]) => ({
      ...{ workload, driver, round, startedAt: '', command: [] },
      ...(metrics === undefined ? { error: 'no route' } : { metrics }),
    })),
  };
}

const spread = (min: number, median: number, max: number) => ({ min, median, max });

describe('change', () => {
  test.each([
    [spread(9, 10, 11), spread(12, 13, 14), 'higher', 'faster', 1.3],
    [spread(9, 10, 11), spread(12, 13, 14), 'lower', 'slower', 0.77],
    [spread(9, 10, 11), spread(10.5, 13, 14), 'higher', 'within the noise', 1.3],
    [spread(9.99, 10, 10.01), spread(10.05, 10.1, 10.2), 'higher', 'same', 1.01],
  ] as const)('%o to %o, %s is better: %s', (before, after, better, verdict, factor) => {
    const result = change(before, after, better);
    expect(result.verdict).toBe(verdict);
    expect(result.factor).toBeCloseTo(factor, 2);
  });
});

test('a change that is within the uncertainty is none, although the ranges are apart', () => {
  const [before, after] = [spread(9.9, 10, 10.1), spread(10.9, 11, 11.1)];
  expect(change(before, after, 'higher', 0.05).verdict).toBe('faster');
  expect(change(before, after, 'higher', 0.15).verdict).toBe('within the noise');
});

describe('compareRuns', () => {
  const before = run([
    ['tcp-up', 'host', 1, { gbits: 10 }],
    ['tcp-up', 'sockswitch-pasta', 1, { gbits: 5 }],
    ['tcp-up', 'pasta', 1, undefined],
    ['start', 'host', 1, { ms: 100 }],
  ]);

  test('compares ratios, so that a machine that became faster changes nothing', () => {
    const after = run([
      ['tcp-up', 'host', 1, { gbits: 100 }],
      ['tcp-up', 'sockswitch-pasta', 1, { gbits: 75 }],
      ['tcp-up', 'pasta', 1, { gbits: 1 }],
    ]);
    expect(compareRuns(before, after).rows).toEqual([
      ['--network=host (no isolation)', 'upload, Gbit/s', '10.0', '100', '10.00', 'faster'],
      ['sockswitch over pasta', 'upload, Gbit/s', '5.00', '75.0', '1.50', 'faster'],
      ['pasta', 'upload, Gbit/s', '-', '1.00', '', 'only in one'],
      ['--network=host (no isolation)', 'start and end, ms', '100', '-', '', 'only in one'],
    ]);
  });

  test('yes and no have no speed', () => {
    const seen = (client_seen: number) => run([['inbound-remote', 'pasta', 1, { client_seen }]]);
    expect(compareRuns(seen(0), seen(0)).rows).toEqual([
      ['pasta', "sees the client's address", 'no', 'no', '', 'same'],
    ]);
    expect(compareRuns(seen(0), seen(1)).rows).toEqual([
      ['pasta', "sees the client's address", 'no', 'yes', '', 'changed'],
    ]);
  });

  test('says what is not the same', () => {
    const after = { ...before, environment: { ...before.environment, kernel: '6.2.0' } };
    expect(compareRuns(before, after).footnotes).toEqual([
      'not the same kernel: 6.1.0 before, 6.2.0 after',
    ]);
  });
});

describe('limits', () => {
  const drivers = ['sockswitch-pasta'];

  test('name figures that exist', () => {
    for (const { workload, metric } of LIMITS) {
      const found = WORKLOADS.find(({ name }) => name === workload);
      expect(found?.metrics.map(({ name }) => name)).toContain(metric);
    }
  });

  test('kept, and not', () => {
    const of = (gbits: number) =>
      checkLimits(
        run([
          ['tcp-up', 'host', 1, { gbits: 10, cpu_per_gib: 1 }],
          ['tcp-up', 'sockswitch-pasta', 1, { gbits, cpu_per_gib: 1 }],
        ]),
        drivers,
      );
    expect(of(9.6)).toEqual({ checked: 2, problems: [] });
    expect(of(9.4).problems).toEqual([
      "sockswitch-pasta, tcp-up, gbits: 0.94 of the baseline's speed, must be 0.95",
    ]);
  });

  test('against peers and over host', () => {
    const rate = (driver: string, value: number) =>
      ['connection-rate', driver, 1, { per_second: value, cpu_per_10k: 1 }] as const;
    const connect = (driver: string, value: number) =>
      ['connect-latency', driver, 1, { p50_us: value, p99_us: value }] as const;
    const { problems } = checkLimits(
      run([
        rate('host', 100),
        rate('sockswitch-pasta', 70),
        rate('pasta', 40),
        connect('host', 25),
        connect('sockswitch-pasta', 50.5),
      ]),
      drivers,
    );
    expect(problems).toEqual([
      'sockswitch-pasta, connection-rate, per_second: 1.75 times the best peer, must be 1.8',
      'sockswitch-pasta, connect-latency, p50_us: 25.5 us more than host, may be 20',
    ]);
  });

  test('of a value by itself', () => {
    const of = (share: number) =>
      checkLimits(run([['fairness', 'sockswitch-pasta', 1, { share }]]), drivers).problems;
    expect(of(50)).toEqual([]);
    expect(of(40)).toEqual(['sockswitch-pasta, fairness, share: 40.0 %, must be 50']);
  });

  test('a driver that failed has not kept them', () => {
    const failed = run([
      ['tcp-up', 'host', 1, { gbits: 10, cpu_per_gib: 1 }],
      ['tcp-up', 'sockswitch-pasta', 1, undefined],
    ]);
    expect(checkLimits(failed, drivers).problems).toEqual([
      'sockswitch-pasta, tcp-up, gbits: no result',
      'sockswitch-pasta, tcp-up, cpu_per_gib: no result',
    ]);
  });
});

describe('raw data', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-raw-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const write = (text: string) => {
    const path = join(directory, 'run.json');
    writeFileSync(path, text);
    return path;
  };

  test('is read as it was written', () => {
    const written = run([['tcp-up', 'host', 1, { gbits: 10 }]]);
    expect(readRun(write(JSON.stringify(written)))).toEqual(written);
  });

  test('cut off in the middle', () => {
    const text = JSON.stringify(run([]));
    expect(() => readRun(write(text.slice(0, 100)))).toThrow(
      /cannot read .*run\.json as the raw data of a run: .*JSON/,
    );
  });

  test('of something else, or with a wrong value: says where', () => {
    expect(() => readRun(write('{}'))).toThrow(/run\.json is not the raw data of a run .*schema/);
    const wrong = { ...run([]), rounds: 'three' };
    expect(() => readRun(write(JSON.stringify(wrong)))).toThrow(/rounds: /);
  });

  test('that is not there', () => {
    expect(() => readRun(join(directory, 'none.json'))).toThrow(/none\.json .*ENOENT/);
  });

  test("the schema's copy in bench/ is the one that is used", () => {
    const copy = readFileSync(new URL('../../../bench/schema.json', import.meta.url), 'utf8');
    expect(JSON.parse(copy)).toEqual(resultsJsonSchema());
  });
});
