/** What programs print, read; and what is no result. Whole outputs of the real programs, shortened. */
import { describe, expect, test } from 'vitest';
import {
  etcd,
  mariadb,
  memcached,
  postgresql,
  rabbitmq,
  redis,
} from '../../../bench/workloads/applications.js';
import { splitCpu } from '../../../bench/workloads/cpu.js';
import { inboundRemote } from '../../../bench/workloads/inbound.js';
import { tcpUp, udp } from '../../../bench/workloads/throughput.js';

const GIB = 2 ** 30;

describe('iperf3', () => {
  test('CPU time is of all bytes, speed without the first second', () => {
    const report = {
      intervals: [{ sum: { bytes: GIB, omitted: true } }, { sum: { bytes: 3 * GIB } }],
      end: { sum_received: { bits_per_second: 25.5e9 } },
    };
    const output = `${JSON.stringify(report)}\nbusy-seconds 6.00`;
    expect(tcpUp.parse(output)).toEqual({ gbits: 25.5, cpu_per_gib: 1.5 });
  });

  test('UDP: what arrived, and the share that was lost', () => {
    const sum = { bits_per_second: 4e9, lost_percent: 25 };
    const parse = (end: object) => udp.parse(JSON.stringify({ end }));
    expect(parse({ sum })).toEqual({ gbits: 3, lost_percent: 25 });
    expect(parse({ sum, sum_received: { bits_per_second: 2.9e9 } })).toEqual({
      gbits: 2.9,
      lost_percent: 25,
    });
  });

  test('that moved nothing', () => {
    const report = { intervals: [], end: { sum_received: { bits_per_second: 0 } } };
    expect(() => tcpUp.parse(`${JSON.stringify(report)}\nbusy-seconds 1`)).toThrow('moved nothing');
  });
});

describe('published ports', () => {
  const wrk = '  950 requests in 2.10s, 3.96MB read\nRequests/sec:   4515.36';
  const iperf = (gbits: number) =>
    JSON.stringify({
      intervals: [{ sum: { bytes: GIB } }],
      end: { sum_received: { bits_per_second: gbits * 1e9 } },
    });
  const output = (seen: string) =>
    [`${seen}\n192.0.2.1`, wrk, iperf(9), iperf(8)].join('\n-- next --\n');

  test('speeds in both directions, connections, and whose address the service saw', () => {
    expect(inboundRemote.parse(output('192.0.2.1'))).toEqual({
      in_gbits: 9,
      out_gbits: 8,
      per_second: 4515.36,
      client_seen: 1,
    });
    expect(inboundRemote.parse(output('10.0.2.100'))).toMatchObject({ client_seen: 0 });
  });

  test('of which a part is missing', () => {
    expect(() => inboundRemote.parse('192.0.2.1\n192.0.2.1\n')).toThrow();
  });
});

describe('CPU time', () => {
  test('is taken out of the output', () => {
    expect(splitCpu('a\nbusy-seconds 1.25\nb')).toEqual({ text: 'a\nb', busySeconds: 1.25 });
  });

  test.each(['', 'busy-seconds', 'busy-seconds x'])('missing in "%s"', (output) => {
    expect(() => splitCpu(output)).toThrow('no CPU time');
  });
});

describe('applications', () => {
  test('redis-benchmark', () => {
    const output = `"test","rps","avg_latency_ms"\n"SET","18875.05","2.387"\n"GET","19661.82","2.247"\n`;
    expect(redis.parse(output)).toEqual({ set: 18875.05, get: 19661.82 });
  });

  test('memcaslap', () => {
    const output = 'cmd_set: 4081\n\nRun time: 2.0s Ops: 40761 TPS: 20378 Net_rate: 22.8M/s\n';
    expect(memcached.parse(output)).toEqual({ per_second: 20378 });
  });

  test('pgbench', () => {
    const output =
      'latency average = 0.741 ms\ntps = 10801.876437 (without initial connection time)\n';
    expect(postgresql.parse(output)).toEqual({ per_second: 10801.876437, latency_ms: 0.741 });
  });

  test('mariadb-slap', () => {
    const output = '\tAverage number of seconds to run all queries: 0.500 seconds\n';
    expect(mariadb.parse(output)).toEqual({ per_second: 8000 });
  });

  test('wrk on etcd', () => {
    const output = '  9499 requests in 2.10s, 3.96MB read\nRequests/sec:   4515.36\n';
    expect(etcd.parse(output)).toEqual({ per_second: 4515.36 });
  });

  test('amqp-publish, timed by the script', () => {
    expect(rabbitmq.parse('{"ns": 2500000000}\n')).toEqual({ per_second: 20_000 });
    expect(() => rabbitmq.parse('')).toThrow();
  });

  test.each([redis, memcached, postgresql, mariadb])('$name without a result', ({ parse }) => {
    expect(() => parse('could not connect')).toThrow('printed no result');
  });
});
