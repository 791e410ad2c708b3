/**
 * How fast a cluster on two hosts is with sockswitch, as ratios to one without, and to a container with `--network=host` where that can do
 * the same. Both clusters are there all the time and take turns: one is paused while the other is measured, so that a busy machine slows
 * both, and neither takes the other's processors. Prints the ratios; build/test-results/kubernetes-NETWORK.json has all values. Nothing
 * is asserted on time.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { eventually, host2, PUBLIC, type Result } from '../integration/support/lab.js';
import type { Container } from '../integration/support/podman.js';
import { tunnelCarried } from './support/checks.js';
import {
  API_TOKEN,
  Cluster,
  describeOnClusters,
  HostNetworkNode,
  REGISTRY,
} from './support/cluster.js';

const RESULTS = fileURLToPath(new URL('../../build/test-results/', import.meta.url));
const ROUNDS = 3;
const API_REQUESTS = 100;
/** Of registry/images. */
const IMAGE_MIB = 128;

interface Measurement {
  readonly name: string;
  readonly unit: 'Gbit/s' | 'MiB/s' | 'ms';
  /** Whether a container with the host's network can do it, too. */
  readonly onHost: boolean;
  /** `from`: the cluster's second node, or a container with the host's network on the same host. */
  measure(cluster: Cluster, from: Container): Promise<number>;
}

const MEASUREMENTS: readonly Measurement[] = [
  { name: 'pod to pod across hosts', unit: 'Gbit/s', onHost: false, measure: podToPod },
  {
    name: 'download of a pod',
    unit: 'Gbit/s',
    onHost: false,
    measure: async (cluster) => {
      const pod = await cluster.pod('server-2');
      return iperf((words) => cluster.nodes[1].inPod(pod, words), [PUBLIC.v4, '--reverse']);
    },
  },
  {
    name: 'download of a node',
    unit: 'Gbit/s',
    onHost: true,
    measure: (_, from) => iperf((words) => from.exec(words), [PUBLIC.v4, '--reverse']),
  },
  { name: 'image pull', unit: 'MiB/s', onHost: true, measure: (_, from) => imagePull(from) },
  {
    name: 'API request, new connection',
    unit: 'ms',
    onHost: true,
    measure: (cluster, from) => apiRequest(cluster, from, ['--header', 'Connection: close']),
  },
  {
    name: 'API request, kept connection',
    unit: 'ms',
    onHost: true,
    measure: (cluster, from) => apiRequest(cluster, from, []),
  },
];

const iperfSchema = z.object({
  end: z.object({ sum_received: z.object({ bits_per_second: z.number() }) }),
});

/** Gbit/s. A server that has just ended a test says that it is busy. */
async function iperf(
  run: (words: readonly string[]) => Promise<Result>,
  options: readonly string[],
): Promise<number> {
  const words = ['iperf3', '--json', '--time', '3', '--client', ...options];
  const json = await eventually(words.join(' '), async () => {
    const { status, stdout } = await run(words);
    return status === 0 ? stdout : undefined;
  });
  return iperfSchema.parse(JSON.parse(json)).end.sum_received.bits_per_second / 1e9;
}

async function podToPod(cluster: Cluster): Promise<number> {
  const [server, client] = [await cluster.pod('server-1'), await cluster.pod('server-2')];
  const [far, near] = cluster.nodes;
  await far.inPod(server, ['iperf3', '--server', '--daemon', '--one-off']);
  return iperf((words) => near.inPod(client, words), [server.address]);
}

// Not in k8s.io, the kubelet's namespace: there containerd would keep what was pulled under other names.
const PULL = `
set -e
remove() { ctr --namespace speed images rm --sync "$1" >/dev/null 2>&1; }
remove "$1"
start=$EPOCHREALTIME
ctr --namespace speed images pull --hosts-dir /etc/containerd/certs.d "$1" >/dev/null
echo "$start $EPOCHREALTIME"
remove "$1"`;

/** MiB/s, unpacked. */
async function imagePull(from: Container): Promise<number> {
  const times = await from.output(['bash', '-c', PULL, 'bash', `${REGISTRY}/large:1`]);
  const [start = 0, end = 0] = times.split(' ').map(Number);
  return IMAGE_MIB / (end - start);
}

