/**
 * Clusters of Kubernetes on two hosts. test/kubernetes/speed.test.ts makes and measures them; its raw data is shown like that of the bench.
 *
 * The driver is the network of the nodes, which are containers; of `kubernetes-node` also a container beside the cluster that has the host's
 * network. Clusters on one network are measured before those on another, so the rounds of the second network go on counting: each is paired
 * with the host's of its own time.
 */
import type { TestWorkload } from './workload.js';

const COMMON = { kind: 'test', command: ['npm', 'run', 'test:kubernetes'], seconds: 0 } as const;

export const kubernetesPods = {
  ...COMMON,
  name: 'kubernetes-pods',
  title: 'pods of a cluster',
  program: 'iperf3',
  baseline: 'unaccelerated',
  metrics: [
    { name: 'pod_gbits', title: 'pod to pod across hosts', unit: 'Gbit/s', better: 'higher' },
    { name: 'pod_down_gbits', title: 'download of a pod', unit: 'Gbit/s', better: 'higher' },
  ],
} as const satisfies TestWorkload;

export const kubernetesNode = {
  ...COMMON,
  name: 'kubernetes-node',
  title: 'node of a cluster',
  program: 'iperf3, ctr, curl',
  baseline: 'host',
  metrics: [
    { name: 'down_gbits', title: 'download', unit: 'Gbit/s', better: 'higher' },
    { name: 'pull_mib', title: 'image pull', unit: 'MiB/s', better: 'higher' },
    { name: 'api_new_ms', title: 'API request, new connection', unit: 'ms', better: 'lower' },
    { name: 'api_kept_ms', title: 'API request, kept connection', unit: 'ms', better: 'lower' },
  ],
} as const satisfies TestWorkload;

export type KubernetesWorkload = typeof kubernetesPods | typeof kubernetesNode;
