/**
 * How fast a cluster on two hosts is with sockswitch, without it, and a container with `--network=host` where that can do the same. Both
 * clusters are there all the time and take turns: one is paused while the other is measured, so that a busy machine slows both, and neither
 * takes the other's processors. Prints the tables; build/test-results/kubernetes.json has the raw data as the bench writes it. Nothing is
 * asserted on time.
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { runMarkdown } from '../../bench/report/markdown.js';
import type { Environment, Run, Trial } from '../../bench/report/results.js';
import { writeJson } from '../../bench/report/write.js';
import { describeEnvironment } from '../../bench/runner/environment.js';
import {
  type KubernetesWorkload,
  kubernetesNode,
  kubernetesPods,
} from '../../bench/workloads/kubernetes.js';
import { eventually, host1, host2, PUBLIC, type Result } from '../integration/support/lab.js';
import type { Container } from '../integration/support/podman.js';
import { tunnelCarried } from './support/checks.js';
import {
  API_TOKEN,
  Cluster,
  describeOnClusters,
  HostNetworkNode,
  REGISTRY,
} from './support/cluster.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RESULTS = `${ROOT}build/test-results/`;
const NETWORKS = ['slirp4netns', 'pasta'] as const;
const ROUNDS = 3;
/** Of a round: pods and node without and with sockswitch, and the container with the host's network. */
const TRIALS = 5;
const API_REQUESTS = 100;
/** Of registry/images. */
const IMAGE_MIB = 128;

/** `from`: the cluster's second node, or a container with the host's network on the same host. */
type Measure = (cluster: Cluster, from: Container) => Promise<number>;

const MEASURES: Readonly<Record<KubernetesWorkload['metrics'][number]['name'], Measure>> = {
  pod_gbits: podToPod,
  pod_down_gbits: async (cluster) => {
    const pod = await cluster.pod('server-2');
    return iperf((words) => cluster.nodes[1].inPod(pod, words), [PUBLIC.v4, '--reverse']);
  },
  down_gbits: (_, from) => iperf((words) => from.exec(words), [PUBLIC.v4, '--reverse']),
  pull_mib: (_, from) => imagePull(from),
  api_new_ms: (cluster, from) => apiRequest(cluster, from, ['--header', 'Connection: close']),
  api_kept_ms: (cluster, from) => apiRequest(cluster, from, []),
};

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

async function trial(
  workload: KubernetesWorkload,
  driver: string,
  round: number,
  cluster: Cluster,
  from: Container = cluster.nodes[1],
): Promise<Trial> {
  const startedAt = new Date().toISOString();
  const metrics: Record<string, number> = {};
  for (const { name } of workload.metrics) metrics[name] = await MEASURES[name](cluster, from);
  return { workload: workload.name, driver, round, startedAt, command: workload.command, metrics };
}

describeOnClusters('speed', () => {
  const trials: Trial[] = [];
  let startedAt = '';
  let environment: Environment;
  beforeAll(async () => {
    startedAt = new Date().toISOString();
    const place = { kind: 'lab', run: (argv: readonly string[]) => host1.output(argv) } as const;
    environment = await describeEnvironment(place, ROOT);
  });
  afterAll(async () => {
    if (trials.length === 0) return;
    const run: Run = {
      schema: 1,
      startedAt,
      finishedAt: new Date().toISOString(),
      complete: trials.length === NETWORKS.length * ROUNDS * TRIALS,
      suites: ['kubernetes'],
      drivers: [...new Set(trials.map(({ driver }) => driver))],
      rounds: ROUNDS,
      environment,
      trials,
    };
    await mkdir(RESULTS, { recursive: true });
    console.log(`${runMarkdown(run)}\n${writeJson(run, `${RESULTS}kubernetes.json`)}`);
  });

  describe.each(NETWORKS)('%s', (network) => {
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
      const ours = `sockswitch-${network}`;
      const first = NETWORKS.indexOf(network) * ROUNDS + 1;
      const measured: Trial[] = [];
      for (let round = first; round < first + ROUNDS; round++) {
        await plain.resume();
        measured.push(await trial(kubernetesPods, network, round, plain));
        measured.push(await trial(kubernetesNode, network, round, plain));
        await plain.pause();
        await accelerated.resume();
        for (const node of accelerated.nodes) await tunnelCarried(node);
        measured.push(await trial(kubernetesPods, ours, round, accelerated));
        measured.push(await trial(kubernetesNode, ours, round, accelerated));
        measured.push(await trial(kubernetesNode, 'host', round, accelerated, beside));
        await accelerated.pause();
      }
      const values = measured.flatMap(({ metrics = {} }) => Object.values(metrics));
      expect(values.every((value) => value > 0)).toBe(true);
      trials.push(...measured);
    });
  });
});