/** Median, ms. */
async function apiRequest(
  cluster: Cluster,
  from: Container,
  options: readonly string[],
): Promise<number> {
  const url = `https://${cluster.nodes[0].address}:${cluster.apiPort}/version?[1-${API_REQUESTS}]`;
  const times = await from.output([
    ...['curl', '--silent', '--show-error', '--fail', '--insecure', '--http1.1'],
    ...['--header', `Authorization: Bearer ${API_TOKEN}`, ...options],
    ...['--output', '/dev/null', '--write-out', '%{time_total}\n', url],
  ]);
  return median(times.trim().split('\n').map(Number)) * 1000;
}

function median(values: readonly number[]): number {
  const middle = [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
  if (middle === undefined) throw new Error('nothing was measured');
  return middle;
}

interface Row extends Pick<Measurement, 'name' | 'unit'> {
  /** One for each round. */
  readonly without: number[];
  readonly with: number[];
  /** With the host's network. */
  readonly host: number[];
}

/** How many times as fast as `base`. */
function speed({ unit }: Row, values: readonly number[], base: readonly number[]): string {
  const ratio = median(values) / median(base);
  return (unit === 'ms' ? 1 / ratio : ratio).toFixed(2);
}

function describeRow(row: Row): string {
  const host = row.host.length === 0 ? '' : `, ${speed(row, row.with, row.host)} of the host's`;
  return `  ${row.name.padEnd(28)} ${speed(row, row.with, row.without).padStart(6)} times as fast${host}`;
}

describeOnClusters('speed', () => {
  describe.each(['slirp4netns', 'pasta'] as const)('%s', (network) => {
    const clusters: Cluster[] = [];
    let beside: HostNetworkNode | undefined;
    beforeAll(async () => {
      for (const accelerated of [false, true]) {
        const portOffset = accelerated ? 100 : 0;
        const options = { network, accelerated, podsEgress: true, portOffset };
        const cluster = await Cluster.start(options);
        clusters.push(cluster);
        await cluster.pause();
      }
      beside = await HostNetworkNode.start(host2);
    });
    afterAll(async () => {
      for (const cluster of clusters) await cluster.remove();
      await beside?.remove();
    });

    test('is measured', { timeout: 900_000 }, async () => {
      const [plain, accelerated] = clusters;
      if (plain === undefined || accelerated === undefined || beside === undefined)
        throw new Error('no clusters were started');
      const rows = MEASUREMENTS.map(
        ({ name, unit }): Row => ({ name, unit, without: [], with: [], host: [] }),
      );
      for (let round = 0; round < ROUNDS; round++) {
        await plain.resume();
        for (const [index, { measure }] of MEASUREMENTS.entries())
          rows[index]?.without.push(await measure(plain, plain.nodes[1]));
        await plain.pause();
        await accelerated.resume();
        for (const node of accelerated.nodes) await tunnelCarried(node);
        for (const [index, { measure, onHost }] of MEASUREMENTS.entries()) {
          rows[index]?.with.push(await measure(accelerated, accelerated.nodes[1]));
          if (onHost) rows[index]?.host.push(await measure(accelerated, beside));
        }
        await accelerated.pause();
      }
      expect(
        rows.flatMap((row) => [...row.without, ...row.with, ...row.host]).every((one) => one > 0),
      ).toBe(true);
      await mkdir(RESULTS, { recursive: true });
      const json = JSON.stringify({ network, rounds: ROUNDS, measurements: rows }, undefined, 1);
      await writeFile(`${RESULTS}kubernetes-${network}.json`, `${json}\n`);
      const of = (name: string) => rows.find((row) => row.name === name);
      const [pod, node] = [of('download of a pod'), of('download of a node')];
      if (pod === undefined || node === undefined) throw new Error('downloads were not measured');
      console.log(
        [
          `Kubernetes on ${network}, with sockswitch:`,
          ...rows.map(describeRow),
          `  a pod downloads at ${speed(pod, pod.with, node.with)} of its node's speed`,
        ].join('\n'),
      );
    });
  });
});
