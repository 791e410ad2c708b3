/**
 * Writes measured tables into README.md and docs/performance.md, between markers, from bench/results/*.json. Nobody copies
 * figures by hand, so date and commit always belong to them.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { USUAL_DRIVERS } from '../drivers/index.js';
import { connectionRate } from '../workloads/connections.js';
import { inboundRemote } from '../workloads/inbound.js';
import { columns, type TableLayout } from '../workloads/index.js';
import { tcpDown, tcpUp } from '../workloads/throughput.js';
import { provenance, runMarkdown } from './markdown.js';
import { type Run, readRun, resultsJsonSchema } from './results.js';
import { markdown, measuredColumns, tableOf } from './table.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const RESULTS = 'bench/results';
const BEGIN = '<!-- bench: begin (written by "npm run bench -- publish") -->';
const END = '<!-- bench: end -->';

const README_TABLES: readonly TableLayout[] = [
  {
    title: 'Outbound',
    columns: [...columns([tcpUp, tcpDown], 'gbits'), ...columns([connectionRate], 'per_second')],
  },
  { title: 'Inbound, to a published port', columns: columns([inboundRemote]) },
];

/** With `check`, throws if a file is not up to date. */
export function publish(check: boolean): void {
  const runs = readdirSync(join(ROOT, RESULTS))
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ path: `${RESULTS}/${name}`, run: readRun(join(ROOT, RESULTS, name)) }));
  const shown = runs
    .map((stored) => ({ ...stored, run: bestOf(stored.run, runs) }))
    .filter(({ run }) => run.trials.length > 0);
  replaceFile('bench/schema.json', `${JSON.stringify(resultsJsonSchema(), null, 2)}\n`, check);
  replaceSection('README.md', readmeSection(shown), check);
  replaceSection('docs/performance.md', fullSection(shown), check);
}

interface StoredRun {
  readonly path: string;
  readonly run: Run;
}

/** Each workload is shown from the run that has most rounds of it; of those with as many, from the latest. */
function bestOf(run: Run, runs: readonly StoredRun[]): Run {
  const isBest = (workload: string) =>
    runs.every(({ run: other }) => {
      const [ours, theirs] = [roundsOf(run, workload), roundsOf(other, workload)];
      return ours > theirs || (ours === theirs && run.startedAt >= other.startedAt);
    });
  return { ...run, trials: run.trials.filter(({ workload }) => isBest(workload)) };
}

function roundsOf({ trials }: Run, workload: string): number {
  return Math.max(0, ...trials.filter((t) => t.workload === workload).map(({ round }) => round));
}

function readmeSection(runs: readonly StoredRun[]): string {
  const shows = ({ run }: StoredRun, { columns: shown }: TableLayout) =>
    measuredColumns(run.trials, shown).length > 0;
  const used = runs.filter((stored) => README_TABLES.some((table) => shows(stored, table)));
  const usual = new Set(USUAL_DRIVERS.map(({ name }) => name));
  const trials = used.flatMap(({ run }) => run.trials).filter(({ driver }) => usual.has(driver));
  const tables = README_TABLES.filter((table) => used.some((stored) => shows(stored, table))).map(
    ({ title, columns: shown }) => `${title}:\n\n${markdown(tableOf(trials, shown))}`,
  );
  return [...tables, ...used.map(({ path, run }) => provenance(run, path))].join('\n\n');
}

function fullSection(runs: readonly StoredRun[]): string {
  return runs.map(({ path, run }) => runMarkdown(run, path)).join('\n\n');
}

function replaceSection(file: string, section: string, check: boolean): void {
  const path = join(ROOT, file);
  const text = readFileSync(path, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${file} has no line "${BEGIN}" before "${END}"`);
  const next = `${text.slice(0, begin + BEGIN.length)}\n\n${section.trimEnd()}\n\n${text.slice(end)}`;
  replaceFile(file, next, check);
}

function replaceFile(file: string, next: string, check: boolean): void {
  const path = join(ROOT, file);
  if (existsSync(path) && readFileSync(path, 'utf8') === next) return;
  if (check) throw new Error(`${file} is not up to date: run "npm run bench -- publish"`);
  writeFileSync(path, next);
  process.stderr.write(`wrote ${file}\n`);
}
