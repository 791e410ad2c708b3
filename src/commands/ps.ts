/** `sockswitch ps`. */
import { ControlClient } from '../api/client.js';
import type { ContainerRow, Incident } from '../api/protocol.js';
import { runtimePaths } from '../paths.js';
import { escapeControl } from '../text.js';
import { ago, print, printJson, printTable } from './output.js';
import { containerNames } from './podman.js';

export interface PsOptions {
  readonly json?: boolean;
  /** False for `--no-trunc`. */
  readonly trunc: boolean;
}

const SHORT_ID = 12;
const TOP_REASONS = 2;
const INCIDENTS_SHOWN = 10;
const PORTS_SHOWN = 3;

export async function ps(options: PsOptions): Promise<void> {
  const [list, names] = await Promise.all([
    new ControlClient(runtimePaths().controlSocket).containers(),
    containerNames(),
  ]);
  if (options.json === true) {
    const containers = list.containers.map((row) => ({ ...row, name: names.get(row.id) }));
    printJson({ containers, incidents: list.incidents });
    return;
  }
  const shorten = (id: string) => (options.trunc ? id.slice(0, SHORT_ID) : id);
  printTable(
    [
      ...['CONTAINER ID', 'NAME', 'STARTED', 'STATUS', 'SWITCHED', 'FALLBACK', 'REFUSED'],
      ...['PORTS', 'REASONS'],
    ],
    list.containers.map((row) => [
      shorten(row.id),
      names.get(row.id) ?? '',
      ago(row.startedAt),
      row.status,
      String(row.counts.switched),
      String(row.counts.fallback),
      String(row.counts.refused),
      ports(row, options.trunc),
      reasons(row, options.trunc),
    ]),
  );
  const obstacles = list.containers.filter(({ obstacle }) => obstacle !== undefined);
  if (obstacles.length > 0) print('\nNot accelerated:');
  for (const { id, obstacle } of obstacles) print(escapeControl(`  ${shorten(id)}: ${obstacle}`));
  const shown = options.trunc ? list.incidents.slice(-INCIDENTS_SHOWN) : list.incidents;
  if (shown.length === 0) return;
  print('\nRecently not accelerated:');
  for (const incident of shown) print(incidentLine(incident, shorten));
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

function incidentLine(incident: Incident, shorten: (id: string) => string): string {
  const who = incident.container === undefined ? '' : ` ${shorten(incident.container)}`;
  return escapeControl(`  ${incident.time} ${incident.kind}${who}: ${incident.message}`);
}
