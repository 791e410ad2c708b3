import { describe, expect, test } from 'vitest';
import { USUAL_DRIVERS } from '../../../bench/drivers/index.js';
import { planTrials, rotate } from '../../../bench/runner/plan.js';
import { connectionRate, parseWrk } from '../../../bench/workloads/connections.js';
import { memory } from '../../../bench/workloads/containers.js';
import { calls } from '../../../bench/workloads/overhead.js';
import { tcpDown, tcpUp } from '../../../bench/workloads/throughput.js';
import { vxlan } from '../../../bench/workloads/vxlan.js';

const three = USUAL_DRIVERS.filter(({ name }) =>
  ['host', 'pasta', 'sockswitch-pasta'].includes(name),
);

describe('planTrials', () => {
  test('every workload on every driver, once a round, in an order that rotates', () => {
    const planned = planTrials([tcpUp, tcpDown], three, 2);
    expect(planned.map((t) => `${t.round} ${t.workload.name} ${t.driver.name}`)).toEqual([
      '1 tcp-up host',
      '1 tcp-up sockswitch-pasta',
      '1 tcp-up pasta',
      '1 tcp-down sockswitch-pasta',
      '1 tcp-down pasta',
      '1 tcp-down host',
      '2 tcp-up sockswitch-pasta',
      '2 tcp-up pasta',
      '2 tcp-up host',
      '2 tcp-down pasta',
      '2 tcp-down host',
      '2 tcp-down sockswitch-pasta',
    ]);
  });

  test('overhead needs no driver that has nothing to be compared with', () => {
    const drivers = new Set(planTrials([calls], USUAL_DRIVERS, 1).map(({ driver }) => driver.name));
    expect(drivers.has('host')).toBe(false);
    expect(drivers.has('pasta-tuned')).toBe(false);
    expect(drivers.has('pasta')).toBe(true);
    expect(drivers.has('bypass4netns')).toBe(true);
  });

  test('what takes long has fewer rounds, and only drivers that it suits', () => {
    const planned = planTrials([memory, tcpUp], USUAL_DRIVERS, undefined);
    const of = (name: string) => planned.filter(({ workload }) => workload.name === name);
    expect(new Set(of('memory').map(({ round }) => round))).toEqual(new Set([1, 2]));
    expect(of('memory').some(({ driver }) => driver.name === 'pasta-tuned')).toBe(false);
    const usual = USUAL_DRIVERS.filter(({ reference }) => reference === undefined);
    expect(of('tcp-up')).toHaveLength(3 * usual.length);
    expect(planTrials([memory], three, 2)).toHaveLength(2 * three.length);
    expect(planTrials([vxlan], three, 1).map(({ driver }) => driver.name)).not.toContain('host');
  });

  test('a reference runs where it is one, and nowhere else', () => {
    const planned = planTrials([vxlan, tcpUp], USUAL_DRIVERS, 1);
    const of = planned.filter(({ driver }) => driver.name === 'direct-tunnel');
    expect(of.map(({ workload }) => workload.name)).toEqual(['vxlan']);
  });

  test('rotation of nothing', () => {
    expect(rotate([], 3)).toEqual([]);
    expect(rotate([1, 2, 3], 4)).toEqual([2, 3, 1]);
  });
});

describe("wrk's output", () => {
  const output = (extra: string) => `Running 4s test @ http://192.0.2.1:80/
  2 threads and 8 connections
  41234 requests in 4.01s, 6.02MB read
${extra}Requests/sec:  10282.79
Transfer/sec:      1.50MB
`;

  test('is read', () => {
    const metrics = connectionRate.parse(`${output('')}busy-seconds 8.2468\n`);
    expect(metrics).toEqual({ per_second: 10282.79, requests: 41234, failed: 0, cpu_per_10k: 2 });
    expect(connectionRate.switchedAtLeast(metrics)).toBeGreaterThan(39_000);
  });

  test('with many errors is not a result', () => {
    const errors = '  Socket errors: connect 300, read 200, write 0, timeout 0\n';
    expect(() => parseWrk(output(errors))).toThrow('500 of 41734 requests failed');
  });

  test('without a result', () => {
    expect(() => parseWrk('unable to connect')).toThrow('no result');
  });
});
