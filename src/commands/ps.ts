/** `sockswitch ps`. */
import { ControlClient } from '../api/client.js';
import type { ContainerRow, Incident } from '../api/protocol.js';
import { runtimePaths } from '../base/paths.js';
import { escapeControl } from '../base/text.js';
import { containerNames } from '../podman/container-names.js';
import { LIST_SERVICES, unlistedService } from '../policy/unlisted-service.js';
import { shortId, shownNames } from './container.js';
import { nestedText } from './nested.js';
import { ago, print, printJson, printTable } from './output.js';

export interface PsOptions {
  readonly json?: boolean;
  /** False for `--no-trunc`. */
  readonly trunc: boolean;
}

const TOP_REASONS = 2;
const INCIDENTS_SHOWN = 10;
const PORTS_SHOWN = 3;
const TUNNEL_REASONS = 3;

export async function ps(options: PsOptions): Promise<void> {
  const [list, podmans] = await Promise.all([
    new ControlClient(runtimePaths().controlSocket).containers(),
    containerNames(),
  ]);
  if (options.json === true) {
    const containers = list.containers.map((row) => ({ ...row, name: podmans.get(row.id) }));
    printJson({ containers, incidents: list.incidents });
    return;
  }
  const shorten = (id: string) => (options.trunc ? shortId(id) : id);
  const names = shownNames(list.containers, podmans);
  printTable(
    [
      ...['CONTAINER ID', 'NAME', 'STARTED', 'STATUS', 'SWITCHED', 'FALLBACK'],
      ...['PORTS', 'TUNNELS', 'REASONS'],
    ],
    list.containers.map((row) => [
      shorten(row.id),
      names.get(row.id) ?? '',
      ago(row.startedAt),
      row.status,
      String(row.counts.switched),
      String(row.counts.fallback),
      ports(row, options.trunc),
      tunnels(row),
      reasons(row, options.trunc),
    ]),
  );
  const obstacles = list.containers.filter(({ obstacle }) => obstacle !== undefined);
  if (obstacles.length > 0) print('\nNot accelerated:');
  for (const { id, obstacle } of obstacles) print(escapeControl(`  ${shorten(id)}: ${obstacle}`));
  const lines = list.containers.flatMap((row) => tunnelLines(row, options.trunc, shorten));
  if (lines.length > 0) print('\nTunnels on the fallback network:');
  for (const line of lines) print(line);
  for (const line of nodeLines(list.containers, shorten)) print(line);
  const shown = options.trunc ? list.incidents.slice(-INCIDENTS_SHOWN) : list.incidents;
  if (shown.length === 0) return;
  print('\nRecently not accelerated:');
  for (const incident of shown) print(incidentLine(incident, shorten));
}

/** What is told of nodes and their pods, under a title each. */
export function nodeLines(
  rows: readonly ContainerRow[],
  shorten: (id: string) => string,
): readonly string[] {
  const under = (title: string, text: (row: ContainerRow) => string | undefined) => {
    const lines = rows.flatMap((row) => {
      const found = text(row);
      return found === undefined ? [] : [escapeControl(`  ${shorten(row.id)}: ${found}`)];
    });
    return lines.length === 0 ? [] : [`\n${title}`, ...lines];
  };
  const pods = ({ nested }: ContainerRow, alone: boolean) =>
    nested !== undefined && nested.connects > 0 === alone ? nestedText(nested) : undefined;
  return [
    ...under('Left alone, in nested network namespaces (the pods of a node):', (row) =>
      pods(row, true),
    ),
    ...under('Counted above, in nested network namespaces (sockswitch/pods):', (row) =>
      pods(row, false),
    ),
    ...under('Warning:', ({ unlistedService: address }) =>
      address === undefined ? undefined : `${unlistedService(address)}: ${LIST_SERVICES}`,
    ),
  ];
}

/** `ignored 12, host-address 3`: why not switched, most frequent first. */
function reasons(row: ContainerRow, truncate: boolean): string {
  const all = row.reasons.filter(({ kind }) => kind !== 'switched');
  const shown = truncate ? all.slice(0, TOP_REASONS) : all;
  const text = shown.map(({ outcome, count }) => `${outcome} ${count}`).join(', ');
  return shown.length < all.length ? `${text}, …` : text;
}

function ports(row: ContainerRow, truncate: boolean): string {
  const shown = truncate ? row.publish.slice(0, PORTS_SHOWN) : row.publish;
  return shown.join(', ') + (shown.length < row.publish.length ? ', …' : '');
}

/** `2 up, 1 fallback`: peers. */
export function tunnels({ tunnels: summary }: ContainerRow): string {
  if (summary === undefined) return '';
  const { up, fallback, reasons: why } = summary;
  if (up + fallback === 0) return why.length > 0 ? 'fallback' : 'no peers';
  return [...(up > 0 ? [`${up} up`] : []), ...(fallback > 0 ? [`${fallback} fallback`] : [])].join(
    ', ',
  );
}

/** Why a container's tunnels are on the fallback network: a line for each reason. */
export function tunnelLines(
  { id, tunnels: summary }: ContainerRow,
  truncate: boolean,
  shorten: (id: string) => string,
): string[] {
  const all = summary?.reasons ?? [];
  const shown = truncate ? all.slice(0, TUNNEL_REASONS) : all;
  const lines = shown.map((reason) => escapeControl(`  ${shorten(id)}: ${reason}`));
  return shown.length < all.length ? [...lines, `  ${shorten(id)}: …`] : lines;
}

function incidentLine(incident: Incident, shorten: (id: string) => string): string {
  const who = incident.container === undefined ? '' : ` ${shorten(incident.container)}`;
  return escapeControl(`  ${incident.time} ${incident.kind}${who}: ${incident.message}`);
}
