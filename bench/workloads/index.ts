/** All workloads, and the suites that group them for the command line and the tables. */
import { etcd, http, mariadb, memcached, postgresql, rabbitmq, redis } from './applications.js';
import {
  connectEpoll,
  connectionRate,
  connectionRateProbe,
  connectLatency,
  pin,
  requestLatency,
} from './connections.js';
import { memory, start } from './containers.js';
import { fairness } from './fairness.js';
import { inboundHost, inboundRemote } from './inbound.js';
import { kubernetesNode, kubernetesPods } from './kubernetes.js';
import { namesNginx, namesRedis } from './names.js';
import { calls, loopbackRate, nestedRate, unixRate } from './overhead.js';
import { tcpDown, tcpDown4, tcpUp, tcpUp4, udp } from './throughput.js';
import { vxlan, vxlanLarge, vxlanPackets } from './vxlan.js';
import type { Metric, Workload } from './workload.js';

/** One metric of a workload, as a table shows it. */
export interface Column {
  readonly workload: Workload;
  readonly metric: Metric;
}

/** All columns of a table have the same baseline. Those that no trial has are left out. */
export interface TableLayout {
  readonly title: string;
  readonly columns: readonly Column[];
}

export interface Suite {
  readonly name: string;
  readonly title: string;
  readonly tables: readonly TableLayout[];
}

/** The metrics of the workloads: all, or those named. */
export function columns(workloads: readonly Workload[], ...names: readonly string[]): Column[] {
  return workloads.flatMap((workload) =>
    workload.metrics
      .filter(({ name }) => names.length === 0 || names.includes(name))
      .map((metric) => ({ workload, metric })),
  );
}

export const SUITES: readonly Suite[] = [
  {
    name: 'throughput',
    title: 'Bulk transfers',
    tables: [
      { title: 'Bulk TCP, one stream', columns: columns([tcpUp, tcpDown], 'gbits') },
      { title: 'Bulk TCP, four streams', columns: columns([tcpUp4, tcpDown4], 'gbits') },
      { title: 'UDP', columns: columns([udp]) },
    ],
  },
  {
    name: 'connections',
    title: 'Connections',
    tables: [
      {
        title: 'New connections',
        columns: [
          ...columns([connectionRate, connectionRateProbe], 'per_second'),
          ...columns([connectLatency]),
          ...columns([connectEpoll]),
        ],
      },
      { title: 'Requests at a fixed rate', columns: columns([requestLatency]) },
      {
        title: 'Connections within the container',
        columns: columns([loopbackRate, nestedRate, unixRate]),
      },
      { title: 'Calls that are not reported', columns: columns([calls]) },
      { title: 'Fairness', columns: columns([fairness]) },
      { title: 'Pinning', columns: columns([pin]) },
    ],
  },
  {
    name: 'inbound',
    title: 'Published ports',
    tables: [
      { title: 'Published ports, from another machine', columns: columns([inboundRemote]) },
      {
        title: 'Published ports, from the host over its loopback',
        columns: columns([inboundHost]),
      },
    ],
  },
  {
    name: 'names',
    title: 'Names of published ports',
    tables: [
      { title: 'Names of published ports: nginx', columns: columns([namesNginx]) },
      { title: 'Names of published ports: Redis', columns: columns([namesRedis]) },
    ],
  },
  {
    name: 'cpu',
    title: 'CPU time',
    tables: [
      {
        title: 'CPU seconds of the whole machine',
        columns: [
          ...columns([tcpUp, tcpDown], 'cpu_per_gib'),
          ...columns([connectionRate, connectionRateProbe], 'cpu_per_10k'),
        ],
      },
    ],
  },
  {
    name: 'containers',
    title: 'Containers',
    tables: [
      { title: 'Start of a container', columns: columns([start]) },
      { title: 'Memory besides the containers themselves', columns: columns([memory]) },
    ],
  },
  {
    name: 'tunnel',
    title: 'Tunnels',
    tables: [
      { title: 'TCP between pods, through VXLAN', columns: columns([vxlan]) },
      {
        title: 'TCP between pods, through VXLAN of the largest MTU',
        columns: columns([vxlanLarge]),
      },
      { title: 'Requests and UDP between pods, through VXLAN', columns: columns([vxlanPackets]) },
    ],
  },
  {
    name: 'kubernetes',
    title: 'Kubernetes',
    tables: [
      { title: 'Pods of a Kubernetes cluster', columns: columns([kubernetesPods]) },
      { title: 'Nodes of a Kubernetes cluster', columns: columns([kubernetesNode]) },
    ],
  },
  {
    name: 'applications',
    title: 'Applications',
    tables: [
      { title: 'HTTP and caches', columns: columns([http, redis, memcached]) },
      { title: 'Databases', columns: columns([postgresql, mariadb]) },
      { title: 'Coordination and messages', columns: columns([etcd, rabbitmq]) },
    ],
  },
];

export function workloadsOf({ tables }: Suite): readonly Workload[] {
  return [...new Set(tables.flatMap((table) => table.columns.map(({ workload }) => workload)))];
}

export const WORKLOADS: readonly Workload[] = [...new Set(SUITES.flatMap(workloadsOf))];

/** What `--quick` runs: one round of these, a second each. */
export const QUICK: readonly Workload[] = [
  tcpUp,
  tcpDown,
  connectionRate,
  connectionRateProbe,
  connectLatency,
];
