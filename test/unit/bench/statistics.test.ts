import { describe, expect, test } from 'vitest';
import type { Trial } from '../../../bench/report/results.js';
import { figure, isNoisy, spread } from '../../../bench/report/statistics.js';
import { number, tableOf } from '../../../bench/report/table.js';
import { connectLatency } from '../../../bench/workloads/connections.js';
import { columns } from '../../../bench/workloads/index.js';
import { kubernetesNode } from '../../../bench/workloads/kubernetes.js';
import { loopbackRate } from '../../../bench/workloads/overhead.js';
import { tcpUp } from '../../../bench/workloads/throughput.js';
import type { Metric, Workload } from '../../../bench/workloads/workload.js';

function trial(
  workload: Workload,
  driver: string,
  round: number,
  result: Readonly<Record<string, number>> | string,
): Trial {
  const base = { workload: workload.name, driver, round, startedAt: '', command: [] };
  return typeof result === 'string' ? { ...base, error: result } : { ...base, metrics: result };
}

function metricOf(workload: Workload): Metric {
  const [metric] = workload.metrics;
  if (metric === undefined) throw new Error('no metric');
  return metric;
}

describe('spread', () => {
  test('odd and even counts', () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spread([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 });
  });

  test('nothing to sum up', () => {
    expect(() => spread([])).toThrow('no values');
  });
});

describe('figure', () => {
  test('ratios are paired by round, so that drift of the machine cancels out', () => {
    const trials = [
      trial(tcpUp, 'host', 1, { gbits: 10 }),
      trial(tcpUp, 'host', 2, { gbits: 100 }),
      trial(tcpUp, 'pasta', 2, { gbits: 50 }),
      trial(tcpUp, 'pasta', 1, { gbits: 5 }),
    ];
    const { ratio, value } = figure(trials, tcpUp, metricOf(tcpUp), 'pasta');
    expect(ratio).toEqual({ median: 0.5, min: 0.5, max: 0.5 });
    expect(value).toEqual({ median: 27.5, min: 5, max: 50 });
  });

  test('of a time, the ratio is of speeds', () => {
    const trials = [
      trial(connectLatency, 'host', 1, { p50_us: 20, p99_us: 50 }),
      trial(connectLatency, 'pasta', 1, { p50_us: 80, p99_us: 50 }),
    ];
    const { ratio } = figure(trials, connectLatency, metricOf(connectLatency), 'pasta');
    expect(ratio?.median).toBe(0.25);
  });

  test('a failed trial is reported and pairs with nothing', () => {
    const trials = [
      trial(tcpUp, 'host', 1, 'no route'),
      trial(tcpUp, 'host', 2, { gbits: 10 }),
      trial(tcpUp, 'pasta', 1, { gbits: 5 }),
      trial(tcpUp, 'pasta', 2, { gbits: 5 }),
    ];
    expect(figure(trials, tcpUp, metricOf(tcpUp), 'host').failures).toEqual(['no route']);
    expect(figure(trials, tcpUp, metricOf(tcpUp), 'pasta').ratio?.median).toBe(0.5);
    expect(figure(trials, tcpUp, metricOf(tcpUp), 'slirp4netns').value).toBeUndefined();
  });

  describe('is noisy where another run may differ by a tenth,', () => {
    const run = (ratios: Readonly<Record<string, readonly number[]>>): Trial[] =>
      Object.entries({ ...ratios, host: [10, 10, 10] }).flatMap(([driver, values]) =>
        values.map((gbits, index) => trial(tcpUp, driver, index + 1, { gbits })),
      );
    const noisy = (trials: readonly Trial[], driver: string) =>
      isNoisy(figure(trials, tcpUp, metricOf(tcpUp), driver));

    test('from the scatter of its own rounds', () => {
      const trials = run({
        pasta: [5, 5.1, 5],
        slirp4netns: [3, 3.6, 3.3],
        bypass4netns: [9, 9, 9.1],
      });
      expect(noisy(trials, 'pasta')).toBe(false);
      expect(noisy(trials, 'slirp4netns')).toBe(true);
    });

    test('or of what the others do, since few rounds agree by chance', () => {
      const trials = run({ pasta: [5, 5, 5], slirp4netns: [3, 4, 5], bypass4netns: [9, 7, 6] });
      expect(noisy(trials, 'pasta')).toBe(true);
    });

    test('and less so with more rounds', () => {
      const rounds = (count: number) =>
        Array.from({ length: count }, (_, index) => [
          trial(tcpUp, 'host', index + 1, { gbits: 10 }),
          trial(tcpUp, 'pasta', index + 1, { gbits: index % 2 === 0 ? 5 : 5.6 }),
        ]).flat();
      expect(noisy(rounds(1), 'pasta'), 'nothing is known').toBe(false);
      expect(noisy(rounds(3), 'pasta')).toBe(true);
      expect(noisy(rounds(20), 'pasta')).toBe(false);
    });
  });

  test('overhead is compared with the same container without acceleration', () => {
    const trials = [
      trial(loopbackRate, 'pasta', 1, { per_second: 100 }),
      trial(loopbackRate, 'sockswitch-pasta', 1, { per_second: 90 }),
    ];
    const rate = metricOf(loopbackRate);
    expect(figure(trials, loopbackRate, rate, 'sockswitch-pasta').ratio?.median).toBe(0.9);
    expect(figure(trials, loopbackRate, rate, 'pasta').ratio).toBeUndefined();
  });
});

