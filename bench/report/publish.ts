/**
 * Writes what was measured (bench/results/*.json) into README.md and docs/: tables between markers, and the picture of the README's first
 * screen. Nobody copies figures by hand, so date and commit always belong to them.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DRIVERS } from '../drivers/index.js';
import { CommandError } from '../runner/execute.js';
import { WORKLOADS } from '../workloads/index.js';
import { escapeHtml } from './chart.js';
import { runMarkdown } from './markdown.js';
import { picture, pictureDescription } from './picture.js';
import { type Run, readRun, resultsJsonSchema } from './results.js';
import { type MissingSpeed, roundedRatio, type Speeds, speedsOf, TABLE_DRIVERS } from './speeds.js';
import { markdown, number, type TextTable } from './table.js';

const RESULTS = 'bench/results';
const BEGIN = '<!-- bench: begin (written by "npm run bench -- publish") -->';
const END = '<!-- bench: end -->';
const PICTURES = { light: 'docs/speed-light.svg', dark: 'docs/speed-dark.svg' } as const;
const HOW = 'npm run bench -- --json bench/results/full.json';

export interface Published {
  /** Content by path, relative to the repository. */
  readonly files: ReadonlyMap<string, string>;
  /** What the README's first screen does not show, because it was not measured. */
  readonly missing: readonly MissingSpeed[];
}

/** Writes the files below `root`. With `check`, throws if one is not up to date. */
export async function publish(root: string, check: boolean): Promise<void> {
  const { files, missing } = await published(root);
  for (const { title, workload } of missing) {
    process.stderr.write(`not shown: ${title}; ${howToMeasure(workload)}\n`);
  }
  for (const [file, text] of files) {
    const path = join(root, file);
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    if (check) {
      throw new CommandError(`${file} is not up to date: run "npm run bench -- publish"`);
    }
    writeFileSync(path, text);
    process.stderr.write(`wrote ${file}\n`);
  }
}

/** What `publish` writes. Throws a CommandError that names the file when there are no results, or when they are no results. */
export async function published(root: string): Promise<Published> {
  const runs = storedRuns(root);
  const shown = runs
    .map((stored) => ({ ...stored, run: bestOf(stored.run, runs) }))
    .filter(({ run }) => run.trials.length > 0);
  const speeds = speedsOf(shown.flatMap(({ run }) => run.trials));
  const files = new Map([
    ['bench/schema.json', `${JSON.stringify(resultsJsonSchema(), null, 2)}\n`],
    [PICTURES.light, await picture(speeds.shown, 'light')],
    [PICTURES.dark, await picture(speeds.shown, 'dark')],
    ['README.md', withSection(root, 'README.md', readmeSection(speeds, shown))],
    ['docs/performance.md', withSection(root, 'docs/performance.md', fullSection(shown))],
  ]);
  return { files, missing: speeds.missing };
}

interface StoredRun {
  readonly path: string;
  readonly run: Run;
}

function storedRuns(root: string): StoredRun[] {
  const directory = join(root, RESULTS);
  const names = existsSync(directory)
    ? readdirSync(directory).filter((name) => name.endsWith('.json'))
    : [];
  if (names.length === 0) {
    throw new CommandError(`${directory} has no results (*.json): measure with "${HOW}"`);
  }
  return names.sort().map((name) => {
    const run = readRun(join(directory, name));
    checkNames(join(directory, name), run);
    return { path: `${RESULTS}/${name}`, run };
  });
}

