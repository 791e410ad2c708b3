/** All workloads, and the suites that group them for the command line and the tables. */
import { connectionRate, connectLatency } from './connections.js';
import { calls, loopbackRate, unixRate } from './overhead.js';
import { tcpDown, tcpUp } from './throughput.js';
import type { Workload } from './workload.js';

export interface Suite {
  readonly name: string;
  readonly title: string;
  /** Each inner list is one table. */
  readonly tables: readonly (readonly Workload[])[];
}

export const SUITES: readonly Suite[] = [
  { name: 'throughput', title: 'Bulk TCP, one stream', tables: [[tcpUp, tcpDown]] },
  {
    name: 'connections',
    title: 'Connections',
    tables: [[connectionRate, connectLatency], [loopbackRate, unixRate], [calls]],
  },
];

export const WORKLOADS: readonly Workload[] = SUITES.flatMap(({ tables }) => tables.flat());
