/**
 * What the README shows first: a few speeds of a few drivers. The picture (picture.ts) and the table beside it have the same figures; ranges
 * and everything else are in docs/performance.md.
 */
import { DRIVERS } from '../drivers/index.js';
import { connectionRate } from '../workloads/connections.js';
import { inboundRemote } from '../workloads/inbound.js';
import { type Column, columns } from '../workloads/index.js';
import { tcpDown, tcpUp } from '../workloads/throughput.js';
import { vxlan } from '../workloads/vxlan.js';
import type { Trial } from './results.js';
import { type Figure, figure } from './statistics.js';

/** What one panel of the picture and one column of the table shows. */
interface Group {
  readonly title: string;
  readonly column: Column;
  /** ISO 8601: sockswitch has accelerated it since. Earlier results say nothing of it, and are not shown. */
  readonly since?: string;
  /** In the table only. */
  readonly notInPicture?: true;
}

export interface Speed {
  readonly title: string;
  readonly column: Column;
  readonly inPicture: boolean;
  /** In the order of TABLE_DRIVERS, without those that were not measured. */
  readonly rows: readonly SpeedRow[];
}

export interface SpeedRow {
  readonly driver: string;
  readonly figure: Figure;
}

export interface Speeds {
  readonly shown: readonly Speed[];
  /** Groups without results. */
  readonly missing: readonly MissingSpeed[];
}

export interface MissingSpeed {
  readonly title: string;
  /** What to run for it. */
  readonly workload: string;
}

const GROUPS: readonly Group[] = [
  { title: 'Upload', column: column(tcpUp, 'gbits') },
  { title: 'Download', column: column(tcpDown, 'gbits') },
  { title: 'New connections', column: column(connectionRate, 'per_second') },
  { title: 'Published port: inbound', column: column(inboundRemote, 'in_gbits') },
  {
    title: 'Published port: outbound',
    column: column(inboundRemote, 'out_gbits'),
    notInPicture: true,
  },
  { title: 'Published port: connections', column: column(inboundRemote, 'per_second') },
  {
    title: 'VXLAN between two hosts',
    column: column(vxlan, 'gbits'),
    since: '2026-11-27',
  },
];

/** The table has all of them; the picture has one way of sockswitch, the one over Podman's default network. */
export const TABLE_DRIVERS: readonly string[] = [
  'host',
  'sockswitch-pasta',
  'sockswitch-slirp4netns',
  'bypass4netns',
  'pasta',
  'slirp4netns',
];
export const PICTURE_DRIVERS: readonly string[] = TABLE_DRIVERS.filter(
  (name) => name !== 'sockswitch-slirp4netns',
);

/** `trials` has each workload from one run only. */
export function speedsOf(trials: readonly Trial[]): Speeds {
  const shown: Speed[] = [];
  const missing: MissingSpeed[] = [];
  for (const { title, column: shownColumn, since = '', notInPicture } of GROUPS) {
    const { workload, metric } = shownColumn;
    const own = trials.filter((t) => t.workload === workload.name && t.startedAt >= since);
    const rows = TABLE_DRIVERS.flatMap((driver) =>
      own.some((t) => t.driver === driver)
        ? [{ driver, figure: figure(own, workload, metric, driver) }]
        : [],
    );
    if (rows.some(({ figure: { value } }) => value !== undefined)) {
      shown.push({ title, column: shownColumn, inPicture: !notInPicture, rows });
    } else {
      missing.push({ title, workload: workload.name });
    }
  }
  return { shown, missing };
}

/**
 * `1.1`, `0.4`, `0.02`: no more digits than a run on another day confirms. Undefined for what is its own baseline, or failed.
 */
export function roundedRatio({ ratio }: Figure): string | undefined {
  if (ratio === undefined) return undefined;
  const { median } = ratio;
  if (median >= 9.5) return median.toFixed(0);
  return median >= 0.095 ? median.toFixed(1) : Number(median.toPrecision(1)).toString();
}

/** What the ratios of the column are to: `host` or `names-host`, or for one driver the same container without acceleration. */
export function baselineName({ workload }: Column, driver: string): string | undefined {
  if (workload.baseline !== 'unaccelerated') return workload.baseline;
  return DRIVERS.find(({ name }) => name === driver)?.unaccelerated;
}

function column(workload: Column['workload'], name: string): Column {
  const [first] = columns([workload], name);
  if (first === undefined) throw new Error(`${workload.name} has no metric ${name}`);
  return first;
}
