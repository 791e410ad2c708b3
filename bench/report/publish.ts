/**
 * Writes measured tables into README.md and docs/performance.md, between markers, from bench/results/*.json. Nobody copies
 * figures by hand, so date and commit always belong to them.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectionRate } from '../workloads/connections.js';
import { SUITES } from '../workloads/index.js';
import { tcpDown, tcpUp } from '../workloads/throughput.js';
import type { Workload } from '../workloads/workload.js';
import { type Run, readRun } from './results.js';
import { markdown, tableOf } from './table.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const RESULTS = 'bench/results';
const BEGIN = '<!-- bench: begin (written by "npm run bench -- publish") -->';
const END = '<!-- bench: end -->';

const README_WORKLOADS: readonly Workload[] = [tcpUp, tcpDown, connectionRate];

/** With `check`, throws if a file is not up to date. */
export function publish(check: boolean): void {
  const runs = readdirSync(join(ROOT, RESULTS))
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ path: `${RESULTS}/${name}`, run: readRun(join(ROOT, RESULTS, name)) }));
  replaceSection('README.md', readmeSection(runs), check);
  replaceSection('docs/performance.md', fullSection(runs), check);
}

interface StoredRun {
  readonly path: string;
  readonly run: Run;
}

function readmeSection(runs: readonly StoredRun[]): string {
  const used = runs.filter(({ run }) => has(run, README_WORKLOADS));
  const trials = used.flatMap(({ run }) => run.trials);
  return `${markdown(tableOf(trials, README_WORKLOADS))}\n\n${used.map(provenance).join('\n')}`;
}

function fullSection(runs: readonly StoredRun[]): string {
  const sections = SUITES.flatMap(({ title, tables }) =>
    tables.flatMap((workloads) =>
      runs
        .filter(({ run }) => has(run, workloads))
        .map((stored) => {
          const baseline =
            workloads[0]?.baseline === 'host'
              ? '`--network=host`'
              : 'the same container without acceleration';
          return [
            `### ${title}: ${workloads.map((w) => w.title).join(', ')}`,
            `Median, and speed relative to ${baseline} (range over the rounds; above 1 is faster).`,
            markdown(tableOf(stored.run.trials, workloads)),
            provenance(stored),
          ].join('\n\n');
        }),
    ),
  );
  return sections.join('\n\n');
}

function has(run: Run, workloads: readonly Workload[]): boolean {
  return run.trials.some((trial) => workloads.some(({ name }) => name === trial.workload));
}

function provenance({ path, run }: StoredRun): string {
  const { environment: at } = run;
  const versions = ['podman', 'crun', 'pasta', 'slirp4netns', 'bypass4netns']
    .flatMap((name) => (at.versions[name] === undefined ? [] : [`${name} ${at.versions[name]}`]))
    .join(', ');
  return `*${path}: ${run.startedAt.slice(0, 10)}, commit ${at.commit}${at.modified ? ' with local changes' : ''}, ${run.rounds} rounds, Linux ${at.kernel}, ${at.cores} cores of ${at.cpu}, load average ${at.loadAverage.toFixed(1)} at the start, ${versions}.*\n`;
}

function replaceSection(file: string, section: string, check: boolean): void {
  const path = join(ROOT, file);
  const text = readFileSync(path, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${file} has no line "${BEGIN}" before "${END}"`);
  const next = `${text.slice(0, begin + BEGIN.length)}\n\n${section.trimEnd()}\n\n${text.slice(end)}`;
  if (next === text) return;
  if (check) throw new Error(`${file} is not up to date: run "npm run bench -- publish"`);
  writeFileSync(path, next);
  process.stderr.write(`wrote ${file}\n`);
}