describe('table', () => {
  test('nodes of a cluster: each network with the rounds of the host that are its own', () => {
    const node = (driver: string, round: number, down_gbits: number, api_new_ms: number) =>
      trial(kubernetesNode, driver, round, { down_gbits, api_new_ms });
    const trials = [
      ...[node('slirp4netns', 1, 5, 4), node('host', 1, 20, 3)],
      ...[node('sockswitch-pasta', 2, 9, 4), node('host', 2, 10, 2)],
    ];
    expect(tableOf(trials, columns([kubernetesNode]))).toEqual({
      head: ['', 'download, Gbit/s', 'API request, new connection, ms'],
      rows: [
        ['--network=host (no isolation)', '15.0', '2.50'],
        ['sockswitch over pasta', '9.00  0.90', '4.00  0.50'],
        ['slirp4netns', '5.00  0.25', '4.00  0.75'],
      ],
      footnotes: [],
    });
  });

  test('a row for each driver that was tried, failures named, noise marked', () => {
    const trials = [
      trial(tcpUp, 'slirp4netns', 1, { gbits: 3 }),
      trial(tcpUp, 'host', 1, { gbits: 10 }),
      trial(tcpUp, 'slirp4netns', 2, { gbits: 6 }),
      trial(tcpUp, 'host', 2, { gbits: 10 }),
      trial(tcpUp, 'pasta', 1, 'no pasta'),
    ];
    expect(tableOf(trials, columns([tcpUp], 'gbits'))).toEqual({
      head: ['', 'upload, Gbit/s'],
      rows: [
        ['--network=host (no isolation)', '10.0'],
        ['pasta', 'failed'],
        ['slirp4netns', '4.50  0.45 (0.30–0.60) ~'],
      ],
      footnotes: [
        'pasta, tcp-up, failed in one round: no pasta',
        '~ noisy: another run may differ by 10 % or more',
      ],
    });
  });

  test('one round tells nothing of noise, and says so', () => {
    const one = tableOf([trial(tcpUp, 'host', 1, { gbits: 10 })], columns([tcpUp], 'gbits'));
    expect(one.footnotes).toEqual(['one round only: how much the figures vary is not known']);
    expect(tableOf([], columns([tcpUp], 'gbits')).footnotes).toEqual([]);
  });

  test.each([
    [0.0123, '0.012'],
    [4.567, '4.57'],
    [45.67, '45.7'],
    [4567.8, '4,568'],
  ])('%f is printed as %s', (value, text) => {
    expect(number(value)).toBe(text);
  });
});