/** A driver or workload that the tables do not know would be left out of them in silence. */
function checkNames(path: string, { trials }: Run): void {
  const check = (what: 'driver' | 'workload', known: readonly string[]) => {
    const unknown = trials.find((trial) => !known.includes(trial[what]))?.[what];
    if (unknown === undefined) return;
    throw new CommandError(
      `${path} has results of the ${what} "${unknown}", which is unknown (known: ${known.join(', ')}): measure again, or remove those trials`,
    );
  };
  check(
    'driver',
    DRIVERS.map(({ name }) => name),
  );
  check(
    'workload',
    WORKLOADS.map(({ name }) => name),
  );
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

function readmeSection(speeds: Speeds, runs: readonly StoredRun[]): string {
  const used = runs.filter(({ run }) =>
    speeds.shown.some(({ column }) =>
      run.trials.some(({ workload }) => workload === column.workload.name),
    ),
  );
  return [
    pictureElement(speeds),
    markdown(ratioTable(speeds)),
    ...speeds.missing.map(
      ({ title, workload }) => `Not measured: ${title} (${howToMeasure(workload)}).`,
    ),
    provenanceOf(used.map(({ run }) => run)),
  ].join('\n\n');
}

/** GitHub chooses by the reader's own scheme, which may be another than the browser's. */
function pictureElement({ shown }: Speeds): string {
  const text = pictureDescription(shown.filter(({ inPicture }) => inPicture));
  return `<picture>
  <source media="(prefers-color-scheme: dark)" srcset="${PICTURES.dark}">
  <img alt="${escapeHtml(text)}" src="${PICTURES.light}">
</picture>`;
}

/** Rounded ratios; of what is the baseline, the value. */
function ratioTable({ shown }: Speeds): TextTable {
  const footnotes = new Set<string>();
  const measured = TABLE_DRIVERS.filter((name) =>
    shown.some(({ rows }) => rows.some(({ driver }) => driver === name)),
  );
  const rows = measured.map((name) => [
    DRIVERS.find((driver) => driver.name === name)?.title ?? name,
    ...shown.map(({ title, column, rows: figures }) => {
      const figure = figures.find(({ driver }) => driver === name)?.figure;
      if (figure === undefined) return '';
      const [failure] = figure.failures;
      if (failure !== undefined) footnotes.add(`${title}, ${name}: ${failure}`);
      if (figure.value === undefined) return 'failed';
      const { unit } = column.metric;
      const value = `${number(figure.value.median)}${unit === '1/s' ? '/s' : ` ${unit}`}`;
      return roundedRatio(figure) ?? value;
    }),
  ]);
  return { head: ['', ...shown.map(({ title }) => title)], rows, footnotes: [...footnotes] };
}

/** One line for all of them: their days, and the machine of the latest. */
function provenanceOf(runs: readonly Run[]): string {
  const byTime = [...runs].sort((a, b) => a.startedAt.localeCompare(b.startedAt));
  const days = [...new Set(byTime.map(({ startedAt }) => startedAt.slice(0, 10)))];
  const latest = byTime.at(-1);
  if (latest === undefined) throw new CommandError(`${RESULTS} has nothing that README.md shows`);
  const { kernel, cores, cpu, versions } = latest.environment;
  const programs = ['podman', 'pasta', 'slirp4netns', 'bypass4netns'].flatMap((name) =>
    versions[name] === undefined ? [] : [`${name} ${versions[name]}`],
  );
  return `*Measured on ${days.join(', ')}: ${cores} cores of ${cpu}, Linux ${kernel}, ${programs.join(', ')}.*`;
}

function howToMeasure(workload: string): string {
  return `\`npm run bench -- ${workload} --json ${RESULTS}/${workload}.json\` measures it`;
}

function fullSection(runs: readonly StoredRun[]): string {
  return runs.map(({ path, run }) => runMarkdown(run, path)).join('\n\n');
}

/** The file with another text between its markers. */
function withSection(root: string, file: string, section: string): string {
  const text = readFileSync(join(root, file), 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) {
    throw new CommandError(
      `${file} has no line "${BEGIN}" before "${END}": put them back where the tables belong`,
    );
  }
  return `${text.slice(0, begin + BEGIN.length)}\n\n${section.trimEnd()}\n\n${text.slice(end)}`;
}
